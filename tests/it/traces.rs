//! `telemetry.traces`: what goes through sidecars is seen as traces, joined to what its callers and workloads trace, and
//! nobody who is not listed has a say in it.

use std::process::Command;

use http::{HeaderMap, HeaderValue};
use myelin::traces::TraceContext;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::support::dicom::{asks, storescp};
use crate::support::http::plain;
use crate::support::legacy::{Legacy, ok};
use crate::support::lenient::FAR;
use crate::support::mesh::{Mesh, Running};
use crate::support::mllp::{Engine, exchange, message};
use crate::support::otlp::{Collector, Span};
use crate::support::process::{needs, run};
use crate::support::python;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const ROUTES: &str =
    r#"routes: [ { name: bill, methods: [GET], path: "/bills/{id}", allow: [web] } ]"#;

fn traceparent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{CALLER}-{flags}")
}

/// `web` and `ehr`, both traced so, before this workload.
async fn pair(mesh: &Mesh, collector: &Collector, workload: &Legacy, more: &str) -> [Running; 2] {
    let ehr = mesh.inbound("ehr").allow("web").http().phi().with(ROUTES);
    let ehr = ehr.forward(workload.target()).traced(collector, more).start().await;
    let web = mesh.outbound("web").allow("ehr").http().phi().to(ehr.address());
    [web.traced(collector, more).start().await, ehr]
}

/// curl asks the workload's own side for a path, with these headers; the status.
async fn curl(web: &Running, path: &str, headers: &[&str]) -> String {
    let mut curl = Command::new(needs("curl", "curl"));
    curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "15"]);
    for header in headers {
        curl.args(["-H", header]);
    }
    curl.arg(format!("http://{}{path}", web.address()));
    run(&mut curl, "").await.stdout
}

fn lie_below_each_other(spans: &[Span], parent: &str) {
    let mut parent = parent.to_owned();
    for span in spans {
        assert_eq!(span.text("parent"), parent, "{spans:#?}");
        span.text("id").clone_into(&mut parent);
    }
}

#[tokio::test]
async fn a_request_through_two_sidecars_is_one_trace_from_its_caller_to_the_workload() {
    for (protocol, more) in [("grpc", "sample: 1"), ("http", "sample: parent, protocol: http")] {
        let (mesh, workload) = (Mesh::new(), Legacy::start().await);
        let collector = Collector::start(&mesh, protocol, "").await;
        let [web, ehr] = pair(&mesh, &collector, &workload, more).await;

        let status = curl(&web, "/bills/4711?q=1", &[&traceparent("01"), "tracestate: a=1"]).await;
        assert_eq!(status, "200");

        let spans = collector.trace(TRACE, 4).await;
        lie_below_each_other(&spans, CALLER);
        let kinds: Vec<_> =
            spans.iter().map(|span| (span.says("myelin.listener"), span.kind())).collect();
        assert_eq!(
            kinds,
            [
                (&"web".into(), "server"),
                (&"web".into(), "client"),
                (&"ehr".into(), "server"),
                (&"ehr".into(), "client")
            ]
        );
        let head = workload.only().head;
        let last = format!("00-{TRACE}-{}-01", spans[3].text("id"));
        assert_eq!(head.exact("traceparent"), Some(&*last));
        assert_eq!(head.exact("tracestate"), Some("a=1"));
        for sidecar in [&web, &ehr] {
            for action in ["request-allowed", "request-completed"] {
                assert_eq!(sidecar.trail().only(action).await.text("trace.id"), TRACE);
            }
        }
        let is_within = |inner: &Span, outer: &Span| {
            outer.0["from"].as_u64() <= inner.0["from"].as_u64()
                && inner.0["to"].as_u64() <= outer.0["to"].as_u64()
        };
        assert!(is_within(&spans[1], &spans[0]) && is_within(&spans[3], &spans[2]));
        assert!(spans.iter().all(|span| span.0["remote"] == (span.kind() == "server")));
    }
}

