//! Outbound listeners: several endpoints, and whom the server must prove to be.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::openssl::s_server;
use crate::support::outside::Outside;
use crate::support::pki::{Ca, Identity};
use crate::support::process::{free_port, loopback};
use crate::support::workload::{Kind, Workload};

/// Sends a line and returns the answer's first; empty when the connection ended without one.
pub(crate) async fn ask(sidecar: &Outside, line: &str) -> String {
    ask_at(sidecar.address(), line).await
}

pub(crate) async fn ask_at(address: SocketAddr, line: &str) -> String {
    let mut caller = BufReader::new(TcpStream::connect(address).await.unwrap());
    let mut answer = String::new();
    let _broken_off = caller.write_all(line.as_bytes()).await;
    let _broken_off = caller.read_line(&mut answer).await;
    answer
}

fn db(mesh: &Mesh, number: u8, workload: &Workload) -> Setup {
    mesh.inbound(&format!("db{number}")).allow("web").forward(workload.target())
}

#[tokio::test]
async fn connections_are_balanced_over_the_endpoints() {
    let mesh = Mesh::new();
    let (one, two) = (Workload::tcp(Kind::Line).await, Workload::tcp(Kind::Line).await);
    let (db1, db2) = (db(&mesh, 1, &one).start().await, db(&mesh, 2, &two).start().await);
    let setup = mesh.outbound("web").allow("db1").allow("db2");
    let web = setup.to(db1.address()).to(db2.address()).start().await;

    for _ in 0..10 {
        assert_eq!(ask(&web, "hello\n").await, "you said hello\n");
    }

    assert_eq!((one.connections(), two.connections()), (5, 5));
}

#[tokio::test]
async fn a_dead_endpoint_is_set_aside_and_used_again_when_it_is_back() {
    let mesh = Mesh::new();
    let (one, two) = (Workload::tcp(Kind::Line).await, Workload::tcp(Kind::Line).await);
    let db1 = db(&mesh, 1, &one).start().await;
    let dead = loopback(free_port());
    let setup = mesh.outbound("web").allow("db1").allow("db2");
    let web = setup.to(db1.address()).to(dead).start().await;
    let label = dead.to_string();
    let healthy = ("myelin_upstream_healthy", [("endpoint", label.as_str())]);

    for _ in 0..4 {
        assert_eq!(ask(&web, "hello\n").await, "you said hello\n");
    }
    web.metric_is(healthy.0, &healthy.1, 0.0).await;
    let status: serde_json::Value = serde_json::from_str(&web.page("/status").await.body).unwrap();
    assert_eq!(status["listeners"][0]["upstreams"][1]["healthy"], false, "{status:#}");

    let _db2 = db(&mesh, 2, &two).listen(&label).start().await;
    crate::support::eventually("the endpoint to be used again", || async {
        assert_eq!(ask(&web, "hello\n").await, "you said hello\n");
        (two.connections() > 0).then_some(())
    })
    .await;
    web.metric_is(healthy.0, &healthy.1, 1.0).await;
}

#[tokio::test]
async fn no_metric_goes_on_about_an_endpoint_that_a_reload_took_away() {
    let mesh = Mesh::new();
    let one = Workload::tcp(Kind::Line).await;
    let db1 = db(&mesh, 1, &one).start().await;
    let dead = loopback(free_port());
    let kept = mesh.outbound("web").allow("db1").to(db1.address());
    let web = kept.clone().to(dead).start().await;
    for _ in 0..2 {
        assert_eq!(ask(&web, "hello\n").await, "you said hello\n");
    }
    let (gone, stays) = (dead.to_string(), db1.address().to_string());
    web.metric_is("myelin_upstream_healthy", &[("endpoint", &gone)], 0.0).await;

    web.reload(&kept).await.unwrap();

    assert!(web.metric("myelin_upstream_healthy", &[("endpoint", &gone)]).await.is_nan());
    web.metric_is("myelin_upstream_healthy", &[("endpoint", &stays)], 1.0).await;
}

#[tokio::test]
async fn endpoints_may_be_names() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Line).await;
    let db1 = db(&mesh, 1, &workload).start().await;
    let endpoint = format!("localhost:{}", db1.address().port());
    let web = mesh.outbound("web").allow("db1").to(&endpoint).start().await;

    assert_eq!(ask(&web, "hello\n").await, "you said hello\n");

    let allowed = web.trail().only("connection-allowed").await;
    assert_eq!(allowed.text("myelin.endpoint"), endpoint);
    let served = db1.trail().only("connection-allowed").await;
    assert!(served.field("tls.client.server_name").is_null(), "not a name of its certificate");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_an_unreachable_endpoint() {
    let mesh = Mesh::new();
    let web = mesh.outbound("web").allow("db").to("nowhere.invalid:443").start().await;

    assert_eq!(ask(&web, "hello\n").await, "");

    web.ended("upstream_unreachable", 1.0).await;
}

#[tokio::test]
async fn when_all_endpoints_are_down_the_caller_sees_the_end_of_the_connection() {
    let mesh = Mesh::new();
    let setup = mesh.outbound("web").allow("db");
    let web = setup.to(loopback(free_port())).to(loopback(free_port())).start().await;

    assert_eq!(ask(&web, "hello\n").await, "");
    assert_eq!(ask(&web, "hello\n").await, "");

    web.ended("upstream_unreachable", 2.0).await;
    assert!(web.trail().all("connection-allowed").is_empty());
}

