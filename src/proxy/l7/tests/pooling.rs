//! Upstream connections: used again, replaced, bounded, closed in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;

use super::stage::{Event, SOON, Stage, mirror, read_answer, read_head, workload};
use crate::config::WorkloadHttp;
use crate::outcome::Ending;
use crate::proxy::l7::Downstream;
use crate::shutdown::Drained;

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &[u8] = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn one_upstream_connection_carries_many_requests_of_many_downstreams() {
    let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));

    for _ in 0..3 {
        let (mut near, _served) = stage.connect(Downstream::Http1);
        for _ in 0..3 {
            near.write_all(POST).await.unwrap();
            read_answer(&mut near).await;
        }
    }

    assert_eq!(stage.connects.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn requests_at_the_same_time_have_connections_of_their_own() {
    let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));
    let (mut first, _) = stage.connect(Downstream::Http1);
    let (mut second, _) = stage.connect(Downstream::Http1);
    let half = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na";

    first.write_all(half).await.unwrap();
    second.write_all(half).await.unwrap();
    while stage.connects.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    first.write_all(b"b").await.unwrap();
    second.write_all(b"b").await.unwrap();
    read_answer(&mut first).await;
    read_answer(&mut second).await;
}

#[tokio::test]
async fn a_pooled_connection_that_the_upstream_closed_is_not_used() {
    let (closed, mut is_closed) = watch::channel(0);
    let closed = Arc::new(closed);
    let target = workload(move |mut stream, _| {
        let closed = Arc::clone(&closed);
        async move {
            read_head(&mut stream).await;
            stream.write_all(OK).await.unwrap();
            drop(stream);
            closed.send_modify(|count| *count += 1);
        }
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);

    for round in 1..=3 {
        near.write_all(GET).await.unwrap();
        let (head, _) = read_answer(&mut near).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        is_closed.wait_for(|count| *count == round).await.unwrap();
    }
}

#[tokio::test]
async fn a_safe_request_on_a_connection_that_dies_under_it_is_sent_once_more() {
    let target = workload(|mut stream, number| async move {
        read_head(&mut stream).await;
        stream.write_all(OK).await.unwrap();
        if number == 1 {
            read_head(&mut stream).await; // and no answer
            return;
        }
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);

    for _ in 0..2 {
        near.write_all(GET).await.unwrap();
        let (head, _) = read_answer(&mut near).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }

    let ends: Vec<_> = stage.ends(3).await.iter().map(|end| end.ending).collect();
    assert_eq!(ends, [Ending::Finished, Ending::UpstreamLost, Ending::Finished]);
    let links = stage.events().into_iter().filter_map(|event| match event {
        Event::Recorded { link } => link,
        _ => None,
    });
    assert_eq!(links.collect::<Vec<_>>(), [1, 1, 2], "the second attempt is on record by itself");
}

#[tokio::test]
async fn a_request_is_judged_again_before_it_is_sent_once_more() {
    let withdrawn = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&withdrawn);
    let target = workload(move |mut stream, _| {
        let flag = Arc::clone(&flag);
        async move {
            read_head(&mut stream).await;
            stream.write_all(OK).await.unwrap();
            read_head(&mut stream).await; // and no answer
            flag.store(true, Ordering::SeqCst);
        }
    })
    .await;
    let mut stage = Stage::inbound(target, WorkloadHttp::Auto);
    stage.withdrawn = withdrawn;
    let stage = Arc::new(stage);
    let (mut near, _served) = stage.connect(Downstream::Http1);

    near.write_all(GET).await.unwrap();
    read_answer(&mut near).await;
    near.write_all(GET).await.unwrap();
    let (head, _) = read_answer(&mut near).await;

    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    assert_eq!(stage.connects.load(Ordering::SeqCst), 1);
    let ends: Vec<_> = stage.ends(2).await.iter().map(|end| end.ending).collect();
    assert_eq!(ends, [Ending::Finished, Ending::UpstreamLost]);
    assert_eq!(stage.rejected_so_far(), ["denied"]);
}

#[tokio::test]
async fn a_request_that_changes_something_is_not_sent_twice() {
    let target = workload(|mut stream, _| async move {
        read_head(&mut stream).await;
        let _ = stream.read_u8().await;
        stream.write_all(OK).await.unwrap();
        read_head(&mut stream).await; // and no answer
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);

    near.write_all(POST).await.unwrap();
    let (first, _) = read_answer(&mut near).await;
    near.write_all(POST).await.unwrap();
    let (second, _) = read_answer(&mut near).await;

    assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
    assert!(second.starts_with("HTTP/1.1 502 "), "{second}");
    assert_eq!(stage.connects.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_whose_request_was_not_sent_to_its_end_is_not_used_again() {
    let target = workload(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(OK).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));

    for _ in 0..2 {
        let (mut near, _served) = stage.connect(Downstream::Http1);
        let half = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na";
        near.write_all(half).await.unwrap();
        read_answer(&mut near).await;
    }

    assert_eq!(stage.connects.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn no_more_upstream_connections_are_open_than_may_be() {
    let target = workload(|mut stream, _| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let mut stage = Stage::inbound(target, WorkloadHttp::Auto);
    stage.limits.connections = 1;
    stage.limits.connect_timeout = Duration::from_millis(100);
    let stage = Arc::new(stage);
    let (mut first, _) = stage.connect(Downstream::Http1);
    first.write_all(GET).await.unwrap();
    while stage.connects.load(Ordering::SeqCst) < 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    let (mut second, _) = stage.connect(Downstream::Http1);
    second.write_all(GET).await.unwrap();
    let (head, _) = read_answer(&mut second).await;

    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
}

#[tokio::test]
async fn a_drain_does_not_wait_for_connections_that_only_wait() {
    let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);
    near.write_all(GET).await.unwrap();
    read_answer(&mut near).await;

    let drained = timeout(SOON, stage.shutdown.run(SOON)).await.unwrap();

    assert_eq!(drained, Drained::Clean);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_downstreams_at_once_all_have_their_own_answers() {
    let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));

    let clients = (0..16).map(|client| {
        let stage = Arc::clone(&stage);
        async move {
            let (mut near, _served) = stage.connect(Downstream::Http1);
            for number in 0..50 {
                let text = format!("client {client}, request {number}");
                let length = text.len();
                let head =
                    format!("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
                near.write_all(head.as_bytes()).await.unwrap();
                near.write_all(text.as_bytes()).await.unwrap();
                let (head, body) = read_answer(&mut near).await;
                assert!(head.starts_with("HTTP/1.1 200 ") && body.ends_with(&text), "{head}{body}");
            }
        }
    });
    futures_util::future::join_all(clients).await;

    let ends = stage.ends(16 * 50).await;
    assert!(ends.iter().all(|end| end.ending == Ending::Finished));
    assert!(stage.connects.load(Ordering::SeqCst) <= 40, "connections are used again");
}
