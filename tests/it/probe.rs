//! `myelin probe`: whatever is on the way to a handshake is told apart, with real programs at the other end.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::json;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::foreign::{nginx, temporary};
use crate::support::mesh::Mesh;
use crate::support::pki::Ca;
use crate::support::probe::{Prober, probe, told};
use crate::support::process::{Process, free_port, loopback, needs, run};
use crate::support::until;
use crate::support::workload::{Kind, Workload};

#[tokio::test]
async fn a_server_that_takes_us_in_is_fine_and_every_step_is_told() {
    let prober = Prober::new();
    let lab = prober.ca.issue("lab");
    let (_server, target) = prober.demands(&lab, &[]).await;

    let text = probe(&prober.setup(&target).write(), &[&target]).await;
    let told = prober.asks(&target, &[]).await;

    assert_eq!(text.code, Some(0), "{text:#?}");
    let begins = |line| str::split(line, ' ').next().unwrap();
    let mut steps: Vec<_> = text.stdout.lines().map(begins).collect();
    steps.retain(|step| !matches!(*step, "" | "warning"));
    let expected = [
        "probe",
        "expect",
        "resolve",
        "connect",
        "handshake",
        "asks",
        "server",
        "checks",
        "ours",
        "answer",
        "fine:",
    ];
    assert_eq!(steps, expected, "{}", text.stdout);
    assert!(text.stdout.contains("expect      lab, by listener `ehr`\n"), "{}", text.stdout);
    assert!(text.stdout.contains("TLS 1.3, TLS_AES_256_GCM_SHA384"), "{}", text.stdout);
    assert!(
        text.stdout.contains("the server names our authority, CN=Hospital CA"),
        "{}",
        text.stdout
    );
    told.is_fine();
    assert_eq!(told.json["server"]["recognized"]["peers"], json!(["lab"]));
    assert_eq!(told.json["handshake"]["answer"]["did"], "waits");
    assert_eq!(told.json["ours"]["shown"], true);
}

#[tokio::test]
async fn several_listeners_that_lead_there_are_a_question_and_one_that_is_chosen_answers_it() {
    let prober = Prober::new();
    let (_server, target) = prober.demands(&prober.ca.issue("lab"), &[]).await;
    let other = |to: &str| {
        format!(
            "{{ name: results, listen: \"127.0.0.1:0\", to: [{to}], expect: [lab], protocol: tcp }}"
        )
    };
    let config = prober.setup(&target).also(&other(&target)).write();

    let asked = probe(&config, &[&target]).await;

    assert_eq!((asked.code, asked.stdout.as_str()), (Some(2), ""), "{asked:#?}");
    let question = "several outbound listeners lead there, `ehr`, `results`: choose by --outbound";
    assert!(asked.stderr.contains(question), "{asked:#?}");
    let chosen = probe(&config, &[&target, "--outbound", "results"]).await;
    assert_eq!(chosen.code, Some(0), "{chosen:#?}");
    assert!(chosen.stdout.contains("lab, by listener `results`\n"), "{chosen:#?}");
    told(&config, &target, &["--expect", "lab"]).await.is_fine();
    let config = prober.setup(&target).also(&other("lab.example:1")).write();
    told(&config, &target, &[]).await.is_fine();
}

#[tokio::test]
async fn a_server_that_speaks_first_is_fine_and_its_words_are_not_told() {
    let mesh = Mesh::new();
    let greeter = Workload::tcp(Kind::Greets("220 patient Doe\r\n")).await;
    let lab = mesh.inbound("lab").allow("ehr").forward(greeter.target()).start().await;
    let target = lab.address().to_string();

    let said = probe(&mesh.outbound("ehr").allow("lab").to(&target).write(), &[&target]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.stdout.contains("it accepts us and speaks first, 17 bytes"), "{said:#?}");
    assert!(!said.all().contains("Doe"), "{said:#?}");
}

#[tokio::test]
async fn a_sidecar_that_does_not_list_us_and_one_of_strangers_are_told_apart() {
    let (mesh, strangers) = (Mesh::new(), Mesh::new());
    let workload = Workload::tcp(Kind::Echo).await;
    let lab = mesh.inbound("lab").allow("web").forward(workload.target()).start().await;
    let other = strangers.inbound("lab").allow("ehr").forward(workload.target()).start().await;
    let (near, far) = (lab.address().to_string(), other.address().to_string());
    let config = mesh.outbound("ehr").allow("lab").to(&near).to(&far).write();

    told(&config, &near, &[]).await.fails("closed_after_handshake", "not on its list");
    told(&config, &far, &[]).await.fails("unknown_authority", "which is not in our trust bundle");
    let both = told(&config, &far, &["--anyway"]).await;

    let expected = ["unknown_authority", "refused_unknown_authority", "authority_not_named"];
    assert_eq!(both.codes(), expected, "{both:#?}");
    assert_eq!(workload.connections(), 0);
}

