//! Everything that waits has a bound.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::support::client::{self, FirstRead};
use crate::support::mesh::Mesh;
use crate::support::process::{free_port, loopback};
use crate::support::until;
use crate::support::workload::{Kind, Workload};

#[tokio::test]
async fn a_connection_on_which_nothing_moves_is_closed() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.limits("idle_timeout: 300ms").start().await;

    let mut web = mesh.connect("web", &db).await;
    web.echoes("hello").await;
    let last = Instant::now();
    web.first_read().await;

    assert!(last.elapsed() >= Duration::from_millis(290), "{:?}", last.elapsed());
    assert_eq!(db.trail().only("connection-closed").await.reason(), "idle");
    db.ended("idle", 1.0).await;
}

#[tokio::test]
async fn a_connection_on_which_something_moves_is_not_idle() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.limits("idle_timeout: 1s").start().await;

    let mut web = mesh.connect("web", &db).await;
    for _ in 0..8 {
        sleep(Duration::from_millis(200)).await; // time is what this test is about
        web.echoes("hello").await;
    }

    assert!(db.trail().all("connection-closed").is_empty());
}

#[tokio::test]
async fn a_workload_that_never_reads_does_not_fill_our_memory_and_ends_idle() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::NeverReads).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.limits("idle_timeout: 500ms").start().await;
    let mut web = mesh.connect("web", &db).await;

    let mut sent = 0;
    while web.stream.write_all(&[0; 64 * 1024]).await.is_ok() {
        sent += 64 * 1024;
        assert!(sent < 64 << 20, "somebody takes everything");
    }

    assert_eq!(db.trail().only("connection-closed").await.reason(), "idle");
}

#[tokio::test]
async fn a_workload_that_is_down_is_recorded_and_the_peer_is_told_nothing_but_the_end() {
    let mesh = Mesh::new();
    let nobody = loopback(free_port()).to_string();
    let db = mesh.inbound("db").allow("web").forward(&nobody).start().await;

    let mut web = mesh.connect("web", &db).await;
    let read = web.first_read().await;

    assert!(matches!(read, FirstRead::Closed | FirstRead::Lost), "{read:?}");
    let closed = db.trail().only("connection-closed").await;
    assert_eq!(closed.reason(), "upstream_unreachable");
    assert!(closed.text("message").contains("refused"), "{closed:?}");
    db.ended("upstream_unreachable", 1.0).await;
}

#[tokio::test]
async fn a_workload_that_does_not_answer_is_given_up_after_connect_timeout() {
    let mesh = Mesh::new();
    let full = Full::new().await;
    let setup = mesh.inbound("db").allow("web").forward(&full.address.to_string());
    let db = setup.limits("connect_timeout: 300ms").start().await;

    let mut web = mesh.connect("web", &db).await;
    let read = web.first_read().await;

    assert!(matches!(read, FirstRead::Closed | FirstRead::Lost), "{read:?}");
    assert_eq!(db.trail().only("connection-closed").await.reason(), "upstream_timeout");
    db.ended("upstream_timeout", 1.0).await;
}

/// Listens, and the kernel takes no more connections: a caller waits for an answer.
struct Full {
    address: std::net::SocketAddr,
    _socket: socket2::Socket,
    _waiting: Vec<TcpStream>,
}

impl Full {
    async fn new() -> Self {
        let domain = socket2::Domain::IPV4;
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        socket.bind(&loopback(0).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        let limit = Duration::from_millis(200);
        while let Ok(stream) = timeout(limit, TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
        }
        Self { address, _socket: socket, _waiting: waiting }
    }
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_given_up_after_handshake_timeout() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.limits("handshake_timeout: 300ms").start().await;

    let mut silent = TcpStream::connect(db.address()).await.unwrap();
    let read = silent.read(&mut [0; 16]).await;

    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    assert_eq!(db.trail().only("connection-refused").await.reason(), "too_slow");
    db.metric_is("myelin_handshakes_total", &[("result", "too_slow")], 1.0).await;
    assert_eq!(workload.connections(), 0);
}

#[tokio::test]
async fn a_peer_that_trickles_does_not_get_more_time() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.limits("handshake_timeout: 500ms").start().await;

    let begun = Instant::now();
    let mut slow = TcpStream::connect(db.address()).await.unwrap();
    // A ClientHello that announces more than it ever sends, a byte at a time.
    let mut hello = vec![0x16, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3, 3];
    hello.extend([7; 200]);
    let trickle = async {
        for byte in hello {
            if slow.write_all(&[byte]).await.is_err() || is_closed(&slow) {
                break;
            }
            sleep(Duration::from_millis(20)).await; // trickling is what this test is about
        }
    };
    trickle.await;

    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(db.trail().only("connection-refused").await.reason(), "too_slow");
}

