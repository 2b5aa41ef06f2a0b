//! Routes for hosts, and routes that the sidecar answers by itself.

use crate::support::curl::Curl;
use crate::support::legacy::Legacy;
use crate::support::mesh::Mesh;

#[tokio::test]
async fn a_route_is_for_its_hosts_however_they_are_written() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let routes = r#"routes:
      - { name: fhir, hosts: [fhir.hospital.example], path: "/{rest...}", allow: [billing] }
      - { name: admin, hosts: [admin.hospital.example], path: "/{rest...}", allow: [ops] }"#;
    let ehr = mesh.inbound("ehr").allow("billing").allow("ops").http().phi();
    let ehr = ehr.forward(workload.target()).with(routes).start().await;
    let billing = mesh.pem("billing");
    let curl = Curl { identity: &billing, to: &ehr };

    for version in ["--http1.1", "--http2"] {
        for host in [
            "fhir.hospital.example",
            "FHIR.Hospital.Example",
            "fhir.hospital.example:8443",
            "fhir.hospital.example.",
        ] {
            assert_eq!(curl.ask_of(host, "/a", &[version]).await.status, 200, "{host}");
        }
        let passed = workload.targets();
        for host in ["admin.hospital.example", "ADMIN.hospital.example.:1", "fhir", "ehr", "[::1]"]
        {
            assert_eq!(curl.ask_of(host, "/a", &[version]).await.status, 403, "{host}");
        }
        assert_eq!(
            curl.ask_of(
                "fhir.hospital.example",
                "/a",
                &[version, "-H", "X-Forwarded-Host: admin.hospital.example"]
            )
            .await
            .status,
            200
        );
        assert_eq!(workload.targets().len(), passed.len() + 1);
    }
    for asked in workload.asked() {
        assert_eq!(asked.head.header("x-forwarded-host"), None);
    }
    let denied = ehr.trail().wait_for("request-denied", 10).await;
    assert_eq!(denied[0].reason(), "not_listed_for_route");
    assert_eq!(denied[2].reason(), "no_route");
}

#[tokio::test]
async fn a_route_that_responds_asks_no_workload() {
    let mesh = Mesh::new();
    let routes = r"routes:
      - { name: alive, methods: [GET, HEAD], path: /alive, respond: 204, phi: false, allow: [probe] }
      - { name: gone, path: /old, respond: 410, allow: [probe] }";
    let ehr = mesh.inbound("ehr").allow("probe").http().phi();
    let ehr = ehr.forward("127.0.0.1:9").with(routes).start().await;
    let probe = mesh.pem("probe");
    let curl = Curl { identity: &probe, to: &ehr };

    for version in ["--http1.1", "--http2"] {
        let got = curl.ask("/alive", &[version]).await;
        assert_eq!((got.status, got.body.as_str()), (204, ""));
        assert_eq!(curl.ask("/alive", &[version, "--head"]).await.status, 204);
        let got = curl.ask("/old", &[version, "-d", "body"]).await;
        assert_eq!((got.status, got.body.as_str()), (410, ""));
    }

    // Nobody had access to anything: it is counted, and not on record.
    for (method, status) in [("GET", "2xx"), ("HEAD", "2xx"), ("POST", "4xx")] {
        let labels = [("method", method), ("status", status), ("decision", "allowed")];
        ehr.metric_is("myelin_requests_total", &labels, 2.0).await;
    }
    assert_eq!(curl.ask("/other", &[]).await.status, 403);
    ehr.trail().only("request-denied").await;
    assert!(ehr.trail().all("request-allowed").is_empty());
    assert!(ehr.trail().all("request-completed").is_empty());
}
