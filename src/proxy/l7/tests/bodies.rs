//! Bodies: streamed, counted, broken off, and never more than there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::stage::{
    Event, SOON, Stage, mirror, read_all, read_answer, read_body, read_head, workload,
};
use crate::config::WorkloadHttp;
use crate::outcome::Ending;
use crate::proxy::l7::Downstream;

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

#[tokio::test]
async fn a_permit_is_on_record_before_the_upstream_hears_and_completed_after() {
    let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);

    near.write_all(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc").await.unwrap();
    let (_, body) = read_answer(&mut near).await;

    let end = stage.ends(1).await[0];
    assert_eq!((end.status, end.ending), (Some(StatusCode::OK), Ending::Finished));
    assert_eq!((end.sent_up, end.sent_down), (3, body.len() as u64));
    let events = stage.events();
    assert!(matches!(&events[0], Event::Judged { path, .. } if path == "/a"));
    assert_eq!(events[1], Event::Recorded { link: Some(1) });
    assert!(matches!(events[2], Event::Completed(_)));
}

#[tokio::test]
async fn a_request_that_cannot_be_recorded_is_not_sent() {
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let target = workload(move |mut stream, _| {
        let count = Arc::clone(&count);
        async move {
            if read_head(&mut stream).await.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let mut stage = Stage::inbound(target, WorkloadHttp::Auto);
    stage.audited = false;
    let stage = Arc::new(stage);
    let (mut near, _served) = stage.connect(Downstream::Http1);

    near.write_all(GET).await.unwrap();
    let (head, _) = read_answer(&mut near).await;

    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(stage.events().last(), Some(&Event::Rejected("not_audited")));
    assert_eq!(heard.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_denied_request_leaves_the_connection_usable() {
    let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);

    near.write_all(b"GET /denied HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let (denied, text) = read_answer(&mut near).await;
    near.write_all(GET).await.unwrap();
    let (allowed, _) = read_answer(&mut near).await;

    assert!(denied.starts_with("HTTP/1.1 403 "), "{denied}");
    assert_eq!(text, "not allowed\n");
    assert!(allowed.starts_with("HTTP/1.1 200 "), "{allowed}");
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_bad_gateway_on_record() {
    let target = "127.0.0.1:1".parse().unwrap();
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);

    near.write_all(GET).await.unwrap();
    let (head, _) = read_answer(&mut near).await;

    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert!(stage.events().contains(&Event::Recorded { link: None }));
    let end = stage.ends(1).await[0];
    assert_eq!(end.status, Some(StatusCode::BAD_GATEWAY));
    assert_eq!(end.ending, Ending::UpstreamUnreachable);
}

#[tokio::test]
async fn a_body_larger_than_any_buffer_flows_while_its_beginning_is_unread() {
    const SIZE: usize = 8 << 20;
    let (tell, finished) = oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let target = workload(move |mut stream, _| {
        let tell = tell.lock().unwrap().take();
        async move {
            read_head(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&vec![b'a'; SIZE]).await.unwrap();
            let _ = tell.unwrap().send(());
        }
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect_with(Downstream::Http1, 1024);
    let mut finished = finished;

    near.write_all(GET).await.unwrap();
    let head = read_head(&mut near).await.unwrap();
    // Nobody reads: the workload is held back instead of our memory growing.
    assert!(timeout(Duration::from_millis(300), &mut finished).await.is_err());
    let body = read_body(&mut near, &head).await;

    assert_eq!(body.len(), SIZE);
    assert_eq!(stage.ends(1).await[0].sent_down, SIZE as u64);
}

#[tokio::test]
async fn both_directions_flow_at_the_same_time() {
    let target = workload(|mut stream, _| async move {
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        for _ in 0..2 {
            let mut chunk = [0; 6]; // "1\r\nx\r\n"
            stream.read_exact(&mut chunk).await.unwrap();
            stream.write_all(&chunk).await.unwrap();
        }
        let mut end = [0; 5];
        stream.read_exact(&mut end).await.unwrap();
        stream.write_all(&end).await.unwrap();
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);
    let ask = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

    near.write_all(ask).await.unwrap();
    read_head(&mut near).await.unwrap();
    for chunk in [b"1\r\na\r\n", b"1\r\nb\r\n"] {
        near.write_all(chunk).await.unwrap();
        let mut echo = [0; 6];
        timeout(SOON, near.read_exact(&mut echo)).await.unwrap().unwrap();
        assert_eq!(&echo, chunk);
    }
    near.write_all(b"0\r\n\r\n").await.unwrap();

    assert_eq!(stage.ends(1).await[0].ending, Ending::Finished);
}

#[tokio::test]
async fn an_upstream_that_dies_mid_response_leaves_a_broken_body() {
    for framing in
        ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"]
    {
        let target = workload(move |mut stream, _| async move {
            read_head(&mut stream).await;
            let answer = format!("HTTP/1.1 200 OK\r\n{framing}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
        let (mut near, served) = stage.connect(Downstream::Http1);

        near.write_all(GET).await.unwrap();
        let answer = read_all(&mut near).await;

        assert!(answer.contains("abc"), "{answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
        assert_eq!(stage.ends(1).await[0].ending, Ending::UpstreamLost);
        assert_eq!(timeout(SOON, served).await.unwrap().unwrap().ending, Ending::UpstreamLost);
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_http_is_a_bad_gateway() {
    let answers = ["", "HTTP/1.1 2", "SMTP ready\r\n\r\n", "HTTP/1.1 101 Switching\r\n\r\n"];
    for answer in answers {
        let target = workload(move |mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
        let (mut near, _served) = stage.connect(Downstream::Http1);

        near.write_all(GET).await.unwrap();
        let (head, _) = read_answer(&mut near).await;

        assert!(head.starts_with("HTTP/1.1 502 "), "{answer:?}: {head}");
        assert_eq!(stage.ends(1).await[0].ending, Ending::UpstreamLost, "{answer:?}");
    }
}

#[tokio::test]
async fn a_silent_upstream_is_a_gateway_timeout() {
    let target = workload(|mut stream, _| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let mut stage = Stage::inbound(target, WorkloadHttp::Auto);
    stage.limits.response_timeout = Duration::from_millis(100);
    let stage = Arc::new(stage);
    let (mut near, _served) = stage.connect(Downstream::Http1);

    near.write_all(GET).await.unwrap();
    let (head, _) = read_answer(&mut near).await;

    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
    assert_eq!(stage.ends(1).await[0].ending, Ending::UpstreamTimeout);
}

#[tokio::test]
async fn a_response_that_stands_still_is_broken_off() {
    let target = workload(|mut stream, _| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
        stream.write_all(answer).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let mut stage = Stage::inbound(target, WorkloadHttp::Auto);
    stage.limits.idle_timeout = Duration::from_millis(100);
    let stage = Arc::new(stage);
    let (mut near, served) = stage.connect(Downstream::Http1);

    near.write_all(GET).await.unwrap();
    let answer = read_all(&mut near).await;

    assert!(answer.ends_with("abc"), "{answer}");
    assert_eq!(stage.ends(1).await[0].ending, Ending::Idle);
    assert_eq!(timeout(SOON, served).await.unwrap().unwrap().ending, Ending::Idle);
}

#[tokio::test]
async fn a_downstream_that_leaves_mid_body_ends_the_exchange_once() {
    let target = workload(|mut stream, _| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\nabc";
        stream.write_all(answer).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, served) = stage.connect(Downstream::Http1);

    near.write_all(GET).await.unwrap();
    read_head(&mut near).await.unwrap();
    drop(near);
    timeout(SOON, served).await.unwrap().unwrap();

    let ends = stage.ends(1).await;
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].ending, Ending::DownstreamLost);
}

#[tokio::test]
async fn an_answer_without_body_keeps_the_length_that_it_states() {
    let target = workload(|mut stream, _| async move {
        while let Some(head) = read_head(&mut stream).await {
            let status = if head.starts_with("HEAD") { "200 OK" } else { "204 No Content" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 7\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);

    for _ in 0..2 {
        near.write_all(b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        let head = read_head(&mut near).await.unwrap();
        assert_eq!(head, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
        near.write_all(GET).await.unwrap();
        let head = read_head(&mut near).await.unwrap();
        assert_eq!(head, "HTTP/1.1 204 No Content\r\n\r\n");
    }
    assert_eq!(stage.connects.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_refusal_before_the_end_of_an_upload_arrives_whole() {
    let target = workload(|mut stream, _| async move {
        read_head(&mut stream).await;
        let answer =
            b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);

    near.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nabc")
        .await
        .unwrap();
    let (head, body) = read_answer(&mut near).await;

    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert_eq!(body, "no\n");
}

#[tokio::test]
async fn a_slow_head_is_cut_off_after_header_timeout_and_an_idle_connection_is_not() {
    let mut stage = Stage::inbound(mirror().await, WorkloadHttp::Auto);
    stage.limits.header_timeout = Duration::from_millis(100);
    let stage = Arc::new(stage);
    let (mut near, served) = stage.connect(Downstream::Http1);

    tokio::time::sleep(Duration::from_millis(300)).await;
    near.write_all(GET).await.unwrap();
    let (head, _) = read_answer(&mut near).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");

    near.write_all(b"GET / HT").await.unwrap();
    assert_eq!(read_all(&mut near).await, "");
    assert_eq!(timeout(SOON, served).await.unwrap().unwrap().ending, Ending::Idle);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_idle_timeout() {
    for version in [Downstream::Http1, Downstream::Http2, Downstream::Auto] {
        let mut stage = Stage::inbound(mirror().await, WorkloadHttp::Auto);
        stage.limits.idle_timeout = Duration::from_millis(50);
        let stage = Arc::new(stage);
        let (mut near, served) = stage.connect(version);

        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        if version == Downstream::Http2 {
            near.write_all(preface).await.unwrap();
        }

        assert_eq!(timeout(SOON, served).await.unwrap().unwrap().ending, Ending::Idle);
    }
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_a_cut_does_not() {
    for cut in [false, true] {
        let (release, wait) = oneshot::channel::<()>();
        let wait = std::sync::Mutex::new(Some(wait));
        let target = workload(move |mut stream, _| {
            let wait = wait.lock().unwrap().take();
            async move {
                read_head(&mut stream).await;
                let _ = wait.unwrap().await;
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                let _ = stream.write_all(answer).await;
            }
        })
        .await;
        let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
        let (mut near, served) = stage.connect(Downstream::Http1);
        near.write_all(GET).await.unwrap();
        while !stage.events().contains(&Event::Recorded { link: Some(1) }) {
            tokio::task::yield_now().await;
        }

        if cut {
            stage.shutdown.cut();
            assert_eq!(read_all(&mut near).await, "");
            assert_eq!(timeout(SOON, served).await.unwrap().unwrap().ending, Ending::Cut);
            assert_eq!(stage.ends(1).await[0].ending, Ending::Cut);
        } else {
            stage.shutdown.drain();
            let _ = release.send(());
            let answer = read_all(&mut near).await;
            assert!(answer.contains("onnection: close"), "{answer}");
            assert_eq!(timeout(SOON, served).await.unwrap().unwrap().ending, Ending::Finished);
        }
    }
}
