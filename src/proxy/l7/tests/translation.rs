//! Headers on their way through, and requests that change their HTTP version.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::stage::{SOON, Stage, mirror, read_answer, read_head, workload};
use crate::config::WorkloadHttp;
use crate::outcome::Ending;
use crate::proxy::l7::tracked::Tracked;
use crate::proxy::l7::{Downstream, Facing, Spoken};

/// What the mirror saw of `head`, sent over HTTP/1.
async fn seen(stage: &Arc<Stage>, head: &str) -> String {
    let (mut near, _served) = stage.connect(Downstream::Http1);
    near.write_all(head.as_bytes()).await.unwrap();
    read_answer(&mut near).await.1
}

/// A client of HTTP/2 that is connected to `stage`.
async fn client(stage: &Arc<Stage>, version: Downstream) -> http2::SendRequest<Full<Bytes>> {
    let (near, _served) = stage.connect(version);
    let handshake = http2::handshake(Tracked(stage.shutdown.clone()), TokioIo::new(near));
    let (sender, connection) = handshake.await.unwrap();
    stage.shutdown.spawn(async move { drop(connection.await) });
    sender
}

fn body(text: &'static str) -> Full<Bytes> {
    Full::new(Bytes::from_static(text.as_bytes()))
}

async fn text(response: Response<Incoming>) -> String {
    let body = timeout(SOON, response.into_body().collect()).await.unwrap().unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

/// A workload of HTTP/2 that answers with what it saw, and with trailers.
async fn mirror_h2() -> SocketAddr {
    workload(|stream, _| async move {
        let service = service_fn(|request: Request<Incoming>| async {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?;
            let seen = format!(
                "{} {} {:?} {:?} {:?}",
                parts.method,
                parts.uri,
                parts.headers,
                body.trailers().cloned(),
                body.to_bytes(),
            );
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let frames = [Frame::data(Bytes::from(seen)), Frame::trailers(trailers)];
            let frames = frames.map(Ok::<_, std::convert::Infallible>);
            let body = StreamBody::new(futures_util::stream::iter(frames));
            Ok::<_, hyper::Error>(
                Response::builder().header("trailer", "grpc-status").body(body).unwrap(),
            )
        });
        let tasks = Tracked(crate::shutdown::Shutdown::default());
        let server = hyper::server::conn::http2::Builder::new(tasks);
        let _ = server.serve_connection(TokioIo::new(stream), service).await;
    })
    .await
}

#[tokio::test]
async fn the_workload_learns_who_asks_from_us_alone() {
    let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));

    let seen = seen(
        &stage,
        "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Client-Cert: By=evil\r\n\
         X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: http\r\ntraceparent: 00-1-2-01\r\n\r\n",
    )
    .await
    .to_lowercase();

    assert!(!seen.contains("evil"), "{seen}");
    assert!(seen.contains("x-forwarded-client-cert: by=spiffe://td/ehr;hash=00\r\n"), "{seen}");
    assert!(seen.contains("x-forwarded-for: 1.2.3.4, 192.0.2.7\r\n"), "{seen}");
    assert!(seen.contains("x-forwarded-proto: https\r\n"), "{seen}");
    assert!(seen.contains("traceparent: 00-1-2-01\r\n"), "{seen}");
}

