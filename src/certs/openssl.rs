//! A public key infrastructure made by the `openssl` program, for tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::config::{self, PairFiles, PairForm};

/// A directory in which openssl works.
pub(super) struct OpenSsl {
    dir: TempDir,
}

impl OpenSsl {
    /// An empty directory.
    pub(super) fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    /// With `root.crt`, and `leaf.crt` for `spiffe://td/ehr` with both purposes and `leaf.key`.
    pub(super) fn with_leaf() -> Self {
        let pki = Self::new();
        pki.root("root");
        pki.leaf("leaf", "root", BOTH);
        pki
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs openssl with the words of `line`; panics with its output unless it succeeds.
    pub(super) fn run(&self, line: &str) -> String {
        self.run_with(&line.split_whitespace().collect::<Vec<_>>())
    }

    pub(super) fn run_with(&self, words: &[&str]) -> String {
        let output =
            Command::new("openssl").args(words).current_dir(self.dir.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {words:?}: {text}{errors}");
        text
    }

    /// `NAME.crt` and `NAME.key` of a self-signed authority.
    pub(super) fn root(&self, name: &str) {
        let subject = format!("/O=Hospital/CN={name}");
        self.run_with(
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
                 -keyout {name}.key -out {name}.crt -subj {subject} \
                 -addext basicConstraints=critical,CA:TRUE \
                 -addext keyUsage=critical,keyCertSign,cRLSign"
            )
            .split_whitespace()
            .collect::<Vec<_>>(),
        );
    }

    /// A P-256 key and a certificate over it with `extensions`, signed by `issuer`.
    pub(super) fn leaf(&self, name: &str, issuer: &str, extensions: &str) {
        self.run(&format!(
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key"
        ));
        self.sign(name, issuer, extensions, "-days 90");
    }

    /// A certificate over `NAME.key`.
    pub(super) fn sign(&self, name: &str, issuer: &str, extensions: &str, validity: &str) {
        self.write(&format!("{name}.ext"), extensions);
        self.run(&format!("req -new -key {name}.key -subj /CN={name} -out {name}.csr"));
        self.run(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.crt -CAkey {issuer}.key -CAcreateserial \
             -extfile {name}.ext {validity} -out {name}.crt"
        ));
    }

    /// `NAME.crl` of `issuer`, that revokes the certificates `revoked`.
    pub(super) fn crl(&self, name: &str, issuer: &str, revoked: &[&str], validity: &str) {
        self.write(&format!("{name}.db"), "");
        self.write(&format!("{name}.number"), "01\n");
        self.write(
            &format!("{name}.cnf"),
            format!(
                "[ca]\ndefault_ca=own\n[own]\ndatabase={name}.db\ncrlnumber={name}.number\n\
                 default_md=sha256\ndefault_crl_days=7\n"
            ),
        );
        let authority = format!("ca -config {name}.cnf -cert {issuer}.crt -keyfile {issuer}.key");
        for certificate in revoked {
            self.run(&format!("{authority} -revoke {certificate}.crt"));
        }
        self.run(&format!("{authority} -gencrl {validity} -out {name}.crl"));
    }

    /// The files of `leaf` under `root`, with these revocation lists.
    pub(super) fn files(&self, crls: &[&str]) -> config::Files {
        config::Files {
            pair: self.pem("leaf.crt", "leaf.key"),
            others: Vec::new(),
            trust_bundle: self.path("root.crt"),
            crls: crls.iter().map(|name| self.path(name)).collect(),
        }
    }

    /// A pair in PEM files.
    pub(super) fn pem(&self, cert: &str, key: &str) -> PairFiles {
        let form = PairForm::Pem { cert: self.path(cert), key: self.path(key) };
        PairFiles { form, passphrase_file: None }
    }

    /// `text` without the name of this directory.
    pub(super) fn short(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.dir().display()), "")
    }
}

/// Extensions of a leaf for `spiffe://td/ehr`, both purposes.
pub(super) const BOTH: &str = "subjectAltName=URI:spiffe://td/ehr,DNS:ehr\n\
                               extendedKeyUsage=serverAuth,clientAuth\n\
                               keyUsage=critical,digitalSignature\n";
