//! An association or a tunnel does not outlive the rule that let it in, however long the connection's own permit
//! holds.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpStream;

use crate::support::dicom::{C_ECHO, Called, End, VERIFICATION, accept, message, request};
use crate::support::http::{ByHand, PeerWire, Wire, https};
use crate::support::lenient::{FAR, SOON};
use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::trail::Record;

const ABORT: [u8; 10] = [7, 0, 0, 0, 0, 4, 0, 0, 2, 0];
const UPGRADE: &str = "GET /feed?patient=PHIDOE HTTP/1.1\r\nHost: ehr\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn soon() -> String {
    (OffsetDateTime::now_utc() + SOON).format(&Rfc3339).unwrap()
}

fn pacs(mesh: &Mesh, workload: &Called, rule: &str) -> Setup {
    let rule = format!("associations: [ {{ name: ct, {rule} }} ]");
    let setup = mesh.inbound("pacs").allow("ct").allow("mr").with("protocol: dicom").with(&rule);
    setup.limits("drain_timeout: 200ms").forward(&workload.target())
}

/// An association of CT2, as the peer `name`; both ends.
async fn associated(
    mesh: &Mesh,
    name: &str,
    pacs: &Running,
    workload: &Called,
) -> (End<tokio_rustls::client::TlsStream<TcpStream>>, End<TcpStream>) {
    let mut calling = End::new(mesh.connect(name, pacs).await.stream);
    calling.send(&request(&[VERIFICATION])).await;
    let mut called = workload.next().await;
    called.next().await;
    called.send(&accept(&[0])).await;
    calling.next().await;
    (calling, called)
}

fn ehr(mesh: &Mesh, workload: &ByHand, routes: &str) -> Setup {
    let setup = mesh.inbound("ehr").allow("lab").http().phi().forward(&workload.target());
    setup.with(&format!("routes: [ {routes} ]"))
}

/// A tunnel of the peer `lab`; both ends.
async fn tunnelled(mesh: &Mesh, ehr: &Running, workload: &ByHand) -> (PeerWire, Wire<TcpStream>) {
    let mut lab = https(&mesh.pem("lab"), ehr).await;
    lab.send(UPGRADE).await;
    let mut call = workload.accept().await;
    call.head().await;
    call.send(SWITCHED).await;
    assert_eq!(lab.head().await.status(), 101);
    lab.send("ping").await;
    assert_eq!(call.bytes(4).await, b"ping");
    (lab, call)
}

/// The connection has lost its permit, for this reason, by this rule.
async fn withdrawn(sidecar: &Running, reason: &str, rule: &str) -> Record {
    let withdrawn = sidecar.trail().only("connection-withdrawn").await;
    assert_eq!((withdrawn.reason(), withdrawn.text("rule.name")), (reason, rule), "{withdrawn:#?}");
    assert!(withdrawn.text("message").ends_with("would not be let through any more"));
    sidecar.metric_is("myelin_permits_withdrawn_total", &[("reason", reason)], 1.0).await;
    let closed = sidecar.trail().only("connection-closed").await;
    assert_eq!((closed.reason(), closed.connection()), ("withdrawn", withdrawn.connection()));
    assert!(!sidecar.trail().text().contains("PHIDOE"));
    withdrawn
}

#[tokio::test]
async fn an_association_ends_when_its_rule_expires() {
    let (mesh, workload) = (Mesh::new(), Called::new().await);
    let rule = format!("calling_ae: CT2, allow: [ct], expires: {:?}", soon());
    let pacs = pacs(&mesh, &workload, &rule).start().await;
    let (mut calling, mut called) = associated(&mesh, "ct", &pacs, &workload).await;

    assert_eq!(calling.next().await, ABORT);
    assert_eq!(called.next().await, ABORT);
    calling.end().await;

    withdrawn(&pacs, "rule_expired", "pacs/ct").await;
}

