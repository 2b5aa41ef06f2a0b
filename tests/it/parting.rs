//! The end of a sidecar beside its workload: what goes out goes on until the workload is gone.

use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::eventually;
use crate::support::mesh::{Mesh, Running, Spawned};
use crate::support::pki::spiffe;
use crate::support::process::{needs, run};
use crate::support::workload::{Kind, Workload};

/// Longer than any test waits: what ends within it was not ended by it.
const LONG: &str = "10m";

/// A service whose sidecar lets `web` in, and takes it to its database.
struct Service {
    sidecar: Spawned,
    workload: Option<Workload>,
    _database: (Running, Workload),
}

async fn service(mesh: &Mesh, grace: &str, is_up: bool) -> Service {
    let http = Workload::tcp(Kind::Http).await;
    let db = mesh.inbound("db").allow("ehr").http().forward(http.target()).start().await;
    let workload = Workload::tcp(Kind::Echo).await;
    let (forward, workload) = (workload.target().to_owned(), is_up.then_some(workload));
    let setup = mesh.inbound("ehr").allow("web").peer("db", &format!("spiffe: {}", spiffe("db")));
    let setup = setup.forward(&forward).file(&format!(
        "outbound: [{{ name: to-db, listen: 127.0.0.1:0, to: [\"{}\"], protocol: http, expect: [db] }}]",
        db.address()
    ));
    let setup = setup.file(&format!("limits: {{ drain_timeout: {grace} }}"));
    Service { sidecar: setup.spawn().await, workload, _database: (db, http) }
}

impl Service {
    /// What the workload gets from its database.
    async fn asks(&self) -> String {
        let mut curl = Command::new(needs("curl", "curl"));
        curl.args(["-sS", "--max-time", "20", "-w", "%{http_code}", "-o", "/dev/null"]);
        let said = run(curl.arg(format!("http://{}/", self.sidecar.address_of("to-db"))), "").await;
        said.all()
    }

    async fn is_told_to_end(&mut self) {
        self.sidecar.process.signal("TERM");
        self.sidecar.process.says("\"draining\"").await;
    }
}

#[tokio::test]
async fn after_sigterm_nobody_comes_in_and_the_workload_goes_out_until_it_is_gone() {
    let mesh = Mesh::new();
    let mut ehr = service(&mesh, LONG, true).await;
    assert_eq!(ehr.asks().await, "200");

    ehr.is_told_to_end().await;
    eventually("the inbound port to be closed", || async {
        TcpStream::connect(ehr.sidecar.address()).await.err().map(|_| ())
    })
    .await;
    // Longer than what is taken for quiet: it has not gone, for it listens.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        assert_eq!(ehr.asks().await, "200");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(ehr.asks().await, "200");
    let ready = ehr.sidecar.page("/ready").await;
    assert_eq!((ready.status, ready.body.as_str()), (503, "not ready: draining\n"));
    drop(ehr.workload.take());

    assert_eq!(ehr.sidecar.process.ended().await.code(), Some(0));
    let said = ehr.sidecar.process.output();
    assert!(said.contains("the workload is gone"), "{said}");
    assert!(said.contains("everything had finished"), "{said}");
    assert_eq!(ehr.sidecar.trail().records().last().unwrap().action(), "recording-stopped");
}

#[tokio::test]
async fn a_workload_that_had_ended_before_its_sidecar_is_not_waited_for() {
    let mesh = Mesh::new();
    let mut ehr = service(&mesh, LONG, false).await;

    ehr.is_told_to_end().await;

    assert_eq!(ehr.sidecar.process.ended().await.code(), Some(0));
    assert!(ehr.sidecar.process.output().contains("the workload is gone"));
}

#[tokio::test]
async fn a_workload_that_stays_keeps_its_sidecar_no_longer_than_drain_timeout() {
    let mesh = Mesh::new();
    let mut ehr = service(&mesh, "3s", true).await;

    let begun = Instant::now();
    ehr.is_told_to_end().await;

    assert_eq!(ehr.sidecar.process.ended().await.code(), Some(0));
    // The second half of so short a grace is for what is still under way; there is nothing.
    assert!(begun.elapsed() >= Duration::from_millis(1500), "{:?}", begun.elapsed());
    let said = ehr.sidecar.process.output();
    assert!(said.contains("the workload is still there"), "{said}");
    assert!(said.contains("everything had finished"), "{said}");
}

#[tokio::test]
async fn a_second_sigterm_does_not_wait_for_the_workload() {
    let mesh = Mesh::new();
    let mut ehr = service(&mesh, LONG, true).await;

    ehr.is_told_to_end().await;
    ehr.sidecar.process.says("stay open until the workload is gone").await;
    assert_eq!(ehr.asks().await, "200");
    ehr.sidecar.process.signal("TERM");

    assert_eq!(ehr.sidecar.process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn where_nothing_comes_in_the_workload_is_gone_when_nothing_has_gone_out_for_a_while() {
    let mesh = Mesh::new();
    let echo = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("web").forward(echo.target()).start().await;
    let web = mesh.outbound("web").allow("db").to(db.address());
    let mut web = web.file(&format!("limits: {{ drain_timeout: {LONG} }}")).spawn().await;
    let mut open = TcpStream::connect(web.address()).await.unwrap();

    web.process.signal("TERM");
    web.process.says("stay open until the workload is gone").await;
    for _ in 0..2 {
        let mut another = TcpStream::connect(web.address()).await.unwrap();
        for connection in [&mut open, &mut another] {
            connection.write_all(b"line\n").await.unwrap();
            let mut back = [0; 5];
            connection.read_exact(&mut back).await.unwrap();
            assert_eq!(&back, b"line\n");
        }
    }
    assert!(web.process.is_running());
    drop(open);

    assert_eq!(web.process.ended().await.code(), Some(0));
    let closed = web.trail().all("connection-closed");
    assert_eq!(closed.len(), 3);
    assert!(closed.iter().all(|record| record.reason() == "finished"), "{closed:#?}");
}

#[tokio::test]
async fn a_worker_that_has_handed_over_does_not_wait_for_the_workload() {
    let mesh = Mesh::new();
    let ehr = service(&mesh, LONG, true).await;
    let old = ehr.sidecar.worker();

    ehr.sidecar.process.signal("USR2");
    let is_gone = || (!ehr.sidecar.process.children().contains(&old)).then_some(());
    eventually("the old worker to be gone", || std::future::ready(is_gone())).await;

    assert_eq!(ehr.asks().await, "200");
    assert_eq!(ehr.sidecar.trail().only("sidecar-stopped").await.reason(), "handed_over");
}
