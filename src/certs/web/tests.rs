use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::certs::openssl::OpenSsl;
use crate::identity::Fingerprint;

/// Answers each connection with the next of `answers`, byte for byte, and says what it was sent.
fn serve(answers: Vec<Vec<u8>>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let one = |answer: &Vec<u8>| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut sent = Vec::new();
            while !sent.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut some = [0; 1024];
                let count = stream.read(&mut some).unwrap();
                sent.extend_from_slice(&some[..count]);
            }
            let _gone = stream.write_all(answer);
            String::from_utf8(sent).unwrap()
        };
        answers.iter().map(one).collect()
    });
    (address, served)
}

fn plain(address: SocketAddr) -> Web {
    let base = format!("http://{address}/v1").parse().unwrap();
    Web::new(base, WebTrust::PlainLoopback, None).unwrap()
}

async fn answered(answer: &[u8]) -> Result<Answer, EnrolError> {
    let (address, _served) = serve(vec![answer.to_vec()]);
    let limits = Limits { time: Duration::from_secs(5), body: 1000 };
    plain(address).limited(limits).send(Call::get("/x")).await
}

fn failure(result: Result<Answer, EnrolError>) -> (EnrolFailure, String) {
    result.map(|answer| answer.status).map_err(|error| (error.kind, error.to_string())).unwrap_err()
}

#[tokio::test]
async fn a_request_says_what_it_has_to_and_an_answer_is_read_whole() {
    let (address, served) =
        serve(vec![b"HTTP/1.1 202 Accepted\r\nRetry-After: 7\r\n\r\nlater".to_vec()]);
    let mut call = Call::get("/pki/ca?x=y");
    call.headers.insert("x-token", HeaderValue::from_static("s3cret"));

    let answer = plain(address).send(call).await.unwrap();

    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(
        (&answer.headers["retry-after"], &answer.body[..]),
        (&"7".parse().unwrap(), &b"later"[..])
    );
    let sent = &served.join().unwrap()[0];
    assert!(sent.starts_with("GET /v1/pki/ca?x=y HTTP/1.1\r\n"), "{sent}");
    assert!(sent.contains(&format!("host: {address}\r\n")), "{sent}");
    assert!(sent.contains("x-token: s3cret\r\n"), "{sent}");
}