#[tokio::test]
async fn nobody_there_is_told_by_the_way() {
    let prober = Prober::new();
    let nobody = loopback(free_port()).to_string();
    // A queue of one, which a first connection fills: the kernel drops whoever comes after.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let full_at = full.local_addr().unwrap().as_socket().unwrap();
    let _first = TcpStream::connect(full_at).await.unwrap();

    prober.asks(&nobody, &[]).await.fails("refused", "nothing listens on that port");
    let dropped = prober.asks(&full_at.to_string(), &["--timeout", "300ms"]).await;
    dropped.fails("connect_timeout", "firewall");
    let unknown = prober.asks("lab.invalid:8443", &["--timeout", "3s"]).await;
    unknown.fails("name_not_resolved", "lab.invalid stands for no address");
    assert_eq!(unknown.json["attempts"], json!([]));
}

/// A server that reads once, does as it is told, and remembers all that reached it.
async fn behaves<F, D>(does: D) -> (String, Arc<Mutex<Vec<u8>>>)
where
    D: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&heard);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 64 * 1024];
            let count = stream.read(&mut bytes).await.unwrap_or(0);
            all.lock().unwrap().extend_from_slice(&bytes[..count]);
            does(stream).await;
        }
    });
    (address, heard)
}

#[tokio::test]
async fn a_server_that_hangs_up_breaks_off_or_says_nothing_is_told_apart() {
    let prober = Prober::new();
    let (hangs_up, _) = behaves(|stream| async { drop(stream) }).await;
    let rude = Workload::tcp(Kind::Rude).await;
    let (silent, heard) = behaves(|mut stream| async move {
        let _until_it_goes = stream.read(&mut [0; 1]).await;
    })
    .await;

    prober.asks(&hangs_up, &[]).await.fails("closed", "ended the connection without a word");
    prober.asks(rude.target(), &[]).await.fails("reset", "broken off at our hello");
    prober
        .asks(&silent, &["--timeout", "300ms"])
        .await
        .fails("silent", "says nothing to our hello");

    // One record of a handshake, and nothing else: a probe sends nothing but TLS.
    let heard = heard.lock().unwrap().clone();
    assert_eq!(&heard[..2], [0x16, 0x03]);
    assert_eq!(heard.len(), 5 + usize::from(u16::from_be_bytes([heard[3], heard[4]])));
}

#[tokio::test]
async fn a_server_in_plaintext_is_named_by_what_it_says() {
    let prober = Prober::new();
    let dicom: &[u8] = b"\x07\0\0\0\0\x04\0\0\x02\x01";
    for (words, spoken) in [
        (b"SSH-2.0-OpenSSH_9.6\r\n".as_slice(), "ssh"),
        (b"220 mail.h.example ESMTP Postfix\r\n", "smtp"),
        (b"220 (vsFTPd 3.0.5)\r\n", "ftp"),
        (b"\x4a\0\0\0\x0a8.0.36\0", "mysql"),
        (b"\x0bMSH|^~\\&|LAB\r\x1c\r", "mllp"),
        (dicom, "dicom"),
    ] {
        let (target, _) = behaves(move |mut stream| async move {
            let _it_is_gone = stream.write_all(words).await;
        })
        .await;

        let told = prober.asks(&target, &[]).await;

        told.fails("plaintext", "speaks no TLS but");
        assert_eq!(told.json["handshake"]["outcome"]["spoken"], spoken, "{told:#?}");
    }
}

#[tokio::test]
async fn nginx_in_plaintext_is_http_and_so_is_python() {
    let prober = Prober::new();
    let dir = TempDir::new().unwrap();
    let (one, other) = (loopback(free_port()), loopback(free_port()));
    let config =
        format!("http {{ {} server {{ listen {one}; return 204; }} }}", temporary(dir.path()));
    let mut nginx = nginx(dir.path(), &config);
    nginx.listens(one).await;
    let mut command = Command::new(needs("python3", "python3"));
    command.args(["-m", "http.server", "--bind", "127.0.0.1", &other.port().to_string()]);
    let mut python = Process::start(command.current_dir(dir.path()));
    python.listens(other).await;

    for target in [one, other] {
        let told = prober.asks(&target.to_string(), &["--timeout", "1s"]).await;

        told.fails("plaintext", "HTTP in plaintext");
    }
}

