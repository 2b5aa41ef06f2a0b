//! The trail: durable before the first byte, and nobody changes it unnoticed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::cli::myelin;
use crate::support::client::{FirstRead, connect};
use crate::support::eventually;
use crate::support::mesh::{Mesh, Setup};
use crate::support::pki::sha256;
use crate::support::process::needs;
use crate::support::trail::Trail;
use crate::support::until;
use crate::support::workload::{Kind, Workload};

fn phi(mesh: &Mesh, workload: &Workload) -> Setup {
    mesh.inbound("db").allow("web").forward(workload.target()).phi()
}

async fn verify(trail: &Trail) -> crate::support::process::Said {
    myelin(&["audit", "verify", trail.dir().to_str().unwrap()]).await
}

/// Checks the chain as an auditor would by hand.
fn chain_holds(trail: &Trail) {
    let mut prev = "0".repeat(64);
    let mut sequence = 0;
    for (line, record) in trail.text().lines().zip(trail.lines()) {
        assert_eq!(record.text("myelin.prev"), prev, "{line}");
        sequence += 1;
        assert_eq!(record.number("event.sequence"), sequence, "{line}");
        assert!(line.ends_with(&format!("\"prev\":\"{prev}\"}}}}")), "{line}");
        prev = sha256(line.as_bytes());
    }
    assert!(sequence > 0, "there is nothing in the trail");
}

#[tokio::test]
async fn an_access_to_phi_is_on_record_before_the_workload_hears_of_it() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = phi(&mesh, &workload).start().await;
    let identity = mesh.pem("web");

    for number in 1..=20 {
        let mut web = connect(&identity, db.address(), "db").await.unwrap();
        let sending = web.send("hello");
        let seen = until("the workload", || workload.connections() == number);
        tokio::join!(sending, seen);
        // No waiting here: it must be there already.
        assert_eq!(db.trail().all("connection-allowed").len(), number);
    }

    assert!(db.trail().all("connection-allowed").iter().all(|r| r.field("myelin.phi") == true));
    chain_holds(db.trail());
}

#[tokio::test]
async fn every_record_has_its_time_sequence_service_and_predecessor() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = phi(&mesh, &workload).start().await;
    mesh.connect("web", &db).await.echoes("hello").await;
    let trail = db.trail().clone();

    db.stop().await;

    for record in trail.records() {
        let time = record.text("@timestamp");
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
        assert_eq!(record.text("service.name"), "db");
        assert!(!record.text("event.outcome").is_empty());
    }
    chain_holds(&trail);
    let said = verify(&trail).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
}

#[tokio::test]
async fn nothing_of_what_goes_through_is_in_the_trail_and_no_key_is() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = phi(&mesh, &workload).start().await;
    mesh.connect("web", &db).await.echoes("PID|1||PQ4711||Doe^Jane").await;
    db.trail().wait_for("connection-closed", 1).await;

    let text = db.trail().text();
    let status = db.page("/status").await.body + &db.page("/denials").await.body;

    for secret in ["PQ4711", "Doe", "PRIVATE"] {
        assert!(!text.contains(secret) && !status.contains(secret), "{secret} is to be read");
    }
}

#[tokio::test]
async fn the_trail_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = phi(&mesh, &workload).start().await;

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

    assert_eq!(mode(db.trail().dir()) & 0o027, 0);
    assert_eq!(mode(&db.trail().segments()[0]) & 0o137, 0, "{:o}", mode(&db.trail().segments()[0]));
}

#[tokio::test]
async fn a_killed_sidecar_goes_on_with_its_trail_where_it_was() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = phi(&mesh, &workload);
    let mut first = setup.spawn().await;
    mesh.connect("web", &first).await.echoes("hello").await;
    first.process.signal("KILL");
    first.process.ended().await;
    let before = first.trail().records().len();

    let mut second = setup.spawn().await;
    mesh.connect("web", &second).await.echoes("hello again").await;
    second.process.signal("TERM");
    second.process.ended().await;

    let trail = second.trail();
    assert!(trail.records().len() > before);
    assert_eq!(trail.all("recording-started").len(), 2);
    assert_eq!(trail.all("recording-stopped").len(), 1);
    assert_eq!(trail.all("connection-allowed").len(), 2);
    chain_holds(trail);
    let said = verify(trail).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
}

