//! SOAP through a pair: zeep as the client, and a service that tells `SOAPAction` from `soapaction`.

use crate::support::mesh::Mesh;
use crate::support::python::{finishes, peer, serves};

#[tokio::test]
async fn zeep_calls_a_legacy_service_through_a_pair() {
    let mesh = Mesh::new();
    let (mut server, target) = serves(peer("soap_peer", "zeep", &["server"])).await;
    let ehr = mesh.inbound("ehr").allow("web").http().phi().forward(&target).start().await;
    let web = mesh.outbound("web").allow("ehr").http().phi().to(ehr.address()).start().await;

    let port = web.address().port().to_string();
    let said = finishes(peer("soap_peer", "zeep", &["client", &port])).await;

    assert_eq!(said.stdout, "found Meier\nfault nobody\n");
    let seen = server.says("action \"urn:hl7-org:v3:PRPA_IN201305UV02\" peer By=").await;
    assert!(seen.contains("URI=spiffe://hospital.example/web"), "{seen}");
    let completed = ehr.trail().wait_for("request-completed", 3).await;
    let statuses: Vec<_> =
        completed.iter().map(|record| record.number("http.response.status_code")).collect();
    assert_eq!(statuses, [200, 200, 500]);
    let trail = ehr.trail().text() + &web.trail().text();
    assert!(!trail.contains("PQ4711") && !trail.contains("Meier"), "{trail}");
}
