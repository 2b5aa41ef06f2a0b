//! Requests that two servers could read in two ways, and what became of each.

use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;

use super::stage::{Event, Stage, mirror, read_all, read_body, read_head, workload};
use crate::config::WorkloadHttp;
use crate::outcome::Ending;
use crate::proxy::l7::Downstream;

/// Name, bytes, status of each answer in turn, and the request lines that the workload saw.
type Case = (&'static str, &'static str, &'static [u16], &'static [&'static str]);

const REFUSED: &[u16] = &[400];
const NOTHING: &[&str] = &[];

#[rustfmt::skip]
const CASES: &[Case] = &[
    // What passes.
    ("plain", "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", &[200], &["GET /a HTTP/1.1"]),
    ("query", "GET /a?b=/../c;d HTTP/1.1\r\nHost: h\r\n\r\n", &[200], &["GET /a?b=/../c;d HTTP/1.1"]),
    ("encoded", "GET /a%20b HTTP/1.1\r\nHost: h\r\n\r\n", &[200], &["GET /a%20b HTTP/1.1"]),
    ("port", "GET / HTTP/1.1\r\nHost: h:8443\r\n\r\n", &[200], &["GET / HTTP/1.1"]),
    ("ipv6", "GET / HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n", &[200], &["GET / HTTP/1.1"]),
    ("absolute", "GET http://h/a?b HTTP/1.1\r\nHost: h\r\n\r\n", &[200], &["GET /a?b HTTP/1.1"]),
    ("absolute, no path", "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", &[200], &["GET / HTTP/1.1"]),
    ("asterisk", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", &[200], &["OPTIONS * HTTP/1.1"]),
    ("http/1.0", "GET / HTTP/1.0\r\n\r\n", &[200], &["GET / HTTP/1.0"]),
    ("http/1.0 with host", "GET / HTTP/1.0\r\nHost: h\r\n\r\n", &[200], &["GET / HTTP/1.1"]),
    ("length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", &[200], &["POST / HTTP/1.1"]),
    ("chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", &[200], &["POST / HTTP/1.1"]),
    ("Chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:  Chunked \r\n\r\n3;x=\"y\"\r\nabc\r\n0\r\n\r\n", &[200], &["POST / HTTP/1.1"]),
    ("chunked get", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", &[200], &["GET / HTTP/1.1"]),
    ("pipelined", "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n", &[200, 200], &["GET /1 HTTP/1.1", "GET /2 HTTP/1.1"]),
    ("empty lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", &[200], &["GET / HTTP/1.1"]),
    ("underscore", "GET / HTTP/1.1\r\nHost: h\r\nx_patient: 1\r\n\r\n", &[200], &["GET / HTTP/1.1"]),
    ("latin-1 value", "GET / HTTP/1.1\r\nHost: h\r\nX-A: \u{e9}\r\n\r\n", &[200], &["GET / HTTP/1.1"]),
    // Lengths.
    ("length and chunked", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", REFUSED, NOTHING),
    ("chunked and length", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX", REFUSED, NOTHING),
    ("equal lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", REFUSED, NOTHING),
    ("differing lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", REFUSED, NOTHING),
    ("list of lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\na", REFUSED, NOTHING),
    ("signed length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na", REFUSED, NOTHING),
    ("negative length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\na", REFUSED, NOTHING),
    ("length with a leading zero", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 003\r\n\r\nabc", REFUSED, NOTHING),
    ("length of two zeros", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 00\r\n\r\n", REFUSED, NOTHING),
    ("length of zero", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", &[200], &["POST / HTTP/1.1"]),
    ("hexadecimal length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\na", REFUSED, NOTHING),
    ("empty length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", REFUSED, NOTHING),
    ("huge length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", REFUSED, NOTHING),
    ("gzip, chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", REFUSED, NOTHING),
    ("chunked, gzip", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", REFUSED, NOTHING),
    ("chunked twice", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", REFUSED, NOTHING),
    ("identity and chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", REFUSED, NOTHING),
    ("xchunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", REFUSED, NOTHING),
    ("quoted chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", REFUSED, NOTHING),
    ("chunked with vertical tab", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n", REFUSED, NOTHING),
    ("chunked in http/1.0", "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", REFUSED, NOTHING),
    ("empty transfer-encoding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n", REFUSED, NOTHING),
    ("content_length", "POST / HTTP/1.1\r\nHost: h\r\ncontent_length: 5\r\n\r\n", REFUSED, NOTHING),
    ("transfer_encoding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer_Encoding: chunked\r\n\r\n", REFUSED, NOTHING),
    // Lines.
    ("bare line feeds", "GET / HTTP/1.1\nHost: h\n\n", REFUSED, NOTHING),
    ("one bare line feed", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", REFUSED, NOTHING),
    ("bare line feed at the end", "GET / HTTP/1.1\r\nHost: h\r\n\n", REFUSED, NOTHING),
    ("bare line feed first", "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("folded header", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", REFUSED, NOTHING),
    ("folded transfer-encoding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", REFUSED, NOTHING),
    ("space before colon", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\nabcde", REFUSED, NOTHING),
    ("space before name", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", REFUSED, NOTHING),
    ("no colon", "GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", REFUSED, NOTHING),
    ("no name", "GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", REFUSED, NOTHING),
    ("null in value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", REFUSED, NOTHING),
    ("carriage return in value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", REFUSED, NOTHING),
    ("null in name", "GET / HTTP/1.1\r\nHost: h\r\nX\0: a\r\n\r\n", REFUSED, NOTHING),
    ("two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("tab", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("space in target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("trailing space", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("http/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("http/2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("lower-case version", "GET / http/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("http/0.9", "GET /\r\n\r\n", REFUSED, NOTHING),
    // Hosts and targets.
    ("no host", "GET / HTTP/1.1\r\n\r\n", REFUSED, NOTHING),
    ("empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", REFUSED, NOTHING),
    ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", REFUSED, NOTHING),
    ("same host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", REFUSED, NOTHING),
    ("two hosts in http/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", REFUSED, NOTHING),
    ("list of hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", REFUSED, NOTHING),
    ("user in host", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", REFUSED, NOTHING),
    ("path in host", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", REFUSED, NOTHING),
    ("port out of range", "GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n", REFUSED, NOTHING),
    ("absolute, other host", "GET http://evil/ HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("absolute, no host", "GET http://h/ HTTP/1.1\r\n\r\n", REFUSED, NOTHING),
    ("absolute, other scheme", "GET file://h/a HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("absolute, user", "GET http://u@h/ HTTP/1.1\r\nHost: u@h\r\n\r\n", REFUSED, NOTHING),
    ("authority", "GET h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", REFUSED, NOTHING),
    ("connect", "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", &[405], NOTHING),
    ("trace", "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", &[405], NOTHING),
    ("asterisk for get", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("no slash", "GET a HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    // Paths.
    ("dot dot", "GET /a/../b HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("encoded dot dot", "GET /%2e%2e/b HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("dot", "GET /a/./b HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("encoded slash", "GET /a%2fb HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("encoded backslash", "GET /a%5Cb HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("backslash", "GET /a\\b HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("encoded null", "GET /a%00 HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("encoded twice", "GET /a%252fb HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("dot at the end of a segment", "GET /admin./x HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("encoded dot at the end", "GET /admin%2e HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("three dots", "GET /a/.../b HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("encoded space at the end of a segment", "GET /admin%20/x HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("encoded space at the end", "GET /admin%20 HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("encoded space first", "GET /%20admin HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("encoded tab at the end", "GET /admin%09 HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("no-break space at the end", "GET /admin%c2%a0 HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("dots that hide nothing", "GET /.well-known/a.b/..c HTTP/1.1\r\nHost: h\r\n\r\n", &[200], &["GET /.well-known/a.b/..c HTTP/1.1"]),
    ("broken encoding", "GET /a%zz HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("two slashes", "GET //a HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("parameter", "GET /a;b/c HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("non-ascii", "GET /ä HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    ("overlong", "GET /a%c0%afb HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED, NOTHING),
    // Headers.
    ("connection: host", "GET / HTTP/1.1\r\nHost: h\r\nConnection: host\r\n\r\n", REFUSED, NOTHING),
    ("connection: authorization", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close, Authorization\r\n\r\n", REFUSED, NOTHING),
    ("connection: x-forwarded-for", "GET / HTTP/1.1\r\nHost: h\r\nConnection: x-forwarded-for\r\n\r\n", REFUSED, NOTHING),
    ("x_forwarded_client_cert", "GET / HTTP/1.1\r\nHost: h\r\nx_forwarded_client_cert: By=me\r\n\r\n", REFUSED, NOTHING),
    ("x.forwarded.client.cert", "GET / HTTP/1.1\r\nHost: h\r\nx.forwarded.client.cert: By=me\r\n\r\n", REFUSED, NOTHING),
    ("content.length", "POST / HTTP/1.1\r\nHost: h\r\ncontent.length: 5\r\n\r\n", REFUSED, NOTHING),
    ("transfer~encoding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer~Encoding: chunked\r\n\r\n", REFUSED, NOTHING),
    ("upgrade beyond ascii", "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: \u{e9}, h2c\r\n\r\n", REFUSED, NOTHING),
    ("connection beyond ascii", "GET / HTTP/1.1\r\nHost: h\r\nConnection: \u{e9}, x-a\r\n\r\n", REFUSED, NOTHING),
    // Smuggled behind a request that is good.
    ("second is ambiguous", "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[200, 400], &["GET /1 HTTP/1.1"]),
    ("second behind a bare line feed", "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\n\nGET /3 HTTP/1.1\r\nHost: h\r\n\r\n", &[200, 400], &["GET /1 HTTP/1.1"]),
    ("third behind a refused one", "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /.. HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\n\r\n", &[200, 400], &["GET /1 HTTP/1.1"]),
    ("request in a body", "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n", &[200, 200], &["POST /1 HTTP/1.1", "GET /2 HTTP/1.1"]),
    ("request in a chunk", "POST /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n18\r\nGET /2 HTTP/1.1\r\n\r\n0\r\n\r\n\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\n\r\n", &[200, 200], &["POST /1 HTTP/1.1", "GET /3 HTTP/1.1"]),
    ("behind an upgrade", "GET /1 HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n", &[200, 400], &["GET /1 HTTP/1.1"]),
    ("behind an upgrade to h2c", "GET /1 HTTP/1.1\r\nHost: h\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n", &[200, 400], &["GET /1 HTTP/1.1"]),
];

#[tokio::test]
async fn an_ambiguous_request_is_refused_and_never_reaches_the_workload() {
    for (name, bytes, expected, passed) in CASES {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let target = workload(move |mut stream, _| {
            let log = Arc::clone(&log);
            async move {
                while let Some(head) = read_head(&mut stream).await {
                    log.lock().unwrap().push(head.lines().next().unwrap().to_owned());
                    read_body(&mut stream, &head).await;
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    stream.write_all(answer).await.unwrap();
                }
            }
        })
        .await;
        let stage = Arc::new(Stage::inbound(target, WorkloadHttp::Auto));
        let (mut near, _served) = stage.connect(Downstream::Http1);

        // The value beyond ASCII is Latin-1 on the wire.
        let wire: Vec<u8> = bytes.chars().map(|c| u8::try_from(c).unwrap()).collect();
        near.write_all(&wire).await.unwrap();
        // Whoever was not turned away says when it is over.
        if expected.last() == Some(&200) {
            let bye = b"GET /bye HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
            let _ = near.write_all(bye).await;
        }
        let answers = read_all(&mut near).await;

        let mut statuses: Vec<u16> = answers
            .match_indices("HTTP/1.")
            .map(|(at, _)| answers[at + 9..at + 12].parse().unwrap())
            .collect();
        let mut seen = seen.lock().unwrap().clone();
        if seen.last().is_some_and(|line| line.starts_with("GET /bye")) {
            seen.pop();
            statuses.pop();
        }
        assert_eq!(statuses, *expected, "{name}: {answers}");
        assert_eq!(seen, *passed, "{name}");
        if expected.last() != Some(&200) {
            assert!(answers.contains("onnection: close"), "{name}: {answers}");
        }
    }
}

#[tokio::test]
async fn every_refusal_is_reported_once_with_its_reason() {
    let cases = [
        ("GET / HTTP/1.1\nHost: h\n\n", "line_ending"),
        ("GET / HTTP/1.2\r\nHost: h\r\n\r\n", "request_line"), // hyper answers this one by itself
        ("GET /.. HTTP/1.1\r\nHost: h\r\n\r\n", "dot_segment"),
        ("GET / HTTP/1.1\r\n\r\n", "host_missing"),
        // hyper turns these away before their line ends.
        ("G@T", "request_line"),
        ("GET / HTTP/1.1\r\n ", "header_syntax"),
        ("GET /a<b HTTP/1.1\r\nHost: h\r\n\r\n", "target"), // and this one
        ("GET /a. HTTP/1.1\r\nHost: h\r\n\r\n", "segment_end"),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 01\r\n\r\na", "content_length"),
        ("GET / HTTP/1.1\r\nHost: h\r\nx.forwarded.for: a\r\n\r\n", "confusable_header"),
    ];
    for (bytes, reason) in cases {
        let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));
        let (mut near, served) = stage.connect(Downstream::Http1);

        near.write_all(bytes.as_bytes()).await.unwrap();
        read_all(&mut near).await;
        drop(near);

        assert_eq!(served.await.unwrap().requests, 1);
        assert_eq!(stage.events(), [Event::Rejected(reason)]);
    }
}

#[tokio::test]
async fn a_request_before_a_broken_one_is_answered_even_if_both_come_at_once() {
    let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));
    let (mut near, _served) = stage.connect(Downstream::Http1);
    let requests = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n\
        POST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n";

    near.write_all(requests.as_bytes()).await.unwrap();
    let answers = read_all(&mut near).await;

    assert_eq!(answers.matches(" 200 OK").count(), 1, "{answers}");
    assert!(answers.contains("GET /1"), "{answers}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let mut stage = Stage::inbound(mirror().await, WorkloadHttp::Auto);
    stage.limits.header_bytes = 8192;
    let stage = Arc::new(stage);
    let (mut near, served) = stage.connect(Downstream::Http1);

    let head = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(9000));
    near.write_all(head.as_bytes()).await.unwrap();
    let answer = read_all(&mut near).await;

    drop(near);
    served.await.unwrap();

    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(stage.events(), [Event::Rejected("head_too_large")]);
}

#[tokio::test]
async fn a_body_with_broken_chunks_never_looks_complete_to_the_workload() {
    let broken = [
        "3\r\nabcX\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "g\r\n",
        "-1\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3 3\r\nabc\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\nabc",
        "\r\nabc\r\n0\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
    ];
    for chunks in broken {
        let stage = Arc::new(Stage::inbound(mirror().await, WorkloadHttp::Auto));
        let (mut near, _served) = stage.connect(Downstream::Http1);
        let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

        near.write_all(format!("{head}{chunks}").as_bytes()).await.unwrap();
        let answer = read_all(&mut near).await;

        assert!(!answer.contains(" 200 "), "{chunks:?}: {answer}");
        assert_eq!(stage.ends(1).await[0].ending, Ending::ProtocolError, "{chunks:?}");
    }
}