#[tokio::test]
async fn a_record_that_was_torn_by_a_crash_is_noted_and_the_trail_goes_on() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = phi(&mesh, &workload);
    let db = setup.start().await;
    mesh.connect("web", &db).await.echoes("hello").await;
    db.trail().wait_for("connection-closed", 1).await;
    let trail = db.trail().clone();
    db.stop().await;
    let last = trail.segments().pop().unwrap();
    let mut text = fs::read(&last).unwrap();
    text.truncate(text.len() - 40);
    fs::write(&last, text).unwrap();

    let db = setup.start().await;
    let truncated = trail.only("trail-truncated").await;
    db.stop().await;

    assert_eq!(truncated.text("event.outcome"), "failure");
    let said = verify(&trail).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
}

/// A trail of a few connections, whole and closed.
async fn written(mesh: &Mesh) -> Trail {
    let workload = Workload::tcp(Kind::Echo).await;
    let db = phi(mesh, &workload).start().await;
    for _ in 0..3 {
        mesh.connect("web", &db).await.echoes("hello").await;
    }
    db.trail().wait_for("connection-closed", 3).await;
    let trail = db.trail().clone();
    db.stop().await;
    trail
}

/// Changes the lines of a trail of one segment, and checks what verify has to say.
async fn tampered(change: impl FnOnce(&mut Vec<String>)) -> String {
    let mesh = Mesh::new();
    let trail = written(&mesh).await;
    let file = trail.segments().pop().unwrap();
    let mut lines: Vec<_> =
        fs::read_to_string(&file).unwrap().lines().map(ToOwned::to_owned).collect();
    change(&mut lines);
    fs::write(&file, lines.join("\n") + "\n").unwrap();

    let said = verify(&trail).await;

    assert_eq!(said.code, Some(1), "{said:#?}");
    said.stderr
}

#[tokio::test]
async fn a_record_that_was_changed_is_named() {
    let mut changed = 0;
    let said = tampered(|lines| {
        changed = lines.iter().position(|line| line.contains("connection-allowed")).unwrap();
        lines[changed] = lines[changed].replace("127.0.0.1", "127.0.0.2");
    })
    .await;

    assert!(said.contains(&format!(".jsonl:{}:", changed + 1)), "{said}");
    assert!(said.contains("changed"), "{said}");
}

#[tokio::test]
async fn a_record_that_was_taken_out_is_missed() {
    let said = tampered(|lines| drop(lines.remove(3))).await;

    assert!(said.contains(".jsonl:4:"), "{said}");
    assert!(said.contains("missing"), "{said}");
}

#[tokio::test]
async fn records_that_changed_places_are_named() {
    let said = tampered(|lines| lines.swap(2, 3)).await;

    assert!(said.contains(".jsonl:3:"), "{said}");
}

/// A disk of 256 KiB, with a directory for a trail.
pub(crate) struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut mount = Command::new(needs("mount", "mount"));
        mount.args(["-t", "tmpfs", "-o", "size=256k,mode=700", "myelin-test"]).arg(dir.path());
        let mounted = mount.status().unwrap().success();
        assert!(mounted, "a small disk cannot be mounted: this test must run as root");
        Self { dir }
    }

    pub(crate) fn trail(&self) -> PathBuf {
        self.dir.path().join("trail")
    }

    pub(crate) fn fill(&self) {
        let mut size = 256 * 1024;
        while size > 0 {
            let path = self.dir.path().join(format!("ballast-{size}"));
            if fs::write(path, vec![0; size]).is_err() {
                size /= 2;
            }
        }
    }

    pub(crate) fn make_room(&self) {
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _status = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}

