//! `myelin import`: what stunnel did goes on, with stunnel itself as the other side, and nothing gets laxer.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::cli::myelin;
use crate::foreign::stunnel;
use crate::outbound::ask_at;
use crate::support::pki::{Ca, Identity, dns};
use crate::support::process::{Process, Said, free_port, loopback};
use crate::support::workload::{Kind, Workload};

async fn import(dir: &Path, conf: &str, more: &[&str]) -> Said {
    let file = dir.join("old.conf");
    std::fs::write(&file, conf).unwrap();
    myelin(&[&["import", file.to_str().unwrap(), "--service", "db"], more].concat()).await
}

/// The configuration that was printed, with places of its own, running.
async fn run(dir: &Path, printed: &str) -> Process {
    let place = |name: &str| dir.join(name).display().to_string();
    let text = printed
        .replace("/var/log/myelin/audit", &place("audit"))
        .replace("/run/myelin/control.sock", &place("control.sock"))
        .replace("127.0.0.1:9901", "127.0.0.1:0");
    let file: PathBuf = dir.join("myelin.yaml");
    std::fs::write(&file, text).unwrap();
    let mut sidecar = Command::new(env!("CARGO_BIN_EXE_myelin"));
    let mut sidecar = Process::start(sidecar.args(["run", "-c"]).arg(&file));
    sidecar.says("ready").await;
    sidecar
}

fn files(identity: &Identity) -> String {
    format!(
        "cert = {}\nkey = {}\nCAfile = {}\nverifyChain = yes\n",
        identity.cert().display(),
        identity.key().display(),
        identity.trust_bundle().display()
    )
}

/// Both sides as stunnel has them: the client's configuration, and the server's.
struct Pair {
    dir: TempDir,
    client: String,
    server: String,
    plain: SocketAddr,
    tls: SocketAddr,
    _files: [Identity; 2],
    _workload: Workload,
}

impl Pair {
    async fn new() -> Self {
        let ca = Ca::new("hospital");
        // As stunnel's have it: a DNS name alone.
        let plain =
            |name: &str| ca.issue_with(name, |params| params.subject_alt_names = vec![dns(name)]);
        let (db, app) = (plain("db"), plain("app"));
        let workload = Workload::tcp(Kind::Line).await;
        let (plain, tls) = (loopback(free_port()), loopback(free_port()));
        let global = "foreground = yes\npid =\n; as of old\n";
        let client = format!(
            "{global}{}[To DB]\nclient = yes\naccept = {plain}\nconnect = {tls}\ncheckHost = db\n",
            files(&app)
        );
        let server = format!(
            "{global}{}[db]\naccept = {tls}\nconnect = {}\ncheckHost = app\nTIMEOUTidle = 60\n",
            files(&db),
            workload.target()
        );
        Self {
            dir: TempDir::new().unwrap(),
            client,
            server,
            plain,
            tls,
            _files: [db, app],
            _workload: workload,
        }
    }
}

#[tokio::test]
async fn a_client_of_stunnel_becomes_a_sidecar_that_reaches_the_old_server() {
    let pair = Pair::new().await;
    let mut server = stunnel(pair.dir.path(), &pair.server);
    server.listens(pair.tls).await;

    let said = import(pair.dir.path(), &pair.client, &[]).await;

    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:#?}");
    assert!(said.stdout.contains("name: \"to-db\""), "{}", said.stdout);
    let _sidecar = run(pair.dir.path(), &said.stdout).await;
    assert_eq!(ask_at(pair.plain, "hello\n").await, "you said hello\n");
}

#[tokio::test]
async fn a_server_of_stunnel_becomes_a_sidecar_that_the_old_client_reaches() {
    let pair = Pair::new().await;

    let said = import(pair.dir.path(), &pair.server, &[]).await;

    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:#?}");
    assert!(said.stdout.contains("idle_timeout: 60s"), "{}", said.stdout);
    let _sidecar = run(pair.dir.path(), &said.stdout).await;
    let mut client = stunnel(pair.dir.path(), &pair.client);
    client.listens(pair.plain).await;
    assert_eq!(ask_at(pair.plain, "hello\n").await, "you said hello\n");
}

