//! A connection does not outlive the right to it: servers that we reach out to.
//!
//! Each promise holds for every cause that a right may be lost for.

use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::support::h2::H2;
use crate::support::http::plain;
use crate::support::legacy::Legacy;
use crate::support::mesh::{Mesh, Running};
use crate::support::tls_server::{Speaks, TlsServer};
use crate::support::ward::{Ward, whatever_the_cause};
use crate::support::{eventually, until};

async fn echoes(caller: &mut TcpStream, words: &str) {
    caller.write_all(words.as_bytes()).await.unwrap();
    let mut back = vec![0; words.len()];
    caller.read_exact(&mut back).await.unwrap();
    assert_eq!(back, words.as_bytes());
}

#[tokio::test]
async fn a_tcp_connection_ends_at_once_and_those_to_other_servers_stay() {
    whatever_the_cause(|cause| async move {
        let mut ward = Ward::outbound(cause);
        let lab = TlsServer::start(&ward.lab, Speaks::Echo).await;
        let other = TlsServer::start(&ward.other(), Speaks::Echo).await;
        let web = ward.start(|setup| setup.to(lab.address).to(other.address)).await;
        let mut callers = Vec::new();
        for _ in 0..2 {
            let mut caller = TcpStream::connect(web.address()).await.unwrap();
            echoes(&mut caller, "hello").await;
            callers.push(caller);
        }
        assert_eq!((lab.open(), other.open()), (1, 1), "they take turns");

        let withdrawn = ward.strike(&web).await;

        until("the server to see the end", || lab.open() == 0).await;
        ward.is_over(&web, &withdrawn).await;
        web.ended("withdrawn", 1.0).await;
        let [first, second] = &mut callers[..] else { panic!("two callers") };
        let mut end = [0; 1];
        let gone = first.read(&mut end).await;
        assert!(matches!(gone, Ok(0) | Err(_)), "{gone:?}");
        echoes(second, "still here").await;
    })
    .await;
}

#[tokio::test]
async fn a_pooled_http_1_connection_is_closed_at_once_and_no_request_goes_there_again() {
    whatever_the_cause(|cause| async move {
        let mut ward = Ward::outbound(cause);
        let lab = TlsServer::start(&ward.lab, Speaks::Http1).await;
        let web = ward.start(|setup| setup.http().to(lab.address)).await;
        let mut caller = plain(web.address()).await;
        assert_eq!(caller.get("/1").await.text(), "/1");
        assert_eq!(lab.open(), 1);

        let withdrawn = ward.strike(&web).await;

        until("the server to see the end", || lab.open() == 0).await;
        ward.is_over(&web, &withdrawn).await;
        assert_eq!(caller.get("/2").await.status(), 502, "the caller stays, the server does not");
    })
    .await;
}

