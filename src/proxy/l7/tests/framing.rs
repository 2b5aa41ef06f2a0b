//! The watcher against a naive reading of the whole text, and against hyper itself.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::proxy::l7::framing::{Verdicts, Watcher};
use crate::proxy::l7::malformed::Malformed;

const LIMIT: usize = 4096;

/// What the watcher says of `bytes` when they come in pieces of these sizes.
fn watch(bytes: &[u8], pieces: &[usize]) -> (u64, Option<Malformed>, bool) {
    let verdicts = Verdicts::default();
    let mut watcher = Watcher::new(LIMIT);
    let mut rest = bytes;
    let mut sizes = pieces.iter().copied().cycle();
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(usize::MAX).clamp(1, rest.len());
        let (piece, left) = rest.split_at(size);
        rest = left;
        if watcher.feed(piece, &verdicts).is_err() {
            break;
        }
    }
    let approved = (1..).take_while(|number| verdicts.check(*number).is_ok()).count();
    (approved as u64, verdicts.refused().map(|refused| refused.why), watcher.is_at_rest())
}

/// One well-formed request, as text.
fn request() -> impl Strategy<Value = String> {
    let framing = prop_oneof![
        Just("\r\n".to_owned()),
        "[a-zA-Z0-9 \r\n:]{0,40}"
            .prop_map(|body| { format!("Content-Length: {}\r\n\r\n{body}", body.len()) }),
        proptest::collection::vec("[a-zA-Z0-9 \r\n:]{1,20}", 0..4).prop_map(|chunks| {
            let chunks: String = chunks
                .iter()
                .map(|chunk| format!("{:x};e=1\r\n{chunk}\r\n", chunk.len()))
                .collect();
            format!("transfer-encoding:chunked\r\n\r\n{chunks}0\r\nX-T: 1\r\n\r\n")
        }),
    ];
    ("[A-Z]{3,7}", "/[a-z0-9/?=]{0,20}", "[ -~]{0,30}", framing).prop_map(
        |(method, path, value, rest)| {
            format!("{method} {path} HTTP/1.1\r\nHost: h\r\nX-V:{value}\r\n{rest}")
        },
    )
}

