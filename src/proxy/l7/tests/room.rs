//! Upstream connections that nobody uses never stand in the way of a request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::stage::{SOON, Stage, mirror, read_answer, read_head, workload};
use crate::config::WorkloadHttp;
use crate::proxy::l7::Downstream;
use crate::proxy::l7::tracked::Tracked;

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A listener with room for `connections` to its workload.
fn narrow(target: SocketAddr, speaks: WorkloadHttp, connections: usize) -> Arc<Stage> {
    let mut stage = Stage::inbound(target, speaks);
    stage.limits.connections = connections;
    stage.limits.connect_timeout = Duration::from_secs(2);
    Arc::new(stage)
}

/// Sends one request as `peer` and reads the status of its answer.
async fn ask(stage: &Arc<Stage>, peer: &'static str, generation: u64) -> String {
    *stage.key.lock().unwrap() = (peer, generation);
    let (mut near, _served) = stage.connect(Downstream::Http1);
    near.write_all(GET).await.unwrap();
    read_answer(&mut near).await.0.lines().next().unwrap().to_owned()
}

/// A workload that answers each request when it is told to, and counts what is open.
async fn on_demand(go: Arc<Notify>, open: Arc<AtomicUsize>) -> SocketAddr {
    workload(move |mut stream: TcpStream, _| {
        let (go, open) = (Arc::clone(&go), Arc::clone(&open));
        async move {
            open.fetch_add(1, Ordering::SeqCst);
            while read_head(&mut stream).await.is_some() {
                go.notified().await;
                if stream.write_all(OK).await.is_err() {
                    break;
                }
            }
            open.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await
}

/// Two connections of the lab that wait for its next request.
async fn two_that_wait(stage: &Arc<Stage>, go: &Notify) {
    let (first, second, ()) = tokio::join!(ask(stage, "lab", 1), ask(stage, "lab", 1), async {
        while stage.connects.load(Ordering::SeqCst) < 2 {
            sleep(Duration::from_millis(1)).await;
        }
        go.notify_one();
        sleep(Duration::from_millis(10)).await;
        go.notify_one();
    });
    assert_eq!((first.as_str(), second.as_str()), ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn what_waits_for_one_peer_makes_room_for_another() {
    let (go, open) = (Arc::new(Notify::new()), Arc::default());
    let stage = narrow(on_demand(Arc::clone(&go), Arc::clone(&open)).await, WorkloadHttp::Auto, 2);
    two_that_wait(&stage, &go).await;
    let begun = Instant::now();

    go.notify_one();
    assert_eq!(ask(&stage, "billing", 1).await, "HTTP/1.1 200 OK");

    assert!(begun.elapsed() < Duration::from_secs(1), "without waiting for idle_timeout");
    assert_eq!(stage.connects.load(Ordering::SeqCst), 3);
    assert_eq!(open.load(Ordering::SeqCst), 2, "one was closed, and one only");
    go.notify_one();
    assert_eq!(ask(&stage, "lab", 1).await, "HTTP/1.1 200 OK");
    assert_eq!(stage.connects.load(Ordering::SeqCst), 3, "the lab still has its other one");
}

#[tokio::test]
async fn connections_of_an_earlier_generation_go_when_the_next_one_is_seen() {
    let (go, open) = (Arc::new(Notify::new()), Arc::default());
    let stage = narrow(on_demand(Arc::clone(&go), Arc::clone(&open)).await, WorkloadHttp::Auto, 2);
    two_that_wait(&stage, &go).await;

    for generation in 2..=5 {
        go.notify_one();
        assert_eq!(ask(&stage, "lab", generation).await, "HTTP/1.1 200 OK");
    }

    assert_eq!(stage.connects.load(Ordering::SeqCst), 6, "none is used across generations");
    let one_is_left = async {
        while open.load(Ordering::SeqCst) > 1 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(SOON, one_is_left).await.expect("both of the first generation were closed");
}

#[tokio::test]
async fn a_connection_that_comes_back_from_an_earlier_generation_is_closed() {
    let (go, open) = (Arc::new(Notify::new()), Arc::default());
    let stage = narrow(on_demand(Arc::clone(&go), Arc::clone(&open)).await, WorkloadHttp::Auto, 2);
    let (old, new, ()) = tokio::join!(ask(&stage, "lab", 1), ask_later(&stage, 2), async {
        while stage.connects.load(Ordering::SeqCst) < 2 {
            sleep(Duration::from_millis(1)).await;
        }
        go.notify_one();
        sleep(Duration::from_millis(10)).await;
        go.notify_one();
    });

    assert_eq!((old.as_str(), new.as_str()), ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK"));
    let one_is_left = async {
        while open.load(Ordering::SeqCst) > 1 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(SOON, one_is_left).await.expect("the old one was closed");
}

async fn ask_later(stage: &Arc<Stage>, generation: u64) -> String {
    while stage.connects.load(Ordering::SeqCst) < 1 {
        sleep(Duration::from_millis(1)).await;
    }
    ask(stage, "lab", generation).await
}

#[tokio::test]
async fn a_request_waits_for_a_connection_that_is_in_use_and_uses_it_again() {
    let (go, open) = (Arc::new(Notify::new()), Arc::default());
    let stage = narrow(on_demand(Arc::clone(&go), open).await, WorkloadHttp::Auto, 1);

    let asking = (0..8).map(|_| ask(&stage, "lab", 1));
    let answered = futures_util::future::join_all(asking);
    let (answers, ()) = tokio::join!(answered, async {
        for _ in 0..8 {
            go.notify_one();
            sleep(Duration::from_millis(20)).await;
        }
    });

    assert!(answers.iter().all(|answer| answer == "HTTP/1.1 200 OK"), "{answers:?}");
    assert_eq!(stage.connects.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn many_peers_share_one_place_in_turn() {
    let stage = narrow(mirror().await, WorkloadHttp::Auto, 1);
    let peers = ["lab", "billing", "pacs", "ward"];

    let asking = (0..40).map(|number| ask(&stage, peers[number % 4], 1));
    let answers = timeout(SOON, futures_util::future::join_all(asking)).await.unwrap();

    assert!(answers.iter().all(|answer| answer == "HTTP/1.1 200 OK"), "{answers:?}");
}

#[tokio::test]
async fn when_all_are_in_use_the_answer_is_503_after_connect_timeout() {
    let target = workload(|mut stream, _| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let mut stage = Stage::inbound(target, WorkloadHttp::Auto);
    stage.limits.connections = 1;
    stage.limits.connect_timeout = Duration::from_millis(200);
    let stage = Arc::new(stage);
    let (mut near, _served) = stage.connect(Downstream::Http1);
    near.write_all(GET).await.unwrap();
    while stage.connects.load(Ordering::SeqCst) < 1 {
        sleep(Duration::from_millis(1)).await;
    }

    let begun = Instant::now();
    let answer = ask(&stage, "billing", 1).await;

    assert_eq!(answer, "HTTP/1.1 503 Service Unavailable");
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn an_http2_connection_without_streams_makes_room_too() {
    let target = workload(|stream, _| async move {
        let service = service_fn(|_request: Request<hyper::body::Incoming>| async {
            Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from_static(b"ok"))))
        });
        let tasks = Tracked(crate::shutdown::Shutdown::default());
        let server = hyper::server::conn::http2::Builder::new(tasks);
        let _ = server.serve_connection(TokioIo::new(stream), service).await;
    })
    .await;
    let stage = narrow(target, WorkloadHttp::H2c, 1);

    for peer in ["lab", "lab", "billing", "lab"] {
        assert_eq!(ask(&stage, peer, 1).await, "HTTP/1.1 200 OK", "{peer}");
    }
    assert_eq!(ask(&stage, "lab", 2).await, "HTTP/1.1 200 OK");

    assert_eq!(stage.connects.load(Ordering::SeqCst), 4);
}
