//! The service manager hears how things stand (`sd_notify(3)`), and of a worker that hangs it hears nothing.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::mesh::{Mesh, Setup, Spawned};
use crate::support::process::Process;
use crate::support::python::peer;
use crate::support::until;
use crate::support::workload::{Kind, Workload};

/// Who hears it, in place of systemd.
struct Manager {
    process: Process,
    socket: String,
}

impl Manager {
    async fn at(socket: String) -> Self {
        let mut process = Process::start(&mut peer("notify_peer", "socket", &[&socket]));
        process.says("hearing").await;
        Self { process, socket }
    }

    async fn within(dir: &Path) -> Self {
        Self::at(dir.join("notify").to_str().unwrap().to_owned()).await
    }

    /// Each datagram: whose it was, and its lines.
    fn heard(&self) -> Vec<(u32, Vec<String>)> {
        let output = self.process.output();
        let datagrams = output.lines().filter(|line| line.starts_with('['));
        let parsed = datagrams.map(|line| serde_json::from_str::<(u32, String)>(line).unwrap());
        parsed.map(|(by, text)| (by, text.lines().map(str::to_owned).collect())).collect()
    }

    /// All lines, in the order in which they came.
    fn lines(&self) -> Vec<String> {
        self.heard().into_iter().flat_map(|(_, lines)| lines).collect()
    }

    fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|heard| *heard == line).count()
    }

    /// Waits until it has heard a line that begins so, `nth` times; the last of them.
    async fn hears(&self, beginning: &str, nth: usize) -> String {
        let found =
            || self.lines().into_iter().filter(|line| line.starts_with(beginning)).nth(nth - 1);
        until(&format!("{beginning} to be heard"), || found().is_some()).await;
        found().unwrap()
    }

    /// Where in its lines it has heard this, the last time.
    fn position(&self, beginning: &str) -> usize {
        let lines = self.lines();
        lines
            .iter()
            .rposition(|line| line.starts_with(beginning))
            .unwrap_or_else(|| panic!("{lines:?}"))
    }
}

async fn managed(mesh: &Mesh, by: &Manager, more: &[(&str, &str)]) -> (Setup, Spawned, Workload) {
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let mut command = setup.command();
    command.env("NOTIFY_SOCKET", &by.socket).envs(more.iter().copied());
    let db = setup.spawn_by(&mut command).await;
    (setup, db, workload)
}

fn send(signal: &str, process: u32) {
    let sent = Command::new("kill").args(["-s", signal, &process.to_string()]).status().unwrap();
    assert!(sent.success(), "process {process} is gone");
}

#[tokio::test]
async fn it_hears_of_the_beginning_reloads_hand_overs_and_the_end_from_the_parent_alone() {
    let mesh = Mesh::new();
    let manager = Manager::within(mesh.dir()).await;
    let (setup, mut db, _workload) = managed(&mesh, &manager, &[]).await;

    manager.hears("READY=1", 1).await;
    assert!(manager.position("STATUS=starting") < manager.position("READY=1"));
    assert_eq!(db.page("/ready").await.status, 200);
    mesh.connect("web", &db).await.echoes("it is ready").await;

    db.process.signal("HUP");
    manager.hears("READY=1", 2).await;
    let began = manager.hears("MONOTONIC_USEC=", 1).await;
    let began: u64 = began.strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
    assert!(began > 0);
    assert!(manager.position("RELOADING=1") < manager.position("READY=1"));
    assert!(db.metric("myelin_config_reloads_total", &[("result", "ok")]).await > 1.0);

    let text = setup.text().replace("allow: [web]", "allow: [wbe]");
    std::fs::write(&db.config, text).unwrap();
    db.process.signal("HUP");
    manager.hears("READY=1", 3).await;
    let refused = manager.hears("STATUS=serving; the last reload was refused", 1).await;
    assert!(refused.contains("wbe"), "{refused}");

    db.process.signal("USR2");
    manager.hears("STATUS=serving; the last hand-over came to nothing", 1).await;
    setup.write();
    db.process.signal("USR2");
    manager.hears("STATUS=serving; handing over to process", 2).await;
    let statuses = || manager.lines().into_iter().filter(|line| line.starts_with("STATUS="));
    let is_over = || statuses().next_back().is_some_and(|line| line == "STATUS=serving");
    until("the hand-over to be told", is_over).await;
    db.process.signal("HUP");
    manager.hears("READY=1", 4).await;

    let parent = db.process.id();
    db.process.signal("TERM");
    db.process.ended().await;
    assert!(manager.position("READY=1") < manager.position("STOPPING=1"));
    assert!(manager.heard().iter().all(|(by, _)| *by == parent), "{:?}", manager.heard());
}

