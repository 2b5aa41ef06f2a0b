//! Reload and drain while requests are in flight.

use std::time::Duration;

use myelin::shutdown::Drained;
use tokio::time::timeout;

use crate::support::http::ByHand;
use crate::support::legacy::{Legacy, ok};
use crate::support::mesh::{Mesh, Setup};
use crate::support::workload::{Kind, Workload};

fn ehr(mesh: &Mesh, forward: &str) -> Setup {
    mesh.inbound("ehr").allow("web").allow("lab").http().phi().forward(forward)
}

#[tokio::test]
async fn a_peer_that_is_taken_off_the_list_finishes_its_request_and_makes_no_other() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let setup = ehr(&mesh, &workload.target());
    let ehr = setup.start().await;
    let mut web = mesh.http("web", &ehr).await;
    web.send("GET /first HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    let mut call = workload.accept().await;
    call.head().await;

    ehr.reload(&setup.clone().forget("web")).await.unwrap();

    call.send(ok("in flight")).await;
    assert_eq!(web.message().await.text(), "in flight");
    web.try_send("GET /second HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    let answer = String::from_utf8(web.rest_of_one().await).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 403 "), "{answer:?}");
    let again = timeout(Duration::from_millis(300), workload.accept()).await;
    assert!(again.is_err(), "the second request reached the workload");
}

#[tokio::test]
async fn a_rule_that_changes_counts_from_the_next_request_of_the_same_connection() {
    let routes = |allow: &str| {
        format!("routes:\n      - {{ name: all, path: \"/{{rest...}}\", allow: [{allow}] }}")
    };
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let both = ehr(&mesh, workload.target()).with(&routes("web, lab"));
    let only_lab = ehr(&mesh, workload.target()).with(&routes("lab"));
    let ehr = both.start().await;
    let mut web = mesh.http("web", &ehr).await;
    assert_eq!(web.get("/1").await.status(), 200);

    ehr.reload(&only_lab).await.unwrap();
    assert_eq!(web.get("/2").await.status(), 403);
    ehr.reload(&both).await.unwrap();
    assert_eq!(web.get("/3").await.status(), 200);

    assert_eq!(workload.targets(), ["/1", "/3"]);
    let denied = ehr.trail().only("request-denied").await;
    assert_eq!(denied.reason(), "not_listed_for_route");
    let versions: Vec<_> = ehr.trail().all("request-allowed");
    assert_eq!(versions[0].text("rule.version"), versions[1].text("rule.version"));
    assert_ne!(denied.text("rule.version"), versions[0].text("rule.version"));
}

#[tokio::test]
async fn a_workload_that_moves_gets_the_next_request_of_the_same_connection() {
    let mesh = Mesh::new();
    let (old, new) = (Legacy::start().await, Legacy::start().await);
    let ehr_sidecar = ehr(&mesh, old.target()).start().await;
    let mut web = mesh.http("web", &ehr_sidecar).await;
    assert_eq!(web.get("/1").await.status(), 200);

    ehr_sidecar.reload(&ehr(&mesh, new.target())).await.unwrap();
    assert_eq!(web.get("/2").await.status(), 200);

    assert_eq!(old.targets(), ["/1"]);
    assert_eq!(new.targets(), ["/2"]);
}

#[tokio::test]
async fn a_server_that_is_no_longer_expected_gets_no_further_request() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = mesh.inbound("ehr").allow("web").http().forward(workload.target()).start().await;
    let setup = mesh.outbound("web").allow("ehr").http().to(ehr.address());
    let web = setup.start().await;
    let mut caller = crate::support::http::plain(web.address()).await;
    assert_eq!(caller.get("/1").await.status(), 200);

    web.reload(&setup.forget("ehr").allow("other")).await.unwrap();

    assert_eq!(caller.get("/2").await.status(), 502);
    assert_eq!(workload.targets(), ["/1"]);
}

