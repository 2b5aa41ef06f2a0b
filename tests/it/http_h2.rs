//! HTTP/2 by programs that nobody here wrote: nghttp and nghttpd, h2load, and the Python package `h2` for
//! what none of them would say.

use std::process::Command;

use crate::support::http::ByHand;
use crate::support::legacy::{Legacy, ok};
use crate::support::mesh::Mesh;
use crate::support::outside::Outside;
use crate::support::pki::Identity;
use crate::support::process::{Process, Said, free_port, loopback, needs, run};
use crate::support::python::{finishes, peer};

async fn nghttp(args: &[&str]) -> Said {
    let mut nghttp = Command::new(needs("nghttp", "nghttp2-client"));
    let said = run(nghttp.args(["--timeout=15"]).args(args), "").await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    said
}

/// As an argument for nghttp.
fn option(name: &str, path: std::path::PathBuf) -> String {
    format!("--{name}={}", path.display())
}

/// What `h2_peer.py` needs to know.
fn where_to(identity: &Identity, to: &Outside) -> Vec<String> {
    let (name, address) = (&to.listeners[0].0, to.address());
    let path = |path: std::path::PathBuf| path.display().to_string();
    let files = [identity.cert(), identity.key(), identity.trust_bundle()].map(path);
    [vec![address.port().to_string(), name.clone()], files.to_vec()].concat()
}

fn h2_peer(what: &str, identity: &Identity, to: &Outside) -> Command {
    let mut command = peer("h2_peer", "h2", &[what]);
    command.args(where_to(identity, to));
    command
}

#[tokio::test]
async fn nghttp_is_a_peer_over_mutual_tls() {
    let mesh = Mesh::new();
    let workload = Legacy::answering(|asked| {
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Mixed-Case: 1\r\n\r\n\
             {:x}\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n",
            asked.head.target().len(),
            asked.head.target()
        )
    })
    .await;
    let ehr = mesh.inbound("ehr").allow("web").http().phi().forward(workload.target());
    let ehr = ehr.start().await;
    let web = mesh.pem("web");

    let url = format!("https://{}/a", ehr.address());
    let (cert, key) = (option("cert", web.cert()), option("key", web.key()));
    let said =
        nghttp(&["-v", "--no-verify-peer", &cert, &key, "-H:authority: ehr", "-Hx-one: 1", &url])
            .await;

    assert!(said.stdout.contains(":status: 200"), "{}", said.stdout);
    assert!(said.stdout.contains("x-mixed-case: 1"), "{}", said.stdout);
    assert!(said.stdout.contains("x-sum: 1"), "trailers: {}", said.stdout);
    let asked = workload.only();
    assert_eq!(asked.head.header("host"), Some("ehr"));
    assert_eq!(asked.head.header("x-one"), Some("1"));
    let completed = ehr.trail().only("request-completed").await;
    assert_eq!(completed.text("http.version"), "2");
}

#[tokio::test]
async fn nghttp_with_prior_knowledge_reaches_an_nghttpd_without_tls_through_a_pair() {
    let mesh = Mesh::new();
    let port = free_port();
    std::fs::write(mesh.dir().join("index.html"), "from nghttpd\n").unwrap();
    let mut nghttpd = Command::new(needs("nghttpd", "nghttp2-server"));
    nghttpd.args(["--no-tls", "-v", "--echo-upload", "--trailer=x-sum: 7", "-d"]);
    nghttpd.arg(mesh.dir()).arg(port.to_string());
    let mut nghttpd = Process::start(&mut nghttpd);
    nghttpd.listens(loopback(port)).await;
    let pair = mesh.pair_with(&loopback(port).to_string(), "forward_protocol: h2c").await;

    let url = format!("http://{}/index.html", pair.address());
    let said = nghttp(&["-v", "--trailer=x-mine: 1", "-d", "/etc/hostname", &url]).await;

    assert!(said.stdout.contains(":status: 200"), "{}", said.stdout);
    assert!(said.stdout.contains("x-sum: 7"), "trailers came down: {}", said.stdout);
    let seen = nghttpd.says("x-mine: 1").await;
    assert!(seen.contains("x-forwarded-client-cert: By=spiffe://hospital.example/ehr"), "{seen}");
    assert!(seen.contains(":scheme: http\n"), "{seen}");
}

#[tokio::test]
async fn a_thousand_requests_over_ten_connections_are_all_answered() {
    let mesh = Mesh::new();
    let workload = Legacy::answering(|_| ok("fine")).await;
    let pair = mesh.pair(workload.target()).await;
    let mut h2load = Command::new(needs("h2load", "nghttp2-client"));
    h2load.args(["-n", "1000", "-c", "10", "-m", "5", &format!("http://{}/", pair.address())]);

    let said = run(&mut h2load, "").await;

    assert!(
        said.stdout.contains("1000 succeeded, 0 failed, 0 errored, 0 timeout"),
        "{}",
        said.all()
    );
    assert!(said.stdout.contains("1000 2xx"), "{}", said.stdout);
    assert_eq!(workload.asked().len(), 1000);
    let counted = [("method", "GET"), ("status", "2xx"), ("decision", "allowed")];
    for sidecar in [&pair.ehr, &pair.web] {
        sidecar.metric_is("myelin_requests_total", &counted, 1000.0).await;
    }
    assert!(workload.connections() <= 60, "{}", workload.connections());
}

#[tokio::test]
async fn what_http2_forbids_or_two_would_read_in_two_ways_never_arrives() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = mesh.inbound("ehr").allow("web").http().forward(workload.target()).start().await;
    let web = mesh.pem("web");

    let said = finishes(h2_peer("shapes", &web, &ehr)).await;

    for line in said.stdout.lines() {
        let (shape, outcome) = line.rsplit_once(": ").unwrap();
        let is_answered = ["400", "405"].contains(&outcome);
        // What breaks HTTP/2 itself ends the stream or the connection: PROTOCOL_ERROR.
        assert!(is_answered || ["reset 1", "goaway 1"].contains(&outcome), "{shape}: {outcome}");
    }
    assert_eq!(said.stdout.lines().count(), 38, "{}", said.stdout);
    let arrived = String::from_utf8(workload.received()).unwrap();
    assert!(!arrived.contains("GET /smuggled") && !arrived.contains("smuggled:"), "{arrived}");
    assert!(workload.asked().is_empty(), "{:#?}", workload.asked());
    let denied = [("reason", "malformed_request")];
    ehr.metric_is("myelin_connections_denied_total", &denied, 38.0).await;
    let records = ehr.trail().wait_for("request-denied", 38).await; // also what the library refuses
    assert!(records.iter().all(|record| record.reason() == "malformed_request"));
}

#[tokio::test]
async fn a_drain_says_goaway_and_finishes_the_streams_that_are_open() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let ehr = mesh.inbound("ehr").allow("web").http().phi().forward(&workload.target());
    let mut ehr = ehr.spawn().await;
    let web = mesh.pem("web");
    let mut client = Process::start(&mut h2_peer("drain", &web, &ehr));
    client.says("half sent").await;
    let mut call = workload.accept().await;
    call.head().await;
    call.bytes(2).await;

    ehr.process.signal("TERM");

    client.says("goaway last").await;
    assert_eq!(call.bytes(2).await, b"cd");
    call.send(ok("finished")).await;
    client.says("answer finished").await;
    assert_eq!(ehr.process.ended().await.code(), Some(0));
    assert_eq!(ehr.trail().only("request-completed").await.reason(), "finished");
}
