//! `myelin explain`: an answer, or a clear word why there is none; each with an exit code of its own.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::cli::myelin;
use super::support::process::Said;

/// A service `ehr` to which `billing` may connect, and a certificate of each of two peers.
struct Clinic(TempDir);

impl Clinic {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let made = myelin(&[
            "init",
            "--service",
            "ehr",
            "--dir",
            path,
            "--allow",
            "billing",
            "--issue",
            "billing",
            "--issue",
            "stranger",
        ])
        .await;
        assert_eq!(made.code, Some(0), "{made:#?}");
        Self(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn explain(&self, who: &[&str]) -> Said {
        let file = self.file("myelin.yaml");
        myelin(&[&["explain", "-c", file.to_str().unwrap()], who].concat()).await
    }

    async fn presents(&self, certificate: &Path) -> Said {
        self.explain(&["--cert", certificate.to_str().unwrap()]).await
    }
}

#[tokio::test]
async fn allowed_and_denied_differ_by_their_exit_code() {
    let clinic = Clinic::new().await;

    let allowed = clinic.explain(&["--peer", "billing", "--path", "/fhir/Patient/1"]).await;
    let verified = clinic.presents(&clinic.file("billing.crt")).await;
    let denied = clinic.presents(&clinic.file("stranger.crt")).await;
    let refused = clinic.presents(&clinic.file("ca.crt")).await;

    assert_eq!((allowed.code, verified.code), (Some(0), Some(0)), "{allowed:#?} {verified:#?}");
    assert_eq!((denied.code, refused.code), (Some(1), Some(1)), "{denied:#?} {refused:#?}");
    assert!(denied.stdout.contains("unknown_peer: nearest is peer `billing`"), "{denied:#?}");
    assert!(refused.stdout.contains("an authority's") || refused.stdout.contains("as a leaf"));
}

#[tokio::test]
async fn a_question_about_nobody_is_a_bad_command_line() {
    let clinic = Clinic::new().await;

    for (who, says) in [
        (["--peer", "biling"], "did you mean `billing`?"),
        (["--peer", "nobody"], "there are: billing"),
        (["--spiffe", "http://td/a"], "begins with spiffe://"),
        (["--dns", "a b"], "not a DNS name"),
        (["--cert", "/nowhere/a.crt"], "/nowhere/a.crt: No such file"),
    ] {
        let said = clinic.explain(&who).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{said:#?}");
        assert!(said.stderr.contains(says), "{said:#?}");
    }
    let said = clinic.explain(&["--peer", "billing", "--listener", "her"]).await;
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.stderr.contains("did you mean `ehr`?"), "{said:#?}");
}

#[tokio::test]
async fn a_path_that_the_gate_refuses_is_no_question_for_the_rules() {
    let clinic = Clinic::new().await;

    for (path, says) in [
        ("fhir", "begins with '/'"),
        ("/a?b=c", "leave out the query"),
        ("/a#b", "leave out the query"),
        ("/a/../b", "`..` segment"),
        ("/a/%2e%2e/b", "`..` segment"),
        ("/a%2fb", "percent-encoding"),
        ("//a", "two slashes"),
    ] {
        let said = clinic.explain(&["--peer", "billing", "--path", path]).await;
        assert_eq!(said.code, Some(2), "{path}: {said:#?}");
        assert!(said.stderr.contains(says), "{path}: {said:#?}");
    }
}

#[tokio::test]
async fn a_file_without_certificate_is_told_by_what_it_holds() {
    let clinic = Clinic::new().await;

    let said = clinic.presents(&clinic.file("billing.key")).await;

    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(
        said.stderr.ends_with("billing.key: holds PRIVATE KEY, and no CERTIFICATE\n"),
        "{said:#?}"
    );
}

#[tokio::test]
async fn key_material_that_cannot_be_used_is_named_and_none_is_made() {
    let clinic = Clinic::new().await;
    let authority = clinic.file("authority");
    std::fs::rename(&authority, clinic.file("elsewhere")).unwrap();

    let said = clinic.presents(&clinic.file("billing.crt")).await;

    assert_eq!(said.code, Some(3), "{said:#?}");
    assert!(said.stderr.contains(authority.to_str().unwrap()), "{said:#?}");
    assert!(!authority.exists());
}
