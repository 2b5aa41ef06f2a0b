//! WebSocket through a pair: client and server of the Python package `websockets`.

use crate::support::http::ByHand;
use crate::support::legacy::Legacy;
use crate::support::mesh::{Mesh, Setup};
use crate::support::process::Process;
use crate::support::python::{finishes, peer, serves};

async fn server() -> (Process, String) {
    serves(peer("websocket_peer", "websockets", &["server"])).await
}

fn ehr(mesh: &Mesh, target: &str) -> Setup {
    mesh.inbound("ehr").allow("web").http().phi().forward(target)
}

#[tokio::test]
async fn messages_pings_and_close_codes_go_through_a_pair() {
    let mesh = Mesh::new();
    let (_server, target) = server().await;
    let ehr = ehr(&mesh, &target).start().await;
    let web = mesh.outbound("web").allow("ehr").http().phi().to(ehr.address()).start().await;

    let port = web.address().port().to_string();
    let said = finishes(peer("websocket_peer", "websockets", &["client", &port])).await;

    assert!(said.stdout.contains("all said"), "{}", said.all());
    for sidecar in [&ehr, &web] {
        let completed = sidecar.trail().only("request-completed").await;
        assert_eq!(completed.number("http.response.status_code"), 101);
        assert_eq!(completed.reason(), "finished");
        assert!(completed.number("source.bytes") > 4 << 20, "{completed:?}");
        assert!(completed.number("destination.bytes") > 4 << 20, "{completed:?}");
    }
}

#[tokio::test]
async fn bytes_behind_the_switch_arrive_whichever_side_sent_them() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let pair = mesh.pair(&workload.target()).await;
    let mut caller = pair.connect().await;

    caller
        .send(
            "GET /feed HTTP/1.1\r\nHost: ehr\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .await;
    let mut call = workload.accept().await;
    let head = call.head().await;
    assert_eq!(head.header("upgrade"), Some("websocket"));
    assert_eq!(head.header("connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
    assert_eq!(head.exact("Sec-WebSocket-Key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    // In one piece: the answer, and what the server says first.
    call.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nserver first",
    )
    .await;

    let answer = caller.head().await;
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.exact("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(caller.bytes(12).await, b"server first");
    caller.send("GET /admin HTTP/1.1\r\n\r\n").await; // bytes, and no request any more
    assert_eq!(call.through(b"\r\n\r\n").await, b"GET /admin HTTP/1.1\r\n\r\n");

    drop(caller);
    call.ends().await;
}

#[tokio::test]
async fn an_upgrade_that_is_declined_leaves_an_ordinary_connection() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let pair = mesh.pair(workload.target()).await;
    let mut caller = pair.connect().await;

    caller
        .send("GET /a HTTP/1.1\r\nHost: ehr\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(caller.message().await.text(), "/a");
    assert_eq!(caller.get("/b").await.text(), "/b");
}

#[tokio::test]
async fn nothing_is_smuggled_behind_an_upgrade_that_is_not_granted_yet() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let pair = mesh.pair(workload.target()).await;
    let mut caller = pair.connect().await;

    caller
        .send(
            "GET /a HTTP/1.1\r\nHost: ehr\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\
             GET /smuggled HTTP/1.1\r\nHost: ehr\r\n\r\n",
        )
        .await;
    let _answers = caller.rest().await;

    let arrived = String::from_utf8(workload.received()).unwrap();
    assert!(!arrived.contains("smuggled"), "{arrived}");
}

#[tokio::test]
async fn an_upgrade_to_http_itself_is_not_passed_on() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let pair = mesh.pair(workload.target()).await;
    for protocol in ["h2c", "HTTP/2.0", "TLS/1.2", "websocket, h2c"] {
        let mut caller = pair.connect().await;
        caller
            .send(format!(
                "GET /a HTTP/1.1\r\nHost: ehr\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n"
            ))
            .await;
        assert_eq!(caller.message().await.status(), 200, "{protocol}");
    }

    for asked in workload.asked() {
        assert_eq!(asked.head.header("upgrade"), None);
        assert_eq!(asked.head.header("connection"), None);
    }
}

#[tokio::test]
async fn a_tunnel_that_outlasts_the_drain_is_cut_and_on_record() {
    let mesh = Mesh::new();
    let (_server, target) = server().await;
    let setup = ehr(&mesh, &target).file("limits: { drain_timeout: 500ms }");
    let mut ehr = setup.spawn().await;
    let web = mesh.outbound("web").allow("ehr").http().to(ehr.address()).start().await;
    let port = web.address().port().to_string();
    let mut client = Process::start(&mut peer("websocket_peer", "websockets", &["hold", &port]));
    client.says("connected").await;

    ehr.process.signal("TERM");

    client.says("ended").await;
    ehr.process.ended().await;
    assert_eq!(ehr.trail().only("request-completed").await.reason(), "cut");
}

#[tokio::test]
async fn an_upgrade_is_a_get_of_a_path_and_denied_as_such() {
    let mesh = Mesh::new();
    let (_server, target) = server().await;
    let routes = r"routes: [ { name: feed, methods: [GET], path: /feed, allow: [web] } ]";
    let ehr = ehr(&mesh, &target).with(routes).start().await;
    let web = mesh.outbound("web").allow("ehr").http().to(ehr.address()).start().await;
    let port = web.address().port().to_string();
    let ask = |path: &'static str| {
        let port = port.clone();
        async move {
            let client = peer("websocket_peer", "websockets", &["ask", &port, path]);
            finishes(client).await.stdout
        }
    };

    assert_eq!(ask("/feed").await, "101 -\n");
    let denied = ask("/admin").await;

    let record = ehr.trail().only("request-denied").await;
    assert_eq!(denied, format!("403 {}\n", record.text("http.request.id")));
    assert_eq!(
        ehr.trail().only("request-completed").await.number("http.response.status_code"),
        101
    );
}