#[tokio::test]
async fn spans_say_what_records_may_in_the_words_of_the_semantic_conventions() {
    let mesh = Mesh::new();
    let workload = Legacy::answering(|_| ok("").replace("200 OK", "503 No")).await;
    let collector = Collector::start(&mesh, "grpc", "").await;
    let [web, ehr] = pair(&mesh, &collector, &workload, "sample: 1").await;

    assert_eq!(curl(&web, "/bills/4711?q=secret", &[&traceparent("00")]).await, "503");

    let spans = collector.trace(TRACE, 4).await;
    let record = ehr.trail().only("request-completed").await;
    let [_, client, server, below] = spans.clone().try_into().unwrap();
    assert_eq!((server.text("name"), client.text("name")), ("GET /bills/{id}", "GET"));
    assert_eq!(server.0["resource"]["service.name"], "ehr");
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/bills/{id}"),
        ("url.scheme", "https"),
        ("network.protocol.name", "http"),
        ("network.protocol.version", "1.1"),
        ("tls.protocol.version", "1.3"),
        ("myelin.peer", "web"),
        ("myelin.rule", "ehr/bill"),
        ("myelin.connection", record.connection()),
        ("myelin.decision", "allowed"),
        ("error.type", "503"),
    ] {
        assert_eq!(server.says(name), value, "{name}");
    }
    assert_eq!(server.says("http.response.status_code"), 503);
    assert_eq!(client.says("myelin.connection"), record.connection());
    assert_eq!(
        (client.says("url.scheme"), below.says("url.scheme")),
        (&"https".into(), &"http".into())
    );
    assert_eq!(client.says("server.port"), ehr.address().port());
    let port = workload.target().rsplit(':').next().unwrap().parse::<u16>().unwrap();
    assert_eq!(
        (below.says("server.address"), below.says("server.port")),
        (&"127.0.0.1".into(), &port.into())
    );
    assert!(spans.iter().all(|span| span.0["status"] == 2), "{spans:#?}");
    for told in ["4711", "secret"] {
        assert!(!format!("{spans:?}").contains(told), "{spans:#?}");
    }
}

#[tokio::test]
async fn a_request_without_a_trace_begins_one_and_a_connection_has_its_own() {
    let (mesh, workload) = (Mesh::new(), Legacy::start().await);
    let collector = Collector::start(&mesh, "grpc", "").await;
    let [web, ehr] = pair(&mesh, &collector, &workload, "sample: 1").await;

    let broken = format!("traceparent: 00-{TRACE}-{}-01", "0".repeat(16));
    assert_eq!(curl(&web, "/bills/1", &[&broken, "tracestate: a=1"]).await, "200");
    let begun = web.trail().only("request-completed").await.text("trace.id").to_owned();
    let connection = web.trail().only("connection-allowed").await.connection().to_owned();
    web.stop().await;
    ehr.stop().await;

    assert_ne!(begun, TRACE);
    lie_below_each_other(&collector.trace(&begun, 4).await, "");
    assert_eq!(workload.only().head.exact("tracestate"), None);
    let ends = collector.trace(&connection, 2).await;
    let kinds: Vec<_> =
        ends.iter().map(|span| (span.text("name"), span.kind(), span.text("parent"))).collect();
    assert!(kinds.contains(&("http connection", "server", "")), "{kinds:?}");
    assert!(kinds.contains(&("http connection", "client", "")), "{kinds:?}");
}