/// A caller with a secret, and a server that is not the one whom it wants.
async fn impostor(mesh: &Mesh, server: &Identity) -> (Running, String) {
    let port = free_port();
    let mut impostor = s_server(server, port, &["-Verify", "1"]);
    impostor.says("ACCEPT").await;
    let web = mesh.outbound("web").allow("db").to(loopback(port)).start().await;

    assert_eq!(ask(&web, "attack at dawn\n").await, "");
    web.ended("refused", 1.0).await;

    impostor.says("alert").await;
    (web, impostor.output())
}

#[tokio::test]
async fn a_server_that_is_somebody_else_of_our_own_gets_no_byte() {
    let mesh = Mesh::new();
    let mallory = mesh.pem("mallory");

    let (web, heard) = impostor(&mesh, &mallory).await;

    assert!(!heard.contains("attack"), "{heard}");
    let refused = web.trail().only("connection-refused").await;
    assert_eq!(refused.reason(), "unexpected_server");
    let names = refused.field("tls.server.x509.alternative_names").to_string();
    assert!(names.contains("spiffe://hospital.example/mallory"), "{names}");
    assert!(refused.text("message").contains("`db`"), "{refused:?}");
    web.metric_is("myelin_handshakes_total", &[("result", "unexpected_server")], 1.0).await;
}

#[tokio::test]
async fn a_server_with_the_right_name_from_a_foreign_authority_gets_no_byte() {
    let mesh = Mesh::new();
    let forged = Ca::new("Foreign CA").issue("db");

    let (web, heard) = impostor(&mesh, &forged).await;

    assert!(!heard.contains("attack"), "{heard}");
    let refused = web.trail().only("connection-refused").await;
    assert_eq!(refused.reason(), "unknown_issuer");
    assert_eq!(refused.text("tls.server.issuer"), "CN=Foreign CA");
    web.metric_is("myelin_handshakes_total", &[("result", "unknown_issuer")], 1.0).await;
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_gets_no_byte() {
    let mesh = Mesh::new();
    let legacy = Workload::tcp(Kind::Greets("220 ready\r\n")).await;
    let web = mesh.outbound("web").allow("db").to(legacy.target()).start().await;

    assert_eq!(ask(&web, "attack at dawn\n").await, "");

    assert!(!String::from_utf8_lossy(&legacy.received()).contains("attack"));
    assert_eq!(web.trail().only("connection-refused").await.reason(), "not_tls");
}

#[tokio::test]
async fn a_server_that_refuses_us_is_recorded_as_one() {
    let mesh = Mesh::new();
    let ca = Ca::new("Another hospital");
    let port = free_port();
    let identity = mesh.pem("db");
    let mut db = s_server(&identity, port, &["-Verify", "1", "-verify_return_error"]);
    db.says("ACCEPT").await;
    let stranger = ca.issue("web");
    std::fs::write(
        stranger.trust_bundle(),
        [std::fs::read_to_string(identity.trust_bundle()).unwrap(), ca.pem()].concat(),
    )
    .unwrap();
    let setup = mesh.outbound("web").allow("db").files(&stranger, &[]);
    let web = setup.to(loopback(port)).start().await;

    assert_eq!(ask(&web, "hello\n").await, "");

    web.ended("refused", 1.0).await;
    web.metric_is("myelin_handshakes_total", &[("result", "refused_by_peer")], 1.0).await;
    let closed = web.trail().only("connection-closed").await;
    assert_eq!(closed.reason(), "refused");
    assert!(closed.text("message").contains("UnknownCA"), "{closed:?}");
}

#[tokio::test]
async fn a_server_whose_certificate_is_for_clients_only_gets_no_byte() {
    let mesh = Mesh::new();
    let ca = Ca::new("Hospital CA");
    let identity = ca.issue("web");
    let client_only = ca.issue_with("db", |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let port = free_port();
    let mut server = s_server(&client_only, port, &["-Verify", "1"]);
    server.says("ACCEPT").await;
    let setup = mesh.outbound("web").allow("db").files(&identity, &[]);
    let web = setup.to(loopback(port)).start().await;

    assert_eq!(ask(&web, "attack at dawn\n").await, "");

    assert_eq!(web.trail().only("connection-refused").await.reason(), "wrong_purpose");
    server.says("alert").await;
    assert!(!server.output().contains("attack"), "{}", server.output());
}

#[tokio::test]
async fn after_a_server_that_is_not_the_right_one_the_next_endpoint_is_tried() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Line).await;
    let wrong = mesh.inbound("mallory").allow("web").forward(workload.target()).start().await;
    let right = db(&mesh, 1, &workload).start().await;
    let setup = mesh.outbound("web").allow("db1").to(wrong.address()).to(right.address());
    let web = setup.start().await;

    assert_eq!(ask(&web, "hello\n").await, "you said hello\n");

    assert_eq!(web.trail().only("connection-refused").await.reason(), "unexpected_server");
    assert!(wrong.trail().all("connection-allowed").is_empty());
    let allowed = web.trail().only("connection-allowed").await;
    assert_eq!(allowed.text("myelin.peer"), "db1");
}
