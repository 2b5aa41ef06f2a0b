//! The command line: what it says, and its exit codes.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::support::mesh::{Mesh, Setup};
use crate::support::process::{Said, run};
use crate::support::workload::{Kind, Workload};

pub(crate) async fn myelin(args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
    command.args(args).env_remove("MYELIN_CONFIG").env("MYELIN_LOG", "warn");
    run(&mut command, "").await
}

/// What `run` and `check` have to say about the same file, and how they exit. `run` must not start.
async fn refused(file: &Path, code: i32) -> String {
    let file = file.to_str().unwrap();
    let ran = myelin(&["run", "--config", file]).await;
    assert_eq!(ran.code, Some(code), "{ran:#?}");
    ran.stderr
}

async fn refused_by_both(file: &Path) -> String {
    let ran = refused(file, 3).await;
    let checked = myelin(&["check", "--config", file.to_str().unwrap()]).await;
    assert_eq!(checked.code, Some(3), "{checked:#?}");
    assert_eq!(checked.stderr, ran, "`check` and `run` say different things");
    ran
}

fn setup(mesh: &Mesh) -> Setup {
    mesh.inbound("db").allow("web").forward("127.0.0.1:9")
}

#[tokio::test]
async fn a_sound_configuration_is_said_to_be_one() {
    let mesh = Mesh::new();
    let file = setup(&mesh).write();

    let said = myelin(&["check", "--config", file.to_str().unwrap()]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.stdout.contains("no problems"), "{said:#?}");
}

#[tokio::test]
async fn every_problem_is_named_at_once_with_its_place_and_the_mend() {
    let mesh = Mesh::new();
    let file = setup(&mesh).with("alow: [web]").forward("10.0.0.7:80").write();

    let said = refused_by_both(&file).await;

    assert!(said.contains("myelin.yaml:"), "{said}");
    assert!(said.contains("did you mean `allow`"), "{said}");
    assert!(said.contains("10.0.0.7:80"), "{said}");
    assert!(said.contains("loopback"), "{said}");
}

#[tokio::test]
async fn broken_yaml_is_a_bad_configuration() {
    let mesh = Mesh::new();
    let file = setup(&mesh).file("tls: { profile: [").write();

    let said = refused_by_both(&file).await;

    assert!(said.contains("myelin.yaml:"), "{said}");
}

#[tokio::test]
async fn a_missing_file_is_a_bad_configuration() {
    let said = refused_by_both(Path::new("/nowhere/myelin.yaml")).await;

    assert!(said.contains("/nowhere/myelin.yaml"), "{said}");
}

#[tokio::test]
async fn a_missing_key_file_is_named() {
    let mesh = Mesh::new();
    let identity = mesh.pem("db");
    std::fs::remove_file(identity.key()).unwrap();
    let file = setup(&mesh).files(&identity, &[]).write();

    let said = refused_by_both(&file).await;

    assert!(said.contains("tls.key"), "{said}");
}

#[tokio::test]
async fn a_key_that_does_not_fit_the_certificate_is_named() {
    let mesh = Mesh::new();
    let (identity, other) = (mesh.pem("db"), mesh.pem("db"));
    std::fs::copy(other.key(), identity.key()).unwrap();
    let file = setup(&mesh).files(&identity, &[]).write();

    let said = refused_by_both(&file).await;

    assert!(said.contains("tls.key") && said.contains("tls.crt"), "{said}");
    assert!(!said.contains("PRIVATE KEY"), "{said}");
}

#[tokio::test]
async fn an_unknown_command_is_a_bad_command_line() {
    assert_eq!(myelin(&["rn"]).await.code, Some(2));
    assert_eq!(myelin(&["run", "--confg", "x"]).await.code, Some(2));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let mesh = Mesh::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = setup(&mesh).listen(&address).write();

    let said = refused(&file, 1).await;

    assert!(said.contains(&address), "{said}");
    assert!(said.contains("another process"), "{said}");
}

#[tokio::test]
async fn an_administrative_port_that_is_taken_is_named() {
    let mesh = Mesh::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = setup(&mesh).admin(&format!("listen: {address}")).write();

    let said = refused(&file, 1).await;

    assert!(said.contains(&address), "{said}");
}

#[tokio::test]
async fn an_audit_directory_that_cannot_be_used_is_named() {
    let mesh = Mesh::new();
    let in_the_way = mesh.dir().join("trail");
    std::fs::write(&in_the_way, "a file").unwrap();
    let file = setup(&mesh).audit(&format!("dir: {}", in_the_way.display())).write();

    let said = refused(&file, 1).await;

    assert!(said.contains(in_the_way.to_str().unwrap()), "{said}");
}

#[tokio::test]
async fn an_audit_directory_that_others_may_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let mesh = Mesh::new();
    let open = mesh.dir().join("trail");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let file = setup(&mesh).audit(&format!("dir: {}", open.display())).write();

    let said = refused(&file, 1).await;

    assert!(said.contains("chmod 0700"), "{said}");
}

#[tokio::test]
async fn two_sidecars_cannot_write_the_same_trail() {
    let mesh = Mesh::new();
    let db = setup(&mesh).start().await;

    let said = refused(&setup(&mesh).write(), 1).await;

    assert!(said.contains(db.trail().dir().to_str().unwrap()), "{said}");
    assert!(said.contains("another process"), "{said}");
}

#[tokio::test]
async fn init_writes_what_check_accepts() {
    let mesh = Mesh::new();
    let new = mesh.dir().join("new");
    let dir = new.to_str().unwrap();

    let made = myelin(&[
        "init",
        "--service",
        "ehr",
        "--allow",
        "billing",
        "--issue",
        "billing",
        "--dir",
        dir,
    ])
    .await;
    let checked = myelin(&["check", "--config", &format!("{dir}/myelin.yaml")]).await;

    assert_eq!(made.code, Some(0), "{made:#?}");
    assert_eq!(checked.code, Some(0), "{checked:#?}");
    use std::os::unix::fs::PermissionsExt;
    let mode = |name: &str| {
        let path = Path::new(dir).join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("billing.key"), 0o600);
    assert_eq!(mode("authority"), 0o700);
    assert_eq!(mode("authority/root.key"), 0o600);
}

#[tokio::test]
async fn healthcheck_asks_the_running_sidecar() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;
    let address = db.admin.to_string();

    let up = myelin(&["healthcheck", "--address", &address]).await;
    db.stop().await;
    let down = myelin(&["healthcheck", "--address", &address]).await;

    assert_eq!((up.code, up.stdout.as_str()), (Some(0), "ready\n"), "{up:#?}");
    assert_eq!(down.code, Some(1), "{down:#?}");
    assert!(down.stderr.contains(&address), "{down:#?}");
}
