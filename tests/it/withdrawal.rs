//! A connection does not outlive the right to it; all others go on as if nothing had happened.
//!
//! Peers come in. Each promise holds for every cause that a right may be lost for.

use std::time::Duration;

use futures_util::future::join_all;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::support::client::{FirstRead, connect};
use crate::support::gate::Gate;
use crate::support::h2::{H2, text};
use crate::support::http::{ByHand, https};
use crate::support::legacy::Legacy;
use crate::support::mesh::{Mesh, Setup};
use crate::support::until;
use crate::support::ward::{Cause, Ward, whatever_the_cause};
use crate::support::workload::{Kind, Workload};

#[tokio::test]
async fn a_tcp_connection_ends_at_once() {
    whatever_the_cause(|cause| async move {
        let workload = Workload::tcp(Kind::Echo).await;
        let mut ward = Ward::inbound(cause, |setup| setup.forward(workload.target()));
        let ehr = ward.start(|setup| setup).await;
        let mut web = connect(&ward.web(), ehr.address(), "ehr").await.unwrap();
        web.echoes("hello").await;
        let mut lab = connect(&ward.lab, ehr.address(), "ehr").await.unwrap();
        lab.echoes("hello").await;

        let withdrawn = ward.strike(&ehr).await;

        let read = lab.first_read().await;
        assert!(matches!(read, FirstRead::Closed | FirstRead::Lost), "{read:?}");
        let closed = ward.is_over(&ehr, &withdrawn).await;
        assert_eq!((closed.number("source.bytes"), closed.number("destination.bytes")), (5, 5));
        until("the workload's side to be over", || workload.open() == 1).await;
        web.echoes("still here").await;
        ehr.ended("withdrawn", 1.0).await;
    })
    .await;
}

#[tokio::test]
async fn an_http_1_connection_that_waits_for_its_next_request_ends_at_once() {
    whatever_the_cause(|cause| async move {
        let workload = Legacy::start().await;
        let mut ward = Ward::inbound(cause, |setup| setup.http().forward(workload.target()));
        let ehr = ward.start(|setup| setup).await;
        let mut web = https(&ward.web(), &ehr).await;
        assert_eq!(web.get("/web/1").await.text(), "/web/1");
        let mut lab = https(&ward.lab, &ehr).await;
        assert_eq!(lab.get("/lab").await.text(), "/lab");

        let withdrawn = ward.strike(&ehr).await;

        lab.ends().await;
        ward.is_over(&ehr, &withdrawn).await;
        assert_eq!(web.get("/web/2").await.text(), "/web/2");
        ehr.ended("withdrawn", 1.0).await;
    })
    .await;
}

