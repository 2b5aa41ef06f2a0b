//! Requests that mean to get past policy, or past the record.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::stage::{Event, SOON, Stage, mirror, read_all, read_answer, read_head, workload};
use crate::config::WorkloadHttp;
use crate::outcome::Ending;
use crate::proxy::l7::{Downstream, Facing};

/// What the workload saw of `head`.
async fn seen(facing: Option<Facing>, head: &str) -> String {
    let target = mirror().await;
    let stage = match facing {
        Some(facing) => Stage::facing(target, facing),
        None => Stage::inbound(target, WorkloadHttp::Auto),
    };
    let stage = Arc::new(stage);
    let (mut near, _served) = stage.connect(Downstream::Http1);
    near.write_all(head.as_bytes()).await.unwrap();
    read_answer(&mut near).await.1.to_lowercase()
}

const OVERRIDES: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\
    X-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\nX-Method-Override: DELETE\r\n\
    X_HTTP_Method_Override: DELETE\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\n\
    X.Rewrite.URL: /admin\r\nX-Kept: 1\r\n\r\n";
const IDENTITIES: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\
    Forwarded: for=evil\r\nX-Forwarded-Host: evil\r\nX-Real-IP: evil\r\nX-SSL-Client-DN: evil\r\n\
    SSL_CLIENT_S_DN: evil\r\nssl-client-cert: evil\r\nClient-Cert: evil\r\n\
    X-Forwarded-Tls-Client-Cert: evil\r\nX-Kept: 1\r\n\r\n";

#[tokio::test]
async fn no_header_makes_the_workload_answer_another_request() {
    let seen = seen(None, OVERRIDES).await;

    assert!(!seen.contains("delete") && !seen.contains("admin"), "{seen}");
    assert!(seen.contains("x-kept: 1\r\n"), "{seen}");
}

#[tokio::test]
async fn identity_headers_of_other_proxies_do_not_come_in() {
    let seen = seen(None, IDENTITIES).await;

    assert!(!seen.contains("evil"), "{seen}");
    assert!(seen.contains("x-kept: 1\r\n"), "{seen}");
}

#[tokio::test]
async fn on_the_way_out_such_headers_are_the_workloads_own() {
    for head in [OVERRIDES, IDENTITIES] {
        let seen = seen(Some(Facing::Outbound), head).await;

        assert_eq!(seen.lines().count(), head.lines().count(), "{seen}");
    }
}

#[tokio::test]
async fn trailers_imitate_nothing() {
    let target = workload(|mut stream, _| async move {
        let head = read_head(&mut stream).await.unwrap();
        let body = super::stage::read_body(&mut stream, &head).await;
        let is_clean = body.contains("x-end: 1") && !body.contains("evil");
        let status = if is_clean { "200 OK" } else { "500 Evil" };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);
    let names = "x-end, x_forwarded_for, x-forwarded-client-cert, content_length, ssl_client_cert";
    let request = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTrailer: {names}\r\n\
         Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-end: 1\r\nx_forwarded_for: evil\r\n\
         x-forwarded-client-cert: evil\r\ncontent_length: evil\r\nssl_client_cert: evil\r\n\r\n"
    );

    near.write_all(request.as_bytes()).await.unwrap();
    let (head, _) = read_answer(&mut near).await;

    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

#[tokio::test]
async fn a_head_with_more_than_100_header_lines_is_431_and_on_record() {
    for (lines, status) in [(99, "200"), (100, "431"), (5000, "431")] {
        let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));
        let (mut near, served) = stage.connect(Downstream::Http1);
        let more = "X-A: 1\r\n".repeat(lines);
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{more}Connection: close\r\n\r\n");
        let request = if status == "200" {
            request.replace("Connection: close\r\n", "") // 100 with `Host`
        } else {
            request
        };

        near.write_all(request.as_bytes()).await.unwrap();
        if status == "200" {
            let (head, _) = read_answer(&mut near).await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            assert_eq!(stage.rejected_so_far(), [""; 0]);
            continue;
        }
        let answer = read_all(&mut near).await;
        drop(near);
        let served = served.await.unwrap();

        assert!(answer.starts_with("HTTP/1.1 431 "), "{lines}: {answer}");
        assert_eq!(stage.events(), [Event::Rejected("head_too_large")], "{lines}");
        assert_eq!((served.requests, served.ending), (1, Ending::ProtocolError));
    }
}

#[tokio::test]
async fn a_method_of_the_peers_own_making_is_judged_as_it_is_and_not_written_down() {
    let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);

    for path in ["/a", "/denied", "/a."] {
        let request = format!("JANE-DOE-1970 {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        near.write_all(request.as_bytes()).await.unwrap();
        let (head, body) = read_answer(&mut near).await;
        assert_eq!(head.contains(" 200 "), path == "/a", "{head}");
        assert_eq!(body.starts_with("JANE-DOE-1970 /a "), path == "/a", "{body}");
    }

    assert_eq!(*stage.methods.lock().unwrap(), ["OTHER", "OTHER", "OTHER"]);
    let judged = |event: &Event| matches!(event, Event::Judged { method, .. } if method.as_str() == "JANE-DOE-1970");
    assert_eq!(stage.events().iter().filter(|event| judged(event)).count(), 2);
}

#[tokio::test]
async fn a_request_that_waits_for_its_answer_at_the_cut_is_called_cut() {
    let target = workload(|mut stream, _| async move {
        while read_head(&mut stream).await.is_some() {} // and no answer
    })
    .await;
    for version in [WorkloadHttp::Http1, WorkloadHttp::H2c] {
        let stage = Arc::new(Stage::inbound(target, version));
        let (mut near, served) = stage.connect(Downstream::Http1);
        near.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        while !stage.events().iter().any(|event| matches!(event, Event::Recorded { .. })) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }

        let grace = Duration::from_millis(50);
        timeout(SOON, stage.shutdown.run(grace)).await.unwrap();

        let ends = stage.ends(1).await;
        assert_eq!(ends.len(), 1);
        assert_eq!((ends[0].ending, ends[0].status), (Ending::Cut, None), "{version:?}");
        assert_eq!(served.await.unwrap().ending, Ending::Cut);
    }
}
