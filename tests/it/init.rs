//! `myelin init`: what it writes is fit to be used, what it refuses leaves nothing behind.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::cli::myelin;

async fn init(dir: &Path, more: &[&str]) -> super::support::process::Said {
    let dir = dir.to_str().unwrap();
    myelin(&[&["init", "--service", "ehr", "--dir", dir], more].concat()).await
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn check_accepts_what_init_writes() {
    let dir = tempfile::tempdir().unwrap();
    let new = dir.path().join("new");
    let file = new.join("myelin.yaml");

    let made = init(&new, &["--allow", "billing", "--issue", "billing"]).await;
    let checked = myelin(&["check", "--config", file.to_str().unwrap()]).await;

    assert_eq!(made.code, Some(0), "{made:#?}");
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""), "{checked:#?}");
    assert_eq!(mode(&new.join("billing.key")), 0o600);
    assert_eq!(mode(&new.join("authority")), 0o700);
    assert_eq!(mode(&new.join("authority/root.key")), 0o600);
}

#[tokio::test]
async fn check_accepts_what_init_writes_without_peers() {
    let dir = tempfile::tempdir().unwrap();

    let made = init(dir.path(), &["--admin", "127.0.0.1:9909"]).await;
    let file = dir.path().join("myelin.yaml");
    let checked = myelin(&["check", "--config", file.to_str().unwrap()]).await;

    assert_eq!((made.code, checked.code), (Some(0), Some(0)), "{made:#?} {checked:#?}");
    assert!(checked.stderr.contains("nobody may connect"), "{checked:#?}");
    assert!(std::fs::read_to_string(&file).unwrap().contains("127.0.0.1:9909"));
}

#[tokio::test]
async fn arguments_that_are_wrong_or_do_not_fit_together_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();

    for wrong in [
        ["--allow", "a/b"],
        ["--allow", "Billing"],
        ["--issue", "a/b"],
        ["--forward", "10.0.0.1:80"],
        ["--listen", "0.0.0.0:9901"],
        ["--call-listen", "127.0.0.1:0"],
        ["--listen", "127.0.0.1:8080"],
    ] {
        let said = init(dir.path(), &wrong).await;
        assert_eq!(said.code, Some(2), "{said:#?}");
        assert!(said.stderr.starts_with("error: "), "{said:#?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{wrong:?}");
    }
}

#[tokio::test]
async fn a_configuration_that_is_there_is_left_alone_and_no_authority_made() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("myelin.yaml");
    std::fs::write(&file, "mine").unwrap();

    let said = init(dir.path(), &[]).await;

    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.stderr.contains("exists"), "{said:#?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn what_comes_next_can_be_pasted_into_a_shell() {
    let dir = tempfile::tempdir().unwrap();

    let said = init(&dir.path().join("it's here"), &[]).await;

    let path = dir.path().display();
    assert!(
        said.stdout.contains(&format!("check -c '{path}/it'\\''s here/myelin.yaml'")),
        "{said:#?}"
    );
}
