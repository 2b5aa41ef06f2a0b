//! Headers on their way through: what the workload is told, what it is not, and what stays as it was.

use crate::support::http::{Head, Message};
use crate::support::legacy::{Legacy, ok};
use crate::support::mesh::Mesh;
use crate::support::pki::sha256;

/// What reached the workload of a request with these headers, sent by `web` to the inbound side.
async fn inbound(headers: &str) -> Head {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = mesh.inbound("ehr").allow("web").http().forward(workload.target()).start().await;
    let mut web = mesh.http("web", &ehr).await;

    web.send(format!("GET /a HTTP/1.1\r\nHost: ehr\r\n{headers}\r\n")).await;
    let answer = web.message().await;

    assert_eq!(answer.status(), 200, "{answer:?}");
    workload.only().head
}

/// What came back of an answer with these headers, through a pair.
async fn answered(headers: &'static str) -> Message {
    let mesh = Mesh::new();
    let workload = Legacy::answering(move |_| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{headers}\r\nok")
    })
    .await;
    let pair = mesh.pair(workload.target()).await;
    pair.connect().await.get("/").await
}

#[tokio::test]
async fn the_workload_is_told_who_the_peer_is_by_us_alone() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = mesh.inbound("ehr").allow("web").http().forward(workload.target()).start().await;
    let identity = mesh.pem("web");
    let mut web = crate::support::http::https(&identity, &ehr).await;

    web.send(
        "GET / HTTP/1.1\r\nHost: ehr\r\n\
         X-Forwarded-Client-Cert: By=spiffe://hospital.example/ehr;URI=spiffe://hospital.example/admin\r\n\
         x-forwarded-client-cert: Hash=0000\r\nX-FORWARDED-CLIENT-CERT:\r\n\r\n",
    )
    .await;
    assert_eq!(web.message().await.status(), 200);

    let head = workload.only().head;
    let expected = format!(
        "By=spiffe://hospital.example/ehr;Hash={};Subject=\"O=hospital.example, CN=web\";\
         URI=spiffe://hospital.example/web;DNS=web",
        sha256(&identity.leaf())
    );
    let told = head.all("x-forwarded-client-cert");
    assert_eq!(told.len(), 1, "{head:?}");
    assert_eq!(told[0], expected);
    assert!(!head.0.contains("admin") && !head.0.contains("0000"), "{head:?}");
}

#[tokio::test]
async fn outbound_tells_the_peer_nothing_about_who_its_client_was() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let pair = mesh.pair(workload.target()).await;
    let mut caller = pair.connect().await;

    let spoofed = "X-Forwarded-Client-Cert: URI=spiffe://hospital.example/admin\r\n";
    caller.send(format!("GET / HTTP/1.1\r\nHost: ehr\r\n{spoofed}\r\n")).await;
    assert_eq!(caller.message().await.status(), 200);

    let head = workload.only().head;
    let told = head.header("x-forwarded-client-cert").unwrap();
    assert!(told.contains("URI=spiffe://hospital.example/web;"), "{told}");
    assert!(!told.contains("admin"), "{told}");
}

#[tokio::test]
async fn forwarded_for_is_appended_to_and_forwarded_proto_is_set() {
    let head = inbound("X-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Proto: http\r\n").await;

    assert_eq!(head.header("x-forwarded-for"), Some("10.1.1.1, 127.0.0.1"));
    assert_eq!(head.header("x-forwarded-proto"), Some("https"));

    let head = inbound("").await;

    assert_eq!(head.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(head.header("x-forwarded-proto"), Some("https"));
}

#[tokio::test]
async fn a_trace_context_is_passed_on_as_it_was() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let head = inbound(&format!("traceparent: {parent}\r\ntracestate: a=1,b=2\r\n")).await;

    assert_eq!(head.exact("traceparent"), Some(parent));
    assert_eq!(head.exact("tracestate"), Some("a=1,b=2"));
}

#[tokio::test]
async fn a_trace_id_joins_the_records_of_both_sides() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = mesh.inbound("ehr").allow("web").http().phi().forward(workload.target());
    let ehr = ehr.start().await;
    let web = mesh.outbound("web").allow("ehr").http().phi().to(ehr.address()).start().await;
    let mut caller = crate::support::http::plain(web.address()).await;

    caller
        .send(
            "GET / HTTP/1.1\r\nHost: ehr\r\n\
             traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
        )
        .await;
    assert_eq!(caller.message().await.status(), 200);

    let here = web.trail().only("request-allowed").await;
    let there = ehr.trail().only("request-allowed").await;
    assert_eq!(here.text("trace.id"), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(there.text("trace.id"), here.text("trace.id"));
    assert_eq!(there.connection(), here.connection());
}

