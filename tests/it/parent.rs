//! The parent process and its worker: whose end is whose, and what signals do that reach both.

use std::process::Command;

use crate::support::mesh::{Mesh, Setup, Spawned};
use crate::support::until;
use crate::support::workload::{Kind, Workload};

async fn echo(mesh: &Mesh) -> (Setup, Spawned, Workload) {
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.spawn().await;
    (setup, db, workload)
}

fn send(signal: &str, process: u32) {
    let sent = Command::new("kill").args(["-s", signal, &process.to_string()]).status().unwrap();
    assert!(sent.success(), "process {process} is gone");
}

fn is_there(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

#[tokio::test]
async fn when_the_parent_is_killed_the_worker_is_gone_and_leaves_the_trail_to_the_next() {
    let mesh = Mesh::new();
    let (setup, mut db, _workload) = echo(&mesh).await;
    let worker = db.worker();
    let mut web = mesh.connect("web", &db).await;
    web.echoes("before").await;

    db.process.signal("KILL");
    db.process.ended().await;

    until("the worker to be gone", || !is_there(worker)).await;
    let again = setup.spawn().await;
    mesh.connect("web", &again).await.echoes("again").await;
}

#[tokio::test]
async fn the_parent_ends_as_its_worker_does() {
    let mesh = Mesh::new();
    let (_setup, mut db, _workload) = echo(&mesh).await;

    send("KILL", db.worker());

    assert_eq!(db.process.ended().await.code(), Some(128 + 9));
}

#[tokio::test]
async fn a_signal_that_reaches_the_worker_as_well_counts_once() {
    let mesh = Mesh::new();
    let (_setup, mut db, _workload) = echo(&mesh).await;
    let worker = db.worker();
    let mut web = mesh.connect("web", &db).await;
    web.echoes("before").await;

    for signal in ["HUP", "USR2", "TERM", "INT"] {
        send(signal, worker);
    }
    web.echoes("it is the parent that hears them").await;
    assert_eq!(db.page("/ready").await.status, 200);
    db.process.signal("TERM");
    send("TERM", worker);
    db.process.says("draining").await;
    web.echoes("nothing is cut").await;
    web.end().await;
    web.rest().await;

    assert_eq!(db.process.ended().await.code(), Some(0));
    assert_eq!(db.trail().only("connection-closed").await.reason(), "finished");
}

#[tokio::test]
async fn a_worker_is_started_by_its_parent_alone() {
    let mesh = Mesh::new();
    let mut command = mesh.inbound("db").allow("web").command();

    let said = crate::support::process::run(command.args(["--worker-of", "1"]), "").await;

    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.stderr.contains("workers are started by `myelin run` alone"), "{said:#?}");
}

#[tokio::test]
async fn the_parent_holds_little_memory_and_one_thread() {
    let mesh = Mesh::new();
    let (_setup, db, _workload) = echo(&mesh).await;
    let parent = db.process.id();

    let threads = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap().count();
    let mapped = std::fs::read_to_string(format!("/proc/{parent}/smaps_rollup")).unwrap();
    let private: u64 = mapped
        .lines()
        .filter_map(|line| line.strip_prefix("Private_Dirty:")?.split_whitespace().next())
        .map(|kib| kib.parse::<u64>().unwrap())
        .sum();

    assert_eq!(threads, 1);
    assert!(private < 6 * 1024, "{private} KiB are the parent's own");
}
