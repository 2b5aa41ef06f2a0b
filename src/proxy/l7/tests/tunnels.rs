//! `101 Switching Protocols` and `100 Continue`: heads that are not the last word.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::stage::{SOON, Stage, read_all, read_answer, read_head, workload};
use crate::config::WorkloadHttp;
use crate::outcome::Ending;
use crate::proxy::l7::Downstream;

const ASK: &[u8] =
    b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: x\r\n\r\n";
const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly";

/// A workload that switches protocols, speaks first, and then echoes.
async fn echo() -> std::net::SocketAddr {
    workload(|mut stream, _| async move {
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.contains("Upgrade: websocket"), "{head}");
        stream.write_all(SWITCH).await.unwrap();
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
        let _ = to.shutdown().await;
    })
    .await
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways_from_the_first() {
    let stage = Arc::new(Stage::inbound(echo().await, WorkloadHttp::Auto));
    let (mut near, served) = stage.connect(Downstream::Http1);

    near.write_all(ASK).await.unwrap();
    let head = read_head(&mut near).await.unwrap();
    let mut early = [0; 5];
    timeout(SOON, near.read_exact(&mut early)).await.unwrap().unwrap();
    near.write_all(b"\0GET / HTTP/1.1\n\n\xff").await.unwrap();
    near.shutdown().await.unwrap();
    let mut echoed = Vec::new();
    timeout(SOON, near.read_to_end(&mut echoed)).await.unwrap().unwrap();

    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.to_lowercase().contains("connection: upgrade\r\nupgrade: websocket"), "{head}");
    assert_eq!(&early, b"early");
    assert_eq!(echoed, b"\0GET / HTTP/1.1\n\n\xff");
    let end = stage.ends(1).await[0];
    assert_eq!((end.sent_up, end.sent_down, end.ending), (18, 23, Ending::Finished));
    assert_eq!(timeout(SOON, served).await.unwrap().unwrap().ending, Ending::Finished);
}

#[tokio::test]
async fn a_tunnel_outlives_a_drain_and_ends_with_the_cut() {
    let stage = Arc::new(Stage::inbound(echo().await, WorkloadHttp::Auto));
    let (mut near, served) = stage.connect(Downstream::Http1);
    near.write_all(ASK).await.unwrap();
    read_head(&mut near).await.unwrap();
    let mut bytes = [0; 5];
    timeout(SOON, near.read_exact(&mut bytes)).await.unwrap().unwrap();

    stage.shutdown.drain();
    near.write_all(b"still").await.unwrap();
    timeout(SOON, near.read_exact(&mut bytes)).await.unwrap().unwrap();
    stage.shutdown.cut();

    assert_eq!(&bytes, b"still");
    assert_eq!(read_all(&mut near).await, "");
    assert_eq!(timeout(SOON, served).await.unwrap().unwrap().ending, Ending::Cut);
    assert_eq!(stage.ends(1).await[0].ending, Ending::Cut);
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_is_closed() {
    let mut stage = Stage::inbound(echo().await, WorkloadHttp::Auto);
    stage.limits.idle_timeout = Duration::from_millis(100);
    let stage = Arc::new(stage);
    let (mut near, _served) = stage.connect(Downstream::Http1);

    near.write_all(ASK).await.unwrap();
    read_all(&mut near).await;

    assert_eq!(stage.ends(1).await[0].ending, Ending::Idle);
}

#[tokio::test]
async fn an_upgrade_that_is_declined_is_a_plain_answer_and_the_connection_goes_on() {
    let target = workload(|mut stream, _| async move {
        while read_head(&mut stream).await.is_some() {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);

    for _ in 0..2 {
        near.write_all(ASK).await.unwrap();
        let (head, body) = read_answer(&mut near).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(body, "no");
    }
}

#[tokio::test]
async fn an_upgrade_to_http_itself_is_not_passed_on() {
    for protocol in ["h2c", "HTTP/2.0", "TLS/1.0", "websocket, h2c"] {
        let target = workload(|mut stream, _| async move {
            let head = read_head(&mut stream).await.unwrap().to_lowercase();
            let answer: &[u8] = if head.contains("upgrade") || head.contains("http2-settings") {
                b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            };
            stream.write_all(answer).await.unwrap();
        })
        .await;
        let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
        let (mut near, _served) = stage.connect(Downstream::Http1);
        let ask = format!(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n\
             Upgrade: {protocol}\r\nHTTP2-Settings: x\r\n\r\n"
        );

        near.write_all(ask.as_bytes()).await.unwrap();
        let (head, _) = read_answer(&mut near).await;

        assert!(head.starts_with("HTTP/1.1 200 "), "{protocol}: {head}");
    }
}

const EXPECT: &[u8] =
    b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";

#[tokio::test]
async fn the_workload_decides_when_a_body_is_wanted() {
    let target = workload(|mut stream, _| async move {
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.contains("Expect: 100-continue"), "{head}");
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        let mut body = [0; 3];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);
    let begun = Instant::now();

    near.write_all(EXPECT).await.unwrap();
    let interim = read_head(&mut near).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(900), "asked at once");
    near.write_all(b"abc").await.unwrap();
    let (head, _) = read_answer(&mut near).await;

    assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    assert_eq!(stage.ends(1).await[0].sent_up, 3);
}

#[tokio::test]
async fn a_workload_that_refuses_before_the_body_is_heard_without_a_100() {
    let target = workload(|mut stream, _| async move {
        read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 417 No\r\nContent-Length: 3\r\n\r\nno\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);

    near.write_all(EXPECT).await.unwrap();
    let (head, body) = read_answer(&mut near).await;

    assert!(head.starts_with("HTTP/1.1 417 "), "{head}");
    assert_eq!(body, "no\n");
    assert_eq!(stage.ends(1).await[0].sent_up, 0);
    assert_eq!(read_all(&mut near).await, "", "nobody knows where the next request would begin");
}

#[tokio::test]
async fn a_workload_that_knows_no_100_gets_the_body_after_a_while() {
    let target = workload(|mut stream, _| async move {
        read_head(&mut stream).await.unwrap();
        let mut body = [0; 3];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);

    near.write_all(EXPECT).await.unwrap();
    let interim = read_head(&mut near).await.unwrap();
    near.write_all(b"abc").await.unwrap();
    let (head, _) = read_answer(&mut near).await;

    assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}
