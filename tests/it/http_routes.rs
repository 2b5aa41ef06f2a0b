//! `routes`: which peer may ask for what. The first that matches decides; no match is a denial.

use crate::support::http::PeerWire;
use crate::support::legacy::Legacy;
use crate::support::mesh::{Mesh, Running, Setup};

const ROUTES: &str = r#"routes:
      - { name: patient, methods: [GET], path: "/fhir/Patient/{id}", allow: [billing, portal] }
      - { name: claims, methods: [GET, POST], path: "/fhir/Claim/{rest...}", allow: [billing] }
      - { name: health, methods: [GET], path: /healthz, phi: false, allow: [portal] }"#;

fn ehr(mesh: &Mesh, workload: &Legacy) -> Setup {
    mesh.inbound("ehr")
        .allow("billing")
        .allow("portal")
        .http()
        .forward(workload.target())
        .with(ROUTES)
}

async fn start(mesh: &Mesh, workload: &Legacy) -> Running {
    ehr(mesh, workload).phi().start().await
}

async fn status(wire: &mut PeerWire, method: &str, path: &str) -> u16 {
    wire.send(format!("{method} {path} HTTP/1.1\r\nHost: ehr\r\nContent-Length: 0\r\n\r\n")).await;
    wire.message().await.status()
}

#[tokio::test]
async fn a_route_lets_its_peers_through_and_nobody_else() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = start(&mesh, &workload).await;
    let mut billing = mesh.http("billing", &ehr).await;
    let mut portal = mesh.http("portal", &ehr).await;

    assert_eq!(status(&mut billing, "GET", "/fhir/Patient/PQ4711").await, 200);
    assert_eq!(status(&mut portal, "GET", "/fhir/Patient/PQ4711").await, 200);
    assert_eq!(status(&mut billing, "POST", "/fhir/Claim").await, 200);
    assert_eq!(status(&mut billing, "GET", "/fhir/Claim/a/b?code=C50").await, 200);
    assert_eq!(status(&mut portal, "GET", "/healthz").await, 200);
    let let_through = workload.targets();

    // On the same connections, and they stay usable.
    assert_eq!(status(&mut portal, "GET", "/fhir/Claim/1").await, 403);
    assert_eq!(status(&mut billing, "DELETE", "/fhir/Patient/PQ4711").await, 403);
    assert_eq!(status(&mut billing, "GET", "/fhir/Patient").await, 403);
    assert_eq!(status(&mut billing, "GET", "/fhir/Patient/").await, 403);
    assert_eq!(status(&mut billing, "GET", "/fhir/Patient/PQ4711/history").await, 403);
    assert_eq!(status(&mut billing, "GET", "/fhir/patient/PQ4711").await, 403);
    assert_eq!(status(&mut billing, "GET", "/healthz").await, 403);
    assert_eq!(status(&mut billing, "GET", "/").await, 403);
    assert_eq!(workload.targets(), let_through);
    assert_eq!(status(&mut billing, "GET", "/fhir/Patient/4712").await, 200);

    let denied = ehr.trail().wait_for("request-denied", 8).await;
    let reasons: Vec<_> = denied.iter().map(|record| record.reason().to_owned()).collect();
    assert_eq!(reasons[0], "not_listed_for_route");
    assert_eq!(reasons[1..6], ["no_route"; 5]);
    assert_eq!(reasons[6..], ["not_listed_for_route", "no_route"]);
    assert_eq!(denied[0].text("rule.name"), "ehr/claims");
    assert_eq!(denied[0].text("myelin.peer"), "portal");
    assert_eq!(denied[0].number("http.response.status_code"), 403);
    assert!(denied[0].text("myelin.nearest").contains("`claims`"), "{:?}", denied[0]);
    ehr.metric_is("myelin_connections_denied_total", &[("reason", "no_route")], 6.0).await;
}