#[tokio::test]
async fn nginx_refuses_only_requests_and_the_probe_says_so() {
    let prober = Prober::new();
    let (lab, stranger) = (prober.ca.issue("lab"), Ca::new("Other CA").issue("lab"));
    let dir = TempDir::new().unwrap();
    let address = loopback(free_port());
    let config = format!(
        "http {{ {} server {{ listen {address} ssl; ssl_certificate {}; ssl_certificate_key {};
         ssl_client_certificate {}; ssl_verify_client on; return 204; }} }}",
        temporary(dir.path()),
        lab.cert().display(),
        lab.key().display(),
        stranger.trust_bundle().display(),
    );
    let mut nginx = nginx(dir.path(), &config);
    nginx.listens(address).await;
    let target = address.to_string();

    let said = probe(&prober.setup(&target).write(), &[&target]).await;

    // It goes on with anybody, and answers 400 to a request; that it named other authorities is the hint.
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.stdout.contains("or says so only to a request (nginx does)"), "{said:#?}");
    assert!(said.stdout.contains("warning authority_not_named"), "{said:#?}");
}

#[tokio::test]
async fn versions_and_cipher_suites_that_are_not_shared_are_told_apart() {
    let prober = Prober::new();
    let lab = prober.ca.issue("lab");
    let (_old, old) = prober.serves(&lab, &["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"]).await;
    let (_other, other) =
        prober.serves(&lab, &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"]).await;
    let (_middle, middle) = prober.serves(&lab, &["-tls1_2"]).await;

    prober.asks(&old, &[]).await.fails("tls_too_old", "only TLS 1.0 or 1.1");
    prober.asks(&other, &[]).await.fails("no_shared_cipher", "handshake_failure");
    let modern = prober.setup(&middle).profile("modern").write();
    told(&modern, &middle, &[]).await.fails("tls_too_old", "where the profile is `modern`");
}

#[tokio::test]
async fn a_server_that_asks_for_no_certificate_is_warned_of_and_nothing_fails() {
    let prober = Prober::new();
    let lab = prober.ca.issue("lab");
    let (_server, target) = prober.serves(&lab, &[]).await;

    let told = prober.asks(&target, &[]).await;

    assert_eq!(
        (told.code, told.codes().as_slice()),
        (Some(0), ["not_mutual"].as_slice()),
        "{told:#?}"
    );
    assert_eq!(told.json["ours"], json!(null));
}

#[tokio::test]
async fn a_listener_for_http_offers_its_protocols() {
    let prober = Prober::new();
    let lab = prober.ca.issue("lab");
    let (_server, target) = prober.demands(&lab, &["-alpn", "h2"]).await;
    let (_none, other) = prober.demands(&lab, &["-alpn", "dicom"]).await;

    let both = prober.setup(&target).to(&other).http().write();
    let shared = told(&both, &target, &[]).await;

    shared.is_fine();
    assert_eq!(shared.json["handshake"]["negotiated"]["alpn"], "h2");
    told(&both, &other, &[]).await.fails("no_shared_protocol", "ALPN");
}

#[tokio::test]
async fn a_bad_question_and_bad_key_material_are_told_from_failures() {
    let prober = Prober::new();
    let config = prober.setup("lab.example:1").write();
    for (args, says) in [
        (vec!["lab.example"], "it is not HOST:PORT"),
        (vec!["lab.example:1", "--expect", "lap"], "did you mean `lab`?"),
        (vec!["lab.example:1", "--outbound", "her"], "did you mean `ehr`?"),
        (vec!["lab.example:1", "--timeout", "10"], "not a duration"),
    ] {
        let said = probe(&config, &args).await;
        assert_eq!(said.code, Some(2), "{said:#?}");
        assert!(said.stderr.contains(says), "{said:#?}");
    }
    let mesh = Mesh::new();
    let setup = mesh.outbound("ehr").allow("lab").to("lab.example:1");
    std::fs::rename(mesh.dir().join("authority"), mesh.dir().join("elsewhere")).unwrap();

    let said = probe(&setup.write(), &["lab.example:1"]).await;

    assert_eq!(said.code, Some(3), "{said:#?}");
    assert!(said.stderr.contains("no authority here"), "{said:#?}");
    assert!(!mesh.dir().join("authority").exists(), "a question makes no authority");
}

#[tokio::test]
async fn a_probe_of_a_sidecar_is_on_its_record() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Counts).await;
    let lab = mesh.inbound("lab").allow("ehr").forward(workload.target()).start().await;
    let target = lab.address().to_string();

    told(&mesh.outbound("ehr").allow("lab").to(&target).write(), &target, &[]).await.is_fine();

    lab.trail().wait_for("connection-closed", 1).await;
    until("the workload to be left alone", || workload.open() == 0).await;
    assert_eq!(workload.received(), b"");
}

#[tokio::test]
async fn the_help_says_what_is_sent() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));

    let said = run(command.args(["probe", "--help"]), "").await;

    assert!(said.stdout.contains("Nothing but TLS is sent"), "{said:#?}");
    assert!(said.stdout.contains("Exit codes: 0"), "{said:#?}");
}