#[tokio::test]
async fn what_belongs_to_one_connection_ends_with_it() {
    let head = inbound(
        "Connection: keep-alive, X-Only-Here\r\nX-Only-Here: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX-Stays: 1\r\n",
    )
    .await;

    for name in [
        "connection",
        "x-only-here",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "upgrade",
        "http2-settings",
    ] {
        assert_eq!(head.all(name), [""; 0], "{name}");
    }
    assert_eq!(head.exact("X-Stays"), Some("1"));
}

#[tokio::test]
async fn upper_and_lower_case_stay_as_they_were_both_ways() {
    let mesh = Mesh::new();
    let workload = Legacy::answering(|_| {
        "HTTP/1.1 200 Everything Fine\r\nContent-Length: 2\r\nX-mIxEd: a\r\nETag: \"1\"\r\n\r\nok"
            .into()
    })
    .await;
    let pair = mesh.pair(workload.target()).await;
    let mut caller = pair.connect().await;

    caller
        .send(
            "POST /pdq HTTP/1.1\r\nHost: ehr\r\nSOAPAction: \"urn:hl7-org:v3:PRPA_IN201305UV02\"\r\n\
             x-LAB-id: 7\r\nContent-Length: 2\r\n\r\nhi",
        )
        .await;
    let answer = caller.message().await;

    let head = workload.only().head;
    assert_eq!(head.exact("SOAPAction"), Some("\"urn:hl7-org:v3:PRPA_IN201305UV02\""));
    assert_eq!(head.exact("x-LAB-id"), Some("7"));
    assert_eq!(head.exact("Host"), Some("ehr"));
    assert_eq!(head.exact("Content-Length"), Some("2"));
    assert_eq!(answer.head.exact("X-mIxEd"), Some("a"));
    assert_eq!(answer.head.exact("ETag"), Some("\"1\""));
}

#[tokio::test]
async fn an_answer_keeps_its_headers_and_loses_those_of_its_connection() {
    let answer = answered(
        "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nServer: Legacy/1.0\r\nKeep-Alive: timeout=5\r\n\
         Connection: keep-alive, X-Only-Here\r\nX-Only-Here: 1\r\nProxy-Authenticate: Basic\r\n",
    )
    .await;

    assert_eq!(answer.head.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.head.exact("Server"), Some("Legacy/1.0"));
    for name in ["keep-alive", "x-only-here", "proxy-authenticate", "date", "via"] {
        assert_eq!(answer.head.all(name), [""; 0], "{name}");
    }
}

#[tokio::test]
async fn query_fragments_of_meaning_and_odd_targets_arrive_as_they_were_written() {
    let mesh = Mesh::new();
    let workload = Legacy::answering(|_| ok("")).await;
    let pair = mesh.pair(workload.target()).await;
    let mut caller = pair.connect().await;
    let targets = [
        "/fhir/Patient?name=M%C3%BCller&_sort=-date&x=a/../b",
        "/a%20b/c%2Bd?q=%2F%2e%2e",
        "/100%25",
        "/~u/a:b@c,d='(1)!$&*+",
        "/?",
        "/?a=b?c=d",
    ];
    for target in targets {
        assert_eq!(caller.get(target).await.status(), 200, "{target}");
    }

    assert_eq!(workload.targets(), targets);
}

#[tokio::test]
async fn methods_of_every_kind_pass() {
    let mesh = Mesh::new();
    let workload = Legacy::answering(|_| "HTTP/1.1 204 No Content\r\n\r\n".into()).await;
    let pair = mesh.pair(workload.target()).await;
    let mut caller = pair.connect().await;
    for method in ["OPTIONS", "DELETE", "PATCH", "PROPFIND", "M-SEARCH"] {
        caller.send(format!("{method} /a HTTP/1.1\r\nHost: ehr\r\n\r\n")).await;
        assert_eq!(caller.message().await.status(), 204, "{method}");
    }
    caller.send("OPTIONS * HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    assert_eq!(caller.message().await.status(), 204);

    let lines: Vec<_> = workload.asked().iter().map(|a| a.head.line().to_owned()).collect();
    assert_eq!(lines[1], "DELETE /a HTTP/1.1");
    assert_eq!(lines[5], "OPTIONS * HTTP/1.1");
}

#[tokio::test]
async fn an_old_client_gets_its_answer_and_the_end_of_the_connection() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let pair = mesh.pair(workload.target()).await;

    let mut caller = pair.connect().await;
    caller.send("GET /old HTTP/1.0\r\nHost: ehr\r\n\r\n").await;
    let answer = String::from_utf8(caller.rest().await).unwrap();

    assert!(answer.starts_with("HTTP/1.") && answer.ends_with("/old"), "{answer}");
}
