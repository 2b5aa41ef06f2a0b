//! `myelin wait` and `myelin exec`: what needs the sidecar begins when that is ready.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::myelin;
use crate::support::mesh::{Mesh, Setup, Spawned};
use crate::support::process::{Process, free_port, needs, run, write};
use crate::support::until;
use crate::support::workload::{Kind, Workload};

/// A sidecar with a control socket that is not running yet.
struct Beside {
    setup: Setup,
    config: PathBuf,
    socket: PathBuf,
    _workload: Workload,
}

async fn beside(mesh: &Mesh) -> Beside {
    let workload = Workload::tcp(Kind::Echo).await;
    let socket = mesh.dir().join("control.sock");
    let admin = format!("listen: 127.0.0.1:0, socket: {}", socket.display());
    let setup = mesh.inbound("db").allow("web").forward(workload.target()).admin(&admin);
    Beside { config: setup.write(), setup, socket, _workload: workload }
}

/// `myelin COMMAND -c CONFIG ARGS`.
fn command(name: &str, config: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
    command.args([name, "-c"]).arg(config).args(args).env_remove("MYELIN_LOG");
    command
}

fn start(name: &str, config: &Path, args: &[&str]) -> Process {
    Process::start(&mut command(name, config, args))
}

#[tokio::test]
async fn wait_returns_when_the_sidecar_has_begun_to_serve_and_not_before() {
    let mesh = Mesh::new();
    let db = beside(&mesh).await;
    let mut waiting = start("wait", &db.config, &[]);
    // Another process holds the authority: the sidecar waits for it, and so does whoever waits for the sidecar.
    let lock = std::fs::File::open(mesh.dir().join("authority/lock")).unwrap();
    lock.lock().unwrap();
    let mut sidecar = Process::start(&mut db.setup.command());
    db.setup.trail().wait_for("recording-started", 1).await;

    let early = run(&mut command("wait", &db.config, &["--timeout", "300ms"]), "").await;
    assert!(waiting.is_running());
    lock.unlock().unwrap();

    assert_eq!(waiting.ended().await.code(), Some(0));
    assert_eq!(waiting.output(), "");
    let ready = run(&mut command("wait", &db.config, &["--timeout", "0s"]), "").await;
    assert_eq!(ready.code, Some(0), "{ready:#?}");
    assert_eq!(early.code, Some(1), "{early:#?}");
    assert!(early.stderr.contains("not ready within 300ms: nobody answers on "), "{early:#?}");
    let awaited = format!("waits for the authority in {}/authority", mesh.dir().display());
    assert!(early.stderr.contains(&awaited), "{early:#?}");
    sidecar.signal("TERM");
    sidecar.ended().await;
}

#[tokio::test]
async fn what_an_enrolment_is_waited_for_at_is_named() {
    let mesh = Mesh::new();
    let place = format!("https://127.0.0.1:{}/.well-known/est", free_port());
    let admin = format!("listen: 127.0.0.1:{}", free_port());
    let (dir, pin) = (mesh.dir().join("identity"), "ab".repeat(32));
    let est = format!(
        "est: {{ url: \"{place}\", fingerprint: \"sha256:{pin}\", dir: {} }}",
        dir.display()
    );
    let config = mesh.inbound("db").allow("web").admin(&admin).identity(&est).write();

    let waited = run(&mut command("wait", &config, &["--timeout", "0s"]), "").await;
    let status = run(&mut command("status", &config, &[]), "").await;

    for said in [waited, status] {
        assert_eq!(said.code, Some(1), "{said:#?}");
        assert!(said.stderr.contains(&format!("the enrolment at {place}")), "{said:#?}");
    }
}

#[tokio::test]
async fn wait_tells_why_a_sidecar_is_not_ready_wherever_it_is_asked() {
    let mesh = Mesh::new();
    let db = beside(&mesh).await;
    let mut sidecar = db.setup.spawn().await;
    let url = format!("http://{}", sidecar.admin);
    let socket = db.socket.to_str().unwrap().to_owned();
    let ways: [[&str; 2]; 2] = [["--url", &url], ["--socket", &socket]];
    for way in ways {
        let said = myelin(&["wait", way[0], way[1]]).await;
        assert_eq!((said.code, said.all().as_str()), (Some(0), ""), "{way:?}");
    }

    let mut web = mesh.connect("web", &sidecar).await;
    web.echoes("before").await;
    sidecar.process.signal("TERM");
    sidecar.process.says("\"draining\"").await;

    for way in ways {
        let said = myelin(&["wait", "--timeout", "100ms", way[0], way[1]]).await;
        assert_eq!(said.code, Some(1), "{said:#?}");
        assert_eq!(said.stderr, "error: not ready within 100ms: draining\n");
    }
}

