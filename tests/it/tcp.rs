//! `protocol: tcp`: any byte stream, as it is.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::support::client::FirstRead;
use crate::support::mesh::{Mesh, Running};
use crate::support::pki::sha256;
use crate::support::until;
use crate::support::workload::{Kind, Workload};

/// A caller's sidecar and a workload's: plaintext in, mutual TLS between, plaintext out.
pub(crate) struct Pair {
    pub(crate) web: Running,
    pub(crate) db: Running,
    pub(crate) workload: Workload,
    _mesh: Mesh,
}

pub(crate) async fn pair(kind: Kind) -> Pair {
    let mesh = Mesh::new();
    let workload = Workload::tcp(kind).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;
    let web = mesh.outbound("web").allow("db").to(db.address()).start().await;
    Pair { web, db, workload, _mesh: mesh }
}

#[tokio::test]
async fn any_bytes_go_there_and_back() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;
    let every_byte: Vec<u8> = (0..=255).cycle().take(10_000).collect();

    let mut web = mesh.connect("web", &db).await;
    web.send(&every_byte).await;
    let back = web.receive(every_byte.len()).await;

    assert_eq!(back, every_byte);
    assert_eq!(workload.received(), every_byte);
}

#[tokio::test]
async fn a_caller_reaches_the_workload_through_a_pair_of_sidecars() {
    let pair = pair(Kind::Line).await;

    let mut caller = TcpStream::connect(pair.web.address()).await.unwrap();
    caller.write_all(b"hello\n").await.unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();

    assert_eq!(answer, "you said hello\n");
    assert_eq!(pair.workload.connections(), 1);
}

#[tokio::test]
async fn a_workload_may_speak_first() {
    let pair = pair(Kind::Greets("220 ready\r\n")).await;

    let mut caller = TcpStream::connect(pair.web.address()).await.unwrap();
    let mut greeting = [0; 11];
    caller.read_exact(&mut greeting).await.unwrap();

    assert_eq!(&greeting, b"220 ready\r\n");
    assert_eq!(pair.workload.received(), b"");
}

#[tokio::test]
async fn a_caller_that_has_ended_its_side_still_gets_the_answer() {
    let pair = pair(Kind::Counts).await;

    let mut caller = TcpStream::connect(pair.web.address()).await.unwrap();
    caller.write_all(&[7; 12_345]).await.unwrap();
    caller.shutdown().await.unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();

    assert_eq!(answer, "12345");
    pair.db.ended("finished", 1.0).await;
    pair.web.ended("finished", 1.0).await;
}

#[tokio::test]
async fn a_workload_that_has_ended_its_side_still_gets_the_rest() {
    let pair = pair(Kind::EndsFirst("bye")).await;

    let mut caller = TcpStream::connect(pair.web.address()).await.unwrap();
    let mut words = String::new();
    caller.read_to_string(&mut words).await.unwrap();
    caller.write_all(b"one more thing").await.unwrap();
    caller.shutdown().await.unwrap();

    assert_eq!(words, "bye");
    until("the rest", || pair.workload.received() == b"one more thing").await;
    pair.db.ended("finished", 1.0).await;
}

#[tokio::test]
async fn both_plaintext_sides_may_be_unix_sockets() {
    let mesh = Mesh::new();
    let workload = Workload::unix(Kind::Line, &mesh.dir().join("db.sock"));
    let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;
    let path = mesh.dir().join("web.sock");
    let listen = format!("unix:{}", path.display());
    let web = mesh.outbound("web").allow("db").to(db.address()).listen(&listen).start().await;

    let mut caller = UnixStream::connect(&path).await.unwrap();
    caller.write_all(b"hello\n").await.unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();

    assert_eq!(answer, "you said hello\n");
    assert_eq!(workload.connections(), 1);
    drop(caller);
    web.stop().await;
    assert!(!path.exists(), "the socket's file stays behind");
}