#[tokio::test]
async fn while_the_disk_is_full_no_phi_passes_and_when_there_is_room_it_does_again() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let disk = SmallDisk::new();
    let audit = format!("dir: {}", disk.trail().display());
    let db = phi(&mesh, &workload).audit(&audit).start().await;
    mesh.connect("web", &db).await.echoes("hello").await;
    let passed = workload.connections();

    disk.fill();
    // What is left of the file's last page may take a record or two.
    eventually("the trail to fail", || async {
        let mut web = mesh.connect("web", &db).await;
        let before = workload.connections();
        web.send("hello").await;
        let refused = !matches!(web.first_read().await, FirstRead::Bytes(_));
        (refused && workload.connections() == before).then_some(())
    })
    .await;
    let before = workload.connections();
    for _ in 0..3 {
        let mut web = mesh.connect("web", &db).await;
        let read = web.first_read().await;
        assert!(!matches!(read, FirstRead::Bytes(_)), "{read:?}");
    }
    assert_eq!(workload.connections(), before, "PHI passes without a record");
    let denied = ("myelin_connections_denied_total", [("reason", "not_audited")]);
    assert!(db.metric(denied.0, &denied.1).await >= 4.0);
    assert!(db.metric("myelin_audit_failures_total", &[]).await >= 1.0);
    let ready = db.page("/ready").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("audit trail"), "{}", ready.body);

    disk.make_room();
    eventually("the trail to go on", || async {
        (db.page("/ready").await.status == 200).then_some(())
    })
    .await;
    mesh.connect("web", &db).await.echoes("hello again").await;
    assert!(workload.connections() > passed);
    let trail = db.trail().clone();
    db.stop().await;
    chain_holds(&trail);
    let said = verify(&trail).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
}

#[tokio::test]
async fn with_on_failure_allow_phi_passes_while_the_disk_is_full_and_it_is_counted() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let disk = SmallDisk::new();
    let audit = format!("dir: {}, on_failure: allow", disk.trail().display());
    let db = phi(&mesh, &workload).audit(&audit).start().await;

    disk.fill();
    eventually("the trail to fail", || async {
        mesh.connect("web", &db).await.echoes("hello").await;
        (db.metric("myelin_audit_failures_total", &[]).await >= 1.0).then_some(())
    })
    .await;
    mesh.connect("web", &db).await.echoes("still served").await;

    let status: serde_json::Value = serde_json::from_str(&db.page("/status").await.body).unwrap();
    assert!(status["audit"]["passed_unrecorded"].as_u64().unwrap() >= 1, "{status:#}");
}

#[tokio::test]
async fn a_listener_without_phi_works_while_the_disk_is_full() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let disk = SmallDisk::new();
    let audit = format!("dir: {}", disk.trail().display());
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.audit(&audit).start().await;

    disk.fill();

    for _ in 0..5 {
        mesh.connect("web", &db).await.echoes("hello").await;
    }
    assert_eq!(workload.connections(), 5);
}

#[tokio::test]
async fn while_the_disk_is_full_no_phi_goes_out_either() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Line).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;
    let disk = SmallDisk::new();
    let audit = format!("dir: {}", disk.trail().display());
    let setup = mesh.outbound("web").allow("db").to(db.address()).phi();
    let web = setup.audit(&audit).start().await;
    assert_eq!(crate::outbound::ask(&web, "hello\n").await, "you said hello\n");

    disk.fill();
    eventually("the trail to fail", || async {
        crate::outbound::ask(&web, "hello\n").await.is_empty().then_some(())
    })
    .await;
    assert_eq!(crate::outbound::ask(&web, "attack at dawn\n").await, "");

    assert!(!String::from_utf8(workload.received()).unwrap().contains("attack"));
    let denied = ("myelin_connections_denied_total", [("reason", "not_audited")]);
    assert!(web.metric(denied.0, &denied.1).await >= 2.0);
}
