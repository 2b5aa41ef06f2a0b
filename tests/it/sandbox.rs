//! What holds the worker: what it has given up before the first connection, seen from outside.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::mesh::{Mesh, Setup, Spawned};
use crate::support::process::{free_port, needs, run};
use crate::support::python::peer;
use crate::support::until;
use crate::support::workload::{Kind, Workload};

async fn echo(mesh: &Mesh) -> (Setup, Workload) {
    let workload = Workload::tcp(Kind::Echo).await;
    (mesh.inbound("db").allow("web").forward(workload.target()), workload)
}

/// What the kernel says of each thread of a process: `/proc/PID/task/*/status`.
fn threads(process: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let threads: Vec<_> = tasks
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap())
        .collect();
    assert!(threads.len() >= 3, "data, control and trail have threads of their own");
    threads
}

fn says<'s>(status: &'s str, key: &str) -> &'s str {
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key} in {status}")).trim()
}

async fn status(db: &Spawned) -> Value {
    serde_json::from_str(&db.page("/status").await.body).unwrap()
}

#[tokio::test]
async fn every_thread_of_the_worker_is_held_and_nothing_dumps_its_memory() {
    let mesh = Mesh::new();
    let (setup, _workload) = echo(&mesh).await;
    let db = setup.spawn().await;
    mesh.connect("web", &db).await.echoes("it serves").await;

    for status in threads(db.worker()) {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(says(&status, set), "0000000000000000", "{set}\n{status}");
        }
        assert_eq!(says(&status, "NoNewPrivs"), "1", "{status}");
        assert_eq!(says(&status, "Seccomp"), "2", "{status}");
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", db.worker())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).collect::<Vec<_>>(), ["0", "0", "bytes"]);
    let sandbox = &status(&db).await["sandbox"];
    assert_eq!(sandbox["mode"], "auto");
    assert_eq!((&sandbox["no_new_privs"], &sandbox["core_dumps"]), (&json!(true), &json!(false)));
    assert_eq!((&sandbox["capabilities"], &sandbox["missing"]), (&json!([]), &json!([])));
    assert_eq!(sandbox["seccomp"], true);
    assert!(sandbox["landlock"]["abi"].as_u64().unwrap() >= 1, "{sandbox:#}");
    let written = sandbox["landlock"]["paths"]["write"].as_array().unwrap();
    let trail = db.trail().dir().canonicalize().unwrap();
    assert!(written.iter().any(|path| trail.to_str() == path.as_str()), "{sandbox:#}");
}

/// Panics unless the test runs as root.
#[tokio::test]
async fn as_root_it_goes_on_to_write_what_belongs_to_another_user_and_says_by_what() {
    let mesh = Mesh::new();
    let (setup, _workload) = echo(&mesh).await;
    let trail = setup.trail().dir().to_owned();
    DirBuilder::new().recursive(true).mode(0o700).create(&trail).unwrap();
    chown(&trail, Some(12_345), Some(12_345)).unwrap();

    let db = setup.spawn().await;

    mesh.connect("web", &db).await.echoes("it serves").await;
    db.trail().only("connection-closed").await;
    let sandbox = &status(&db).await["sandbox"];
    let kept = ["cap_chown", "cap_dac_override", "cap_dac_read_search", "cap_fowner"];
    assert_eq!(sandbox["capabilities"], json!(kept));
    let missing = sandbox["missing"][0].as_str().unwrap();
    assert!(missing.contains("which belongs to another user"), "{missing}");
    assert!(missing.contains(trail.to_str().unwrap()), "{missing}");
    assert!(db.process.output().contains(&format!("sandbox: {missing}")));
}

#[tokio::test]
async fn the_parent_keeps_what_a_hand_over_needs() {
    let mesh = Mesh::new();
    let (setup, _workload) = echo(&mesh).await;
    let db = setup.spawn().await;
    let of = |process| std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();

    let (own, parent) = (of(std::process::id()), of(db.process.id()));

    for key in ["CapPrm", "CapBnd", "NoNewPrivs", "Seccomp"] {
        assert_eq!(says(&parent, key), says(&own, key), "{key}");
    }
}