#[tokio::test]
async fn an_association_ends_when_a_reload_narrows_its_rule_and_another_peers_goes_on() {
    let (mesh, workload) = (Mesh::new(), Called::new().await);
    let pacs_with = |rule: &str| pacs(&mesh, &workload, rule);
    let pacs = pacs_with("calling_ae: CT2, allow: [ct, mr]").start().await;
    let (mut calling, _called) = associated(&mesh, "ct", &pacs, &workload).await;
    let (mut other, mut other_called) = associated(&mesh, "mr", &pacs, &workload).await;

    pacs.reload(&pacs_with("calling_ae: CT2, allow: [mr]")).await.unwrap();

    assert_eq!(calling.next().await, ABORT);
    calling.end().await;
    withdrawn(&pacs, "not_listed_for_association", "pacs/ct").await;
    let data = message(1, C_ECHO, VERIFICATION, b"still here");
    other.send(&data).await;
    assert_eq!(other_called.next().await, data);
}

#[tokio::test]
async fn an_association_that_was_only_observed_ends_when_policy_is_enforced() {
    let (mesh, workload) = (Mesh::new(), Called::new().await);
    let setup = pacs(&mesh, &workload, "calling_ae: CT3, allow: [ct]");
    let pacs = setup.clone().observing(SOON).start().await;
    let (mut calling, _called) = associated(&mesh, "ct", &pacs, &workload).await;
    assert_eq!(
        pacs.trail().only("association-allowed").await.text("myelin.would_deny"),
        "no_association_rule"
    );

    assert_eq!(calling.next().await, ABORT);
    calling.end().await;

    withdrawn(&pacs, "no_association_rule", "pacs/ct").await;
}

#[tokio::test]
async fn a_tunnel_ends_at_once_on_both_sides_when_its_rule_expires() {
    let (mesh, workload) = (Mesh::new(), ByHand::new().await);
    let route = format!("{{ name: feed, path: /feed, allow: [lab], expires: {:?} }}", soon());
    let ehr = ehr(&mesh, &workload, &route).start().await;
    let (mut lab, mut call) = tunnelled(&mesh, &ehr, &workload).await;

    lab.ends().await;
    call.ends().await;

    withdrawn(&ehr, "rule_expired", "ehr/feed").await;
    assert_eq!(ehr.trail().only("request-completed").await.reason(), "withdrawn");
}

#[tokio::test]
async fn a_tunnel_ends_when_a_reload_takes_its_rule_away_or_names_another_host() {
    for (rule, reason, named) in [
        ("{ name: other, path: /other, allow: [lab] }", "no_route", "ehr"),
        (
            "{ name: feed, path: /feed, hosts: [other.example], allow: [lab] }",
            "no_route",
            "ehr/feed",
        ),
    ] {
        let (mesh, workload) = (Mesh::new(), ByHand::new().await);
        let setup = |rule: &str| ehr(&mesh, &workload, rule);
        let ehr = setup("{ name: feed, path: /feed, allow: [lab] }").start().await;
        let (mut lab, mut call) = tunnelled(&mesh, &ehr, &workload).await;

        ehr.reload(&setup(rule)).await.unwrap();

        lab.ends().await;
        call.ends().await;
        withdrawn(&ehr, reason, named).await;
    }
}

#[tokio::test]
async fn a_tunnel_that_was_only_observed_ends_when_a_reload_enforces_policy() {
    let (mesh, workload) = (Mesh::new(), ByHand::new().await);
    let strict = ehr(&mesh, &workload, "{ name: other, path: /other, allow: [lab] }");
    let ehr = strict.clone().observing(FAR).start().await;
    let (mut lab, mut call) = tunnelled(&mesh, &ehr, &workload).await;

    ehr.reload(&strict).await.unwrap();

    lab.ends().await;
    call.ends().await;
    withdrawn(&ehr, "no_route", "ehr").await;
}

#[tokio::test]
async fn a_tunnel_goes_on_under_another_rule_that_lets_it_through() {
    let (mesh, workload) = (Mesh::new(), ByHand::new().await);
    let setup = |rule: &str| ehr(&mesh, &workload, rule);
    let ehr = setup("{ name: feed, path: /feed, allow: [lab] }").start().await;
    let (mut lab, mut call) = tunnelled(&mesh, &ehr, &workload).await;

    ehr.reload(&setup("{ name: all, path: \"/{rest...}\", allow: [lab] }")).await.unwrap();

    lab.send("pong").await;
    assert_eq!(call.bytes(4).await, b"pong");
    assert!(ehr.trail().all("connection-withdrawn").is_empty());
}
