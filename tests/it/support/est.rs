//! An EST server that nobody here has a hand in but for its script: Python's standard library and openssl.

use std::path::{Path, PathBuf};

use myelin::certs::{Needs, Supply};
use myelin::config::{self, EstTrust, IdentitySource, KeyType, Profile};
use myelin::identity::{Fingerprint, TrustDomain};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

use super::process::{Process, free_port, loopback};
use super::python::{peer, serves};

/// The server, and the directory in which it and the test tell each other things.
pub(crate) struct EstServer {
    dir: TempDir,
    port: u16,
    lists: u16,
    process: Option<Process>,
}

impl EstServer {
    pub(crate) async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let mut server = Self { dir, port: free_port(), lists: free_port(), process: None };
        server.begin().await;
        server
    }

    /// Begins again, at the same ports.
    pub(crate) async fn begin(&mut self) {
        let dir = self.dir.path().to_str().unwrap();
        let ports = [self.port, self.lists].map(|port| port.to_string());
        let (mut process, _) = serves(peer("est_peer", "ssl", &[dir, &ports[0], &ports[1]])).await;
        process.listens(loopback(self.port)).await;
        self.process = Some(process);
    }

    /// Ends it.
    pub(crate) fn end(&mut self) {
        self.process.take().unwrap().stop("KILL");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}/.well-known/est", self.port)
    }

    /// Where the file `name` is served as a revocation list.
    pub(crate) fn list(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.lists)
    }

    /// Takes this token, once, and hands it over in a file.
    pub(crate) fn token(&self, token: &str) -> PathBuf {
        self.write("tokens", format!("{token}\n"));
        self.write("token", format!("{token}\n"))
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        // Put there at once: the server reads it at any moment.
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        std::fs::write(&new, content).unwrap();
        std::fs::rename(new, &path).unwrap();
        path
    }

    /// What it is to do from now on; see the script.
    pub(crate) fn behave(&self, lines: &str) {
        self.write("behaviour", lines);
    }

    /// What it was asked until now, a line each.
    pub(crate) fn asked(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("asked")).unwrap_or_default();
        text.lines().map(|line| line.replace("/.well-known/est/", "")).collect()
    }

    pub(crate) fn certificate(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(name)).unwrap()
    }

    pub(crate) fn fingerprint(&self, name: &str) -> Fingerprint {
        let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.certificate(name));
        Fingerprint(sum.as_ref().try_into().unwrap())
    }

    /// Runs openssl in its directory.
    pub(crate) fn openssl(&self, line: &str) -> String {
        openssl(self.dir.path(), line)
    }

    /// A list `NAME` that revokes these certificates, as `issuing.crt` publishes it.
    pub(crate) fn publish(&self, name: &str, revoked: &[&str]) {
        for certificate in revoked {
            self.openssl(&format!("ca -config ca.cnf -revoke {certificate}"));
        }
        self.openssl("ca -config ca.cnf -gencrl -out new.crl");
        std::fs::rename(self.path("new.crl"), self.path(name)).unwrap();
    }

    /// The configuration of a client `ehr` with a token, in a directory of its own.
    pub(crate) fn client(&self) -> config::Est {
        config::Est {
            url: self.url().parse().unwrap(),
            trust: EstTrust::Bundle(self.path("root.crt")),
            token_file: Some(self.path("token")),
            username: None,
            dir: self.path("identity"),
            key_types: vec![KeyType::P256],
            crl_urls: Vec::new(),
        }
    }
}

fn openssl(dir: &Path, line: &str) -> String {
    let mut command = std::process::Command::new(super::process::needs("openssl", "openssl"));
    let output = command.args(line.split_whitespace()).current_dir(dir).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    text
}

/// What `ehr` has its key material from.
pub(crate) fn supply(config: config::Est) -> Supply {
    let needs = Needs { server: true, client: true, profile: Profile::Nist };
    let domain = TrustDomain::parse("hospital.example").unwrap();
    Supply::new(&IdentitySource::Est(config), &domain, "ehr", needs).unwrap()
}

/// The same again, but for a key that changes nothing: what it has in use counts as another source's, and
/// is renewed whether it is due or not.
pub(crate) fn other(server: &EstServer) -> Supply {
    supply(config::Est { username: Some("ehr".to_owned()), ..server.client() })
}
