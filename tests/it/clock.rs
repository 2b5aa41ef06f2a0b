//! A wall clock that jumps: a machine that slept, an operator who set it right. `libfaketime` does it.

use std::path::{Path, PathBuf};
use std::process::Command;

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::support::client::{FirstRead, connect};
use crate::support::eventually;
use crate::support::http::{Wire, plain};
use crate::support::legacy::Legacy;
use crate::support::mesh::{Mesh, Spawned};
use crate::support::openssl::SClient;
use crate::support::pki::spiffe;
use crate::support::workload::{Kind, Workload};

/// A clock that a test can set.
pub(crate) struct Clock {
    file: PathBuf,
}

impl Clock {
    /// Right, for now.
    pub(crate) fn new(dir: &Path) -> Self {
        let clock = Self { file: dir.join("clock") };
        clock.set("+0");
        clock
    }

    /// So much ahead of the true time, or behind it.
    pub(crate) fn set(&self, offset: &str) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }

    /// Makes a program look at this clock; what it measures with a stopwatch stays true.
    pub(crate) fn worn_by(&self, command: &mut Command) {
        let library = ["x86_64", "aarch64"]
            .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"))
            .into_iter()
            .find(|path| Path::new(path).is_file())
            .expect("libfaketime is not installed: apt-get install faketime");
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &self.file);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}

/// A sidecar with its own authority that looks at `clock`.
async fn sidecar(mesh: &Mesh, clock: &Clock, workload: &Workload) -> Spawned {
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let mut command = setup.command();
    clock.worn_by(&mut command);
    setup.spawn_by(&mut command).await
}

async fn certificate(db: &Spawned) -> serde_json::Value {
    let status: serde_json::Value = serde_json::from_str(&db.page("/status").await.body).unwrap();
    status["certificate"].clone()
}

fn moment(certificate: &serde_json::Value, field: &str) -> OffsetDateTime {
    OffsetDateTime::parse(certificate[field].as_str().unwrap(), &Rfc3339).unwrap()
}

/// Waits until the sidecar has another certificate than `old`.
async fn renewed(db: &Spawned, old: &serde_json::Value) -> serde_json::Value {
    eventually("another certificate", || async {
        let now = certificate(db).await;
        (now["sha256"] != old["sha256"]).then_some(now)
    })
    .await
}

/// Lets in a peer whose clock says the same.
async fn admits(mesh: &Mesh, clock: &Clock, db: &Spawned) {
    // Its end is asked of the latest that the clock has shown.
    let identity = mesh.pem_for("web", std::time::Duration::from_secs(7 * 24 * 3600));
    let said = SClient::to(db.address())
        .identity(&identity)
        .args(&["-verify_return_error"])
        .with(|command| clock.worn_by(command))
        .send("hello\n")
        .await;
    assert!(said.stdout.contains("you said hello"), "{said:#?}");
}

