//! Bodies stream both ways: nothing is collected, nothing is lost, and who is slow slows the other down.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::support::http::{ByHand, https};
use crate::support::legacy::{Legacy, ok};
use crate::support::mesh::Mesh;
use crate::support::process::{needs, run};

pub(crate) fn curl(args: &[&str]) -> Command {
    let mut curl = Command::new(needs("curl", "curl"));
    curl.args(["-sS", "--max-time", "110"]).args(args);
    curl
}

/// A file that takes no room.
pub(crate) fn sparse(dir: &Path, size: u64) -> String {
    let path = dir.join("sparse");
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn unix_sockets_are_on_both_plaintext_sides() {
    let mesh = Mesh::new();
    let (near, far) = (mesh.dir().join("near.sock"), mesh.dir().join("far.sock"));
    let workload = tokio::net::UnixListener::bind(&far).unwrap();
    let ehr = mesh.inbound("ehr").allow("web").http().forward(&format!("unix:{}", far.display()));
    let ehr = ehr.start().await;
    let web = mesh.outbound("web").allow("ehr").http().to(ehr.address());
    let _web = web.listen(&format!("unix:{}", near.display())).start().await;
    let answer = async {
        let mut call = crate::support::http::Wire::new(workload.accept().await.unwrap().0);
        let head = call.head().await;
        call.send(ok("by unix")).await;
        (head, call)
    };
    let near = near.display().to_string();
    let mut curl = curl(&["--unix-socket", &near, "http://ehr/a"]);

    let (said, (head, _call)) = tokio::join!(run(&mut curl, ""), answer);

    assert_eq!(said.stdout, "by unix", "{said:?}");
    assert_eq!(head.line(), "GET /a HTTP/1.1");
    assert_eq!(head.header("host"), Some("ehr"));
}

#[tokio::test]
async fn every_byte_comes_back_as_it_went() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let pair = mesh.pair(&workload.target()).await;
    let body: Vec<u8> = (0..=255_u8).cycle().take(5_000_000).collect();
    let sent = mesh.dir().join("sent");
    std::fs::File::create(&sent).unwrap().write_all(&body).unwrap();

    let mirror = async {
        let mut call = workload.accept().await;
        let asked = call.message().await;
        call.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", asked.body.len())).await;
        call.send(&asked.body).await;
        call.rest().await;
    };
    let data = format!("@{}", sent.display());
    let url = format!("http://{}/", pair.address());
    let back = mesh.dir().join("back");
    let mut curl =
        curl(&["--data-binary", &data, "-H", "Expect:", "-o", &back.display().to_string(), &url]);
    let said = tokio::select! {
        said = run(&mut curl, "") => said,
        () = mirror => panic!("it ended early"),
    };

    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(std::fs::read(&back).unwrap() == body);
}

#[tokio::test]
async fn chunks_go_up_one_by_one_and_trailers_behind_them() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let pair = mesh.pair(&workload.target()).await;
    let mut caller = pair.connect().await;

    caller
        .send(
            "POST /up HTTP/1.1\r\nHost: ehr\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
             5\r\nhello\r\n",
        )
        .await;
    let mut call = workload.accept().await;
    let head = call.head().await;
    assert_eq!(head.header("transfer-encoding"), Some("chunked"));
    assert_eq!(call.through(b"hello\r\n").await, b"5\r\nhello\r\n");
    // The first chunk has arrived before the second was sent.
    caller.send("6;ext=1\r\n world\r\n").await;
    assert_eq!(call.through(b"world\r\n").await, b"6\r\n world\r\n");
    caller.send("0\r\nX-Sum: 11\r\nContent-Length: 3\r\n\r\n").await;
    let end = String::from_utf8(call.through(b"\r\n\r\n").await).unwrap();

    assert_eq!(end.to_lowercase(), "0\r\nx-sum: 11\r\n\r\n");
    call.send(ok("done")).await;
    assert_eq!(caller.message().await.text(), "done");
}

#[tokio::test]
async fn chunks_come_down_one_by_one_and_trailers_behind_them() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let pair = mesh.pair(&workload.target()).await;
    let mut caller = pair.connect().await;

    caller.send("GET /down HTTP/1.1\r\nHost: ehr\r\nTE: trailers\r\nConnection: te\r\n\r\n").await;
    let mut call = workload.accept().await;
    assert_eq!(call.head().await.header("te"), Some("trailers"));
    call.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n").await;
    assert_eq!(caller.head().await.header("transfer-encoding"), Some("chunked"));
    call.send("5\r\nhello\r\n").await;
    assert_eq!(caller.through(b"hello\r\n").await, b"5\r\nhello\r\n");
    call.send("0\r\nX-Sum: 5\r\n\r\n").await;

    let end = String::from_utf8(caller.through(b"\r\n\r\n").await).unwrap();
    assert_eq!(end.to_lowercase(), "0\r\nx-sum: 5\r\n\r\n");
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_ends_ours() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let pair = mesh.pair(&workload.target()).await;
    let mut caller = pair.connect().await;

    caller.send("GET / HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    let mut call = workload.accept().await;
    call.head().await;
    call.send("HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\n\r\n<old/>").await;
    drop(call);

    assert_eq!(caller.message().await.text(), "<old/>");
}