fn is_closed(socket: &TcpStream) -> bool {
    let read = socket.try_read(&mut [0; 16]);
    !matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn at_the_limit_of_connections_peers_wait_and_are_served_when_one_is_over() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.limits("connections: 2").start().await;
    let identity = mesh.pem("web");
    let mut first = mesh.connect("web", &db).await;
    let mut second = mesh.connect("web", &db).await;
    first.echoes("one").await;
    second.echoes("two").await;

    let mut third = Box::pin(client::connect(&identity, db.address(), "db"));
    let early = timeout(Duration::from_millis(300), &mut third).await;
    assert!(early.is_err(), "served beyond the limit");
    assert!((db.metric("myelin_connections_opened_total", &[]).await - 2.0).abs() < 0.1);
    first.end().await;
    first.rest().await;

    third.await.unwrap().echoes("three").await;
    second.echoes("two again").await;
}

#[tokio::test]
async fn without_file_descriptors_peers_wait_and_the_process_lives_on() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.limits("handshake_timeout: 1s").spawn_with_files(40).await;

    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(TcpStream::connect(db.address()).await.unwrap());
    }
    until("the limit to be met", || db.process.output().contains("connection not accepted")).await;
    drop(silent);

    mesh.connect("web", &db).await.echoes("hello").await;
    assert!(db.metric("myelin_accept_errors_total", &[]).await >= 1.0);
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_given_up() {
    let mesh = Mesh::new();
    let silent = Workload::tcp(Kind::NeverReads).await;
    let setup = mesh.outbound("web").allow("db").to(silent.target());
    let web = setup.limits("handshake_timeout: 300ms").start().await;

    assert_eq!(crate::outbound::ask(&web, "hello\n").await, "");

    assert_eq!(web.trail().only("connection-refused").await.reason(), "too_slow");
    web.ended("refused", 1.0).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_after_connect_timeout() {
    let mesh = Mesh::new();
    let full = Full::new().await;
    let setup = mesh.outbound("web").allow("db").to(full.address);
    let web = setup.limits("connect_timeout: 300ms").start().await;

    assert_eq!(crate::outbound::ask(&web, "hello\n").await, "");

    web.ended("upstream_timeout", 1.0).await;
}

#[tokio::test]
async fn a_source_with_too_many_unfinished_handshakes_is_told_of() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;

    let mut silent = Vec::new();
    for _ in 0..=256 {
        silent.push(TcpStream::connect(db.address()).await.unwrap());
    }

    let refused = db.trail().only("connection-refused").await;
    assert_eq!(refused.reason(), "too_many");
    assert!(refused.text("message").contains("as many unfinished handshakes"), "{refused:#?}");
}

#[tokio::test]
async fn who_is_shown_out_and_takes_its_time_keeps_nobody_waiting() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.limits("connections: 1").start().await;
    let identity = mesh.pem("lab");
    let mut denied = Vec::new();
    for _ in 0..20 {
        denied.push(client::connect(&identity, db.address(), "db").await.unwrap());
    }

    let entering = async { mesh.connect("web", &db).await.echoes("listed").await };
    let entered = timeout(Duration::from_secs(8), entering).await;

    assert!(entered.is_ok(), "each of them has a second to hear us out");
    assert_eq!(db.trail().wait_for("connection-denied", 20).await.len(), 20);
}

#[tokio::test]
async fn a_flood_of_refusals_is_counted_in_full_and_recorded_in_few_lines() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;

    for _ in 0..400 {
        drop(TcpStream::connect(db.address()).await.unwrap());
    }

    db.metric_is("myelin_handshakes_total", &[("result", "lost")], 400.0).await;
    let told = || {
        let refused = db.trail().all("connection-refused");
        let number = |text: &str| text.split(' ').next().unwrap().parse::<usize>().unwrap();
        let (floods, own): (Vec<_>, Vec<_>) =
            refused.into_iter().partition(|record| record.reason() == "flood");
        own.len() + floods.iter().map(|record| number(record.text("message"))).sum::<usize>()
    };
    until("every refusal to be told of", || told() == 400).await;
    assert!(db.trail().all("connection-refused").len() < 300, "most share a line");
    mesh.connect("web", &db).await.echoes("a listed peer gets in all the same").await;
}