#[tokio::test]
async fn wait_does_not_go_on_where_nobody_may_ask() {
    let mesh = Mesh::new();
    let db = beside(&mesh).await;
    let _sidecar = db.setup.spawn().await;
    std::fs::set_permissions(mesh.dir(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let binary = mesh.dir().join("myelin");
    std::fs::copy(env!("CARGO_BIN_EXE_myelin"), &binary).unwrap();
    let mut stranger = Command::new(needs("setpriv", "util-linux"));
    stranger.args(["--reuid", "65534", "--clear-groups"]).arg(&binary);
    stranger.args(["wait", "--timeout", "1h", "--socket"]).arg(&db.socket);

    let said = run(&mut stranger, "").await;

    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.stderr.contains("for the sidecar's user and root alone"), "{said:#?}");
}

#[tokio::test]
async fn exec_becomes_the_program_with_its_process_and_its_signals() {
    let mesh = Mesh::new();
    let db = beside(&mesh).await;
    let _sidecar = db.setup.spawn().await;

    let mut app = start("exec", &db.config, &["--", "sh", "-c", "echo I am $$; exit 7"]);
    let id = app.id();
    assert_eq!(app.ended().await.code(), Some(7));
    assert_eq!(app.output(), format!("I am {id}\n"));

    let mut app = start("exec", &db.config, &["--", "sleep", "1000"]);
    until("the program", || {
        std::fs::read_to_string(format!("/proc/{}/comm", app.id())).unwrap() == "sleep\n"
    })
    .await;
    app.signal("TERM");
    assert_eq!(app.ended().await.signal(), Some(15));
}

#[tokio::test]
async fn exec_says_as_a_shell_does_that_there_is_no_such_program() {
    let mesh = Mesh::new();
    let db = beside(&mesh).await;
    let mut sidecar = db.setup.spawn().await;
    let no_program = write(mesh.dir(), "data", "no program");
    let no_program = no_program.to_str().unwrap();

    for (app, code) in [("no-such-program", 127), (no_program, 126), ("/", 126)] {
        let said = run(&mut command("exec", &db.config, &["--", app]), "").await;
        assert_eq!(said.code, Some(code), "{said:#?}");
        assert!(said.stderr.starts_with(&format!("error: {app}: ")), "{said:#?}");
    }
    let none = run(&mut command("exec", &db.config, &[]), "").await;
    assert_eq!(none.code, Some(2), "{none:#?}");

    // A job that cannot begin has ended, too.
    let job = ["--stop-after", "--", "no-such-program"];
    let said = run(&mut command("exec", &db.config, &job), "").await;
    assert_eq!(said.code, Some(127), "{said:#?}");
    assert_eq!(sidecar.process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn without_a_sidecar_the_program_is_not_started() {
    let mesh = Mesh::new();
    let db = beside(&mesh).await;
    let trace = mesh.dir().join("started");
    let trace = trace.to_str().unwrap();

    let late = ["--timeout", "100ms", "--", "touch", trace];
    let late = run(&mut command("exec", &db.config, &late), "").await;
    let mut waiting = start("exec", &db.config, &["--", "touch", trace]);
    until("exec to hear signals", || caught(&waiting)).await;
    waiting.signal("TERM");

    assert_eq!(late.code, Some(1), "{late:#?}");
    assert!(late.stderr.contains("nobody answers on "), "{late:#?}");
    assert_eq!(waiting.ended().await.code(), Some(128 + 15));
    assert!(!Path::new(trace).exists());
}

/// Whether the process catches SIGTERM: bit 14 of `SigCgt` in `/proc/PID/status` (proc(5)).
fn caught(process: &Process) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
    u64::from_str_radix(mask, 16).unwrap() & (1 << 14) != 0
}

/// A job that says so when it runs, and ends with 5 when it hears SIGUSR1.
const JOB: &str = "trap 'echo heard; exit 5' USR1; echo runs; while :; do sleep 0.05; done";

async fn stopped(sidecar: &mut Spawned) {
    assert_eq!(sidecar.process.ended().await.code(), Some(0));
    let stopped = sidecar.trail().only("sidecar-stopped").await;
    let uid = u64::from(rustix::process::getuid().as_raw());
    assert_eq!(stopped.number("myelin.asked_by.uid"), uid);
}

#[tokio::test]
async fn with_stop_after_signals_reach_the_program_and_its_end_ends_the_sidecar() {
    let mesh = Mesh::new();
    let db = beside(&mesh).await;
    let mut sidecar = db.setup.spawn().await;

    let mut job = start("exec", &db.config, &["--stop-after", "--", "sh", "-c", JOB]);
    job.says("runs").await;
    assert!(sidecar.process.is_running());
    job.signal("USR1");

    assert_eq!(job.ended().await.code(), Some(5));
    assert_eq!(job.output(), "runs\nheard\n");
    stopped(&mut sidecar).await;
}

#[tokio::test]
async fn with_stop_after_a_program_that_a_signal_ends_is_told_of_as_a_shell_does() {
    let mesh = Mesh::new();
    let db = beside(&mesh).await;
    let mut sidecar = db.setup.spawn().await;

    let job = ["--stop-after", "--", "sh", "-c", "kill -KILL $$"];
    let said = run(&mut command("exec", &db.config, &job), "").await;

    assert_eq!(said.code, Some(128 + 9), "{said:#?}");
    stopped(&mut sidecar).await;
}

#[tokio::test]
async fn stop_after_wants_a_control_socket_before_anything_starts() {
    let mesh = Mesh::new();
    let config = mesh.inbound("db").allow("web").write();

    let said = run(&mut command("exec", &config, &["--stop-after", "--", "echo", "up"]), "").await;

    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:#?}");
    assert!(said.stderr.contains("add `admin: { socket: "), "{said:#?}");
}
