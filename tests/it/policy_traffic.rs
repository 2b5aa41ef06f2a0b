//! From traffic to an allowlist: observed, suggested, held against the trail, and enforced.

use serde_json::Value;

use super::cli::myelin;
use super::support::http::PeerWire;
use super::support::legacy::Legacy;
use super::support::mesh::{Mesh, Setup};
use super::support::process::write;

fn observed(mesh: &Mesh, workload: &Legacy) -> Setup {
    mesh.inbound("ehr")
        .allow("billing")
        .http()
        .phi()
        .forward(workload.target())
        .with("enforce: false")
        .with("until: 2099-12-31")
        .with("observe_paths: true")
}

/// A suggestion in a configuration, as the operator pastes it: new peers beside those that are there, the listener in
/// place of the old one.
pub(crate) fn pasted(config: &str, suggested: &str) -> String {
    let (head, _) = config.split_once("inbound:").unwrap();
    let (peers, inbound) = suggested.split_once("inbound:").unwrap();
    let (_, peers) = peers.split_once("peers:\n").unwrap();
    format!("{head}{peers}inbound:{inbound}")
}

async fn get(wire: &mut PeerWire, path: &str) -> u16 {
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: ehr\r\n\r\n")).await;
    wire.message().await.status()
}

#[tokio::test]
async fn shapes_of_paths_are_on_record_and_nobody_s_number() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = observed(&mesh, &workload).start().await;
    let mut billing = mesh.http("billing", &ehr).await;

    assert_eq!(get(&mut billing, "/fhir/Patient/PQ4711?name=Smith").await, 200);
    assert_eq!(get(&mut billing, "/reports/2026/monthly").await, 200);

    let records = ehr.trail().wait_for("request-allowed", 2).await;
    assert_eq!(records[0].text("url.path"), "/fhir/Patient/{id}");
    assert_eq!(records[1].text("url.path"), "/reports/{id}/monthly");
    let text = ehr.trail().text();
    assert!(!text.contains("PQ4711") && !text.contains("Smith"));
}

#[tokio::test]
async fn without_observe_paths_no_path_is_on_record() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = mesh.inbound("ehr").allow("billing").http().phi().forward(workload.target());
    let ehr = ehr.start().await;
    let mut billing = mesh.http("billing", &ehr).await;

    assert_eq!(get(&mut billing, "/fhir/Patient/PQ4711").await, 200);

    let record = ehr.trail().only("request-allowed").await;
    assert_eq!(*record.field("url"), Value::Null);
}

#[tokio::test]
async fn what_was_observed_becomes_rules_under_which_it_goes_on_and_nothing_else_does() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = observed(&mesh, &workload);
    let ehr = setup.start().await;
    let mut billing = mesh.http("billing", &ehr).await;
    let mut portal = mesh.http("portal", &ehr).await;
    assert_eq!(get(&mut billing, "/fhir/Patient/PQ4711").await, 200);
    assert_eq!(get(&mut portal, "/fhir/Observation/1").await, 200);
    ehr.trail().wait_for("request-completed", 2).await;

    let (audit, config) = (ehr.trail().dir().display().to_string(), setup.write());
    let suggested =
        myelin(&["policy", "suggest", "--audit", &audit, "-c", config.to_str().unwrap()]).await;
    assert_eq!(suggested.code, Some(0), "{suggested:#?}");
    let pasted = pasted(&setup.text(), &suggested.stdout);
    let file = write(mesh.dir(), "pasted.yaml", &pasted);
    let named = ["policy", "replay", "--audit", &audit, "-c", file.to_str().unwrap()];
    let replayed = myelin(&named).await;
    assert_eq!(replayed.code, Some(0), "{replayed:#?}\n{pasted}");
    assert!(replayed.stdout.contains("0 newly denied, 0 newly allowed"), "{replayed:#?}");

    let explained = |id: &'static str, path: &'static str| {
        let file = file.clone();
        async move {
            let id = format!("spiffe://hospital.example/{id}");
            let asked = ["--spiffe", &id, "--path", path];
            myelin(&[&["explain", "-c", file.to_str().unwrap()], &asked[..]].concat()).await.code
        }
    };
    assert_eq!(explained("billing", "/fhir/Patient/2").await, Some(0));
    assert_eq!(explained("portal", "/fhir/Observation/2").await, Some(0));
    assert_eq!(explained("portal", "/fhir/Patient/2").await, Some(1));
    assert_eq!(explained("billing", "/fhir/Patient").await, Some(1));
}