#[tokio::test]
async fn records_have_templates_and_no_patient() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = start(&mesh, &workload).await;
    let mut billing = mesh.http("billing", &ehr).await;

    assert_eq!(status(&mut billing, "GET", "/fhir/Patient/PQ4711?name=Meier").await, 200);
    assert_eq!(status(&mut billing, "GET", "/fhir/Meier/PQ4711").await, 403);

    let allowed = ehr.trail().only("request-allowed").await;
    assert_eq!(allowed.text("url.path"), "/fhir/Patient/{id}");
    assert_eq!(allowed.text("rule.name"), "ehr/patient");
    assert_eq!(allowed.text("http.request.method"), "GET");
    assert_eq!(allowed.text("http.version"), "1.1");
    assert_eq!(allowed.text("myelin.peer"), "billing");
    let completed = ehr.trail().only("request-completed").await;
    assert_eq!(completed.number("http.response.status_code"), 200);
    assert_eq!(completed.text("http.request.id"), allowed.text("http.request.id"));
    assert_eq!(completed.reason(), "finished");
    ehr.trail().only("request-denied").await;
    let text = ehr.trail().text();
    assert!(!text.contains("PQ4711") && !text.contains("Meier"), "{text}");
    let log = ehr.page("/denials").await.body;
    assert!(!log.contains("PQ4711") && !log.contains("Meier"), "{log}");
}

#[tokio::test]
async fn an_encoded_path_does_not_cross_a_route() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = start(&mesh, &workload).await;
    let mut portal = mesh.http("portal", &ehr).await;

    // What decodes to a route of its own is that route, and no other.
    assert_eq!(status(&mut portal, "GET", "/fhir/%50atient/PQ4711").await, 200);
    assert_eq!(status(&mut portal, "GET", "/fhir/%43laim/1").await, 403);
    assert_eq!(status(&mut portal, "GET", "/%66hir/Claim/1").await, 403);
    assert_eq!(workload.targets(), ["/fhir/%50atient/PQ4711"]);

    let elsewhere = [
        "/fhir/Patient/../Claim/1",
        "/fhir/Patient/%2e%2e%2fClaim%2f1",
        "/fhir/Patient/%2e%2e/Claim/1",
        "/fhir/Patient/..%2fClaim",
        "/fhir/Patient/..%5cClaim",
        "/fhir/Patient/%252e%252e%252fClaim",
        "/fhir/Patient/..;/Claim",
        "/fhir/Patient//Claim",
        "//fhir/Claim/1",
    ];
    for path in elsewhere {
        let mut portal = mesh.http("portal", &ehr).await;
        assert_eq!(status(&mut portal, "GET", path).await, 400, "{path}");
    }
    assert_eq!(workload.targets(), ["/fhir/%50atient/PQ4711"]);
}

#[tokio::test]
async fn an_absolute_target_is_judged_by_its_path() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = start(&mesh, &workload).await;
    let mut portal = mesh.http("portal", &ehr).await;

    assert_eq!(status(&mut portal, "GET", "http://ehr/fhir/Claim/1").await, 403);
    assert_eq!(status(&mut portal, "GET", "http://ehr/fhir/Patient/1").await, 200);

    assert_eq!(workload.targets(), ["/fhir/Patient/1"]);
}

#[tokio::test]
async fn an_entry_that_expires_ends_the_connections_of_its_peer() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let soon = time::OffsetDateTime::now_utc() + time::Duration::seconds(3);
    let soon = soon.format(&time::format_description::well_known::Rfc3339).unwrap();
    let entry = format!("spiffe: spiffe://hospital.example/lab, expires: {soon:?}");
    let setup = mesh.inbound("ehr").peer("lab", &entry).allow_known("lab").http();
    let ehr = setup.forward(workload.target()).start().await;

    let mut lab = mesh.http("lab", &ehr).await;
    assert_eq!(lab.get("/before").await.status(), 200);

    assert!(lab.rest().await.is_empty(), "nothing but the end of the connection");
    assert_eq!(ehr.trail().only("connection-withdrawn").await.reason(), "listing_expired");
    let mut late: PeerWire = mesh.http("lab", &ehr).await;
    late.try_send("GET / HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    assert!(late.rest().await.is_empty());
    assert_eq!(ehr.trail().only("connection-denied").await.reason(), "listing_expired");
}