#[tokio::test]
async fn outbound_takes_the_identity_header_off_and_leaves_the_rest() {
    let stage = Arc::new(Stage::facing(mirror().await, Facing::Outbound));

    let seen = seen(
        &stage,
        "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Client-Cert: By=evil\r\n\
         X-Forwarded-For: 1.2.3.4\r\n\r\n",
    )
    .await;

    assert_eq!(seen, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n");
}

#[tokio::test]
async fn what_belongs_to_one_connection_ends_with_it_and_case_is_kept() {
    let stage = Arc::new(Stage::facing(mirror().await, Facing::Outbound));

    let seen = seen(
        &stage,
        "POST / HTTP/1.1\r\nHost: h\r\nSOAPAction: \"urn:x\"\r\nConnection: keep-alive, X-Hop\r\n\
         X-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
         Proxy-Authorization: x\r\nTE: gzip, trailers;q=0.5\r\nX-dUP: a\r\nX-Dup: b\r\n\
         Content-Length: 0\r\n\r\n",
    )
    .await;

    let mut lines: Vec<&str> = seen.trim_end().split("\r\n").skip(1).collect();
    lines.sort_unstable(); // the order of different headers says nothing
    assert_eq!(
        lines,
        [
            "Connection: te",
            "Content-Length: 0",
            "Host: h",
            "SOAPAction: \"urn:x\"",
            "TE: trailers",
            "X-Dup: b",
            "X-dUP: a",
        ]
    );
}

#[tokio::test]
async fn a_response_loses_what_belonged_to_its_connection_and_nothing_is_added() {
    let target = workload(|mut stream, _| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 299 Fine By Me\r\nServer: x\r\nX-cAse: 1\r\nConnection: close, X-Hop\r\n\
            X-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Folded: a\r\n b\r\nContent-Length: 2, 2\r\n\r\nok";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);

    near.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let (head, body) = {
        let head = read_head(&mut near).await.unwrap();
        let body = super::stage::read_body(&mut near, &head).await;
        (head, body)
    };

    assert_eq!(
        head,
        "HTTP/1.1 299 Fine By Me\r\nServer: x\r\nX-cAse: 1\r\nX-Folded: a b\r\n\
         Content-Length: 2\r\n\r\n"
    );
    assert_eq!(body, "ok");
}

#[tokio::test]
async fn a_response_that_states_two_lengths_is_chunked() {
    let target = workload(|mut stream, _| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
            3\r\nabc\r\n0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);

    near.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let (head, body) = read_answer(&mut near).await;

    assert!(!head.to_lowercase().contains("content-length"), "{head}");
    assert_eq!(body, "3\r\nabc\r\n0\r\n\r\n");
}

#[tokio::test]
async fn trailers_pass_between_http1_connections_where_they_are_announced() {
    let target = workload(|mut stream, _| async move {
        let head = read_head(&mut stream).await.unwrap();
        let body = super::stage::read_body(&mut stream, &head).await;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nTrailer: x-end\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{body}\r\n0\r\nx-end: 1\r\nx-forwarded-client-cert: evil\r\n\r\n",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);

    let request = "POST / HTTP/1.1\r\nHost: h\r\nConnection: TE\r\nTE: trailers\r\n\
        Trailer: x-sum, x-forwarded-client-cert\r\nTransfer-Encoding: chunked\r\n\r\n\
        1\r\na\r\n0\r\nX-Sum: 7\r\nX-Forwarded-Client-Cert: evil\r\n\r\n";
    near.write_all(request.as_bytes()).await.unwrap();
    let (_, body) = read_answer(&mut near).await;

    assert!(body.contains("1\r\na\r\n0\r\nx-sum: 7\r\n\r\n"), "{body}");
    assert!(body.ends_with("0\r\nx-end: 1\r\n\r\n"), "{body}");
    assert!(!body.contains("evil"), "{body}");
}

#[tokio::test]
async fn http2_becomes_http1_for_a_workload_that_speaks_that() {
    let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));
    for version in [Downstream::Http2, Downstream::Auto] {
        let mut client = client(&stage, version).await;
        let request = Request::post("https://ehr.example:8443/a?b")
            .version(Version::HTTP_2)
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("te", "trailers");

        let response = client.send_request(request.body(body("abc")).unwrap()).await.unwrap();
        let status = response.status();
        let seen = text(response).await.to_lowercase();

        assert_eq!(status, StatusCode::OK);
        assert!(seen.starts_with("post /a?b http/1.1\r\n"), "{seen}");
        assert!(seen.contains("host: ehr.example:8443\r\n"), "{seen}");
        assert!(seen.contains("cookie: a=1; b=2\r\n"), "{seen}");
        assert!(seen.ends_with("\r\n\r\nabc"), "{seen}");
        assert_eq!(seen.matches("content-length: 3\r\n").count(), 1, "{seen}");
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_becomes_chunked() {
    let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));
    let (near, _served) = stage.connect(Downstream::Http2);
    let handshake = http2::handshake(Tracked(stage.shutdown.clone()), TokioIo::new(near));
    let (mut client, connection) = handshake.await.unwrap();
    stage.shutdown.spawn(async move { drop(connection.await) });
    let frames = ["ab", "c"].map(|text| Ok::<_, hyper::Error>(Frame::data(Bytes::from(text))));
    let request = Request::put("https://h/a");

    let body = StreamBody::new(futures_util::stream::iter(frames));
    let response = client.send_request(request.body(body).unwrap()).await.unwrap();

    let seen = text(response).await.to_lowercase();
    assert!(seen.contains("transfer-encoding: chunked\r\n"), "{seen}");
    assert!(seen.ends_with("0\r\n\r\n"), "{seen}");
}

#[tokio::test]
async fn grpc_passes_from_http2_to_http2_with_its_trailers() {
    let stage = Arc::new(Stage::inbound(mirror_h2().await, WorkloadHttp::Auto));
    let mut client = client(&stage, Downstream::Http2).await;

    for _ in 0..3 {
        let request = Request::post("https://ehr.example/lab.Results/Get")
            .header("content-type", "application/grpc+proto")
            .header("te", "trailers");
        let response = client.send_request(request.body(body("abc")).unwrap()).await.unwrap();
        let answer = timeout(SOON, response.into_body().collect()).await.unwrap().unwrap();
        let trailers = answer.trailers().cloned().unwrap();
        let seen = String::from_utf8(answer.to_bytes().to_vec()).unwrap();

        assert_eq!(trailers["grpc-status"], "0");
        assert!(seen.starts_with("POST http://ehr.example/lab.Results/Get"), "{seen}");
        assert!(seen.contains("\"te\": \"trailers\"") && seen.contains("b\"abc\""), "{seen}");
        assert!(!seen.contains("\"host\""), "{seen}");
    }

    assert_eq!(stage.connects.load(Ordering::SeqCst), 1, "streams share a connection");
    let ends = stage.ends(3).await;
    assert!(ends.iter().all(|end| end.ending == Ending::Finished && end.sent_up == 3));
}

#[tokio::test]
async fn grpc_web_is_sent_to_the_workload_as_any_other_request() {
    let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));
    let mut client = client(&stage, Downstream::Http2).await;

    for kind in ["application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text"]
    {
        let request = Request::post("https://h/lab.Results/Get").header("content-type", kind);
        let response = client.send_request(request.body(body("abc")).unwrap()).await.unwrap();
        let seen = text(response).await;

        assert!(seen.starts_with("POST /lab.Results/Get HTTP/1.1\r\n"), "{seen}");
    }
}