#[tokio::test]
async fn without_a_sandbox_nothing_is_given_up_and_the_status_says_so() {
    let mesh = Mesh::new();
    let (setup, _workload) = echo(&mesh).await;
    let mut command = setup.command();
    ask_for(&setup, "off");
    let db = setup.spawn_by(&mut command).await;

    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    for status in threads(db.worker()) {
        for key in ["CapPrm", "CapBnd", "NoNewPrivs", "Seccomp"] {
            assert_eq!(says(&status, key), says(&own, key), "{key}");
        }
    }
    let sandbox = &status(&db).await["sandbox"];
    assert_eq!((&sandbox["mode"], &sandbox["capabilities"]), (&json!("off"), &json!(null)));
    assert_eq!((&sandbox["landlock"], &sandbox["seccomp"]), (&json!(null), &json!(false)));
}

/// Writes the configuration with this `runtime.sandbox`.
fn ask_for(setup: &Setup, mode: &str) {
    let path = setup.write();
    let text = std::fs::read_to_string(&path).unwrap();
    let with = text.replace("runtime: {", &format!("runtime: {{sandbox: {mode}, "));
    assert_ne!(with, text);
    std::fs::write(&path, with).unwrap();
}

/// A sidecar that may bind every port, in a network of its own.
async fn privileged(setup: &Setup) -> Spawned {
    let command = setup.command();
    let mut apart = Command::new(needs("unshare", "util-linux"));
    let with_loopback = "ip link set lo up && exec \"$0\" \"$@\"";
    apart.args(["--user", "--map-root-user", "--net", "sh", "-c", with_loopback]);
    apart.arg(command.get_program()).args(command.get_args());
    apart.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    setup.spawn_by(&mut apart).await
}

#[tokio::test]
async fn a_port_that_takes_a_privilege_is_bound_first_and_another_one_needs_a_new_process() {
    needs("ip", "iproute2");
    let mesh = Mesh::new();
    let (setup, _workload) = echo(&mesh).await;
    let setup = setup.listen("127.0.0.1:443").admin("listen: 127.0.0.1:999");
    let mut db = privileged(&setup).await;
    assert_eq!(db.address_of("db").port(), 443);
    for status in threads(db.worker()) {
        assert_eq!(says(&status, "CapPrm"), "0000000000000000", "{status}");
    }

    setup.clone().listen("127.0.0.1:444").write();
    db.process.signal("HUP");

    let said = db.process.says("reload refused").await;
    assert!(said.contains("cannot listen on 127.0.0.1:444"), "{said}");
    assert!(said.contains("hand over to a new process with SIGUSR2, or restart"), "{said}");
    db.process.signal("USR2");
    until("the hand-over", || db.process.output().contains("\"handed over\"")).await;
    db.process.says("127.0.0.1:444\"").await;
}

/// A file of the running sidecar's configuration leads elsewhere from now on.
async fn refused(db: &mut Spawned, path: &std::path::Path) {
    let words = format!("{} is outside of what this process has kept", path.display());
    db.process.signal("HUP");
    let said = db.process.says(&words).await;
    assert!(said.contains("hand over to a new process with SIGUSR2, or restart"), "{said}");
    assert!(status(db).await["last_failure"].as_str().unwrap().contains(&words));
}

#[tokio::test]
async fn a_reload_that_names_a_file_elsewhere_is_refused_and_a_hand_over_takes_it() {
    let (mesh, elsewhere) = (Mesh::new(), tempfile::tempdir().unwrap());
    let (setup, _workload) = echo(&mesh).await;
    let mut db = setup.spawn().await;
    let bundle = elsewhere.path().join("ca.crt");
    std::fs::copy(mesh.pem("collector").trust_bundle(), &bundle).unwrap();
    let collector = format!(
        "export: [{{ syslog: {{ address: \"localhost:{}\", format: json, trust_bundle: {} }} }}]",
        free_port(),
        bundle.display()
    );
    setup.clone().audit(&format!("dir: {}, {collector}", setup.trail().dir().display())).write();

    refused(&mut db, &bundle).await;
    mesh.connect("web", &db).await.echoes("the old one serves").await;
    db.process.signal("USR2");

    until("the hand-over", || db.process.output().contains("\"handed over\"")).await;
    let read = &status(&db).await["sandbox"]["landlock"]["paths"]["read"];
    let dir = elsewhere.path().canonicalize().unwrap();
    assert!(read.as_array().unwrap().iter().any(|path| dir.to_str() == path.as_str()), "{read:#}");
}