#[tokio::test]
async fn it_hears_of_an_end_that_somebody_asks_for_over_the_control_socket() {
    let mesh = Mesh::new();
    let manager = Manager::at(format!("@myelin-{}", mesh.dir().display())).await;
    let (control, workload) = (mesh.dir().join("control.sock"), Workload::tcp(Kind::Echo).await);
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let setup = setup.admin(&format!("listen: 127.0.0.1:0, socket: {}", control.display()));
    let mut db = setup.spawn_by(setup.command().env("NOTIFY_SOCKET", &manager.socket)).await;
    let control = control.to_str().unwrap();

    let reloaded = super::cli::myelin(&["reload", "--socket", control]).await;
    assert_eq!(reloaded.code, Some(0), "{}", reloaded.all());
    let drained = super::cli::myelin(&["drain", "--socket", control]).await;
    assert_eq!(drained.code, Some(0), "{}", drained.all());

    assert_eq!(db.process.ended().await.code(), Some(0));
    manager.hears("STOPPING=1", 1).await;
    assert_eq!(manager.count("RELOADING=1"), 0, "systemd did not ask for it");
}

#[tokio::test]
async fn the_watchdog_hears_a_worker_that_answers_and_not_one_that_hangs() {
    let mesh = Mesh::new();
    let manager = Manager::within(mesh.dir()).await;
    let (_setup, db, _workload) = managed(&mesh, &manager, &[("WATCHDOG_USEC", "200000")]).await;
    let worker = db.worker();
    manager.hears("READY=1", 1).await;
    let beats = || manager.count("WATCHDOG=1");
    let before = beats();
    until("the watchdog to be fed", || beats() > before + 2).await;

    send("STOP", worker);
    // What it had said before may still be on its way; a sign of that is what the parent says by itself.
    db.process.signal("HUP");
    manager.hears("RELOADING=1", 1).await;
    let stopped = beats();
    tokio::time::sleep(Duration::from_secs(2)).await; // twenty beats
    assert!(beats() <= stopped + 2, "{} beats of a worker that hangs", beats() - stopped);
    assert_eq!(manager.count("READY=1"), 1);

    send("CONT", worker);
    manager.hears("READY=1", 2).await;
    let again = beats();
    until("the watchdog to be fed again", || beats() > again + 2).await;

    db.process.signal("USR2");
    manager.hears("STATUS=serving; handing over to process", 1).await;
    until("the next worker", || !db.process.children().contains(&worker)).await;
    let after = beats();
    until("the watchdog to be fed by the next one", || beats() > after + 2).await;
}

#[tokio::test]
async fn a_start_that_waits_for_its_key_material_has_more_time() {
    let mesh = Mesh::new();
    let manager = Manager::within(mesh.dir()).await;
    let nobody = mesh.dir().join("nobody.sock");
    let setup = mesh.inbound("db").allow("web").forward("127.0.0.1:9");
    let setup = setup.identity(&format!("spiffe: {{ socket: \"unix://{}\" }}", nobody.display()));
    let mut command = setup.command();
    command.env("NOTIFY_SOCKET", &manager.socket).env("WATCHDOG_USEC", "200000");
    let mut db = Process::start(&mut command);

    manager.hears("EXTEND_TIMEOUT_USEC=60000000", 3).await;
    db.signal("TERM");

    assert_eq!(db.ended().await.code(), Some(0));
    assert_eq!(manager.count("READY=1"), 0);
}

#[tokio::test]
async fn workers_do_not_inherit_what_is_for_the_parent() {
    let mesh = Mesh::new();
    let manager = Manager::within(mesh.dir()).await;
    let others = [("WATCHDOG_USEC", "60000000"), ("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "db")];
    // LISTEN_PID is another's: this process has not been given any socket.
    let (_setup, db, _workload) =
        managed(&mesh, &manager, &[&others[..], &[("LISTEN_PID", "1")]].concat()).await;

    let environment = std::fs::read(format!("/proc/{}/environ", db.worker())).unwrap();
    let environment = String::from_utf8_lossy(&environment);

    assert!(environment.contains("MYELIN_LOG_FORMAT="), "{environment}");
    for name in ["NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_"] {
        assert!(!environment.contains(name), "{environment}");
    }
}
