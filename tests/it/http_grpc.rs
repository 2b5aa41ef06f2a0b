//! gRPC through a pair: a client and a service of grpcio, neither of which knows TLS.

use crate::support::mesh::Mesh;
use crate::support::python::{finishes, peer, serves};

#[tokio::test]
async fn every_kind_of_call_goes_through_a_pair_statuses_and_trailers_included() {
    let mesh = Mesh::new();
    let (mut server, target) = serves(peer("grpc_peer", "grpc", &["server"])).await;
    let ehr = mesh.inbound("ehr").allow("web").http().phi().forward(&target).start().await;
    let web = mesh.outbound("web").allow("ehr").http().phi().to(ehr.address()).start().await;

    let port = web.address().port().to_string();
    let said = finishes(peer("grpc_peer", "grpc", &["client", &port])).await;

    assert!(said.stdout.contains("all calls answered"), "{}", said.all());
    server.says("\ncancelled").await; // a deadline that passed is felt at the service
    let calls = 9 + 200;
    for sidecar in [&ehr, &web] {
        let completed = sidecar.trail().wait_for("request-completed", calls).await;
        assert_eq!(completed.len(), calls);
        assert!(completed.iter().all(|record| record.text("http.version") == "2"));
        let finished = completed.iter().filter(|record| record.reason() == "finished").count();
        assert!(finished >= calls - 1, "{completed:#?}");
    }
    let allowed = ehr.trail().all("connection-allowed");
    assert_eq!(allowed.len(), 1, "all calls share one connection: {allowed:#?}");
}

#[tokio::test]
async fn a_service_that_is_down_is_unavailable_to_a_grpc_client() {
    let mesh = Mesh::new();
    let ehr = mesh.inbound("ehr").allow("web").http().forward("127.0.0.1:9").start().await;
    let web = mesh.outbound("web").allow("ehr").http().to(ehr.address()).start().await;

    let port = web.address().port().to_string();
    let mut client = peer("grpc_peer", "grpc", &["client", &port]);
    let said = crate::support::process::run(&mut client, "").await;

    assert!(said.stderr.contains("StatusCode.UNAVAILABLE"), "{}", said.all());
}

#[tokio::test]
async fn a_call_is_denied_by_its_path_in_the_words_of_grpc() {
    let mesh = Mesh::new();
    let (_server, target) = serves(peer("grpc_peer", "grpc", &["server"])).await;
    let routes =
        r"routes: [ { name: one, methods: [POST], path: /lab.Results/One, allow: [web] } ]";
    let ehr = mesh.inbound("ehr").allow("web").http().phi().forward(&target).with(routes);
    let ehr = ehr.start().await;
    let web = mesh.outbound("web").allow("ehr").http().to(ehr.address()).start().await;
    let port = web.address().port().to_string();
    let ask = |name: &'static str| {
        let port = port.clone();
        async move { finishes(peer("grpc_peer", "grpc", &["ask", &port, name])).await.stdout }
    };

    assert_eq!(ask("One").await, "OK -\n");
    let denied = ask("Fail").await;

    let record = ehr.trail().only("request-denied").await;
    assert_eq!(denied, format!("PERMISSION_DENIED {}\n", record.text("http.request.id")));
    assert_eq!(record.reason(), "no_route");
    ehr.trail().only("request-allowed").await;
}