#[tokio::test]
async fn what_is_no_good_answer_is_told() {
    let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1001));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(HEADERS + 1));

    for (answer, kind, problem) in [
        (long.as_bytes(), EnrolFailure::BadAnswer, "more than 1000 bytes"),
        (many.as_bytes(), EnrolFailure::BadAnswer, "does not answer in HTTP/1.1"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", EnrolFailure::BadAnswer, "is the port right?"),
        (b"", EnrolFailure::Unreachable, "broke off before the answer"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut",
            EnrolFailure::Unreachable,
            "broke off before the answer",
        ),
        (b"HTTP/1.1 307 T\r\n\r\n", EnrolFailure::BadAnswer, "without saying where to"),
        (
            b"HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
            EnrolFailure::BadAnswer,
            "\"http://127.0.0.1:1/\", which is not followed",
        ),
    ] {
        let (found, text) = failure(answered(answer).await);
        assert!(text.contains(problem), "{text}");
        assert_eq!(found, kind, "{text}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let limits = Limits { time: Duration::from_millis(200), body: 1000 };
    let web = plain(listener.local_addr().unwrap()).limited(limits);

    let (kind, text) = failure(web.send(Call::get("/x")).await);

    assert_eq!(kind, EnrolFailure::Unreachable);
    assert!(text.ends_with("no whole answer within 200ms"), "{text}");
}

#[tokio::test]
async fn redirects_within_the_same_origin_are_followed() {
    let moved = |to: &str| format!("HTTP/1.1 307 T\r\nLocation: {to}\r\n\r\n").into_bytes();
    let (address, served) =
        serve(vec![moved("/elsewhere?a=b"), b"HTTP/1.1 200 OK\r\n\r\nhere".to_vec()]);

    let answer = plain(address).send(Call::get("/x")).await.unwrap();

    assert_eq!(&answer.body[..], b"here");
    assert!(served.join().unwrap()[1].starts_with("GET /elsewhere?a=b "));
}

#[tokio::test]
async fn without_tls_nothing_leaves_this_machine() {
    // Of this machine, too, and yet not loopback; where there is none, nobody can be asked at all.
    let found = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let outside = found.connect("192.0.2.1:9").and_then(|()| found.local_addr());
    let Ok(outside) = outside else { return };
    let listener = TcpListener::bind((outside.ip(), 0)).unwrap();

    let (kind, text) = failure(plain(listener.local_addr().unwrap()).send(Call::get("/x")).await);

    assert_eq!(kind, EnrolFailure::Unprepared);
    assert!(text.contains("use https"), "{text}");
}

#[test]
fn a_url_that_says_too_much_or_too_little_is_refused_and_its_password_not_repeated() {
    let bundle = || WebTrust::Bundle(vec![CertificateDer::from(vec![1, 2, 3])]);
    for (url, trust, problem) in [
        ("https://ehr:s3cret@ca.example/", WebTrust::Signed, "without a user name"),
        ("/est", WebTrust::Signed, "with a host"),
        ("https://ca.example", WebTrust::PlainLoopback, "nothing says whom to trust"),
        ("https://ca.example", bundle(), "no certificate of its trust bundle is an authority's"),
        (
            "http://ca.example",
            WebTrust::Fingerprint(Fingerprint([0; 32]), Vec::new()),
            "has to be an https URL",
        ),
    ] {
        let error = Web::new(url.parse().unwrap(), trust, None).unwrap_err();
        assert_eq!(error.kind, EnrolFailure::Unprepared);
        let text = error.to_string();
        assert!(text.contains(problem) && !text.contains("s3cret"), "{text}");
    }
}

/// `openssl s_server`, ended by its id.
struct SServer {
    process: std::process::Child,
    port: u16,
}

impl Drop for SServer {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

impl SServer {
    /// With the certificate `server` and whatever else `more` asks for; answers with a page about itself.
    fn start(pki: &OpenSsl, more: &str) -> Self {
        let command = format!(
            "s_server -accept 127.0.0.1:0 -cert server.crt -key server.key -cert_chain root.crt -www {more}"
        );
        let mut process = std::process::Command::new("openssl")
            .args(command.split_whitespace())
            .current_dir(pki.dir())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut said = std::io::BufReader::new(process.stdout.take().unwrap());
        let port = loop {
            let mut line = String::new();
            assert_ne!(std::io::BufRead::read_line(&mut said, &mut line).unwrap(), 0);
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                break address.trim().rsplit(':').next().unwrap().parse().unwrap();
            }
        };
        // Whatever else it says has to go somewhere.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { process, port }
    }

    fn ask(&self, host: &str, trust: WebTrust, client: Option<Arc<CertifiedKey>>) -> Web {
        let base = format!("https://{host}:{}", self.port).parse().unwrap();
        Web::new(base, trust, client).unwrap()
    }
}

fn pki() -> (OpenSsl, CertificateDer<'static>) {
    let pki = OpenSsl::with_leaf();
    pki.leaf(
        "server",
        "root",
        "subjectAltName=IP:127.0.0.1,DNS:ca.example\nextendedKeyUsage=serverAuth\n",
    );
    let root = CertificateDer::from_pem_file(pki.path("root.crt")).unwrap();
    (pki, root)
}

fn fingerprint(der: &[u8]) -> Fingerprint {
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    Fingerprint(sum.as_ref().try_into().unwrap())
}

#[tokio::test]
async fn openssl_is_asked_over_tls_1_2_and_1_3_and_known_by_bundle_or_fingerprint() {
    let (pki, root) = pki();
    for version in ["-tls1_2", "-tls1_3"] {
        let server = SServer::start(&pki, version);
        for trust in [
            WebTrust::Bundle(vec![root.clone()]),
            WebTrust::Fingerprint(fingerprint(&root), Vec::new()),
            WebTrust::Fingerprint(Fingerprint([7; 32]), vec![root.clone()]),
        ] {
            let answer = server.ask("127.0.0.1", trust, None).send(Call::get("/")).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK);
            assert!(answer.body.windows(8).any(|part| part == b"s_server"));
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_the_one_of_the_url_or_of_another_authority_is_not_asked() {
    let (pki, root) = pki();
    pki.root("other");
    let other = CertificateDer::from_pem_file(pki.path("other.crt")).unwrap();
    let server = SServer::start(&pki, "");

    for (host, trust, problem) in [
        ("localhost", WebTrust::Bundle(vec![root.clone()]), "not valid for name"),
        ("localhost", WebTrust::Fingerprint(fingerprint(&root), Vec::new()), "not valid for name"),
        ("127.0.0.1", WebTrust::Bundle(vec![other.clone()]), "does not come from the configured"),
        (
            "127.0.0.1",
            WebTrust::Fingerprint(Fingerprint([7; 32]), vec![other]),
            "does not come from",
        ),
    ] {
        let (kind, text) = failure(server.ask(host, trust, None).send(Call::get("/")).await);
        assert_eq!(kind, EnrolFailure::Untrusted, "{text}");
        assert!(text.contains(problem), "{text}");
    }
}

#[tokio::test]
async fn a_certificate_of_ours_is_presented_and_a_refusal_of_it_told_as_one() {
    let (pki, root) = pki();
    let key = PrivateKeyDer::from_pem_file(pki.path("leaf.key")).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let leaf = CertificateDer::from_pem_file(pki.path("leaf.crt")).unwrap();
    let leaf = Arc::new(CertifiedKey::new(vec![leaf], key));
    let trust = || WebTrust::Bundle(vec![root.clone()]);
    for version in ["-tls1_2", "-tls1_3"] {
        let more = format!("-Verify 2 -verify_return_error -CAfile root.crt {version}");
        let server = SServer::start(&pki, &more);
        let answer = server.ask("127.0.0.1", trust(), Some(Arc::clone(&leaf)));
        assert_eq!(answer.send(Call::get("/")).await.unwrap().status, StatusCode::OK);

        let refused = failure(server.ask("127.0.0.1", trust(), None).send(Call::get("/")).await);
        // TLS 1.2 has no alert for it.
        let (kind, problem) = match version {
            "-tls1_3" => (EnrolFailure::Refused, "lets in only clients with a certificate"),
            _ => (EnrolFailure::Unreachable, "broke TLS off with the alert HandshakeFailure"),
        };
        assert_eq!(refused.0, kind);
        assert!(refused.1.contains(problem), "{refused:?}");
    }
}
