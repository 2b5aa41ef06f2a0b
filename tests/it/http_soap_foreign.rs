//! SOAP through a pair of sidecars, between clients and services that nobody here wrote: spyne, zeep, node-soap.

use crate::support::curl::Curl;
use crate::support::legacy::Legacy;
use crate::support::mesh::{Mesh, Running};
use crate::support::node;
use crate::support::process::Process;
use crate::support::python::{finishes, peer, serves};

/// Who may read the WSDL, and who may call `Find`, and nothing else that the service has.
const ROUTES: &str = r#"routes:
      - { name: wsdl, methods: [GET], path: /records, allow: [web] }
      - { name: find, methods: [POST], path: /records, allow: [web],
          soap_action: Find, soap_body: "{urn:hospital:records}Find" }"#;

/// A way from the peer to `target`, with a sidecar on either side.
async fn pair(mesh: &Mesh, target: &str) -> (Running, Running) {
    let ehr = mesh.inbound("ehr").allow("web").http().phi().forward(target).with(ROUTES);
    let ehr = ehr.start().await;
    let web = mesh.outbound("web").allow("ehr").http().phi().to(ehr.address()).start().await;
    (ehr, web)
}

async fn spyne() -> (Process, String) {
    serves(peer("spyne_peer", "spyne", &["server"])).await
}

fn port(web: &Running) -> String {
    web.address().port().to_string()
}

/// The rules of what was let through, and nothing of whom it was about.
fn rules(ehr: &Running) -> Vec<String> {
    let trail = ehr.trail().text();
    assert!(!trail.contains("PQ4711") && !trail.contains("PHISECRET"), "{trail}");
    let allowed = ehr.trail().all("request-allowed");
    allowed.iter().map(|record| record.text("rule.name").to_owned()).collect()
}

#[tokio::test]
async fn zeep_calls_a_service_of_spyne_and_what_is_not_allowed_there_is_denied() {
    let mesh = Mesh::new();
    let (mut server, target) = spyne().await;
    let (ehr, web) = pair(&mesh, &target).await;
    let zeep = async |what| finishes(peer("spyne_peer", "zeep", &[what, &port(&web)])).await.stdout;

    assert_eq!(zeep("client").await, "found Meier\n");
    server.says("found").await;
    assert_eq!(zeep("other").await, "denied 403\n");

    assert_eq!(rules(&ehr), ["ehr/wsdl", "ehr/find", "ehr/wsdl"]);
    let denied = ehr.trail().only("request-denied").await;
    assert_eq!(denied.reason(), "no_route");
    assert_eq!(denied.text("myelin.differs"), "soap_action");
}

#[tokio::test]
async fn node_soap_calls_a_service_of_spyne() {
    let mesh = Mesh::new();
    let (_server, target) = spyne().await;
    let (ehr, web) = pair(&mesh, &target).await;

    let said = finishes(node::peer("node_soap", &["client", &port(&web)])).await;

    assert_eq!(said.stdout, "found Meier\n");
    assert_eq!(rules(&ehr).last().map(String::as_str), Some("ehr/find"));
}

#[tokio::test]
async fn what_node_soap_sends_as_mtom_is_told_by_its_root_and_arrives_whole() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let (ehr, web) = pair(&mesh, workload.target()).await;
    let node = async |what| finishes(node::peer("node_soap", &[what, &port(&web)])).await.stdout;

    assert_eq!(node("mtom").await, "answered 200\n");
    assert_eq!(node("other").await, "answered 403\n");

    let asked = workload.only();
    assert!(asked.head.header("content-type").unwrap().starts_with("multipart/related"));
    let document = b"PHISECRET".repeat(1000);
    assert!(asked.body.len() > 300_000);
    assert!(asked.body.windows(document.len()).any(|window| window == document));
    assert_eq!(rules(&ehr), ["ehr/find"]);
}

#[tokio::test]
async fn curl_hears_nothing_of_a_contradiction_but_where_to_ask() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let (ehr, _web) = pair(&mesh, workload.target()).await;
    let web = mesh.pem("web");
    let curl = Curl { identity: &web, to: &ehr };
    let kind = "Content-Type: application/soap+xml; action=\"Delete\"";

    let args = ["-H", "SOAPAction: \"Find\"", "-H", kind, "-d", "PQ4711"];
    let got = curl.ask("/records", &args).await;

    assert_eq!((got.status, got.body.as_str()), (403, "not allowed\n"));
    let denied = ehr.trail().only("request-denied").await;
    assert_eq!(got.header("x-request-id"), Some(denied.text("http.request.id")));
    assert_eq!(denied.reason(), "soap_mismatch");
    assert_eq!(denied.text("myelin.differs"), "soap_action");
    assert!(denied.text("myelin.nearest").contains("different actions"), "{denied:?}");
    assert_eq!(workload.connections(), 0);
}
