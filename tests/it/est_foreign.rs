//! An EST server that nobody here wrote: the crate est-ca, behind nginx, which does TLS for it.

use std::path::Path;
use std::process::Command;

use myelin::config::{Est, EstTrust, KeyType};
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::foreign::{nginx, temporary};
use crate::support::est::supply;
use crate::support::pki::Ca;
use crate::support::process::{Process, free_port, loopback, write};

/// est-ca and nginx, and the directory with all that they need.
struct EstCa {
    dir: TempDir,
    port: u16,
    _server: Process,
    _nginx: Process,
}

impl EstCa {
    async fn start() -> Self {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/debug/est-ca-server");
        assert!(built.is_file(), "est-ca-server is not built: .ci/run setup");
        let dir = TempDir::new().unwrap();
        let ca = Ca::new("est-ca");
        write(dir.path(), "ca.crt", &ca.pem());
        write(dir.path(), "ca.key", &ca.key_pem());
        let mut command = Command::new(built);
        command.current_dir(dir.path()).args(["ca.crt", "ca.key", "s3cret"]);
        let mut server = Process::start(&mut command);
        let said = server.says("listening ").await;
        let upstream: u16 = said.split_whitespace().nth(1).unwrap().parse().unwrap();
        let port = free_port();
        let nginx = terminator(dir.path(), &ca, port, upstream).await;
        Self { dir, port, _server: server, _nginx: nginx }
    }

    fn client(&self) -> Est {
        write(self.dir.path(), "token", "s3cret");
        Est {
            url: format!("https://localhost:{}/.well-known/est", self.port).parse().unwrap(),
            trust: EstTrust::Bundle(self.dir.path().join("ca.crt")),
            token_file: Some(self.dir.path().join("token")),
            username: None,
            dir: self.dir.path().join("identity"),
            key_types: vec![KeyType::P256, KeyType::Ed25519],
            crl_urls: Vec::new(),
        }
    }
}

/// nginx, that asks for certificates of the authority and says whose it saw.
async fn terminator(dir: &Path, ca: &Ca, port: u16, upstream: u16) -> Process {
    let identity = ca.issue("localhost");
    let config = format!(
        "http {{ {} server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};
         ssl_verify_client optional; ssl_client_certificate {};
         location / {{ proxy_pass http://127.0.0.1:{upstream};
         proxy_set_header x-client $ssl_client_s_dn; }} }} }}",
        temporary(dir),
        identity.cert().display(),
        identity.key().display(),
        identity.trust_bundle().display(),
    );
    let mut nginx = nginx(dir, &config);
    nginx.listens(loopback(port)).await;
    nginx
}

#[tokio::test]
async fn est_ca_issues_for_a_token_and_renews_for_the_certificate() {
    let server = EstCa::start().await;
    let source = supply(server.client());

    let first = source.load().await.unwrap();

    // It issues to the user name, and takes no alternative names from requests.
    assert_eq!(first.material.facts.subject.common_names, ["ehr"]);
    let named =
        first.warnings.iter().any(|warning| warning.contains("names the subject \"CN=ehr\""));
    assert!(named, "{:?}", first.warnings);
    assert_eq!(first.material.others.len(), 1);
    let in_use = source.load_again(&source, &first.material).await.unwrap();
    assert!(in_use.material.same_as(&first.material));

    std::fs::remove_file(server.dir.path().join("token")).unwrap();
    let other = supply(Est { key_types: vec![KeyType::P384], ..server.client() });
    let second = other.load().await.unwrap();
    assert_ne!(second.material.facts.key_sha256, first.material.facts.key_sha256);
    assert!(second.material.not_after() > OffsetDateTime::now_utc());
}

#[tokio::test]
async fn est_ca_refuses_a_wrong_token() {
    let server = EstCa::start().await;
    let config = server.client();
    write(server.dir.path(), "token", "gu3ssed");

    let error = supply(config).load().await.unwrap_err().to_string();

    assert!(error.contains("answers 403") && error.contains("the token"), "{error}");
}