#[tokio::test]
async fn a_broken_file_changes_nothing() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = ehr(&mesh, workload.target());
    let ehr = setup.start().await;
    let mut web = mesh.http("web", &ehr).await;
    assert_eq!(web.get("/1").await.status(), 200);

    ehr.reload(&setup.with("rotues: []")).await.unwrap_err();

    assert_eq!(web.get("/2").await.status(), 200);
}

#[tokio::test]
async fn a_drain_finishes_the_request_in_flight_and_says_close() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let mut ehr = ehr(&mesh, &workload.target()).spawn().await;
    let mut idle = mesh.http("lab", &ehr).await;
    let (first, mut call) = tokio::join!(idle.get("/"), async {
        let mut call = workload.accept().await;
        call.head().await;
        call.send(ok("fine")).await;
        call
    });
    assert_eq!(first.status(), 200);
    let mut web = mesh.http("web", &ehr).await;
    web.send("POST / HTTP/1.1\r\nHost: ehr\r\nContent-Length: 4\r\n\r\nab").await;
    let mut busy = workload.accept().await;
    busy.head().await;

    ehr.process.signal("TERM");

    idle.ends().await; // what is idle is closed at once, at the workload's side as well
    call.ends().await;
    assert!(ehr.process.is_running());
    web.send("cd").await;
    assert_eq!(busy.bytes(4).await, b"abcd");
    busy.send(ok("finished")).await;
    let answer = web.message().await;
    assert_eq!(answer.text(), "finished");
    assert_eq!(answer.head.header("connection"), Some("close"));
    web.ends().await;
    assert_eq!(ehr.process.ended().await.code(), Some(0));
    let completed = ehr.trail().wait_for("request-completed", 2).await;
    assert!(completed.iter().all(|record| record.reason() == "finished"), "{completed:#?}");
    ehr.trail().only("recording-stopped").await;
}

#[tokio::test]
async fn a_request_that_outlasts_the_drain_is_cut_and_on_record() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let setup = ehr(&mesh, &workload.target()).file("limits: { drain_timeout: 500ms }");
    let mut ehr = setup.spawn().await;
    let mut web = mesh.http("web", &ehr).await;
    web.send("GET / HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    let mut call = workload.accept().await;
    call.head().await;

    ehr.process.signal("TERM");

    web.ends().await;
    call.ends().await;
    ehr.process.ended().await;
    assert_eq!(ehr.trail().only("request-completed").await.reason(), "cut");
    assert_eq!(ehr.trail().only("connection-closed").await.reason(), "cut");
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_not_cut_however_short_the_drain_is() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Http).await;
    let short = "limits: { drain_timeout: 500ms }";
    let ehr = ehr(&mesh, workload.target()).file(short).start().await;
    let web = mesh.outbound("web").allow("ehr").http().to(ehr.address()).file(short).start().await;
    let mut used = crate::support::http::plain(web.address()).await;
    assert_eq!(used.get("/").await.status(), 200);
    let mut unused = crate::support::http::plain(web.address()).await;
    web.open_connections(2).await;

    let drained = web.stop().await;
    used.ends().await;
    unused.ends().await;
    let mut idle = mesh.http("lab", &ehr).await;
    assert_eq!(idle.get("/").await.status(), 200);

    assert_eq!((drained, ehr.stop().await), (Drained::Clean, Drained::Clean));
    idle.ends().await;
}

#[tokio::test]
async fn the_outbound_side_drains_as_well() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let ehr = ehr(&mesh, &workload.target()).start().await;
    // The caller stays connected, so outbound connections drain in the last seconds of this.
    let web = mesh.outbound("web").allow("ehr").http().to(ehr.address());
    let web = web.file("limits: { drain_timeout: 8s }").start().await;
    let mut caller = crate::support::http::plain(web.address()).await;
    caller.send("GET / HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    let mut call = workload.accept().await;
    call.head().await;

    let (drained, answer) = tokio::join!(web.stop(), async {
        // The answer comes after the drain has begun: nobody is let in any more.
        call.send(ok("finished")).await;
        caller.message().await
    });

    assert_eq!(answer.text(), "finished");
    assert_eq!(drained, Drained::Clean);
}