#[tokio::test]
async fn what_is_denied_is_an_event_with_its_reason_and_no_failure() {
    let (mesh, workload) = (Mesh::new(), Legacy::start().await);
    let collector = Collector::start(&mesh, "grpc", "").await;
    let [web, ehr] = pair(&mesh, &collector, &workload, "sample: 1").await;

    assert_eq!(curl(&web, "/other/4711", &[&traceparent("01")]).await, "403");
    let spans = collector.trace(TRACE, 3).await;
    mesh.connect("stranger", &ehr).await;
    let denied = ehr.trail().only("connection-denied").await;
    let refused = collector.trace(denied.connection(), 1).await;

    let why = |span: &Span| span.0["events"].to_string();
    lie_below_each_other(&spans, CALLER);
    assert_eq!(why(&spans[2]), r#"[["denied",{"myelin.reason":"no_route"}]]"#);
    assert_eq!(why(&refused[0]), r#"[["denied",{"myelin.reason":"unknown_peer"}]]"#);
    assert_eq!(spans[2].says("http.response.status_code"), 403);
    for span in [&spans[2], &refused[0]] {
        assert_eq!(
            (span.says("myelin.decision"), &span.0["status"]),
            (&"denied".into(), &0.into())
        );
    }
    assert_eq!((spans[1].kind(), &spans[1].0["status"]), ("client", &2.into()), "{spans:#?}");
}

#[tokio::test]
async fn what_is_not_sampled_passes_as_it_came() {
    for (more, flags) in [("sample: 0", "01"), ("sample: parent", "00")] {
        let (mesh, workload) = (Mesh::new(), Legacy::start().await);
        let collector = Collector::start(&mesh, "grpc", "").await;
        let [web, ehr] = pair(&mesh, &collector, &workload, more).await;

        assert_eq!(curl(&web, "/bills/1", &[&traceparent(flags), "tracestate: a=1"]).await, "200");
        web.stop().await;
        ehr.stop().await;

        let head = workload.only().head;
        assert_eq!(head.exact("traceparent"), traceparent(flags).split(' ').nth(1));
        assert_eq!(collector.spans().len(), 0, "{}", collector.output());
    }
}

#[tokio::test]
async fn who_is_let_in_without_being_listed_cannot_have_itself_traced() {
    let (mesh, workload) = (Mesh::new(), Legacy::start().await);
    let collector = Collector::start(&mesh, "grpc", "").await;
    let ehr = mesh.inbound("ehr").allow("web").http().permissive(FAR);
    let ehr = ehr.forward(workload.target()).traced(&collector, "sample: parent").start().await;

    for _ in 0..20 {
        let mut stranger = plain(ehr.address()).await;
        stranger
            .send(format!("GET / HTTP/1.1\r\nHost: ehr\r\n{}\r\n\r\n", traceparent("01")))
            .await;
        assert_eq!(stranger.message().await.status(), 200);
    }
    let mut web = mesh.http("web", &ehr).await;
    web.send(format!("GET / HTTP/1.1\r\nHost: ehr\r\n{}\r\n\r\n", traceparent("01"))).await;
    assert_eq!(web.message().await.status(), 200);
    ehr.stop().await;

    assert_eq!(collector.trace(TRACE, 2).await[0].says("myelin.peer"), "web");
}

#[tokio::test]
async fn messages_lie_below_their_connection_whose_trace_both_sides_share() {
    let (mesh, engine) = (Mesh::new(), Engine::start().await);
    let collector = Collector::start(&mesh, "grpc", "").await;
    let ehr = mesh.inbound("ehr").allow("lab").mllp().with("messages: [ \"ADT^*\" ]");
    let ehr = ehr.forward(engine.target()).traced(&collector, "sample: 1").start().await;
    let lab = mesh.outbound("lab").allow("ehr").mllp().phi().to(ehr.address());
    let lab = lab.traced(&collector, "sample: 1").start().await;

    let mut sender = TcpStream::connect(lab.address()).await.unwrap();
    exchange(&mut sender, "ADT^A01^ADT_A01", "4711").await;
    tokio::io::AsyncWriteExt::write_all(&mut sender, message("ORU^R01", "2").as_bytes())
        .await
        .unwrap();
    let mut rest = Vec::new();
    sender.read_to_end(&mut rest).await.unwrap();
    let connection = lab.trail().only("connection-allowed").await.connection().to_owned();

    let spans = collector.trace(&connection, 6).await;
    let root = |name: &str| {
        spans
            .iter()
            .find(|span| span.text("parent").is_empty() && span.says("myelin.listener") == name)
            .unwrap()
    };
    for (listener, kind) in [("ehr", "server"), ("lab", "client")] {
        let below: Vec<_> =
            spans.iter().filter(|span| span.text("parent") == root(listener).text("id")).collect();
        let names: Vec<_> = below.iter().map(|span| span.text("name")).collect();
        assert_eq!(names, ["hl7 ADT^A01", "hl7 ORU^R01"], "{spans:#?}");
        assert!(below.iter().all(|span| span.kind() == kind));
        assert_eq!(below[0].says("myelin.hl7.acknowledgement"), "AA");
        assert_eq!(root(listener).text("name"), "mllp connection");
    }
    let denied = spans.iter().find(|span| span.says("myelin.decision") == "denied").unwrap();
    assert_eq!(
        denied.0["events"].to_string(),
        r#"[["denied",{"myelin.reason":"no_message_rule"}]]"#
    );
    assert!(!format!("{spans:?}").contains("4711"));
}

#[tokio::test]
async fn an_association_lies_below_its_connection_whose_trace_both_sides_share() {
    let mesh = Mesh::new();
    let collector = Collector::start(&mesh, "grpc", "").await;
    let (_archive, target) = storescp(mesh.dir(), &[]).await;
    let pacs = mesh.inbound("pacs").allow("ct").dicom().forward(&target);
    let pacs = pacs.traced(&collector, "sample: 1").start().await;
    let ct = mesh.outbound("ct").allow("pacs").dicom().to(pacs.address());
    let ct = ct.traced(&collector, "sample: 1").start().await;

    assert_eq!(asks("echoscu", &ct, &[], &[]).await.code, Some(0));
    let connection = ct.trail().only("connection-allowed").await.connection().to_owned();

    let spans = collector.trace(&connection, 4).await;
    let (roots, below) = spans.split_at(2);
    for root in roots {
        assert_eq!((root.text("name"), root.text("parent")), ("dicom connection", ""));
        let is_below = |span: &&Span| span.text("parent") == root.text("id");
        let association = below.iter().find(is_below).expect("its association");
        assert_eq!(association.text("name"), "dicom association");
        assert_eq!(association.says("myelin.dicom.result"), "released");
        assert_eq!(association.kind(), root.kind());
    }
}

#[tokio::test]
async fn a_traceparent_is_read_as_opentelemetry_reads_it() {
    let (zeros, upper) = ("0".repeat(32), TRACE.to_uppercase());
    let told = [
        format!("00-{TRACE}-{CALLER}-01"),
        format!("00-{TRACE}-{CALLER}-00"),
        format!("00-{TRACE}-{CALLER}-03"),
        format!("01-{TRACE}-{CALLER}-01"),
        format!("cc-{TRACE}-{CALLER}-01-what-later-ones-have"),
        format!("cc-{TRACE}-{CALLER}-01x"),
        format!("ff-{TRACE}-{CALLER}-01"),
        format!("00-{TRACE}-{CALLER}"),
        format!("00-{TRACE}-{CALLER}-1"),
        format!("00-{TRACE}-{CALLER}-01-more"),
        format!("00-{TRACE}-{CALLER}-zz"),
        format!("00-{zeros}-{CALLER}-01"),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        format!("00-{upper}-{CALLER}-01"),
        "nonsense".to_owned(),
    ];
    let mut peer = python::peer("trace_context", "opentelemetry.trace", &[]);
    let said = run(&mut peer, &told.join("\n")).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);

    let ours = told.iter().map(|text| {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_str(text).unwrap());
        TraceContext::of(&headers)
            .map(|it| (format!("{} {}", it.trace, it.parent), it.is_sampled()))
    });
    let theirs = said.stdout.lines().map(|line| {
        let (names, flags) = line.rsplit_once(' ')?;
        let flags = u8::from_str_radix(flags, 16).unwrap();
        Some((names.to_owned(), flags & 1 == 1))
    });
    let both: Vec<_> = ours.zip(theirs).zip(&told).collect();
    assert_eq!(both.len(), told.len(), "{}", said.stdout);
    for ((ours, theirs), text) in both {
        assert_eq!(ours, theirs, "{text}");
    }
}