#[tokio::test]
async fn a_machine_that_slept_past_the_end_of_its_certificate_renews_when_it_wakes_up() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Line).await;
    let clock = Clock::new(mesh.dir());
    let db = sidecar(&mesh, &clock, &workload).await;
    let before = certificate(&db).await;

    clock.set("+3d");
    let after = renewed(&db, &before).await;

    assert!(moment(&after, "not_after") > moment(&before, "not_after") + Duration::days(2));
    assert_eq!(after["rejected"], serde_json::Value::Null);
    db.trail().only("certificate-rotated").await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_before_the_certificate_began_gets_one_for_its_own_time() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Line).await;
    let clock = Clock::new(mesh.dir());
    clock.set("+3d"); // wrong at the start: a virtual machine before its first synchronisation
    let db = sidecar(&mesh, &clock, &workload).await;
    let before = certificate(&db).await;
    assert!(moment(&before, "not_before") > OffsetDateTime::now_utc() + Duration::days(2));

    clock.set("+0");
    let after = renewed(&db, &before).await;

    assert!(moment(&after, "not_before") <= OffsetDateTime::now_utc());
    assert!(moment(&after, "not_after") > OffsetDateTime::now_utc());
    admits(&mesh, &clock, &db).await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_opens_nothing_that_a_date_has_closed() {
    let (mesh, workload) = (Mesh::new(), Legacy::start().await);
    let clock = Clock::new(mesh.dir());
    let hour = std::time::Duration::from_secs(3600);
    let expires = (OffsetDateTime::now_utc() + hour).format(&Rfc3339).unwrap();
    let entry = format!("spiffe: {}, expires: {expires:?}", spiffe("lab"));
    let setup = mesh.inbound("ehr").allow("web").peer("lab", &entry).allow_known("lab");
    let setup = setup.http().forward(workload.target()).permissive(hour);
    let mut command = setup.command();
    clock.worn_by(&mut command);
    let mut ehr = setup.spawn_by(&mut command).await;
    let identity = mesh.pem_for("lab", 24 * hour);
    let lab = async || {
        let mut lab = Wire::new(connect(&identity, ehr.address(), "ehr").await.unwrap().stream);
        lab.try_send("GET /lab HTTP/1.1\r\nHost: ehr\r\nConnection: close\r\n\r\n").await;
        String::from_utf8_lossy(&lab.rest().await).starts_with("HTTP/1.1 200 ")
    };
    assert_eq!(plain(ehr.address()).await.get("/plain").await.status(), 200);
    assert!(lab().await);

    clock.set("+2h");
    plain(ehr.address()).await.try_send("GET /late HTTP/1.1\r\n\r\n").await;
    assert_eq!(ehr.trail().only("connection-refused").await.reason(), "not_tls");
    assert!(!lab().await);
    clock.set("+0");

    assert!(!lab().await);
    plain(ehr.address()).await.try_send("GET /again HTTP/1.1\r\n\r\n").await;
    let refused = ehr.trail().wait_for("connection-refused", 2).await;
    assert_eq!(refused[1].reason(), "not_tls");
    let denied = ehr.trail().wait_for("connection-denied", 2).await;
    assert!(denied.iter().all(|record| record.reason() == "listing_expired"), "{denied:#?}");
    assert_eq!(workload.targets(), ["/plain", "/lab"]);
    ehr.process.says("the wall clock was set back by 7").await;
    eventually("the metric to say so", || async {
        let behind = ehr.metric("myelin_clock_behind_seconds", &[]).await;
        (7000.0..=7300.0).contains(&behind).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_has_expired_stays_so_when_the_clock_is_set_back() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Line).await;
    let clock = Clock::new(mesh.dir());
    let db = sidecar(&mesh, &clock, &workload).await;
    let web = mesh.pem("web");
    let mut before = connect(&web, db.address(), "db").await.unwrap();
    before.send("hello\n").await;
    assert_eq!(before.rest().await, b"you said hello\n");

    clock.set("+2h");
    let mut late = connect(&web, db.address(), "db").await.unwrap();
    assert!(!matches!(late.first_read().await, FirstRead::Bytes(_)));
    assert_eq!(db.trail().only("connection-refused").await.reason(), "expired");
    clock.set("+0");

    let mut again = connect(&web, db.address(), "db").await.unwrap();
    assert!(!matches!(again.first_read().await, FirstRead::Bytes(_)));
    assert_eq!(db.trail().only("connection-denied").await.reason(), "certificate_expired");
    assert_eq!(workload.received(), b"hello\n");
}

#[tokio::test]
async fn a_certificate_in_files_that_ended_while_the_machine_slept_is_an_alarm_and_not_ready() {
    let mesh = Mesh::new();
    let ca = crate::support::pki::Ca::new("Hospital CA");
    let identity = ca.issue("db");
    let clock = Clock::new(mesh.dir());
    let setup = mesh.inbound("db").allow("web").files(&identity, &[]);
    let mut command = setup.command();
    clock.worn_by(&mut command);
    let mut db = setup.spawn_by(&mut command).await;
    assert_eq!(db.page("/ready").await.status, 200);

    clock.set("+23h");
    db.process.says("whoever issues it has not replaced it yet").await;
    assert_eq!(db.page("/ready").await.status, 200, "it serves to the very end");
    clock.set("+2d");
    eventually("/ready to say so", || async {
        let ready = db.page("/ready").await;
        (ready.status == 503 && ready.body.contains("own certificate has expired")).then_some(())
    })
    .await;
}