#[tokio::test]
async fn a_large_transfer_arrives_whole_both_ways_at_once() {
    const SIZE: usize = 48 << 20;
    let pair = pair(Kind::Echo).await;
    let mut sent = vec![0; SIZE];
    aws_lc_rs::rand::fill(&mut sent[..1 << 20]).unwrap();
    for piece in 1..SIZE >> 20 {
        sent.copy_within(0..1 << 20, piece << 20);
        sent[piece << 20] = u8::try_from(piece).unwrap();
    }
    let hash = sha256(&sent);

    let caller = TcpStream::connect(pair.web.address()).await.unwrap();
    let (mut from, mut to) = caller.into_split();
    let sending = tokio::spawn(async move {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    from.read_to_end(&mut back).await.unwrap();
    sending.await.unwrap();

    assert_eq!(back.len(), SIZE);
    assert_eq!(sha256(&back), hash);
    assert_eq!(sha256(&pair.workload.received()), hash);
}

#[tokio::test]
async fn trail_and_metrics_of_both_sidecars_say_how_many_bytes_went_each_way() {
    let pair = pair(Kind::Line).await;

    let mut caller = TcpStream::connect(pair.web.address()).await.unwrap();
    caller.write_all(b"hello\n").await.unwrap();
    caller.read_to_end(&mut Vec::new()).await.unwrap();
    drop(caller);

    for (sidecar, name) in [(&pair.db, "db"), (&pair.web, "web")] {
        let closed = sidecar.trail().only("connection-closed").await;
        assert_eq!(closed.number("source.bytes"), 6);
        assert_eq!(closed.number("destination.bytes"), 15);
        assert_eq!(closed.reason(), "finished");
        assert_eq!(closed.text("event.outcome"), "success");
        assert!(closed.number("event.duration") > 0);
        let bytes = "myelin_bytes_total";
        sidecar.metric_is(bytes, &[("listener", name), ("flow", "up")], 6.0).await;
        sidecar.metric_is(bytes, &[("listener", name), ("flow", "down")], 15.0).await;
    }
}

#[tokio::test]
async fn both_trails_know_a_connection_by_the_same_id() {
    let pair = pair(Kind::Line).await;

    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut caller = TcpStream::connect(pair.web.address()).await.unwrap();
        caller.write_all(b"hello\n").await.unwrap();
        caller.read_to_end(&mut Vec::new()).await.unwrap();
    }
    for sidecar in [&pair.db, &pair.web] {
        let allowed = sidecar.trail().wait_for("connection-allowed", 2).await;
        let closed = sidecar.trail().wait_for("connection-closed", 2).await;
        let of = |records: &[crate::support::trail::Record]| {
            let mut ids: Vec<_> = records.iter().map(|r| r.connection().to_owned()).collect();
            ids.sort();
            ids
        };
        assert_eq!(of(&allowed), of(&closed));
        ids.push(of(&allowed));
    }

    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0][0], ids[0][1]);
    assert_eq!(ids[0][0].len(), 32);
}

#[tokio::test]
async fn two_hundred_connections_at_once_are_all_served() {
    let pair = pair(Kind::Line).await;
    let address = pair.web.address();

    let callers: Vec<_> = (0..200)
        .map(|number| {
            tokio::spawn(async move {
                let mut caller = TcpStream::connect(address).await.unwrap();
                caller.write_all(format!("{number}\n").as_bytes()).await.unwrap();
                let mut answer = String::new();
                caller.read_to_string(&mut answer).await.unwrap();
                assert_eq!(answer, format!("you said {number}\n"));
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }

    assert_eq!(pair.workload.connections(), 200);
    pair.db.ended("finished", 200.0).await;
    pair.web.ended("finished", 200.0).await;
    pair.db.open_connections(0).await;
    assert_eq!(pair.db.trail().wait_for("connection-closed", 200).await.len(), 200);
}

#[tokio::test]
async fn a_peer_that_breaks_off_without_close_notify_is_recorded_as_truncated() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("half an order").await;

    let (socket, _session) = web.stream.into_inner();
    drop(socket);

    let closed = db.trail().only("connection-closed").await;
    assert_eq!(closed.reason(), "truncated");
    assert_eq!(closed.text("event.outcome"), "failure");
    db.ended("truncated", 1.0).await;
    until("the workload to be told", || workload.open() == 0).await;
}

#[tokio::test]
async fn a_workload_that_breaks_off_is_recorded_and_the_peer_sees_the_end() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Rude).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;

    let mut web = mesh.connect("web", &db).await;
    web.send("hello").await;

    assert!(!matches!(web.first_read().await, FirstRead::Bytes(_)));
    assert_eq!(db.trail().only("connection-closed").await.reason(), "upstream_lost");
    db.ended("upstream_lost", 1.0).await;
}

#[tokio::test]
async fn a_slow_workload_gets_everything() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Slow).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;
    let sent: Vec<u8> = (0..251).cycle().take(2 << 20).collect();

    let mut web = mesh.connect("web", &db).await;
    web.send(&sent).await;
    web.end().await;
    assert_eq!(web.rest().await, b"");

    assert_eq!(sha256(&workload.received()), sha256(&sent));
}