#[tokio::test]
async fn an_answer_to_head_has_a_length_and_no_body() {
    let mesh = Mesh::new();
    let workload =
        Legacy::answering(|_| "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n".into()).await;
    let pair = mesh.pair(workload.target()).await;
    let mut caller = pair.connect().await;

    for _ in 0..2 {
        caller.send("HEAD / HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
        assert_eq!(caller.head().await.header("content-length"), Some("7"));
    }

    assert_eq!(workload.asked().len(), 2);
    assert_eq!(workload.connections(), 1);
}

#[tokio::test]
async fn a_body_waits_until_the_workload_asks_for_it() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let pair = mesh.pair(&workload.target()).await;
    let mut caller = pair.connect().await;

    caller
        .send("POST / HTTP/1.1\r\nHost: ehr\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .await;
    let mut call = workload.accept().await;
    assert_eq!(call.head().await.header("expect"), Some("100-continue"));
    call.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(caller.head().await.line(), "HTTP/1.1 100 Continue");
    caller.send("hello").await;
    assert_eq!(call.bytes(5).await, b"hello");
    call.send(ok("thanks")).await;

    assert_eq!(caller.message().await.text(), "thanks");
}

#[tokio::test]
async fn a_body_that_is_refused_is_never_asked_for() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let pair = mesh.pair(&workload.target()).await;
    let mut caller = pair.connect().await;

    caller
        .send("POST / HTTP/1.1\r\nHost: ehr\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .await;
    let mut call = workload.accept().await;
    call.head().await;
    call.send("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nno\n").await;

    let answer = caller.message().await;
    assert_eq!((answer.status(), answer.text().as_str()), (413, "no\n"));
}

#[tokio::test]
async fn curl_learns_of_a_refusal_before_it_sends_its_body() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let pair = mesh.pair(&workload.target()).await;
    let refuse = async {
        let mut call = workload.accept().await;
        call.head().await;
        call.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
        call.rest().await
    };
    let url = format!("http://{}/", pair.address());
    let file = sparse(mesh.dir(), 2 << 30);
    let args =
        ["-T", &file, "-H", "Expect: 100-continue", "-w", "%{http_code} %{size_upload}", &url];
    let mut curl = curl(&args);

    let (said, body) = tokio::join!(run(&mut curl, ""), refuse);

    assert_eq!(said.stdout, "403 0", "{said:?}");
    assert_eq!(body, b"");
}

#[tokio::test]
async fn a_workload_that_does_not_read_stops_the_sender() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let pair = mesh.pair(&workload.target()).await;
    let mut caller = pair.connect().await;
    let total: usize = 256 << 20;
    caller.send(format!("PUT / HTTP/1.1\r\nHost: ehr\r\nContent-Length: {total}\r\n\r\n")).await;
    let mut call = workload.accept().await;
    call.head().await;

    // It takes what buffers take, and then no more.
    let piece = vec![0; 64 * 1024];
    let mut sent = 0;
    while timeout(Duration::from_millis(1500), caller.io.write_all(&piece)).await.is_ok() {
        sent += piece.len();
        assert!(sent < 64 << 20, "{sent} bytes are held for a workload that does not read");
    }

    // As soon as the workload reads, the rest moves.
    let begun = Instant::now();
    let (mut received, mut buffer) = (0, vec![0; 64 * 1024]);
    while received < sent {
        let read = timeout(Duration::from_secs(10), call.io.read(&mut buffer)).await;
        received += read.unwrap_or_else(|_| panic!("stuck at {received} of {sent}")).unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_workload() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let pair = mesh.pair(&workload.target()).await;
    let mut caller = pair.connect().await;
    caller.send("GET / HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    let mut call = workload.accept().await;
    call.head().await;
    let total: usize = 256 << 20;
    call.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n")).await;

    let piece = vec![0; 64 * 1024];
    let mut sent = 0;
    while timeout(Duration::from_millis(1500), call.io.write_all(&piece)).await.is_ok() {
        sent += piece.len();
        assert!(sent < 64 << 20, "{sent} bytes are held for a client that does not read");
    }

    caller.head().await;
    let (mut received, mut buffer) = (0, vec![0; 64 * 1024]);
    while received < sent / 2 {
        let read = timeout(Duration::from_secs(10), caller.io.read(&mut buffer)).await;
        received += read.unwrap_or_else(|_| panic!("stuck at {received} of {sent}")).unwrap();
    }
}

#[tokio::test]
async fn connections_to_the_workload_are_used_again() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let pair = mesh.pair(workload.target()).await;

    // Over one connection of the caller, and over one after the other.
    let mut caller = pair.connect().await;
    for n in 0..20 {
        assert_eq!(caller.get(&format!("/{n}")).await.status(), 200);
    }
    drop(caller);
    for n in 20..40 {
        assert_eq!(pair.connect().await.get(&format!("/{n}")).await.status(), 200);
    }

    assert_eq!(workload.asked().len(), 40);
    assert_eq!(workload.connections(), 1);
    let allowed = pair.ehr.trail().all("connection-allowed");
    assert_eq!(allowed.len(), 1, "one connection between the sidecars: {allowed:#?}");
}

#[tokio::test]
async fn peers_do_not_share_connections_to_the_workload() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = mesh.inbound("ehr").allow("web").allow("lab").http().forward(workload.target());
    let ehr = ehr.start().await;

    let (web, lab) = (mesh.pem("web"), mesh.pem("lab"));
    for peer in [&web, &lab, &web, &lab] {
        assert_eq!(https(peer, &ehr).await.get("/").await.status(), 200);
    }

    assert_eq!(workload.connections(), 2);
}
