//! Answers that no real server gives. What real ones do is in `tests/it/vault.rs`.

use std::sync::atomic::AtomicUsize;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::certs::openssl::OpenSsl;
use crate::config::{KeyType, VaultAuth};

/// A server that answers each request by what its path contains: 200 and this body. It counts requests.
async fn server(answers: Vec<(&'static str, Vec<u8>)>) -> (http::Uri, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    #[expect(clippy::disallowed_methods, reason = "ends with the test")]
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut request = vec![0; 64 << 10];
            let length = socket.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let found = answers.iter().find(|(part, _)| path.contains(part));
            let (status, body) = found
                .map_or(("404 Not Found", b"{\"errors\":[]}".as_slice()), |(_, body)| {
                    ("200 OK", body)
                });
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _gone = socket.write_all(&[head.as_bytes(), body].concat()).await;
        }
    });
    (format!("http://{address}").parse().unwrap(), count)
}

fn vault(address: http::Uri, token_file: std::path::PathBuf) -> Vault {
    let config = config::Vault {
        address,
        namespace: None,
        mount: "pki".to_owned(),
        role: "ehr".to_owned(),
        trust_bundle: None,
        auth: VaultAuth::TokenFile(token_file),
        ttl: None,
        common_name: None,
        key_types: vec![KeyType::P256],
        dir: None,
    };
    Vault::new(config, SpiffeId::parse("spiffe://hospital.example/ehr").unwrap(), "ehr")
}

/// Answers as a mount with one authority gives them, and a certificate over another key.
fn good(pki: &OpenSsl) -> Vec<(&'static str, Vec<u8>)> {
    pki.crl("list", "root", &[], "-crldays 7");
    pki.run("crl -in list.crl -outform DER -out list.der");
    let (root, leaf) = (pki.read("root.crt"), pki.read("leaf.crt"));
    let json = |value: serde_json::Value| value.to_string().into_bytes();
    vec![
        ("issuers", json(serde_json::json!({ "data": { "keys": ["one"] } }))),
        ("issuer/one/json", json(serde_json::json!({ "data": { "certificate": root } }))),
        ("crl/der", std::fs::read(pki.path("list.der")).unwrap()),
        (
            "sign/ehr",
            json(serde_json::json!({ "data": { "certificate": leaf, "issuing_ca": root } })),
        ),
    ]
}

async fn refused(answers: Vec<(&'static str, Vec<u8>)>) -> String {
    let pki = OpenSsl::new();
    let (address, _) = server(answers).await;
    let token = pki.write("token", "s.8BXbYNgOWYJvWZByRkhrYzU5");
    let error = vault(address, token).offer(Occasion::Start).await.err().unwrap();
    assert!(matches!(error, MaterialError::Enrol(_)), "{error:?}");
    let text = error.to_string();
    assert!(!text.contains("8BXbYNg"), "{text}");
    text
}

#[tokio::test]
async fn a_certificate_over_another_key_is_not_taken() {
    let pki = OpenSsl::with_leaf();

    let told = refused(good(&pki)).await;

    assert!(told.ends_with("answers with a certificate that is not over our key"), "{told}");
}

#[tokio::test]
async fn answers_that_make_no_sense_are_told_and_change_nothing() {
    let pki = OpenSsl::with_leaf();
    let with = |path: &str, body: &[u8]| {
        let mut answers = good(&pki);
        answers.iter_mut().find(|(known, _)| *known == path).unwrap().1 = body.to_vec();
        answers
    };
    let many: Vec<String> = (0..65).map(|number| number.to_string()).collect();
    let many = serde_json::json!({ "data": { "keys": many } }).to_string();
    let strange = "answers, but not as OpenBao and Vault do: is the address right?";

    for (path, body, told) in [
        ("issuers", b"<html>".as_slice(), strange),
        ("issuers", b"{\"data\":{}}", strange),
        ("issuers", many.as_bytes(), "lists 65 authorities; no more than 64 are read"),
        ("issuers", b"{\"data\":{\"keys\":[\"../sys/seal\"]}}", "in a way that is not understood"),
        ("issuer/one/json", b"{\"data\":{\"certificate\":\"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\"}}", "a certificate that cannot be parsed"),
        ("sign/ehr", b"\xff\xfe\x00", strange),
        ("sign/ehr", b"{\"data\":{\"certificate\":\"\"}}", "a certificate that is not over our key"),
    ] {
        let text = refused(with(path, body)).await;
        assert!(text.contains(told), "{path}: {text}");
    }
    let mut silent = good(&pki);
    silent.retain(|(path, _)| *path != "crl/der");
    let text = refused(silent).await;
    assert!(text.contains("none of its authorities has a revocation list"), "{text}");
}

#[tokio::test]
async fn without_a_token_nobody_is_asked_for_a_certificate() {
    let pki = OpenSsl::with_leaf();
    let (address, count) = server(good(&pki)).await;

    let error = vault(address, pki.path("token")).offer(Occasion::Start).await.err().unwrap();

    let text = error.to_string();
    assert!(text.contains("token: no such file"), "{text}");
    assert_eq!(count.load(Ordering::Relaxed), 3, "authorities and lists alone");
}
