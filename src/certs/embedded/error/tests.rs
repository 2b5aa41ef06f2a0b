use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::certs::embedded::Authority;
use crate::report::Report;

fn domain() -> TrustDomain {
    TrustDomain::parse("hospital.example").unwrap()
}

fn error(result: Result<Authority, AuthorityError>, dir: &Path) -> String {
    Report(&result.err().unwrap()).to_string().replace(&dir.display().to_string(), "DIR")
}

#[test]
fn what_cannot_be_seen_is_not_taken_for_missing() {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("loop");
    std::os::unix::fs::symlink(&dir, &dir).unwrap();

    for result in [
        Authority::open_or_create(&dir, &domain()),
        Authority::open(&dir, &domain()),
        Authority::look(&dir, &domain()),
    ] {
        let text = error(result, &dir);
        assert!(
            text.starts_with("DIR: cannot be read: Too many levels of symbolic links"),
            "{text}"
        );
    }
}

/// Nothing is forbidden to root, who therefore runs the test again as somebody else.
#[test]
fn permissions_that_are_in_the_way_are_named_with_their_owner() {
    let our = |path: &str| fs::metadata(path).unwrap().uid();
    if our("/proc/self") == 0 {
        let name = thread::current().name().unwrap().to_owned();
        let output = Command::new("/proc/self/exe")
            .args(["--exact", &name])
            .env_remove("TMPDIR")
            .current_dir("/")
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("authority");
    Authority::open_or_create(&dir, &domain()).unwrap();
    let forbid = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
    let me = our("/proc/self");
    let forbidden = |what: &str, at: &str| {
        format!(
            "{what}: the permissions of {at}, owned by user {me}): run as that user, or chown it to \
             the user that myelin runs as: Permission denied (os error 13)"
        )
    };

    forbid(&dir, 0o000).unwrap();
    let texts = [
        error(Authority::look(&dir, &domain()), &dir),
        error(Authority::open(&dir, &domain()), &dir),
    ];
    forbid(&dir, 0o700).unwrap();
    let wanted = forbidden("DIR/root.crt: cannot be read", "DIR forbid it (mode 0000");
    assert_eq!(texts, [wanted.clone(), wanted]);

    forbid(&dir.join("issuing.key"), 0o000).unwrap();
    assert_eq!(
        error(Authority::look(&dir, &domain()), &dir),
        forbidden("DIR/issuing.key: cannot be read", "DIR/issuing.key forbid it (mode 0000")
    );

    fs::remove_file(dir.join("issuing.key")).unwrap();
    forbid(&dir, 0o500).unwrap();
    let text = error(Authority::open(&dir, &domain()), &dir);
    forbid(&dir, 0o700).unwrap();
    let wanted = forbidden("DIR: cannot be written to", "DIR forbid it (mode 0500");
    assert!(text.starts_with(&wanted), "{text}");
}
