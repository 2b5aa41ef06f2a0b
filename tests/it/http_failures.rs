//! When the other side is down, slow, broken or wrong: a status that fits, words that tell nothing about
//! our inside, and a record of how it ended.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::http::{ByHand, Message, plain};
use crate::support::legacy::{Legacy, ok};
use crate::support::mesh::{Mesh, Setup};
use crate::support::openssl::s_server;
use crate::support::process::{free_port, loopback};
use crate::support::trail::Trail;

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    loopback(free_port())
}

fn ehr(mesh: &Mesh, forward: &str) -> Setup {
    mesh.inbound("ehr").allow("web").http().phi().forward(forward)
}

/// Plain words, and none about addresses, errors, files or programs.
fn tells_nothing(answer: &Message) {
    let text = format!("{}{}", answer.head.0, answer.text()).to_lowercase();
    let kind = answer.head.header("content-type");
    assert_eq!(kind, Some("text/plain"), "{text}");
    let inward =
        ["127.0.0.1", "os error", "refused", "errno", "hyper", "rust", "myelin", "ehr", "tls"];
    for word in inward {
        assert!(!text.contains(word), "{word:?} in {text}");
    }
}

async fn ended(trail: &Trail, reason: &str, status: u64) {
    let completed = trail.only("request-completed").await;
    assert_eq!(completed.reason(), reason);
    assert_eq!(completed.number("http.response.status_code"), status);
}

#[tokio::test]
async fn a_workload_that_is_down_is_502() {
    let mesh = Mesh::new();
    let ehr = ehr(&mesh, &nobody().to_string()).start().await;
    let mut web = mesh.http("web", &ehr).await;

    let answer = web.get("/").await;

    assert_eq!(answer.status(), 502);
    tells_nothing(&answer);
    ended(ehr.trail(), "upstream_unreachable", 502).await;
    // The connection stays, and works as soon as the workload does.
    assert_eq!(web.get("/").await.status(), 502);
}

#[tokio::test]
async fn a_workload_that_comes_back_is_used_at_once() {
    let mesh = Mesh::new();
    let address = nobody();
    let ehr = ehr(&mesh, &address.to_string()).start().await;
    let mut web = mesh.http("web", &ehr).await;
    assert_eq!(web.get("/").await.status(), 502);

    let listener = TcpListener::bind(address).await.unwrap();
    let answer = async {
        let mut call = crate::support::http::Wire::new(listener.accept().await.unwrap().0);
        call.head().await;
        call.send(ok("back")).await;
        call
    };
    let (message, _call) = tokio::join!(web.get("/"), answer);

    assert_eq!(message.text(), "back");
}

#[tokio::test]
async fn a_workload_that_is_slow_is_504() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let ehr = ehr(&mesh, &workload.target()).limits("response_timeout: 500ms").start().await;
    let mut web = mesh.http("web", &ehr).await;
    let begun = Instant::now();

    let (answer, mut call) = tokio::join!(web.get("/"), async {
        let mut call = workload.accept().await;
        call.head().await;
        call
    });

    assert_eq!(answer.status(), 504);
    assert!(begun.elapsed() >= Duration::from_millis(500));
    tells_nothing(&answer);
    call.ends().await; // it is not waited for, and its connection not used again
    ended(ehr.trail(), "upstream_timeout", 504).await;
}

