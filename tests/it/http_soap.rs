//! SOAP through a pair: zeep as the client, and a service that tells `SOAPAction` from `soapaction`.

use crate::support::mesh::{Mesh, Running};
use crate::support::process::{Process, Said};
use crate::support::python::{finishes, peer, serves};

/// Who may read the WSDL, and who may call: in SOAP 1.1 and 1.2.
const ROUTES: &str = r#"routes:
      - { name: wsdl, methods: [GET], path: "/{version}", allow: [web] }
      - { name: find, methods: [POST], path: "/{version}", allow: [web],
          soap_action: "urn:hl7-org:v3:PRPA_IN201305UV02", soap_body: Find }"#;

/// The action as it stands in its header; zeep sends it with SOAP 1.2 as well.
const ACTION: &str = "\"urn:hl7-org:v3:PRPA_IN201305UV02\"";

/// The service, and a sidecar on either side of the way to it.
struct Clinic {
    server: Process,
    ehr: Running,
    web: Running,
    _mesh: Mesh,
}

impl Clinic {
    async fn open() -> Self {
        let mesh = Mesh::new();
        let (server, target) = serves(peer("soap_peer", "zeep", &["server"])).await;
        let ehr = mesh.inbound("ehr").allow("web").http().phi().forward(&target).with(ROUTES);
        let ehr = ehr.start().await;
        let web = mesh.outbound("web").allow("ehr").http().phi().to(ehr.address()).start().await;
        Self { server, ehr, web, _mesh: mesh }
    }

    async fn zeep(&self, what: &str) -> Said {
        let port = self.web.address().port().to_string();
        finishes(peer("soap_peer", "zeep", &[what, &port])).await
    }

    fn told_nothing(&self) {
        let trail = self.ehr.trail().text() + &self.web.trail().text();
        assert!(!trail.contains("PQ4711") && !trail.contains("Meier"), "{trail}");
    }
}

#[tokio::test]
async fn zeep_calls_a_legacy_service_through_a_pair() {
    let mut clinic = Clinic::open().await;

    let said = clinic.zeep("client").await;

    assert_eq!(said.stdout, "found Meier\nfault nobody\n");
    let seen = clinic.server.says(&format!("soap 11 action {ACTION}")).await;
    assert!(seen.contains("URI=spiffe://hospital.example/web"), "{seen}");
    let completed = clinic.ehr.trail().wait_for("request-completed", 3).await;
    let statuses: Vec<_> =
        completed.iter().map(|record| record.number("http.response.status_code")).collect();
    assert_eq!(statuses, [200, 200, 500]);
    assert_eq!(completed[1].text("rule.name"), "ehr/find");
    assert_eq!(completed[1].text("myelin.soap.action"), "urn:hl7-org:v3:PRPA_IN201305UV02");
    clinic.told_nothing();
}

#[tokio::test]
async fn zeep_speaks_soap_12_with_and_without_addressing() {
    let mut clinic = Clinic::open().await;

    let said = clinic.zeep("client12").await;
    assert_eq!(said.stdout, "found Meier\nfault nobody\n");
    clinic.server.says(&format!("soap 12 action {ACTION} addressed False")).await;
    let said = clinic.zeep("addressing").await;
    assert_eq!(said.stdout, "found Meier\nfault nobody\n");
    clinic.server.says(&format!("soap 12 action {ACTION} addressed True")).await;

    let allowed = clinic.ehr.trail().all("request-allowed");
    let calls = allowed.iter().filter(|record| record.text("rule.name") == "ehr/find");
    assert_eq!(calls.count(), 4);
    clinic.told_nothing();
}

#[tokio::test]
async fn a_client_that_calls_another_operation_than_it_claims_is_denied() {
    let clinic = Clinic::open().await;

    let said = clinic.zeep("other").await;

    assert_eq!(said.stdout, "denied 403\n");
    let denied = clinic.ehr.trail().only("request-denied").await;
    assert_eq!(denied.reason(), "soap_mismatch");
    let nearest = denied.text("myelin.nearest");
    assert!(nearest.ends_with("begins with an element that is not IHE's"), "{nearest}");
    clinic.told_nothing();
}