#[tokio::test]
async fn an_http_1_response_in_flight_comes_to_its_end_and_no_request_follows() {
    whatever_the_cause(|cause| async move {
        let workload = ByHand::new().await;
        let mut ward = Ward::inbound(cause, |setup| setup.http().phi().forward(&workload.target()));
        let ehr = ward.start(|setup| setup).await;
        let mut lab = https(&ward.lab, &ehr).await;
        lab.send("GET /first HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
        let mut call = workload.accept().await;
        call.head().await;
        call.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ").await;
        assert_eq!(lab.head().await.status(), 200);
        assert_eq!(lab.bytes(5).await, b"half ");

        let withdrawn = ward.strike(&ehr).await;

        lab.try_send("GET /second HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
        call.send("whole").await;
        assert_eq!(lab.bytes(5).await, b"whole");
        lab.ends().await;
        ward.is_over(&ehr, &withdrawn).await;
        let completed = ehr.trail().only("request-completed").await;
        assert_eq!(completed.reason(), "finished");
        assert_eq!(ehr.trail().all("request-allowed").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_http_2_connection_finishes_its_streams_and_takes_no_more() {
    whatever_the_cause(|cause| async move {
        let workload = ByHand::new().await;
        let mut ward = Ward::inbound(cause, |setup| setup.http().forward(&workload.target()));
        let ehr = ward.start(|setup| setup).await;
        let lab = H2::peer(&ward.lab, &ehr).await;
        let (first, mut call) = tokio::join!(lab.ask("/first"), async {
            let mut call = workload.accept().await;
            call.head().await;
            call.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ").await;
            call
        });

        let withdrawn = ward.strike(&ehr).await;

        if let Ok(answer) = lab.ask("/second").await {
            assert_eq!(answer.status(), 403, "unless the stream was turned away");
        }
        call.send("whole").await;
        assert_eq!(text(first.unwrap()).await.1, "half whole");
        lab.ends().await;
        ward.is_over(&ehr, &withdrawn).await;
    })
    .await;
}

/// Turns an HTTP/1.1 connection into a tunnel.
const UPGRADE: &str = "GET /feed HTTP/1.1\r\nHost: ehr\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[tokio::test]
async fn a_websocket_ends_at_once_on_both_sides() {
    whatever_the_cause(|cause| async move {
        let workload = ByHand::new().await;
        let mut ward = Ward::inbound(cause, |setup| setup.http().phi().forward(&workload.target()));
        let ehr = ward.start(|setup| setup).await;
        let mut lab = https(&ward.lab, &ehr).await;
        lab.send(UPGRADE).await;
        let mut call = workload.accept().await;
        call.head().await;
        call.send(SWITCHED).await;
        assert_eq!(lab.head().await.status(), 101);
        lab.send("ping").await;
        assert_eq!(call.bytes(4).await, b"ping");

        let withdrawn = ward.strike(&ehr).await;

        lab.ends().await;
        call.ends().await;
        ward.is_over(&ehr, &withdrawn).await;
        let completed = ehr.trail().only("request-completed").await;
        assert_eq!(completed.reason(), "withdrawn");
    })
    .await;
}

#[tokio::test]
async fn a_response_that_takes_longer_than_the_drain_timeout_is_cut() {
    let workload = ByHand::new().await;
    let mut ward = Ward::inbound(Cause::TakenOffTheList, |setup| {
        setup.http().phi().forward(&workload.target()).limits("drain_timeout: 1s")
    });
    let ehr = ward.start(|setup| setup).await;
    let mut lab = https(&ward.lab, &ehr).await;
    lab.send("GET / HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    let mut call = workload.accept().await;
    call.head().await;
    call.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ").await;
    lab.head().await;
    let begun = Instant::now();

    let withdrawn = ward.strike(&ehr).await;

    assert_eq!(lab.rest().await, b"half ");
    call.ends().await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "it had its time");
    ward.is_over(&ehr, &withdrawn).await;
    assert_eq!(ehr.trail().only("request-completed").await.reason(), "withdrawn");
}

#[tokio::test]
async fn a_list_that_is_past_its_next_update_takes_the_permits_of_those_whom_it_covers() {
    let (gate, due) = (Gate::new().await, OffsetDateTime::now_utc() + time::Duration::seconds(8));
    std::fs::write(gate.crl(), gate.ca.crl(&[], due)).unwrap();
    let setup = gate.setup_with_crl().forward(gate.workload.target());
    let refusing = setup.start().await;
    let warning = gate.mesh.inbound("db2").allow("web").forward(gate.workload.target());
    let warning = warning.files(&gate.identity, &[&gate.crl()]);
    let warning = warning.file("tls: { crl_expired: warn }").start().await;
    let web = gate.ca.issue("web");
    let mut refused = connect(&web, refusing.address(), "db").await.unwrap();
    let mut warned = connect(&web, warning.address(), "db").await.unwrap();
    refused.send("hel").await;
    warned.send("hel").await;

    let withdrawn = refusing.trail().only("connection-withdrawn").await;

    assert_eq!(withdrawn.reason(), "crl_expired");
    assert!(OffsetDateTime::now_utc() >= due - time::Duration::SECOND);
    let read = refused.first_read().await;
    assert!(matches!(read, FirstRead::Closed | FirstRead::Lost), "{read:?}");
    warned.send("lo\n").await;
    assert_eq!(warned.rest().await, b"you said hello\n");
    let mut newcomer = connect(&web, warning.address(), "db").await.unwrap();
    newcomer.send("hello\n").await;
    assert_eq!(newcomer.rest().await, b"you said hello\n");
    let told = warning.metric("myelin_crl_next_update_timestamp_seconds", &[]).await;
    assert!((told - due.unix_timestamp() as f64).abs() < 1.5, "{told}");
    assert!(warning.trail().all("connection-withdrawn").is_empty());
}

#[tokio::test]
async fn many_connections_with_the_same_certificate_end_together() {
    let workload = Workload::tcp(Kind::Echo).await;
    let mut ward = Ward::inbound(Cause::TakenOffTheList, |setup| setup.forward(workload.target()));
    let ehr = ward.start(|setup| setup).await;
    let mut labs = Vec::new();
    for _ in 0..20 {
        let mut lab = connect(&ward.lab, ehr.address(), "ehr").await.unwrap();
        lab.echoes("hello").await;
        labs.push(lab);
    }

    ward.lose(&ehr).await;

    for lab in &mut labs {
        let read = lab.first_read().await;
        assert!(matches!(read, FirstRead::Closed | FirstRead::Lost), "{read:?}");
    }
    let labels = [("reason", "not_listed")];
    ehr.metric_is("myelin_permits_withdrawn_total", &labels, 20.0).await;
    let closed = ehr.trail().wait_for("connection-closed", 20).await;
    assert!(closed.iter().all(|record| record.reason() == "withdrawn"), "{closed:#?}");
    assert_eq!(ehr.trail().wait_for("connection-withdrawn", 20).await.len(), 20);
}

#[tokio::test]
async fn a_connection_that_is_being_made_while_the_right_is_lost_does_not_survive() {
    let workload = Workload::tcp(Kind::Echo).await;
    let mut ward = Ward::inbound(Cause::TakenOffTheList, |setup| setup.forward(workload.target()));
    let ehr = ward.start(|setup| setup).await;
    let mut web = connect(&ward.web(), ehr.address(), "ehr").await.unwrap();
    web.echoes("hello").await;

    for _ in 0..10 {
        let connecting = (0..8).map(|_| connect(&ward.lab, ehr.address(), "ehr"));
        let (labs, ()) = tokio::join!(join_all(connecting), ward.lose(&ehr));
        for lab in labs {
            let read = lab.unwrap().first_read().await;
            assert!(!matches!(read, FirstRead::Bytes(_)), "{read:?}");
        }
        ward.gain(&ehr).await;
    }

    until("the workload to have nobody but the other", || workload.open() == 1).await;
    web.echoes("still here").await;
}

#[tokio::test]
async fn a_peer_that_stays_known_by_its_pin_alone_stays_and_its_names_count_no_more() {
    let gate = Gate::new().await;
    let vendor = crate::support::pki::Ca::new("Vendor CA");
    let (kept, lost) = (vendor.issue("ct-2"), vendor.issue("web"));
    for identity in [&kept, &lost] {
        std::fs::write(identity.trust_bundle(), gate.ca.pem()).unwrap();
    }
    let bundle = gate.identity.trust_bundle();
    std::fs::write(&bundle, gate.ca.pem() + &vendor.pem()).unwrap();
    let echo = Workload::tcp(Kind::Echo).await;
    let entry = format!("pin: \"{}\"", kept.pin());
    let setup = gate.mesh.inbound("db2").allow("web").peer("ct-2", &entry).allow_known("ct-2");
    let setup = setup.forward(echo.target()).files(&gate.identity, &[]);
    let db = setup.start().await;
    let mut kept = connect(&kept, db.address(), "db").await.unwrap();
    kept.echoes("hello").await;
    let mut lost = connect(&lost, db.address(), "db").await.unwrap();
    lost.echoes("hello").await;

    std::fs::write(&bundle, gate.ca.pem()).unwrap();
    db.reload(&setup).await.unwrap();

    let withdrawn = db.trail().only("connection-withdrawn").await;
    assert_eq!(withdrawn.reason(), "unknown_issuer");
    assert_eq!(withdrawn.text("myelin.peer"), "web");
    assert!(!matches!(lost.first_read().await, FirstRead::Bytes(_)));
    kept.echoes("by its pin").await;
}

#[tokio::test]
async fn a_peer_that_goes_by_another_name_comes_in_anew() {
    let mesh = Mesh::new();
    let echo = Workload::tcp(Kind::Echo).await;
    let setup = |name: &str| {
        let setup = mesh.inbound("db").peer(name, r#"spiffe: "spiffe://hospital.example/ct-2""#);
        setup.allow_known(name).allow("web").forward(echo.target())
    };
    let db = setup("scanner").start().await;
    let (mut scanner, mut web) = (mesh.connect("ct-2", &db).await, mesh.connect("web", &db).await);
    scanner.echoes("hello").await;
    web.echoes("hello").await;

    db.reload(&setup("ct")).await.unwrap();

    assert!(!matches!(scanner.first_read().await, FirstRead::Bytes(_)));
    let withdrawn = db.trail().only("connection-withdrawn").await;
    assert_eq!((withdrawn.reason(), withdrawn.text("myelin.peer")), ("peer_changed", "scanner"));
    let nearest = "was let in as peer `scanner`, and is peer `ct` by these rules";
    assert_eq!(withdrawn.text("myelin.nearest"), nearest);
    mesh.connect("ct-2", &db).await.echoes("hello").await;
    let allowed = db.trail().wait_for("connection-allowed", 3).await;
    assert_eq!(allowed[2].text("myelin.peer"), "ct");
    web.echoes("still here").await;
}

#[tokio::test]
async fn a_reload_that_changes_nothing_for_anybody_withdraws_nothing() {
    let workload = Legacy::start().await;
    let mut ward =
        Ward::inbound(Cause::TakenOffTheList, |setup| setup.http().forward(workload.target()));
    let ehr = ward.start(|setup| setup).await;
    let mut lab = https(&ward.lab, &ehr).await;

    for number in 0..10 {
        assert_eq!(lab.get("/lab").await.status(), 200);
        ward.also_allow(&ehr, &format!("peer{number}")).await;
    }

    assert_eq!(lab.get("/lab").await.status(), 200);
    assert!(ehr.trail().all("connection-withdrawn").is_empty());
    assert!(ehr.trail().all("connection-closed").is_empty());
}

#[tokio::test]
async fn every_reason_is_counted_from_zero() {
    let gate = Gate::new().await;

    let page = gate.db.page("/metrics").await.body;

    for reason in ["not_listed", "unknown_peer", "listing_expired", "expired", "revoked"] {
        let labels = [("listener", "db"), ("reason", reason)];
        let counted =
            crate::support::admin::metric(&page, "myelin_permits_withdrawn_total", &labels);
        assert_eq!(counted, Some(0.0), "{reason}");
    }
}

#[tokio::test]
async fn a_permit_is_withdrawn_during_a_drain_as_well() {
    let workload = ByHand::new().await;
    let mut ward = Ward::inbound(Cause::CertificateExpires, |setup| {
        setup.http().phi().forward(&workload.target()).file("limits: { drain_timeout: 60s }")
    });
    let ehr = ward.start(|setup| setup).await;
    let trail = ehr.trail().clone();
    let mut lab = https(&ward.lab, &ehr).await;
    lab.send(UPGRADE).await;
    let mut call = workload.accept().await;
    call.head().await;
    call.send(SWITCHED).await;
    assert_eq!(lab.head().await.status(), 101);

    let begun = Instant::now();
    let (_drained, ()) = tokio::join!(ehr.stop(), lab.ends());

    assert!(begun.elapsed() < Duration::from_secs(30), "not when the drain was over");
    assert_eq!(trail.only("connection-withdrawn").await.reason(), "expired");
    assert_eq!(trail.only("connection-closed").await.reason(), "withdrawn");
}

#[tokio::test]
async fn a_request_right_after_the_reload_is_refused_even_if_the_connection_is_still_open() {
    let workload = Legacy::start().await;
    let adjust = |setup: Setup| setup.http().phi().forward(workload.target());
    let mut ward = Ward::inbound(Cause::Revoked, adjust);
    let ehr = ward.start(|setup| setup).await;
    let mut lab = https(&ward.lab, &ehr).await;
    assert_eq!(lab.get("/1").await.status(), 200);

    ward.lose(&ehr).await;
    lab.try_send("GET /2 HTTP/1.1\r\nHost: ehr\r\n\r\n").await;

    let answer = String::from_utf8(lab.rest_of_one().await).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 403 "), "{answer:?}");
    ehr.trail().wait_for("connection-withdrawn", 1).await;
    assert_eq!(workload.targets(), ["/1"]);
}
