//! Requests that two parsers read in two ways: they get 400 and a record, and nothing reaches the workload.
//!
//! Raw bytes go in, over mutual TLS and on the plaintext side; a workload that remembers every byte judges.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::support::http::{ByHand, Wire, plain};
use crate::support::legacy::Legacy;
use crate::support::mesh::Mesh;
use crate::support::outside::Outside;

/// A label of the record, and the bytes that lead to it.
struct Shape(&'static str, &'static [u8]);

const LENGTHS: &[Shape] = &[
    Shape("two_lengths", b"POST / HTTP/1.1\r\nHost: ehr\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("two_lengths", b"POST / HTTP/1.1\r\nHost: ehr\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGET /smuggled HTTP/1.1\r\n\r\n0\r\n\r\n"),
    Shape("content_length", b"POST / HTTP/1.1\r\nHost: ehr\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nsmuggled"),
    Shape("content_length", b"POST / HTTP/1.1\r\nHost: ehr\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    Shape("content_length", b"POST / HTTP/1.1\r\nHost: ehr\r\nContent-Length: 5, 5\r\n\r\nhello"),
    Shape("content_length", b"POST / HTTP/1.1\r\nHost: ehr\r\nContent-Length: +5\r\n\r\nhello"),
    Shape("content_length", b"POST / HTTP/1.1\r\nHost: ehr\r\nContent-Length: -1\r\n\r\nhello"),
    Shape("content_length", b"POST / HTTP/1.1\r\nHost: ehr\r\nContent-Length: 0x5\r\n\r\nhello"),
    Shape("content_length", b"POST / HTTP/1.1\r\nHost: ehr\r\nContent-Length: 5 5\r\n\r\nhello"),
    Shape("content_length", b"POST / HTTP/1.1\r\nHost: ehr\r\nContent-Length: \r\n\r\nhello"),
    Shape("content_length", b"POST / HTTP/1.1\r\nHost: ehr\r\nContent-Length: 18446744073709551617\r\n\r\nhello"),
    Shape("transfer_encoding", b"POST / HTTP/1.1\r\nHost: ehr\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    Shape("transfer_encoding", b"POST / HTTP/1.1\r\nHost: ehr\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
    Shape("transfer_encoding", b"POST / HTTP/1.1\r\nHost: ehr\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    Shape("transfer_encoding", b"POST / HTTP/1.1\r\nHost: ehr\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    Shape("transfer_encoding", b"POST / HTTP/1.1\r\nHost: ehr\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    Shape("transfer_encoding", b"POST / HTTP/1.1\r\nHost: ehr\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    Shape("transfer_encoding", b"POST / HTTP/1.1\r\nHost: ehr\r\nTransfer-Encoding: identity\r\n\r\n"),
    Shape("transfer_encoding", b"POST / HTTP/1.0\r\nHost: ehr\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    Shape("control_character", b"POST / HTTP/1.1\r\nHost: ehr\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
];

const LINES: &[Shape] = &[
    Shape(
        "header_syntax",
        b"POST / HTTP/1.1\r\nHost: ehr\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ),
    Shape(
        "header_syntax",
        b"POST / HTTP/1.1\r\nHost: ehr\r\nX: 1\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Shape("header_syntax", b"GET / HTTP/1.1\r\n Host: ehr\r\n\r\n"),
    Shape("header_syntax", b"GET / HTTP/1.1\r\nHost: ehr\r\nno colon\r\n\r\n"),
    Shape("header_syntax", b"GET / HTTP/1.1\r\nHost: ehr\r\n: no name\r\n\r\n"),
    Shape("header_syntax", b"GET / HTTP/1.1\r\nHost: ehr\r\nX(y): 1\r\n\r\n"),
    Shape("header_syntax", b"GET / HTTP/1.1\r\nHost: ehr\r\nX\xc3\xa4: 1\r\n\r\n"),
    Shape("control_character", b"GET / HTTP/1.1\r\nHost: ehr\r\nX: a\x00b\r\n\r\n"),
    Shape("control_character", b"GET / HTTP/1.1\r\nHost: ehr\r\nX: a\x7fb\r\n\r\n"),
    Shape("control_character", b"GET / HTTP/1.1\r\nHost: ehr\r\nX: a\rSmuggled: 1\r\n\r\n"),
    Shape("line_ending", b"GET / HTTP/1.1\nHost: ehr\n\n"),
    Shape("line_ending", b"GET / HTTP/1.1\r\nHost: ehr\nSmuggled: 1\r\n\r\n"),
    Shape("line_ending", b"POST / HTTP/1.1\r\nHost: ehr\r\nContent-Length: 3\n\r\nabc"),
    Shape("request_line", b"GET /\r\n\r\n"),
    Shape("request_line", b"GET / HTTP/1.1 \r\nHost: ehr\r\n\r\n"),
    Shape("request_line", b"GET  / HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("request_line", b"GET\t/\tHTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("request_line", b"GET / HTTP/1.2\r\nHost: ehr\r\n\r\n"),
    Shape("request_line", b"GET / HTTP/2.0\r\nHost: ehr\r\n\r\n"),
    Shape("request_line", b"GET / http/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("request_line", b"GET /smug gled HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("request_line", b"GET /a#b HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("request_line", b"G\x00T / HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("request_line", b"G@T / HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("request_line", b"PRI * HTTP/2.0\r\n\r\nsmuggled\r\n\r\n"),
];

const HOSTS: &[Shape] = &[
    Shape("host_missing", b"GET / HTTP/1.1\r\n\r\n"),
    Shape("host_repeated", b"GET / HTTP/1.1\r\nHost: ehr\r\nHost: other\r\n\r\n"),
    Shape("host_repeated", b"GET / HTTP/1.1\r\nHost: ehr\r\nhost: ehr\r\n\r\n"),
    Shape("host_invalid", b"GET / HTTP/1.1\r\nHost: ehr/smuggled\r\n\r\n"),
    Shape("host_invalid", b"GET / HTTP/1.1\r\nHost: user@ehr\r\n\r\n"),
    Shape("host_invalid", b"GET / HTTP/1.1\r\nHost: ehr, other\r\n\r\n"),
    Shape("host_invalid", b"GET / HTTP/1.1\r\nHost: ehr:99999\r\n\r\n"),
    Shape("host_invalid", b"GET / HTTP/1.1\r\nHost: \r\n\r\n"),
    Shape("host_mismatch", b"GET http://other/ HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("host_missing", b"GET http://ehr/ HTTP/1.1\r\n\r\n"),
    Shape("target", b"GET ftp://ehr/ HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("target", b"GET * HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("method", b"CONNECT ehr:80 HTTP/1.1\r\nHost: ehr:80\r\n\r\n"),
    Shape("method", b"TRACE / HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("connection_header", b"GET / HTTP/1.1\r\nHost: ehr\r\nConnection: close, Host\r\n\r\n"),
    Shape(
        "connection_header",
        b"GET / HTTP/1.1\r\nHost: ehr\r\nConnection: X-Forwarded-Client-Cert\r\n\r\n",
    ),
    Shape(
        "confusable_header",
        b"GET / HTTP/1.1\r\nHost: ehr\r\nX_Forwarded_Client_Cert: By=nobody\r\n\r\n",
    ),
    Shape("confusable_header", b"POST / HTTP/1.1\r\nHost: ehr\r\nContent_Length: 3\r\n\r\n"),
];

const PATHS: &[Shape] = &[
    Shape("dot_segment", b"GET /a/../admin HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("dot_segment", b"GET /./admin HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("dot_segment", b"GET /a/%2e%2e/admin HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("dot_segment", b"GET /a/.%2E/admin HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("empty_segment", b"GET //admin HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("empty_segment", b"GET /a//admin HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("path_encoding", b"GET /a%2fadmin HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("path_encoding", b"GET /a%5Cadmin HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("path_encoding", b"GET /a%00 HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("path_encoding", b"GET /a%0d%0aSmuggled:%201 HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("path_encoding", b"GET /%252e%252e/admin HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("path_encoding", b"GET /%c0%ae%c0%ae/admin HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("path_encoding", b"GET /%zz HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("path_character", b"GET /a\\admin HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("path_character", b"GET /\xc3\xa4 HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("path_parameter", b"GET /a;b/../admin HTTP/1.1\r\nHost: ehr\r\n\r\n"),
    Shape("path_parameter", b"GET /..;/admin HTTP/1.1\r\nHost: ehr\r\n\r\n"),
];

/// Sends every shape on a connection of its own, and then a good request, which alone may arrive.
async fn judge<S, F>(
    corpus: &[Shape],
    connect: impl Fn() -> F,
    judged_by: &Outside,
    workload: &Legacy,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Wire<S>>,
{
    for (number, Shape(label, bytes)) in corpus.iter().enumerate() {
        let shape = String::from_utf8_lossy(bytes);
        let mut wire = connect().await;
        wire.send(bytes).await;
        let answer = String::from_utf8(wire.rest().await).unwrap();
        let status = if *label == "method" { "405" } else { "400" };
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shape:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{shape:?}: {answer:?}");
        assert!(answer.contains("connection: close\r\n"), "{shape:?}: {answer:?}");
        assert_eq!(workload.received(), b"", "{shape:?}");
        drop(wire);
        let denials = judged_by.trail().wait_for("request-denied", number + 1).await;
        assert_eq!(denials.len(), number + 1, "{shape:?}");
        assert_eq!(denials[number].reason(), "malformed_request", "{shape:?}");
        assert_eq!(denials[number].label(), *label, "{shape:?}");
    }
    let mut wire = connect().await;
    wire.send("GET /good HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    assert_eq!(wire.message().await.text(), "/good");

    assert_eq!(workload.targets(), ["/good"]);
    assert!(workload.received().starts_with(b"GET /good HTTP/1.1\r\n"));
    let trail = judged_by.trail().text().to_lowercase();
    assert!(!trail.contains("smuggled") && !trail.contains("admin"), "{trail}");
    let denied = [("reason", "malformed_request")];
    let count = f64::from(u32::try_from(corpus.len()).unwrap());
    judged_by.metric_is("myelin_connections_denied_total", &denied, count).await;
}

async fn over_mutual_tls(corpus: &[Shape]) {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = mesh.inbound("ehr").allow("web").http().forward(workload.target()).start().await;

    judge(corpus, || mesh.http("web", &ehr), &ehr, &workload).await;
}

async fn on_the_plaintext_side(corpus: &[Shape]) {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let pair = mesh.pair(workload.target()).await;
    let address: SocketAddr = pair.address();

    judge(corpus, || plain(address), &pair.web, &workload).await;
}

#[tokio::test]
async fn two_lengths_or_none_that_can_be_believed_over_mutual_tls() {
    over_mutual_tls(LENGTHS).await;
}

#[tokio::test]
async fn two_lengths_or_none_that_can_be_believed_on_the_plaintext_side() {
    on_the_plaintext_side(LENGTHS).await;
}

#[tokio::test]
async fn lines_that_are_none_over_mutual_tls() {
    over_mutual_tls(LINES).await;
}

#[tokio::test]
async fn lines_that_are_none_on_the_plaintext_side() {
    on_the_plaintext_side(LINES).await;
}

#[tokio::test]
async fn no_host_or_two_over_mutual_tls() {
    over_mutual_tls(HOSTS).await;
}

#[tokio::test]
async fn no_host_or_two_on_the_plaintext_side() {
    on_the_plaintext_side(HOSTS).await;
}

#[tokio::test]
async fn paths_that_lead_elsewhere_over_mutual_tls() {
    over_mutual_tls(PATHS).await;
}

#[tokio::test]
async fn paths_that_lead_elsewhere_on_the_plaintext_side() {
    on_the_plaintext_side(PATHS).await;
}

#[tokio::test]
async fn what_is_pipelined_behind_a_good_request_is_judged_on_its_own() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = mesh.inbound("ehr").allow("web").http().forward(workload.target()).start().await;

    let mut web = mesh.http("web", &ehr).await;
    web.send(
        "GET /1 HTTP/1.1\r\nHost: ehr\r\n\r\n\
         GET /2 HTTP/1.1\r\nHost: ehr\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
         GET /3 HTTP/1.1\r\nHost: ehr\r\n\r\n",
    )
    .await;

    assert_eq!(web.message().await.text(), "/1");
    assert_eq!(web.message().await.status(), 400);
    web.ends().await;
    assert_eq!(workload.targets(), ["/1"]);
    ehr.trail().only("request-denied").await;
}

#[tokio::test]
async fn good_requests_that_are_pipelined_are_answered_in_their_order() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = mesh.inbound("ehr").allow("web").http().forward(workload.target()).start().await;

    let mut web = mesh.http("web", &ehr).await;
    let requests: String =
        (1..=20).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: ehr\r\n\r\n")).collect();
    web.send(requests).await;

    for n in 1..=20 {
        assert_eq!(web.message().await.text(), format!("/{n}"));
    }
}

/// A body of which the head was in order: it has been let through, and must never look complete.
#[tokio::test]
async fn a_body_that_is_broken_in_its_chunks_never_ends_at_the_workload() {
    let broken: &[&[u8]] = &[
        b"5\r\nhello\r\nxyz\r\n0\r\n\r\n",
        b"5\r\nhelloX0\r\n\r\n",
        b"5\r\nhello\n0\n\n",
        b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
        b"5\r\nhello\r\n-1\r\n\r\n",
        b"5\r\nhello\r\n0x0\r\n\r\n",
        b"5\r\nhello\r\nfffffffffffffffff\r\n\r\n",
        b"5\r\nhello\r\n0;\nX\r\n\r\n",
        b"5\r\nhello\r\n0 \x00\r\n\r\n",
    ];
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let ehr = mesh.inbound("ehr").allow("web").http().forward(&workload.target()).start().await;
    for body in broken {
        let mut web = mesh.http("web", &ehr).await;
        web.send("POST / HTTP/1.1\r\nHost: ehr\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let mut call = workload.accept().await;
        let head = call.head().await;
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));

        web.try_send(body).await;
        web.try_send("GET /smuggled HTTP/1.1\r\nHost: ehr\r\n\r\n").await;

        let arrived = String::from_utf8(call.rest().await).unwrap();
        assert!(!arrived.contains("0\r\n\r\n"), "{body:?}: {arrived:?}");
        assert!(!arrived.contains("smuggled"), "{body:?}: {arrived:?}");
        drop(call);
        let answer = String::from_utf8(web.rest().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_head_larger_than_the_limit_gets_431() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = mesh.inbound("ehr").allow("web").http().forward(workload.target());
    let ehr = setup.limits("header_bytes: 8KiB").start().await;

    let mut web = mesh.http("web", &ehr).await;
    let filler = "x".repeat(9000);
    web.send(format!("GET / HTTP/1.1\r\nHost: ehr\r\nX: {filler}\r\n\r\n")).await;

    let answer = String::from_utf8(web.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
    assert_eq!(workload.received(), b"");
    assert_eq!(ehr.trail().only("request-denied").await.label(), "head_too_large");
}

#[tokio::test]
async fn a_head_with_too_many_lines_gets_431() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = mesh.inbound("ehr").allow("web").http().forward(workload.target()).start().await;
    let head =
        |lines: usize| format!("GET / HTTP/1.1\r\nHost: ehr\r\n{}\r\n", "X: 1\r\n".repeat(lines));

    let mut web = mesh.http("web", &ehr).await;
    web.send(head(99)).await;
    assert_eq!(web.message().await.status(), 200);
    web.send(head(100)).await;
    assert_eq!(web.message().await.status(), 431);
    web.ends().await;

    assert_eq!(workload.asked().len(), 1);
    drop(web);
    let denied = ehr.trail().only("request-denied").await;
    assert_eq!(denied.label(), "head_too_large");
}

#[tokio::test]
async fn a_line_that_is_wrong_before_it_ends_is_on_record() {
    let beginnings = [("GET / HTTP/1.1\r\n ", "header_syntax"), ("G@T", "request_line")];
    for (beginning, label) in beginnings {
        let mesh = Mesh::new();
        let workload = Legacy::start().await;
        let ehr = mesh.inbound("ehr").allow("web").http().forward(workload.target()).start().await;
        let mut web = mesh.http("web", &ehr).await;

        web.send(beginning).await;
        let answer = String::from_utf8(web.rest().await).unwrap();
        drop(web);

        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(ehr.trail().only("request-denied").await.label(), label);
        assert_eq!(ehr.trail().only("connection-closed").await.reason(), "protocol_error");
    }
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off_in_time() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = mesh.inbound("ehr").allow("web").http().forward(workload.target());
    let ehr = setup.limits("header_timeout: 1s").start().await;

    let mut web = mesh.http("web", &ehr).await;
    web.send("GET / HTTP/1.1\r\n").await;
    let trickle = async {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            web.try_send("X: 1\r\n").await;
        }
    };
    tokio::select! {
        () = trickle => {}
        () = ehr.ended("idle", 1.0) => {}
    }

    assert_eq!(workload.connections(), 0);
}
