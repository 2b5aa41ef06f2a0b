//! The relay on streams in memory, where time is ours.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use proptest::prelude::*;
use time::macros::datetime;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex};

use super::*;
use crate::authz::ListenerPolicy;
use crate::config;
use crate::identity::{
    Fingerprint, LeafUse, ListenerName, PeerCertificate, PeerIdentity, Proof, SpiffeId, Subject,
};
use crate::outcome::Direction;
use crate::proxy::stream::PIECE;
use crate::telemetry::metrics::Metrics;

const HOUR: Duration = Duration::from_secs(3600);

/// A permit, gained the only way there is.
pub(in crate::proxy) fn permit() -> Permit {
    let text = "version: 1\nservice: ehr\ntrust_domain: td\nidentity: { embedded: { dir: a } }\n\
                peers: { lab: { spiffe: \"spiffe://td/lab\" } }\n\
                inbound: [ { name: x, listen: \"127.0.0.1:1\", forward: \"127.0.0.1:2\", protocol: tcp, allow: [lab] } ]";
    let config = config::parse(Path::new("x"), text, &|_| None).unwrap();
    let certificate = PeerCertificate {
        spiffe: Some(SpiffeId::parse("spiffe://td/lab").unwrap()),
        dns: Vec::new(),
        alternative_names: Vec::new(),
        subject: Subject::default(),
        issuer: String::new(),
        serial: String::new(),
        sha256: Fingerprint([0; 32]),
        key_sha256: Fingerprint([0; 32]),
        usage: LeafUse::default(),
        not_before: datetime!(2026-01-01 0:00 UTC),
        not_after: datetime!(2027-01-01 0:00 UTC),
    };
    let who = PeerIdentity { certificate: Arc::new(certificate), proof: Proof::Chain };
    ListenerPolicy::inbound(&config, &config.inbound[0])
        .authorize(&who, datetime!(2026-11-22 0:00 UTC))
        .unwrap()
}

/// A relay under way, with its two far ends.
struct Relay {
    peer: DuplexStream,
    workload: DuplexStream,
    running: tokio::task::JoinHandle<(Ended, Moved)>,
}

#[expect(clippy::disallowed_methods, reason = "a test has no drain")]
fn start(capacity: usize, idle: Duration) -> Relay {
    let (peer, downstream) = duplex(capacity);
    let (workload, upstream) = duplex(capacity);
    let running = tokio::spawn(async move {
        let metrics = Metrics::new().unwrap();
        let metrics = metrics.listener(&ListenerName::new("x"), Direction::Inbound);
        let mut moved = Moved::default();
        let ended = relay(&permit(), downstream, upstream, idle, &mut moved, &metrics).await;
        (ended, moved)
    });
    Relay { peer, workload, running }
}

#[tokio::test]
async fn bytes_pass_both_ways_and_are_counted() {
    let mut relay = start(1024, HOUR);

    relay.workload.write_all(b"220 ready").await.unwrap(); // the server speaks first
    let mut greeting = [0; 9];
    relay.peer.read_exact(&mut greeting).await.unwrap();
    relay.peer.write_all(b"HELO").await.unwrap();
    let mut hello = [0; 4];
    relay.workload.read_exact(&mut hello).await.unwrap();
    drop(relay.peer);
    drop(relay.workload);

    assert_eq!((&greeting, &hello), (b"220 ready", b"HELO"));
    let (ended, moved) = relay.running.await.unwrap();
    assert_eq!(ended.ending, Ending::Finished);
    assert_eq!(moved, Moved { up: 4, down: 9 });
}

#[tokio::test]
async fn a_side_that_has_ended_still_hears_the_other() {
    let mut relay = start(1024, HOUR);

    relay.peer.write_all(b"question").await.unwrap();
    relay.peer.shutdown().await.unwrap();
    let mut question = Vec::new();
    relay.workload.read_to_end(&mut question).await.unwrap();
    relay.workload.write_all(b"answer").await.unwrap();
    relay.workload.shutdown().await.unwrap();
    let mut answer = Vec::new();
    relay.peer.read_to_end(&mut answer).await.unwrap();

    assert_eq!((question.as_slice(), answer.as_slice()), (&b"question"[..], &b"answer"[..]));
    assert_eq!(relay.running.await.unwrap().0.ending, Ending::Finished);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection_and_a_byte_begins_the_time_anew() {
    let mut relay = start(1024, Duration::from_secs(60));

    tokio::time::sleep(Duration::from_secs(59)).await;
    relay.peer.write_all(b"x").await.unwrap();
    let mut byte = [0; 1];
    relay.workload.read_exact(&mut byte).await.unwrap();
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(!relay.running.is_finished());
    tokio::time::sleep(Duration::from_secs(2)).await;

    assert_eq!(relay.running.await.unwrap().0.ending, Ending::Idle);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_read_holds_its_sender_back() {
    let mut relay = start(64, HOUR);
    let bulk = vec![7; 4 * PIECE];

    let sent = {
        let writing = relay.peer.write_all(&bulk);
        tokio::time::timeout(Duration::from_millis(200), writing).await
    };

    assert!(sent.is_err(), "the relay must not swallow what nobody reads");
    drop(relay.workload);
    assert_eq!(relay.running.await.unwrap().0.ending, Ending::UpstreamLost);
}

#[tokio::test(start_paused = true)]
async fn a_slow_receiver_is_not_idle_while_it_still_takes_what_was_read() {
    let mut relay = start(64, Duration::from_secs(60));
    // More than fits the pipes, and all of it read at once: from here on nothing is read any more.
    let bulk = vec![7; 64];
    relay.peer.write_all(&bulk).await.unwrap();
    relay.peer.write_all(&bulk).await.unwrap();
    let mut piece = [0; 16];

    for _ in 0..8 {
        tokio::time::sleep(Duration::from_secs(40)).await;
        relay.workload.read_exact(&mut piece).await.unwrap();
    }

    drop(relay.peer);
    drop(relay.workload);
    assert_eq!(relay.running.await.unwrap().1.up, 128);
}

/// Ends like a TLS stream without close_notify.
struct Torn;

impl AsyncRead for Torn {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
    }
}

impl AsyncWrite for Torn {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(b.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn an_end_without_close_notify_is_an_ending_of_its_own() {
    let metrics = Metrics::new().unwrap();
    let metrics = metrics.listener(&ListenerName::new("x"), Direction::Inbound);
    let (_workload, upstream) = duplex(64);

    let ended = relay(&permit(), Torn, upstream, HOUR, &mut Moved::default(), &metrics).await;

    assert_eq!(ended.ending, Ending::Truncated);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the pieces in which bytes come and go, they arrive whole and in order.
    #[test]
    fn every_byte_arrives_once_and_in_order(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..3000), 1..20),
        capacity in 1_usize..5000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut relay = start(capacity, HOUR);
            let sent = pieces.concat();
            let mut got = Vec::new();
            let sending = async {
                for piece in &pieces {
                    relay.peer.write_all(piece).await.unwrap();
                }
                relay.peer.shutdown().await.unwrap();
            };
            let (_, read) = tokio::join!(sending, relay.workload.read_to_end(&mut got));
            assert_eq!(read.unwrap(), sent.len());
            assert_eq!(got, sent);
        });
    }
}
