//! HTTP/2 by hand: what the library turns away by itself is on record, and what it lets pass is judged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{sleep, timeout};

use super::stage::{Event, SOON, Stage, mirror, read_head, workload};
use crate::config::WorkloadHttp;
use crate::outcome::Ending;
use crate::proxy::l7::{Downstream, Served};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "h"), (":path", "/a")];

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Header fields as literals without indexing (RFC 7541, 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            // A prefix of seven bits, and what does not fit into it.
            match u8::try_from(text.len()).ok().filter(|length| *length < 127) {
                Some(length) => block.push(length),
                None => {
                    block.push(127);
                    let mut rest = text.len() - 127;
                    while rest >= 128 {
                        block.push(u8::try_from(rest % 128).unwrap() | 128);
                        rest /= 128;
                    }
                    block.push(u8::try_from(rest).unwrap());
                }
            }
            block.extend(text.as_bytes());
        }
    }
    block
}

pub(super) fn request(stream: u32, fields: &[(&str, &str)], flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &block(fields))
}

/// `GET` with more fields.
fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    GET.iter().chain(more).copied().collect()
}

/// `GET` with another value for the pseudo-header `name`.
fn but<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    GET.iter().map(|field| if field.0 == name { (name, value) } else { *field }).collect()
}

fn stage(target: SocketAddr) -> Arc<Stage> {
    Arc::new(Stage::inbound(target, WorkloadHttp::Auto))
}

/// A connection on which `frames` follow the preface; somebody reads whatever comes back.
pub(super) async fn send(stage: &Arc<Stage>, frames: &[Vec<u8>]) -> (Sending, Receiving) {
    let (near, served) = stage.connect(Downstream::Http2);
    let (mut from, mut to) = tokio::io::split(near);
    stage.shutdown.spawn(async move {
        let _ = from.read_to_end(&mut Vec::new()).await;
    });
    let settings = frame(SETTINGS, 0, 0, &[]);
    // It may be turned away before the end.
    let _ = to.write_all(&[PREFACE, &settings, &frames.concat()].concat()).await;
    (to, served)
}

pub(super) type Sending = tokio::io::WriteHalf<DuplexStream>;
pub(super) type Receiving = tokio::sync::oneshot::Receiver<Served>;

