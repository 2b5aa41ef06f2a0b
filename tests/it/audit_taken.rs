//! The trail's files under a running sidecar: taken away, or on a disk that fails. No access goes without its record, and
//! everything goes on by itself when it can.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::audit_files::callers;
use crate::cli::myelin;
use crate::support::client::FirstRead;
use crate::support::disk::Disk;
use crate::support::eventually;
use crate::support::mesh::{Mesh, Running, Setup, Spawned};
use crate::support::outside::Outside;
use crate::support::process::Process;
use crate::support::syslog::{Kind as Takes, Receiver};
use crate::support::trail::Trail;
use crate::support::until;
use crate::support::workload::{Kind, Workload};

fn phi(mesh: &Mesh, workload: &Workload, audit: &str) -> Setup {
    mesh.inbound("db").allow("web").forward(workload.target()).phi().audit(audit)
}

/// Takes the trail's directory away at once, and then removes it.
fn remove(trail: &Trail) {
    let away = trail.dir().with_extension("away");
    fs::rename(trail.dir(), &away).unwrap();
    fs::remove_dir_all(away).unwrap();
}

/// Says hello to the workload, and whether it said so, too.
async fn is_served(mesh: &Mesh, db: &Outside) -> bool {
    let mut web = mesh.connect("web", db).await;
    web.send("hello").await;
    matches!(web.first_read().await, FirstRead::Bytes(_))
}

async fn until_served(mesh: &Mesh, db: &Outside, served: bool) {
    let what = format!("a peer to be served: {served}");
    eventually(&what, || async { (is_served(mesh, db).await == served).then_some(()) }).await;
}

/// What `/ready` says once it has this status.
async fn ready(db: &Outside, status: u16) -> String {
    eventually(&format!("/ready to say {status}"), || async {
        let ready = db.page("/ready").await;
        (ready.status == status).then_some(ready.body)
    })
    .await
}

/// Every access that reached the workload is in a trail that begins with its first record and holds.
async fn tells_all(trail: &Trail, workload: &Workload) {
    let recorded = trail.all("connection-allowed").len();
    assert!(recorded >= workload.connections(), "{recorded} of {}", workload.connections());
    assert_eq!(trail.lines()[0].number("event.sequence"), 1);
    let said = myelin(&["audit", "verify", trail.dir().to_str().unwrap()]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
}

async fn stopped(mut db: Spawned) -> Trail {
    db.process.signal("TERM");
    db.process.ended().await;
    db.trail().clone()
}

#[tokio::test]
async fn a_directory_that_is_removed_under_load_is_made_again_with_all_its_records() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Kind::Echo).await);
    let receiver = Receiver::start(Takes::RsyslogOpenssl, &mesh.pem("localhost")).await;
    let export = format!("address: \"localhost:{}\", format: json", receiver.port);
    let dir = mesh.dir().join("db/audit");
    let audit = format!("dir: {}, export: [{{ syslog: {{ {export} }} }}]", dir.display());
    let mut db = phi(&mesh, &workload, &audit).spawn().await;
    let enough = Arc::new(AtomicBool::new(false));
    let calling = callers(&mesh, db.address(), &enough);
    until("accesses", || workload.connections() >= 50).await;

    remove(db.trail());
    db.process.says("the audit trail fails: PHI is blocked").await;
    db.process.says("the audit trail is written again").await;
    let before = workload.connections();
    until("accesses again", || workload.connections() >= before + 50).await;

    enough.store(true, Ordering::SeqCst);
    for caller in calling {
        caller.await.unwrap();
    }
    ready(&db, 200).await;
    assert!(db.metric("myelin_audit_failures_total", &[]).await >= 1.0);
    let trail = stopped(db).await;
    tells_all(&trail, &workload).await;
    let note = trail.all("recording-started")[1].text("message").to_owned();
    assert!(note.contains("it was removed or replaced under this sidecar"), "{note}");
    // The trail's last two records come when its exports have ended.
    let last = trail.lines().last().unwrap().number("event.sequence");
    let delivered = receiver.messages();
    for sequence in 1..=last - 2 {
        assert!(delivered.iter().any(|message| message.sequence() == sequence), "{sequence}");
    }
}