/// Waits until more than so many bytes have gone up: a request that is on record is not on its way yet, and does
/// not begin once the right is lost.
async fn on_its_way(web: &Running, before: f64) {
    eventually("the request to be on its way", || async {
        let up = web.metric("myelin_bytes_total", &[("flow", "up")]).await;
        (up > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_http_1_response_in_flight_comes_to_its_end() {
    whatever_the_cause(|cause| async move {
        let mut ward = Ward::outbound(cause);
        let lab = TlsServer::start(&ward.lab, Speaks::Http1).await;
        let web = ward.start(|setup| setup.http().phi().to(lab.address)).await;
        let mut caller = plain(web.address()).await;
        caller.send("GET /slow HTTP/1.1\r\nHost: lab\r\n\r\n").await;
        until("the request to be there", || lab.open() == 1).await;
        web.trail().only("request-allowed").await;
        on_its_way(&web, 0.0).await;

        let withdrawn = ward.strike(&web).await;
        lab.let_go();

        assert_eq!(caller.message().await.text(), "/slow");
        until("the server to see the end", || lab.open() == 0).await;
        ward.is_over(&web, &withdrawn).await;
        assert_eq!(web.trail().only("request-completed").await.reason(), "finished");
    })
    .await;
}

#[tokio::test]
async fn a_shared_http_2_connection_finishes_its_streams_and_gets_no_more() {
    whatever_the_cause(|cause| async move {
        let mut ward = Ward::outbound(cause);
        let lab = TlsServer::start(&ward.lab, Speaks::Http2).await;
        let web = ward.start(|setup| setup.http().phi().to(lab.address)).await;
        let caller = H2::plain(web.address()).await;
        assert_eq!(caller.get("/1").await, (StatusCode::OK, "/1".to_owned()));
        let before = web.metric("myelin_bytes_total", &[("flow", "up")]).await;
        let slow = caller.get("/slow");
        let rest = async {
            web.trail().wait_for("request-allowed", 2).await;
            on_its_way(&web, before).await;
            let withdrawn = ward.strike(&web).await;
            assert_eq!(caller.get("/2").await.0, StatusCode::BAD_GATEWAY);
            assert_eq!(lab.open(), 1, "the stream in flight keeps it");
            lab.let_go();
            withdrawn
        };

        let (slow, withdrawn) = tokio::join!(slow, rest);

        assert_eq!(slow, (StatusCode::OK, "/slow".to_owned()));
        assert_eq!(lab.connections(), 1);
        until("the server to see the end", || lab.open() == 0).await;
        ward.is_over(&web, &withdrawn).await;
    })
    .await;
}

#[tokio::test]
async fn a_websocket_ends_at_once_on_both_sides() {
    whatever_the_cause(|cause| async move {
        let mut ward = Ward::outbound(cause);
        let lab = TlsServer::start(&ward.lab, Speaks::Http1).await;
        let web = ward.start(|setup| setup.http().phi().to(lab.address)).await;
        let mut caller = plain(web.address()).await;
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
        caller.send(format!("GET /feed HTTP/1.1\r\nHost: lab\r\n{upgrade}\r\n\r\n")).await;
        assert_eq!(caller.head().await.status(), 101);
        caller.send("ping").await;
        assert_eq!(caller.bytes(4).await, b"ping");

        let withdrawn = ward.strike(&web).await;

        caller.ends().await;
        ward.is_over(&web, &withdrawn).await;
        assert_eq!(web.trail().only("request-completed").await.reason(), "withdrawn");
    })
    .await;
}

#[tokio::test]
async fn a_response_that_takes_longer_than_the_drain_timeout_is_cut() {
    let mut ward = Ward::outbound(crate::support::ward::Cause::TakenOffTheList);
    let lab = TlsServer::start(&ward.lab, Speaks::Http1).await;
    let web =
        ward.start(|setup| setup.http().phi().limits("drain_timeout: 1s").to(lab.address)).await;
    let mut caller = plain(web.address()).await;
    caller.send("GET /slow HTTP/1.1\r\nHost: lab\r\n\r\n").await;
    web.trail().only("request-allowed").await;
    let begun = Instant::now();

    let withdrawn = ward.strike(&web).await;

    until("the server to see the end", || lab.open() == 0).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "it had its time");
    assert_eq!(caller.message().await.status(), 502);
    ward.is_over(&web, &withdrawn).await;
    assert_eq!(web.trail().only("request-completed").await.reason(), "withdrawn");
}

/// Requests every few milliseconds, all answered, until `enough`.
async fn keeps_asking(address: std::net::SocketAddr, enough: impl Fn() -> bool) -> usize {
    let mut caller = plain(address).await;
    let mut asked = 0;
    while !enough() {
        assert_eq!(caller.get("/").await.status(), 200, "after {asked}");
        asked += 1;
        sleep(Duration::from_millis(5)).await;
    }
    asked
}

#[tokio::test]
async fn before_our_own_certificate_expires_requests_go_over_a_connection_with_the_next_one() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = mesh.inbound("ehr").allow("web").http().forward(workload.target()).start().await;
    let web = mesh.outbound("web").allow("ehr").http().to(ehr.address());
    let web = web.start_with_ttl(Duration::from_secs(8)).await;
    let begun = Instant::now();

    keeps_asking(web.address(), || begun.elapsed() > Duration::from_secs(11)).await;

    let allowed = ehr.trail().all("connection-allowed");
    assert!(allowed.len() >= 2, "{allowed:#?}");
    assert!(ehr.trail().all("connection-withdrawn").is_empty(), "the peer was never first");
    assert!(web.trail().all("connection-withdrawn").is_empty());
    let closed = web.trail().wait_for("connection-closed", 1).await;
    assert!(closed.iter().all(|record| record.reason() == "finished"), "{closed:#?}");
}

#[tokio::test]
async fn a_rotation_closes_no_pooled_connection() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = mesh.inbound("ehr").allow("web").http().forward(workload.target());
    let ehr = ehr.start_with_ttl(Duration::from_secs(20)).await;
    let web = mesh.outbound("web").allow("ehr").http().to(ehr.address());
    let web = web.start_with_ttl(Duration::from_secs(20)).await;
    let mut caller = plain(web.address()).await;
    assert_eq!(caller.get("/1").await.status(), 200);

    for sidecar in [&ehr, &web] {
        sidecar.trail().wait_for("certificate-rotated", 1).await;
        assert_eq!(caller.get("/2").await.status(), 200);
    }

    assert_eq!(workload.connections(), 1, "inbound keeps its connection to the workload");
    assert_eq!(ehr.trail().all("connection-allowed").len(), 1, "outbound keeps its to the peer");
    assert!(web.trail().all("connection-closed").is_empty());
}