#[tokio::test]
async fn many_streams_at_once_wait_for_one_new_connection() {
    let stage = Arc::new(Stage::inbound(mirror_h2().await, WorkloadHttp::H2c));
    let client = client(&stage, Downstream::Http2).await;

    let requests = (0..50).map(|_| {
        let mut client = client.clone();
        async move {
            let request = Request::post("https://h/a").body(body("abc")).unwrap();
            text(client.send_request(request).await.unwrap()).await
        }
    });
    let answers = futures_util::future::join_all(requests).await;

    assert!(answers.iter().all(|answer| answer.contains("abc")));
    assert_eq!(stage.connects.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn http1_becomes_http2_for_a_workload_that_speaks_that() {
    let stage = Arc::new(Stage::inbound(mirror_h2().await, WorkloadHttp::H2c));

    let (mut near, _served) = stage.connect(Downstream::Http1);
    let request = "POST /a?b HTTP/1.1\r\nHost: ehr.example\r\nConnection: keep-alive, te\r\n\
        TE: trailers\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    near.write_all(request.as_bytes()).await.unwrap();
    let (head, body) = read_answer(&mut near).await;

    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(body.contains("POST http://ehr.example/a?b"), "{body}");
    assert!(body.contains("\"te\": \"trailers\"") && body.contains("b\"abc\""), "{body}");
    assert!(!body.contains("keep-alive") && !body.contains("\"host\""), "{body}");
    assert!(body.ends_with("0\r\ngrpc-status: 0\r\n\r\n"), "{body}");
}

#[tokio::test]
async fn what_alpn_gave_decides_and_is_remembered() {
    let mut stage = Stage::facing(mirror().await, Facing::Outbound);
    stage.spoken = Some(Spoken::Http1);
    let stage = Arc::new(stage);
    let mut client = client(&stage, Downstream::Http2).await;

    for _ in 0..3 {
        let request = Request::get("https://h/a").body(body("")).unwrap();
        let response = client.send_request(request).await.unwrap();
        assert!(text(response).await.starts_with("GET /a HTTP/1.1\r\n"));
    }

    assert_eq!(stage.connects.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn ambiguity_is_refused_in_http2_as_well() {
    let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));
    let mut client = client(&stage, Downstream::Http2).await;
    let cases = [
        Request::get("https://h/a/../b").body(body("")),
        Request::get("https://h/a%2fb").body(body("")),
        Request::get("https://h/a").header("host", "other").body(body("")),
        Request::get("https://h/a").header("content_length", "1").body(body("")),
    ];

    for request in cases {
        let response = client.send_request(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(text(response).await, "malformed request\n");
    }
    assert_eq!(stage.connects.load(Ordering::SeqCst), 0);
}
