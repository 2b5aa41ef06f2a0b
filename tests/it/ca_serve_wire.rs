//! `myelin ca serve` against strangers below HTTP: other protocols, old ones, slow ones, too many; and how it ends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::ca::CaServer;
use crate::support::openssl::{SClient, lax};
use crate::support::{PATIENCE, until};

#[tokio::test]
async fn what_is_not_tls_of_today_is_refused_and_the_next_client_is_served() {
    let mut server = CaServer::start().await;
    let settings = lax(&server.path("."));

    let old = SClient::to(server.address()).settings(&settings).args(&["-tls1_1"]).send("").await;
    assert!(old.all().contains("SSL alert number") && old.code == Some(1), "{old:#?}");
    let plain = format!("http://{}/.well-known/est/cacerts", server.address());
    let plain = server.curl(&[&plain]).await;
    assert_eq!(plain.status, 0, "{plain:#?}");
    for version in ["-tls1_2", "-tls1_3"] {
        let root = server.authority().join("root.crt").display().to_string();
        let args = [version, "-CAfile", &root, "-verify_return_error", "-verify_hostname"];
        let said = SClient::to(server.address())
            .args(&[&args[..], &["localhost"]].concat())
            .send("GET /live HTTP/1.0\r\n\r\n")
            .await;
        assert!(said.stdout.contains("200 OK"), "{version} {said:#?}");
        // With the root: by its fingerprint a client that knows nothing else can verify the others.
        assert!(said.stdout.contains("\n 2 s:O = hospital.example, CN = Myelin root"), "{said:#?}");
    }

    assert_eq!(server.curl(&[&server.url("/cacerts")]).await.status, 200);
    server.process().says("TLS handshake refused").await;
}

/// Sends this and no more; how long the server puts up with it.
async fn dawdles(address: std::net::SocketAddr, words: &str) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(words.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    let ended = timeout(PATIENCE, socket.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "{words:?} is waited for without an end");
}

#[tokio::test]
async fn who_does_not_go_on_is_put_out() {
    let mut server = CaServer::start().await;
    let body = "POST /ca.crl HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n1";
    let idle = "GET /live HTTP/1.1\r\nhost: x\r\n\r\n";

    tokio::join!(
        dawdles(server.address(), ""),
        dawdles(server.address(), "\x16\x03\x01"),
        dawdles(server.crl_address(), ""),
        dawdles(server.crl_address(), "GET /ca.crl HT"),
        dawdles(server.crl_address(), body),
        dawdles(server.crl_address(), idle),
    );

    server.process().says("TLS handshake not finished in time").await;
    assert_eq!(server.curl(&[&server.url("/cacerts")]).await.status, 200);
}

#[tokio::test]
async fn whoever_crowds_the_lists_keeps_nobody_from_enrolling() {
    let server = CaServer::start().await;
    let mut crowd = Vec::new();
    for _ in 0..300 {
        let connected = timeout(Duration::from_secs(1), TcpStream::connect(server.crl_address()));
        crowd.extend(connected.await.into_iter().flatten());
    }
    assert!(crowd.len() >= 256, "{}", crowd.len());

    server.ec_request("billing").await;
    for _ in 0..3 {
        let token = server.token("billing").await;
        assert_eq!(server.enrol(&token, "billing.b64").await.status, 200);
    }
}

#[tokio::test]
async fn one_source_gets_a_quarter_of_the_connections_and_few_lines_and_others_are_served() {
    const QUARTER: usize = 64;
    const TOO_MANY: usize = 200;
    let mut server = CaServer::start().await;
    let mut crowd = Vec::new();
    for _ in 0..QUARTER + TOO_MANY {
        crowd.push(TcpStream::connect(server.address()).await.unwrap());
    }
    for beyond in &mut crowd[QUARTER..] {
        let ended = timeout(Duration::from_secs(5), beyond.read(&mut [0])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
    }

    let other = ["--interface", "127.0.0.2", &server.url("/cacerts")];
    let answered = server.curl(&other).await;

    assert_eq!(answered.status, 200, "{answered:#?}");
    for held in &mut crowd[..QUARTER] {
        let still = timeout(Duration::ZERO, held.read(&mut [0])).await;
        assert!(still.is_err(), "{still:?}");
    }
    let said = server.process().says("too many connections of this source").await;
    let lines = said.matches("too many connections of this source").count();
    assert!((20..40).contains(&lines), "{lines} lines for {TOO_MANY} connections");
}

#[tokio::test]
async fn a_signal_ends_it_when_who_is_being_served_is_done_and_a_second_one_at_once() {
    let mut server = CaServer::start().await;
    let mut slow = TcpStream::connect(server.crl_address()).await.unwrap();
    slow.write_all(b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    slow.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    server.process().signal("TERM");
    assert_eq!(server.process().ended().await.code(), Some(0));
    assert!(TcpStream::connect(server.address()).await.is_err());

    server.begin().await;
    // Somebody in the middle of a handshake would be waited for.
    let mut stuck = TcpStream::connect(server.address()).await.unwrap();
    stuck.write_all(b"\x16\x03\x01").await.unwrap();
    server.curl(&[&server.url("/cacerts")]).await; // accepted after it
    server.process().signal("TERM");
    server.process().says("draining").await;
    let begun = tokio::time::Instant::now();
    server.process().signal("TERM");
    assert_eq!(server.process().ended().await.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn without_an_authority_a_name_or_a_port_it_does_not_start() {
    let server = CaServer::start().await;
    let taken = server.address().to_string();

    let said = server.ca(&["serve", "--name", "localhost", "--listen", &taken]).await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.stderr.contains(&format!("cannot listen on {taken}")), "{said:#?}");
    let said = server.ca(&["serve"]).await;
    assert_eq!(said.code, Some(2), "{said:#?}");
    let said = server.ca(&["serve", "--name", "10.0.0.1"]).await;
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.stderr.contains("clients look for a DNS name"), "{said:#?}");

    std::fs::rename(server.authority(), server.path("elsewhere")).unwrap();
    let said = server.ca(&["serve", "--name", "localhost"]).await;
    assert_eq!(said.code, Some(3), "{said:#?}");
    assert!(said.stderr.contains("no authority here"), "{said:#?}");
    std::fs::rename(server.path("elsewhere"), server.authority()).unwrap();
    let answers = || std::net::TcpStream::connect(server.address()).is_ok();
    until("the one that runs to be there still", answers).await;
    assert_eq!(server.curl(&[&server.url("/cacerts")]).await.status, 200);
}