#[tokio::test]
async fn a_head_that_the_library_resets_is_on_record_once_and_the_connection_goes_on() {
    let cases = [
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("connection", with(&[("connection", "close")])),
        ("differing lengths", with(&[("content-length", "5"), ("content-length", "6")])),
        ("length without body", with(&[("content-length", "5")])),
        ("empty length", with(&[("content-length", "")])),
        ("signed length", with(&[("content-length", "-1")])),
        ("pseudo-header behind", with(&[("x-a", "b"), (":path", "/b")])),
        ("two paths", with(&[(":path", "/b")])),
        ("path without slash", but(":path", "a")),
        ("empty path", but(":path", "")),
        ("path with a space", but(":path", "/a b")),
        ("no path", GET[..3].to_vec()),
        ("no method", GET[1..].to_vec()),
        ("user in authority", but(":authority", "a b")),
        (":status", with(&[(":status", "200")])),
    ];
    for (name, fields) in cases {
        let stage = stage(mirror().await);
        let frames = [request(1, &fields, END_STREAM), request(3, &GET, END_STREAM)];

        let (mut to, served) = send(&stage, &frames).await;
        let rejected = stage.rejections(1).await;
        let ends = stage.ends(1).await;
        to.shutdown().await.unwrap();
        stage.shutdown.drain();
        let served = timeout(SOON, served).await.unwrap().unwrap();

        assert_eq!(rejected.len(), 1, "{name}");
        assert!(
            matches!(rejected[0], "http2" | "target" | "content_length"),
            "{name}: {rejected:?}"
        );
        assert_eq!(ends.len(), 1, "{name}");
        assert_eq!(ends[0].ending, Ending::Finished, "{name}");
        assert_eq!(served.requests, 2, "{name}");
        assert_eq!(stage.rejected_so_far().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn what_the_library_lets_pass_is_refused_by_the_gate() {
    let cases = [
        (with(&[("content-length", "0"), ("content-length", "00")]), "content_length"),
        (with(&[("content-length", "0"), ("content-length", "0")]), "content_length"),
        (with(&[("content-length", "000")]), "content_length"),
        (with(&[("x_forwarded_client_cert", "By=me")]), "confusable_header"),
        (with(&[("x.forwarded.for", "evil")]), "confusable_header"),
        (with(&[("host", "i")]), "host_mismatch"),
        (but(":path", "/a%20/b"), "segment_end"),
        (but(":path", "/../a"), "dot_segment"),
        (but(":method", "TRACE"), "method"),
    ];
    for (fields, reason) in cases {
        let stage = stage(mirror().await);

        let (_to, _served) = send(&stage, &[request(1, &fields, END_STREAM)]).await;

        assert_eq!(stage.rejections(1).await, [reason]);
        assert_eq!(stage.events().len(), 1, "{reason}");
    }
}

#[tokio::test]
async fn two_lengths_that_are_equal_as_numbers_never_reach_the_workload() {
    let stage = stage(mirror().await);
    let post = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "h"),
        (":path", "/a"),
        ("content-length", "5"),
        ("content-length", "005"),
    ];

    let frames = [request(1, &post, 0), frame(DATA, END_STREAM, 1, b"abcde")];
    let (_to, _served) = send(&stage, &frames).await;

    assert_eq!(stage.rejections(1).await, ["content_length"]);
    assert_eq!(stage.events().len(), 1);
}

#[tokio::test]
async fn a_body_of_another_length_than_stated_never_looks_complete_and_is_on_record() {
    let post = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "h"),
        (":path", "/a"),
        ("content-length", "5"),
    ];
    for body in ["abc", "abcdefg"] {
        let stage = stage(mirror().await);

        let (mut to, _served) = send(&stage, &[request(1, &post, 0)]).await;
        while stage.connects.load(Ordering::SeqCst) < 1 {
            sleep(Duration::from_millis(1)).await;
        }
        to.write_all(&frame(DATA, END_STREAM, 1, body.as_bytes())).await.unwrap();

        assert_eq!(stage.rejections(1).await, ["http2"], "{body}");
        let ends = stage.ends(1).await;
        assert_ne!(ends[0].ending, Ending::Finished, "{body}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_on_record() {
    for (kilobytes, reason) in [(70, "head_too_large"), (300, "http2")] {
        let stage = stage(mirror().await);
        let large = "a".repeat(1000);
        let fields: Vec<_> = (0..kilobytes).map(|_| ("x-a", large.as_str())).collect();
        let all = block(&with(&fields));
        let mut pieces = all.chunks(16_000).peekable();
        let mut frames = vec![frame(HEADERS, END_STREAM, 1, pieces.next().unwrap())];
        while let Some(piece) = pieces.next() {
            let is_last = pieces.peek().is_none();
            frames.push(frame(CONTINUATION, if is_last { END_HEADERS } else { 0 }, 1, piece));
        }

        let (_to, _served) = send(&stage, &frames).await;

        assert_eq!(stage.rejections(1).await, [reason], "{kilobytes}");
        assert_eq!(stage.events().len(), 1);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_http2_ends_as_a_protocol_error_on_record() {
    let broken = [
        ("data on no stream", frame(DATA, 0, 0, b"x")),
        ("data on a stream that is not open", frame(DATA, 0, 7, b"x")),
        ("line end in a value", request(1, &with(&[("x-a", "b\r\nc: d")]), END_STREAM)),
        ("null in a value", request(1, &with(&[("x-a", "b\0")]), END_STREAM)),
        ("upper case", request(1, &with(&[("X-A", "b")]), END_STREAM)),
        ("space in a name", request(1, &with(&[("x a", "b")]), END_STREAM)),
        ("broken compression", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 40])),
        ("a stream of ours", request(2, &GET, END_STREAM)),
        ("settings of no length", frame(SETTINGS, 0, 0, &[0; 5])),
    ];
    for (name, bytes) in broken {
        let stage = stage(mirror().await);

        let (mut to, served) = send(&stage, &[bytes]).await;
        let rejected = stage.rejections(1).await;
        to.shutdown().await.unwrap();
        let served = timeout(SOON, served).await.unwrap().unwrap();

        assert_eq!(rejected, ["http2"], "{name}");
        assert_eq!(served, Served { ending: Ending::ProtocolError, requests: 1 }, "{name}");
    }
}

#[tokio::test]
async fn answers_without_a_body_are_not_taken_for_heads_that_were_too_large() {
    let target = workload(|mut stream, _| async move {
        while read_head(&mut stream).await.is_some() {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let stage = stage(target);
    let frames: Vec<_> = (0..20).map(|at| request(at * 2 + 1, &GET, END_STREAM)).collect();

    let (mut to, served) = send(&stage, &frames).await;
    stage.ends(20).await;
    to.shutdown().await.unwrap();
    let served = timeout(SOON, served).await.unwrap().unwrap();

    assert_eq!(served.requests, 20);
    assert_eq!(stage.rejected_so_far(), [""; 0]);
}

#[tokio::test]
async fn a_workload_that_breaks_off_is_not_the_peers_violation() {
    let target = workload(|mut stream, _| async move {
        read_head(&mut stream).await;
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
        stream.write_all(half).await.unwrap();
    })
    .await;
    let stage = stage(target);

    let (_to, _served) = send(&stage, &[request(1, &GET, END_STREAM)]).await;

    assert_eq!(stage.ends(1).await[0].ending, Ending::UpstreamLost);
    assert_eq!(stage.rejected_so_far(), [""; 0]);
    assert!(stage.events().iter().all(|event| !matches!(event, Event::Rejected(_))));
}