#[tokio::test]
async fn a_workload_that_breaks_off_without_an_answer_is_502() {
    for beginning in
        ["", "HTTP/1.1 200 OK\r\nContent-Le", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 999999\r\n\r\n"]
    {
        let mesh = Mesh::new();
        let workload = ByHand::new().await;
        let ehr = ehr(&mesh, &workload.target()).start().await;
        let mut web = mesh.http("web", &ehr).await;

        let (answer, ()) = tokio::join!(web.get("/"), async {
            let mut call = workload.accept().await;
            call.head().await;
            call.send(beginning).await;
        });

        assert_eq!(answer.status(), 502, "{beginning:?}");
        tells_nothing(&answer);
        ended(ehr.trail(), "upstream_lost", 502).await;
    }
}

#[tokio::test]
async fn an_answer_with_two_lengths_is_502() {
    let mesh = Mesh::new();
    let workload = Legacy::answering(|_| {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc".into()
    })
    .await;
    let ehr = ehr(&mesh, workload.target()).start().await;

    let answer = mesh.http("web", &ehr).await.get("/").await;

    assert_eq!(answer.status(), 502);
    tells_nothing(&answer);
}

#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_is_502() {
    let mesh = Mesh::new();
    let workload = Legacy::answering(|_| {
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n".into()
    })
    .await;
    let ehr = ehr(&mesh, workload.target()).start().await;

    assert_eq!(mesh.http("web", &ehr).await.get("/").await.status(), 502);
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_complete() {
    let halves = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "half"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "4\r\nhalf\r\n"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxx\r\n",
            "4\r\nhalf\r\n",
        ),
    ];
    for (half, arrives) in halves {
        let mesh = Mesh::new();
        let workload = ByHand::new().await;
        let ehr = ehr(&mesh, &workload.target()).start().await;
        let web = mesh.outbound("web").allow("ehr").http().phi().to(ehr.address()).start().await;
        let mut caller = plain(web.address()).await;

        caller.send("GET / HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
        let mut call = workload.accept().await;
        call.head().await;
        call.send(half).await;
        drop(call);

        assert_eq!(caller.head().await.status(), 200);
        assert_eq!(String::from_utf8(caller.rest().await).unwrap(), arrives);
        ended(ehr.trail(), "upstream_lost", 200).await;
        ended(web.trail(), "upstream_lost", 200).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_work_of_the_workload() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let ehr = ehr(&mesh, &workload.target()).start().await;
    let mut web = mesh.http("web", &ehr).await;
    web.send("GET /long HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    let mut call = workload.accept().await;
    call.head().await;

    drop(web);

    call.ends().await;
    assert_eq!(ehr.trail().only("request-completed").await.reason(), "downstream_lost");
}

#[tokio::test]
async fn an_upload_that_breaks_off_never_looks_complete() {
    let halves =
        ["Content-Length: 100\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"];
    for half in halves {
        let mesh = Mesh::new();
        let workload = ByHand::new().await;
        let pair = mesh.pair(&workload.target()).await;
        let mut caller = pair.connect().await;
        caller.send(format!("POST / HTTP/1.1\r\nHost: ehr\r\n{half}")).await;
        let mut call = workload.accept().await;
        call.head().await;
        call.through(b"half").await;

        drop(caller);

        let rest = String::from_utf8(call.rest().await).unwrap();
        assert!(!rest.contains("0\r\n\r\n"), "{rest:?}");
    }
}

#[tokio::test]
async fn a_connection_that_the_workload_closed_meanwhile_costs_no_request() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let ehr = ehr(&mesh, &workload.target()).start().await;
    let mut web = mesh.http("web", &ehr).await;
    for n in 0..10 {
        // The workload answers one request a connection, and closes without saying so.
        let path = format!("/{n}");
        let (answer, ()) = tokio::join!(web.get(&path), async {
            let mut call = workload.accept().await;
            call.head().await;
            call.send(ok("fine")).await;
        });
        assert_eq!(answer.text(), "fine", "{n}");
    }
}

#[tokio::test]
async fn a_request_that_may_not_be_repeated_is_not() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let ehr = ehr(&mesh, &workload.target()).start().await;
    let mut web = mesh.http("web", &ehr).await;
    let (first, mut call) = tokio::join!(web.get("/"), async {
        let mut call = workload.accept().await;
        call.head().await;
        call.send(ok("fine")).await;
        call
    });
    assert_eq!(first.status(), 200);

    web.send("POST /order HTTP/1.1\r\nHost: ehr\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!(call.message().await.body, b"hi");
    drop(call); // it has the order, and dies

    assert_eq!(web.message().await.status(), 502);
    let again = tokio::time::timeout(Duration::from_millis(300), workload.accept()).await;
    assert!(again.is_err(), "the order was placed twice");
}

#[tokio::test]
async fn a_peer_that_is_down_is_502_each_time() {
    let mesh = Mesh::new();
    let web = mesh.outbound("web").allow("ehr").http().to(nobody()).start().await;
    let mut caller = plain(web.address()).await;

    let answer = caller.get("/").await;

    assert_eq!(answer.status(), 502);
    tells_nothing(&answer);
    // It is set aside, and yet the only one there is.
    assert_eq!(caller.get("/").await.status(), 502);
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_504() {
    let mesh = Mesh::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let web = mesh.outbound("web").allow("ehr").http().to(silent.local_addr().unwrap());
    let web = web.limits("connect_timeout: 500ms").start().await;
    let mut caller = plain(web.address()).await;

    let answer = caller.get("/").await;

    assert_eq!(answer.status(), 504);
    tells_nothing(&answer);
}

#[tokio::test]
async fn a_server_that_is_somebody_else_gets_not_a_byte_of_the_request() {
    let mesh = Mesh::new();
    let other = mesh.pem("other");
    let port = free_port();
    let mut server = s_server(&other, port, &["-Verify", "3", "-www"]);
    server.says("ACCEPT").await;
    let web = mesh.outbound("web").allow("ehr").http().phi().to(loopback(port)).start().await;
    let mut caller = plain(web.address()).await;

    caller.send("GET /secret HTTP/1.1\r\nHost: ehr\r\nX-Secret: PQ4711\r\n\r\n").await;
    let answer = caller.message().await;

    assert_eq!(answer.status(), 502);
    tells_nothing(&answer);
    let refused = web.trail().wait_for("connection-refused", 1).await;
    assert_eq!(refused[0].reason(), "unexpected_server");
    ended(web.trail(), "upstream_unreachable", 502).await;
    assert!(!server.output().contains("PQ4711") && !server.output().contains("secret"));
}

#[tokio::test]
async fn a_caller_that_is_not_let_in_by_the_peer_hears_502() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).start().await;
    let stranger = mesh.outbound("stranger").allow("ehr").http().to(ehr.address()).start().await;
    let mut caller = plain(stranger.address()).await;

    let answer = caller.get("/").await;

    assert_eq!(answer.status(), 502);
    tells_nothing(&answer);
    assert_eq!(workload.received(), b"");
    let denied = ehr.trail().wait_for("connection-denied", 1).await;
    assert_eq!(denied[0].reason(), "unknown_peer");
}

#[tokio::test]
async fn a_connection_on_which_nothing_moves_is_closed() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).limits("idle_timeout: 500ms").start().await;
    let mut web = mesh.http("web", &ehr).await;
    assert_eq!(web.get("/").await.status(), 200);

    web.ends().await;

    ehr.ended("idle", 1.0).await;
    assert_eq!(ehr.trail().only("connection-closed").await.reason(), "idle");
}