#[tokio::test]
async fn a_peer_that_stunnel_knew_by_its_certificate_is_known_by_it_here() {
    let (dir, ca) = (TempDir::new().unwrap(), Ca::new("hospital"));
    let app = ca.issue("app");
    let conf = format!(
        "cert = /etc/db.pem\n[db]\naccept = 0.0.0.0:6432\nconnect = 5432\nCAfile = {}\nverifyPeer = yes\n",
        app.cert().display()
    );

    let said = import(dir.path(), &conf, &[]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(
        said.stdout.contains(&format!("\"db-peer\": {{ pin: \"{}\" }}", app.pin())),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("allow: [\"db-peer\"]"), "{}", said.stdout);
}

#[tokio::test]
async fn a_name_and_a_certificate_that_stunnel_both_asked_for_are_both_asked_for_here() {
    let (dir, ca) = (TempDir::new().unwrap(), Ca::new("hospital"));
    let [app, other] = ["app", "other"]
        .map(|name| ca.issue_with(name, |params| params.subject_alt_names = vec![dns(name)]));
    let both = dir.path().join("peers.pem");
    let pem = |identity: &Identity| std::fs::read_to_string(identity.cert()).unwrap();
    std::fs::write(&both, pem(&app) + &pem(&other)).unwrap();
    let conf = |option: &str, host: &str| {
        format!(
            "cert = /etc/db.pem\n[db]\naccept = 0.0.0.0:6432\nconnect = 5432\nCAfile = {}\n{option}\ncheckHost = {host}\n",
            both.display()
        )
    };

    for option in ["verifyPeer = yes", "verify = 3", "verify = 4"] {
        let said = import(dir.path(), &conf(option, "app"), &[]).await;

        assert_eq!(said.code, Some(0), "{option}: {said:#?}");
        let pinned = format!("\"db-peer\": {{ pin: \"{}\" }}", app.pin());
        assert!(said.stdout.contains(&pinned), "{option}: {}", said.stdout);
        assert!(said.stdout.contains("allow: [\"db-peer\"]"), "{option}: {}", said.stdout);
        assert!(!said.stdout.contains(&other.pin()), "{option}: {}", said.stdout);
    }
    let said = import(dir.path(), &conf("verifyPeer = yes", "third"), &[]).await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:#?}");
    assert!(said.stderr.contains("that have a name of `checkHost`, and none has"), "{said:#?}");
}

#[tokio::test]
async fn a_service_that_is_left_out_does_not_say_who_the_others_are() {
    let dir = TempDir::new().unwrap();
    let conf = "[mail]\naccept = 465\nconnect = 25\nprotocol = smtp\ncert = /etc/mail.pem\n\
                [db]\naccept = 6432\nconnect = 5432\ncert = /etc/db.pem\nCAfile = /etc/ca.pem\n";

    let said = import(dir.path(), conf, &[]).await;

    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(
        said.stdout.contains("\"/etc/db.pem\"") && !said.stdout.contains("mail.pem"),
        "{said:#?}"
    );
    assert!(!said.stderr.contains("left out: [db]"), "{said:#?}");
}

#[tokio::test]
async fn whatever_stunnel_left_open_is_closed_and_said() {
    let dir = TempDir::new().unwrap();
    let conf = "cert = /etc/db.pem\nCAfile = /etc/ca.pem\nciphers = ALL\n\
                [db]\naccept = 6432\nconnect = 5432\n\
                [out]\nclient = yes\naccept = 9001\nconnect = lab.example:443\n\
                [wide]\nclient = yes\naccept = 10.0.0.5:9002\nconnect = lab.example:444\ncheckHost = lab.example\n\
                [loose]\nclient = yes\naccept = 9003\nconnect = 10.0.0.6:445\n\
                [mail]\naccept = 465\nconnect = 25\nprotocol = smtp\n\
                [other]\naccept = 466\nconnect = 26\ncert = /etc/other.pem\n";

    let said = import(dir.path(), conf, &[]).await;

    assert_eq!(said.code, Some(1), "{said:#?}");
    for expected in [
        "allow: []",
        "listen: \"127.0.0.1:9001\"",
        "expect: [\"lab.example\"]",
        "listen: \"0.0.0.0:6432\"",
        "listen_anywhere: true",
    ] {
        assert!(said.stdout.contains(expected), "{expected}: {}", said.stdout);
    }
    for expected in [
        "left out: [loose] (line 16): it does not say who the server must be",
        "left out: [mail] (line 20): `protocol` (line 23)",
        "left out: [other] (line 24): it has another certificate",
        "look at: [wide] has its plaintext side on the network",
        "look at: [db] let in whoever",
        "look at: [out] took plaintext from the whole network",
        "look at: [out] did not say who the server must be",
        "look at: `ciphers` (line 3) is decided by `tls.profile`",
    ] {
        assert!(said.stderr.contains(expected), "{expected}: {}", said.stderr);
    }
    assert!(!said.stderr.contains("look at: [loose]"), "{}", said.stderr);
}

#[tokio::test]
async fn what_cannot_be_carried_over_says_where_it_stands() {
    let dir = TempDir::new().unwrap();
    for (conf, more, told) in [
        ("[db]\nsecret of mine\n", &[][..], "line 2: neither"),
        ("[db]\naccept = 1\nconnect = 2\n", &["--only", "web"], "has no service [web]"),
        ("pid =\n", &[], "has no service that can be carried over"),
        ("[db]\nclient = yes\naccept = 1\nconnect = 10.0.0.1:2\n", &[], "add `checkHost`"),
        ("[db]\naccept = 1\nconnect = db.example:2\n", &[], "has a name: write the address"),
    ] {
        let said = import(dir.path(), conf, more).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{conf} {said:#?}");
        assert!(said.stderr.contains(told), "{conf} {said:#?}");
        assert!(!said.stderr.contains("secret of mine"), "{said:#?}");
    }
}
