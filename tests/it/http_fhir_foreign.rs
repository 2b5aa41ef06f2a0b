//! FHIR through a pair of sidecars, as fhirpy speaks it.

use crate::support::mesh::Mesh;
use crate::support::python::{finishes, peer, serves};

const ROUTES: &str = r#"routes:
      - { name: patients, path: /fhir, allow: [web],
          fhir: { interactions: [read, search-type, create], resources: [Patient, Organization] } }"#;

#[tokio::test]
async fn fhirpy_searches_what_it_may_and_gets_at_nothing_else_by_it() {
    let mesh = Mesh::new();
    let (_server, target) = serves(peer("fhir_peer", "fhirpy", &["server"])).await;
    let ehr = mesh.inbound("ehr").allow("web").http().phi().forward(&target).with(ROUTES);
    let ehr = ehr.start().await;
    let web = mesh.outbound("web").allow("ehr").http().phi().to(ehr.address()).start().await;
    let port = web.address().port().to_string();
    let fhirpy = async |what| finishes(peer("fhir_peer", "fhirpy", &[what, &port])).await.stdout;

    assert_eq!(fhirpy("client").await, "found Meier\nread True\nchained 1\ncreated True\n");
    assert_eq!(fhirpy("reaches").await, "denied not allowed\n".repeat(3));

    let denied = ehr.trail().wait_for("request-denied", 3).await;
    for (record, by) in denied.iter().zip(["`_revinclude`", "`_has`", "`general-practitioner`"]) {
        assert_eq!(record.text("myelin.differs"), "resource", "{record:?}");
        assert!(record.text("myelin.nearest").contains(by), "{record:?}");
    }
    let trail = ehr.trail().text();
    assert!(!trail.contains("PQ4711") && !trail.contains("Meier"), "{trail}");
}
