//! An authority that `myelin ca` keeps, and `openssl` beside it.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Said, needs, run};
use crate::cli::myelin;

/// An authority, and a directory for what it gives to others.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
}

impl Place {
    /// With an authority that `myelin ca init` has made.
    pub(crate) async fn new() -> Self {
        let place = Self { dir: TempDir::new().unwrap() };
        place.fine(&["init", "--trust-domain", "hospital.example"]).await;
        place
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.dir.path().join("authority")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// The arguments, with the directory of the authority behind the first.
    pub(crate) fn arguments(&self, args: &[&str]) -> Vec<String> {
        let dir = self.authority().display().to_string();
        let all = ["ca", args[0], "--dir", &dir];
        all.iter().chain(&args[1..]).map(ToString::to_string).collect()
    }

    pub(crate) async fn ca(&self, args: &[&str]) -> Said {
        let all = self.arguments(args);
        myelin(&all.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// What it says when it succeeds, and says nothing else.
    pub(crate) async fn fine(&self, args: &[&str]) -> String {
        let said = self.ca(args).await;
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{args:?} {said:#?}");
        said.stdout
    }

    pub(crate) async fn fails(&self, args: &[&str], code: i32) -> String {
        let said = self.ca(args).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(code), ""), "{args:?} {said:#?}");
        said.stderr
    }

    /// Issues into [`Self::out`]; the answer is the serial number.
    pub(crate) async fn issue(&self, service: &str) -> String {
        let out = self.out().display().to_string();
        self.fine(&["issue", "--service", service, "--out", &out]).await;
        self.openssl("x509 -in out/tls.crt -noout -serial").await.trim()[7..].to_owned()
    }

    pub(crate) async fn list(&self) -> Vec<Value> {
        let text = self.fine(&["list", "--format", "json"]).await;
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) async fn run_openssl(&self, line: &str) -> Said {
        let mut command = Command::new(needs("openssl", "openssl"));
        run(command.args(line.split_whitespace()).current_dir(self.dir.path()), "").await
    }

    pub(crate) async fn openssl(&self, line: &str) -> String {
        let said = self.run_openssl(line).await;
        assert_eq!(said.code, Some(0), "{line}: {said:#?}");
        said.stdout
    }

    /// Whether openssl takes `out/tls.crt`, by the list in the authority's directory.
    pub(crate) async fn takes(&self) -> bool {
        let said = self
            .run_openssl(
                "verify -crl_check -CAfile authority/root.crt -CRLfile authority/ca.crl \
                 -untrusted out/tls.crt out/tls.crt",
            )
            .await;
        assert!(said.code == Some(0) || said.stderr.contains("certificate revoked"), "{said:#?}");
        said.code == Some(0)
    }
}
