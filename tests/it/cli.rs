//! The command line: what it says, and its exit codes.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::support::mesh::{Mesh, Setup};
use crate::support::process::{Process, Said, run};
use crate::support::workload::{Kind, Workload};

pub(crate) async fn myelin(args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
    command.args(args).env_remove("MYELIN_CONFIG").env("MYELIN_LOG", "warn");
    command.env("MYELIN_LOG_FORMAT", "human");
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
    assert_eq!(checked.stdout, "", "what is in the way is on standard error");
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
    let checked = myelin(&["check", "--config", file.to_str().unwrap()]).await;

    assert!(said.contains(in_the_way.to_str().unwrap()), "{said}");
    assert!(said.contains("not a directory"), "{said}");
    assert_eq!((checked.code, checked.stderr), (Some(3), said));
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
    let checked = myelin(&["check", "--config", file.to_str().unwrap()]).await;

    assert!(said.contains("chmod 0700"), "{said}");
    assert_eq!((checked.code, checked.stderr), (Some(3), said));
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
async fn warnings_are_printed_at_the_start_as_check_prints_them() {
    let mesh = Mesh::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = mesh.inbound("db").peer("web", "dns: web").forward("127.0.0.1:9").listen(&address);
    let file = file.write();

    let checked = myelin(&["check", "--config", file.to_str().unwrap()]).await;
    let ran = refused(&file, 1).await;

    assert!(checked.stderr.starts_with("warning: nobody may connect"), "{checked:#?}");
    assert!(ran.starts_with(&checked.stderr), "{ran}");
}

#[tokio::test]
async fn key_material_that_deserves_a_look_is_told_of_at_the_start_in_the_words_of_check() {
    let mesh = Mesh::new();
    let identity = mesh.pem("somebody-else");
    let file = setup(&mesh).files(&identity, &[]).write();
    let file = file.to_str().unwrap();

    let checked = myelin(&["check", "-c", file]).await;
    let warning = checked.stderr.lines().find(|line| line.contains("somebody-else"));
    let mut running = Command::new(env!("CARGO_BIN_EXE_myelin"));
    let mut running =
        Process::start(running.args(["run", "-c", file]).args(["--log-format", "human"]));

    let warning = warning.unwrap_or_else(|| panic!("{checked:#?}"));
    assert!(warning.starts_with("warning: "), "{warning}");
    running.says(&format!("{warning}\n")).await;
    running.signal("TERM");
    assert!(running.ended().await.success());
}

#[tokio::test]
async fn for_programs_check_always_answers_in_the_same_form() {
    let (sound, misspelt, keyless) = (Mesh::new(), Mesh::new(), Mesh::new());
    let identity = keyless.pem("db");
    std::fs::remove_file(identity.key()).unwrap();

    for (file, code, problems) in [
        (setup(&sound).write(), 0, 0),
        (setup(&misspelt).with("alow: [web]").write(), 3, 1),
        (setup(&keyless).files(&identity, &[]).write(), 3, 1),
        (Path::new("/nowhere/myelin.yaml").to_owned(), 3, 1),
    ] {
        let said = myelin(&["check", "--format", "json", "-c", file.to_str().unwrap()]).await;
        let answer: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();

        assert_eq!((said.code, said.stderr.as_str()), (Some(code), ""), "{said:#?}");
        let keys: Vec<_> = answer.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["path", "problems", "warnings"]);
        assert_eq!(answer["problems"].as_array().unwrap().len(), problems, "{said:#?}");
        for problem in answer["problems"].as_array().unwrap() {
            let keys: Vec<_> = problem.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["line", "column", "length", "key", "text", "hint", "severity"]);
        }
    }
}

#[tokio::test]
async fn a_file_where_a_socket_is_to_be_bound_is_named() {
    let mesh = Mesh::new();
    let in_the_way = mesh.dir().join("lab.sock");
    std::fs::write(&in_the_way, "").unwrap();
    let file = setup(&mesh)
        .file(&format!(
            "outbound: [{{ name: lab, listen: \"unix:{}\", to: [lab.example:1], expect: [web], \
             protocol: tcp }}]",
            in_the_way.display()
        ))
        .write();

    let checked = myelin(&["check", "--config", file.to_str().unwrap()]).await;

    assert_eq!(checked.code, Some(3), "{checked:#?}");
    assert!(checked.stderr.contains("lab.sock is there and is no socket"), "{checked:#?}");
}

#[tokio::test]
async fn an_unknown_form_of_the_log_is_a_bad_command_line() {
    let mesh = Mesh::new();
    let file = setup(&mesh).write();
    let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
    command.args(["check", "-c", file.to_str().unwrap()]).env("MYELIN_LOG_FORMAT", "jsno");

    let said = run(&mut command, "").await;

    assert_eq!(said.code, Some(2), "{said:#?}");
    assert_eq!(said.stderr, "error: MYELIN_LOG_FORMAT=jsno is neither auto, human nor json\n");
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
