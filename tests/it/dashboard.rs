//! The dashboard, looked at by a real browser and by axe-core.

use crate::support::admin::ask;
use crate::support::http::PeerWire;
use crate::support::legacy::Legacy;
use crate::support::mesh::{Mesh, Running};
use crate::support::node;
use crate::support::process::{Process, free_port, loopback, run};

const ROUTES: &str = r#"routes:
      - { name: patient, methods: [GET], path: "/fhir/Patient/{id}", allow: [billing] }
      - { name: unused, methods: [GET], path: "/fhir/Claim/{id}", allow: [portal] }"#;

/// A sidecar after some traffic and a denial, with a connection that is open.
struct Seen {
    ehr: Running,
    _open: PeerWire,
    _workload: Legacy,
    _mesh: Mesh,
}

async fn asks(wire: &mut PeerWire, path: &str) -> u16 {
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: ehr\r\nContent-Length: 0\r\n\r\n")).await;
    wire.message().await.status()
}

async fn seen() -> Seen {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = mesh.inbound("ehr").allow("billing").allow("portal").http();
    let ehr = setup.forward(workload.target()).with(ROUTES).phi().start().await;
    let mut billing = mesh.http("billing", &ehr).await;
    assert_eq!(asks(&mut billing, "/fhir/Patient/4711").await, 200);
    assert_eq!(asks(&mut billing, "/fhir/Claim/1").await, 403);
    ehr.trail().wait_for("request-denied", 1).await;
    Seen { ehr, _open: billing, _workload: workload, _mesh: mesh }
}

/// What the browser finds wrong.
async fn looks(deed: &str, at: &Running, facts: &[&str]) {
    let address = at.admin.to_string();
    let args = [&[deed, &*address], facts].concat();
    let said = run(&mut node::peer("dashboard", &args), "").await;
    assert_eq!(said.code, Some(0), "{}", said.all());
}

#[tokio::test]
async fn the_page_shows_traffic_denials_peers_and_rules() {
    let seen = seen().await;

    let facts = [
        "h1=ehr",
        "#identity=spiffe://hospital.example/ehr",
        "#facts=renews",
        "#facts=Audit trail",
        "#legend=ehr",
        "#denials-table=the route does not allow this peer",
        "#denials-table=--peer billing --method GET --path",
        "#denials-table=ehr/unused",
        "#connections-table=billing",
        "#peers-table=spiffe://hospital.example/billing",
        "#peers-table=has not come since the start",
        "#rules-table=never used",
        "#trail-facts=records that were never written",
    ];
    looks("shows", &seen.ehr, &facts).await;
}

#[tokio::test]
async fn axe_finds_nothing_serious_in_light_in_dark_and_on_a_phone() {
    looks("everybody", &seen().await.ehr, &[]).await;
}

#[tokio::test]
async fn the_keyboard_reaches_everything_and_walks_along_the_plots() {
    looks("keyboard", &seen().await.ehr, &[]).await;
}

#[tokio::test]
async fn what_strangers_write_is_shown_as_text() {
    looks("hostile", &seen().await.ehr, &[]).await;
}

#[tokio::test]
async fn a_sidecar_that_is_gone_is_told_and_one_that_is_back_is_shown_again() {
    let mesh = Mesh::new();
    let admin = loopback(free_port());
    let setup = mesh.inbound("db").allow("web").admin(&format!("listen: {admin}"));
    let db = setup.start().await;
    let mut browser =
        Process::start(&mut node::peer("dashboard", &["silence", &admin.to_string()]));

    browser.says("it is ready").await;
    db.stop().await;
    browser.says("it is silent").await;
    let _back = setup.start().await;

    let ended = browser.ended().await;
    assert!(ended.success(), "{}", browser.output());
}

#[tokio::test]
async fn browsers_get_the_page_under_a_strict_policy_and_others_the_text() {
    let mesh = Mesh::new();
    let db = mesh.inbound("db").allow("web").start().await;
    let asked = async |fields: &str| {
        let head =
            format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: close\r\n\r\n");
        ask(db.admin, &head).await.unwrap()
    };

    let page = asked("Accept: text/html,*/*;q=0.8\r\n").await;
    let text = asked("Accept: */*\r\n").await;

    let head = page.head.to_lowercase();
    assert!(page.body.starts_with("<!doctype html>"), "{}", page.body);
    assert!(
        head.contains("content-security-policy: default-src 'none'; script-src 'self';"),
        "{head}"
    );
    assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    assert!(head.contains("referrer-policy: no-referrer"), "{head}");
    assert!(text.body.starts_with("/live\n/ready\n"), "{}", text.body);
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let again = asked(&format!("Accept: text/html\r\nIf-None-Match: {tag}\r\n")).await;
    assert_eq!((again.status, &*again.body), (304, ""));
}