/// Requests of which a few bytes may have been spoiled.
fn traffic() -> impl Strategy<Value = Vec<u8>> {
    let spoils = prop_oneof![Just(b'\n'), Just(b'\r'), Just(b' '), Just(b':'), any::<u8>()];
    let spoil = proptest::collection::vec((any::<prop::sample::Index>(), spoils), 0..3);
    (proptest::collection::vec(request(), 1..5), spoil).prop_map(|(requests, spoils)| {
        let mut bytes = requests.concat().into_bytes();
        for (at, byte) in spoils {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

/// The request lines and body lengths that hyper makes of `bytes`.
async fn as_hyper_reads(bytes: Vec<u8>) -> Vec<(String, Option<usize>)> {
    let (mut near, far) = duplex(1 << 16);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let service = service_fn(move |request: Request<Incoming>| {
        let log = Arc::clone(&log);
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let at = {
                let mut log = log.lock().unwrap();
                log.push((line, None));
                log.len() - 1
            };
            let length = request.into_body().collect().await?.to_bytes().len();
            log.lock().unwrap()[at].1 = Some(length);
            Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let served =
        http1::Builder::new().half_close(true).serve_connection(TokioIo::new(far), service);
    let client = async {
        near.write_all(&bytes).await.unwrap();
        near.shutdown().await.unwrap();
        let _ = near.read_to_end(&mut Vec::new()).await;
    };
    let _ = tokio::join!(served, client);
    let seen = seen.lock().unwrap();
    seen.clone()
}

/// The request lines and body lengths of `bytes` as far as they are well-formed: a second reading of
/// RFC 9112, of the whole text at once and without any state.
fn as_the_text_reads(bytes: &[u8], count: u64) -> Vec<(String, Option<usize>)> {
    let mut rest = String::from_utf8_lossy(bytes).into_owned();
    let mut seen = Vec::new();
    for _ in 0..count {
        rest = rest.trim_start_matches("\r\n").to_owned();
        let (head, after) = rest.split_once("\r\n\r\n").unwrap();
        let mut words = head.split(' ');
        let line = format!("{} {}", words.next().unwrap(), words.next().unwrap());
        let field = |name: &str| {
            head.lines().skip(1).find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let mut after = after.to_owned();
        let mut length = 0;
        if field("transfer-encoding").is_some() {
            while let Some((size, left)) = after.split_once("\r\n") {
                let digits = size.split([';', ' ', '\t']).next().unwrap();
                let Ok(size) = usize::from_str_radix(digits, 16) else { break };
                let (left, is_last) = (left.to_owned(), size == 0);
                if is_last {
                    let left = format!("\r\n{left}");
                    after = left.split_once("\r\n\r\n").map_or("", |(_, left)| left).to_owned();
                    break;
                }
                length += size.min(left.len());
                after = left.get(size + 2..).unwrap_or_default().to_owned();
            }
        } else if let Some(stated) = field("content-length") {
            length = stated.parse().unwrap();
            after = after.get(length..).unwrap_or_default().to_owned();
        }
        seen.push((line, Some(length)));
        rest = after;
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn well_formed_requests_are_all_approved(
        requests in proptest::collection::vec(request(), 1..6),
        pieces in proptest::collection::vec(1..40_usize, 1..8),
    ) {
        let text = requests.concat();
        let verdict = watch(text.as_bytes(), &pieces);

        prop_assert_eq!(verdict, (requests.len() as u64, None, true));
    }

    #[test]
    fn a_verdict_does_not_depend_on_how_the_bytes_arrive(
        bytes in traffic(),
        pieces in proptest::collection::vec(1..40_usize, 1..8),
    ) {
        let whole = watch(&bytes, &[usize::MAX]);
        let (approved, refused, _) = watch(&bytes, &pieces);

        prop_assert_eq!((approved, refused), (whole.0, whole.1));
    }

    #[test]
    fn hyper_reads_every_approved_request_as_the_text_has_it(bytes in traffic()) {
        let (approved, refused, _) = watch(&bytes, &[usize::MAX]);
        prop_assume!(refused != Some(Malformed::Chunk)); // hyper gets none of these bytes
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

        let hyper = runtime.block_on(as_hyper_reads(bytes.clone()));

        prop_assume!(std::str::from_utf8(&bytes).is_ok());
        for (at, (line, length)) in as_the_text_reads(&bytes, approved).into_iter().enumerate() {
            // hyper may be stricter and stop; what it does read, it reads in the same way.
            let Some((hyper_line, hyper_length)) = hyper.get(at) else { break };
            prop_assert_eq!(hyper_line, &line);
            if hyper_length.is_some() && at + 1 < hyper.len() {
                prop_assert_eq!(hyper_length, &length);
            }
        }
    }
}

#[test]
fn a_head_beyond_the_limit_is_refused_however_it_arrives() {
    let head = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(LIMIT));

    for piece in [1, 7, usize::MAX] {
        assert_eq!(watch(head.as_bytes(), &[piece]).1, Some(Malformed::TooLarge));
    }
}

#[test]
fn nothing_is_approved_behind_what_was_refused() {
    let bytes = b"GET /1 HTTP/1.1\r\n\r\nGET /2\r\n\r\nGET /3 HTTP/1.1\r\n\r\n";

    assert_eq!(watch(bytes, &[usize::MAX]), (1, Some(Malformed::RequestLine), false));
}

#[test]
fn bytes_behind_a_granted_upgrade_are_not_judged() {
    let verdicts = Verdicts::default();
    let mut watcher = Watcher::new(LIMIT);
    let ask = b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";

    watcher.feed(ask, &verdicts).unwrap();
    verdicts.decide_upgrade(true);
    watcher.feed(b"\0\n\xff", &verdicts).unwrap();

    assert_eq!(verdicts.refused(), None);
}

#[test]
fn requests_behind_a_declined_upgrade_are_judged_as_before() {
    let verdicts = Verdicts::default();
    let mut watcher = Watcher::new(LIMIT);
    let ask = b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";

    watcher.feed(ask, &verdicts).unwrap();
    verdicts.decide_upgrade(false);
    watcher.feed(b"GET / HTTP/1.1\r\n\r\nGET\n", &verdicts).unwrap();

    assert!(verdicts.check(2).is_ok());
    assert_eq!(verdicts.check(3), Err(Malformed::LineEnding));
}