#[tokio::test]
async fn a_socket_elsewhere_is_refused_as_well() {
    let (mesh, elsewhere) = (Mesh::new(), tempfile::tempdir().unwrap());
    let setup = mesh.outbound("web").allow("db").to("localhost:9");
    let mut web = setup.spawn().await;

    setup.clone().listen(&format!("unix:{}/web.sock", elsewhere.path().display())).write();

    refused(&mut web, elsewhere.path()).await;
}

#[tokio::test]
async fn a_secret_elsewhere_cannot_be_put_into_a_reload_and_the_error_says_why() {
    let (mesh, elsewhere) = (Mesh::new(), tempfile::tempdir().unwrap());
    let (setup, _workload) = echo(&mesh).await;
    let mut db = setup.spawn().await;
    let secret = elsewhere.path().join("drain");
    std::fs::write(&secret, "7s").unwrap();

    let limit = format!("limits: {{drain_timeout: '${{file:{}}}'}}", secret.display());
    setup.clone().file(&limit).write();
    db.process.signal("HUP");

    let said = db.process.says("reload refused").await;
    assert!(said.contains("Permission denied"), "{said}");
    assert!(said.contains("it is outside of what this process has kept"), "{said}");
    mesh.connect("web", &db).await.echoes("the old one serves").await;
}

/// `setup`'s sidecar on a kernel that does not know these system calls, as far as it can tell.
fn without(setup: &Setup, calls: &str) -> Command {
    let command = setup.command();
    let mut older = peer("older_kernel", "ctypes", &[calls]);
    older.arg(command.get_program()).args(command.get_args());
    older.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    older
}

#[tokio::test]
async fn on_a_kernel_without_landlock_the_rest_holds_and_the_lack_is_told() {
    let mesh = Mesh::new();
    let (setup, _workload) = echo(&mesh).await;

    let db = setup.spawn_by(&mut without(&setup, "landlock_create_ruleset")).await;

    mesh.connect("web", &db).await.echoes("it serves").await;
    assert!(
        db.process.output().contains("sandbox: files outside of the configuration are not closed")
    );
    let sandbox = &status(&db).await["sandbox"];
    assert_eq!((&sandbox["landlock"], &sandbox["seccomp"]), (&json!(null), &json!(true)));
    assert_eq!(sandbox["missing"].as_array().unwrap().len(), 1, "{sandbox:#}");
}

#[tokio::test]
async fn where_asking_for_a_sandbox_is_deadly_nobody_dies_and_the_lack_is_told() {
    let mesh = Mesh::new();
    let (setup, _workload) = echo(&mesh).await;

    let db = setup.spawn_by(&mut without(&setup, "!landlock_create_ruleset")).await;

    mesh.connect("web", &db).await.echoes("it serves").await;
    let missing = &status(&db).await["sandbox"]["missing"];
    assert_eq!(missing.as_array().unwrap().len(), 1, "{missing:#}");
    assert!(missing[0].as_str().unwrap().contains("SystemCallErrorNumber=EPERM"), "{missing:#}");
}

#[tokio::test]
async fn where_it_is_required_and_incomplete_nothing_starts() {
    let mesh = Mesh::new();
    let (setup, _workload) = echo(&mesh).await;
    let mut command = without(&setup, "landlock_create_ruleset,seccomp");
    ask_for(&setup, "required");

    let said = run(&mut command, "").await;

    assert_eq!(said.code, Some(1), "{said:#?}");
    for words in ["`runtime.sandbox` is `required`", "landlock", "seccomp", "With `auto`"] {
        assert!(said.stderr.contains(words), "{words}: {said:#?}");
    }
}