#[tokio::test]
async fn a_directory_that_is_removed_while_nobody_comes_is_made_again_and_who_follows_it_goes_on() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Kind::Echo).await);
    let audit = format!("dir: {}", mesh.dir().join("db/audit").display());
    let db = phi(&mesh, &workload, &audit).start().await;
    let trail = db.trail().clone();
    assert!(is_served(&mesh, &db).await);
    trail.wait_for("connection-closed", 1).await;
    until("all to be sealed", || trail.lines().pop().unwrap().action() == "checkpoint").await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
    command.args(["audit", "tail", "-f", "--format", "jsonl", "--action", "connection-allowed"]);
    let mut followed = Process::start(command.arg("--audit").arg(trail.dir()));
    until("the first to be told", || followed.output().lines().count() == 1).await;

    remove(&trail);
    until("the trail to be there again", || !trail.segments().is_empty()).await;
    ready(&db, 200).await;
    assert!(is_served(&mesh, &db).await);

    let told = || followed.output().lines().filter(|line| line.starts_with('{')).count();
    until("the second to be told", || told() == 2).await;
    followed.signal("INT");
    assert_eq!(followed.ended().await.code(), Some(0), "{}", followed.output());
    db.stop().await;
    tells_all(&trail, &workload).await;
}

#[tokio::test]
async fn with_on_failure_allow_nobody_waits_for_a_directory_that_is_removed() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Kind::Echo).await);
    let audit = format!("dir: {}, on_failure: allow", mesh.dir().join("db/audit").display());
    let db: Running = phi(&mesh, &workload, &audit).start().await;
    assert!(is_served(&mesh, &db).await);

    remove(db.trail());
    for _ in 0..5 {
        assert!(is_served(&mesh, &db).await);
    }

    ready(&db, 200).await;
    let status: Value = serde_json::from_str(&db.page("/status").await.body).unwrap();
    assert!(status["audit"]["passed_unrecorded"].as_u64().unwrap() >= 1, "{status:#}");
    assert_eq!(status["audit"]["lost"], 0, "what passed is on record all the same");
    let trail = db.trail().clone();
    db.stop().await;
    tells_all(&trail, &workload).await;
}

#[tokio::test]
async fn what_a_disk_has_taken_and_cannot_keep_is_written_again_when_it_can() {
    let (mesh, workload, disk) = (Mesh::new(), Workload::tcp(Kind::Echo).await, Disk::thin());
    let mut db = phi(&mesh, &workload, &disk.audit()).spawn().await;
    assert!(is_served(&mesh, &db).await);

    disk.fill();
    until_served(&mesh, &db, false).await;
    let why = ready(&db, 503).await;
    assert!(why.contains("cannot sync trail-"), "{why}");
    db.process.says("the audit trail fails: PHI is blocked").await;
    assert!(db.metric("myelin_audit_failures_total", &[]).await >= 1.0);

    disk.make_room();
    ready(&db, 200).await;
    until_served(&mesh, &db, true).await;
    let trail = stopped(db).await;
    tells_all(&trail, &workload).await;
}

#[tokio::test]
async fn a_disk_that_can_only_be_read_any_more_blocks_phi_until_another_is_in_its_place() {
    let (mesh, workload, disk) = (Mesh::new(), Workload::tcp(Kind::Echo).await, Disk::new());
    let mut db = phi(&mesh, &workload, &disk.audit()).spawn().await;
    assert!(is_served(&mesh, &db).await);

    disk.fail();
    let before = workload.connections();
    assert!(!is_served(&mesh, &db).await);
    let why = ready(&db, 503).await;
    assert!(why.contains("Read-only file system") || why.contains("Input/output error"), "{why}");
    db.process.says("the audit trail fails: PHI is blocked").await;
    assert_eq!(workload.connections(), before);

    disk.replace();
    ready(&db, 200).await;
    until_served(&mesh, &db, true).await;
    let trail = stopped(db).await;
    tells_all(&trail, &workload).await;
}
