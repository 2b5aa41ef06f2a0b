//! `policy`: Rego is asked after the allowlist, about connections, requests, messages and associations.

use std::path::Path;

use myelin::report::Report;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::client::FirstRead;
use crate::support::curl::Curl;
use crate::support::dicom::{asks, storescp};
use crate::support::legacy::Legacy;
use crate::support::lenient::FAR;
use crate::support::mesh::{Mesh, Setup};
use crate::support::mllp::{Engine, exchange, message};
use crate::support::process::write;
use crate::support::workload::{Kind, Workload};

const ROUTES: &str = r#"routes: [{ name: record, path: "/records/{id}", allow: [web, lab] }, { name: rest, path: "/{all...}", allow: [web, lab] }]"#;

/// The setup, narrowed by these rules.
fn narrowed(setup: Setup, mesh: &Mesh, rules: &str) -> Setup {
    rewrite(mesh.dir(), rules);
    setup.file("policy: { rego: [../policy.rego], data: [../data.json], timeout: 5s }")
}

fn rewrite(dir: &Path, rules: &str) {
    write(dir, "policy.rego", &format!("package myelin\n{rules}"));
    if !dir.join("data.json").exists() {
        write(dir, "data.json", "{}");
    }
}

#[tokio::test]
async fn a_request_is_asked_about_by_peer_method_template_host_and_rule() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = mesh.inbound("ehr").allow("web").allow("lab").http().forward(workload.target());
    let rules = r#"
        allow if input.event.action == "connection-allowed"
        allow if {
            input.http.request.method == "GET"
            input.url.path == "/records/{id}"
            input.host == "ehr"
            input.rule.name == "ehr/record"
            input.myelin.peer == "web"
            input.user.id == "spiffe://hospital.example/web"
            input.source.ip == "127.0.0.1"
            input.tls.version == "1.3"
            not contains(json.marshal(input), "4711")
        }"#;
    let ehr = narrowed(setup.with(ROUTES), &mesh, rules).start().await;
    let (mut web, mut lab) = (mesh.http("web", &ehr).await, mesh.http("lab", &ehr).await);

    assert_eq!(web.get("/records/4711").await.status(), 200);
    assert_eq!(web.get("/else").await.status(), 403);
    assert_eq!(lab.get("/records/4711").await.status(), 403);

    assert_eq!(workload.targets(), ["/records/4711"]);
    let denied = ehr.trail().wait_for("request-denied", 2).await;
    assert_eq!((denied[0].reason(), denied[0].text("rule.name")), ("rego", "ehr/rest"));
    assert_eq!((denied[1].reason(), denied[1].text("rule.name")), ("rego", "ehr/record"));
    assert_eq!(denied[1].text("url.path"), "/records/{id}");
    assert_eq!(denied[1].text("myelin.nearest"), "data.myelin.allow is undefined");
    ehr.metric_is("myelin_connections_denied_total", &[("reason", "rego")], 2.0).await;
}

#[tokio::test]
async fn a_yes_of_rego_lets_nobody_in_whom_the_allowlist_does_not() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = narrowed(setup, &mesh, "allow := true").start().await;

    mesh.connect("web", &db).await.echoes("hello").await;
    let refused = mesh.connect("lab", &db).await.first_read().await;

    assert!(matches!(refused, FirstRead::Closed | FirstRead::Lost), "{refused:?}");
    assert_eq!(db.trail().only("connection-denied").await.reason(), "unknown_peer");
}

#[tokio::test]
async fn after_office_hours_nobody_connects_and_the_policy_says_why() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let rules = r#"
        default allow := {"allow": false, "reason": "after hours"}
        allow := {"allow": true} if {
            [hour, _, _] := time.clock([time.parse_rfc3339_ns(input.now), "Europe/Berlin"])
            hour >= data.hours.from
            hour < data.hours.to
        }"#;
    write(mesh.dir(), "data.json", r#"{"hours": {"from": 24, "to": 24}}"#);
    let setup = narrowed(setup, &mesh, rules);
    let db = setup.start().await;

    let refused = mesh.connect("web", &db).await.first_read().await;

    assert!(matches!(refused, FirstRead::Closed | FirstRead::Lost), "{refused:?}");
    assert_eq!(workload.connections(), 0);
    let denied = db.trail().only("connection-denied").await;
    assert_eq!(denied.reason(), "rego");
    assert_eq!(denied.text("myelin.peer"), "web");
    assert_eq!(denied.text("myelin.nearest"), "data.myelin.allow is false: after hours");

    let before = denied.text("rule.version").to_owned();
    write(mesh.dir(), "data.json", r#"{"hours": {"from": 0, "to": 24}}"#);
    db.reload(&setup).await.unwrap();
    mesh.connect("web", &db).await.echoes("hello").await;
    let allowed = db.trail().only("connection-allowed").await;
    assert_ne!(allowed.text("rule.version"), before, "data are part of the policy's version");
}

#[tokio::test]
async fn a_changed_rule_ends_open_connections_that_it_would_not_let_in_and_no_others() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").allow("lab").forward(workload.target());
    let setup = narrowed(setup, &mesh, "allow := true");
    let db = setup.start().await;
    let (mut web, mut lab) = (mesh.connect("web", &db).await, mesh.connect("lab", &db).await);
    web.echoes("hello").await;
    lab.echoes("hello").await;

    rewrite(mesh.dir(), r#"allow if input.myelin.peer == "web""#);
    db.reload(&setup).await.unwrap();

    let read = lab.first_read().await;
    assert!(matches!(read, FirstRead::Closed | FirstRead::Lost), "{read:?}");
    let withdrawn = db.trail().only("connection-withdrawn").await;
    assert_eq!((withdrawn.reason(), withdrawn.text("myelin.peer")), ("rego", "lab"));
    assert_eq!(withdrawn.text("myelin.nearest"), "data.myelin.allow is undefined");
    web.echoes("still here").await;
    db.ended("withdrawn", 1.0).await;
}

#[tokio::test]
async fn each_open_connection_is_asked_about_although_others_with_its_certificate_come_meanwhile() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let setup = narrowed(setup, &mesh, "allow := true");
    let db = setup.start().await;
    for round in 1..=5 {
        let mut first = mesh.connect("web", &db).await;
        first.echoes("hello").await;
        let port = first.port();

        rewrite(mesh.dir(), &format!("allow if input.source.port != {port}"));
        let coming = async {
            loop {
                mesh.connect("web", &db).await.echoes("hello").await;
            }
        };
        let going = async {
            db.reload(&setup).await.unwrap();
            first.first_read().await
        };
        let read = tokio::select! { read = going => read, () = coming => unreachable!() };

        assert!(matches!(read, FirstRead::Closed | FirstRead::Lost), "{round}: {read:?}");
        let withdrawn = db.trail().wait_for("connection-withdrawn", round).await;
        assert_eq!(withdrawn[round - 1].reason(), "rego");
        assert_eq!(withdrawn[round - 1].number("source.port"), u64::from(port));
    }
}

#[tokio::test]
async fn a_search_in_the_body_is_asked_about_like_one_in_the_query() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = mesh.inbound("ehr").allow("web").http().phi().forward(workload.target());
    let setup = setup.with("routes: [{ name: all, path: /fhir, allow: [web], fhir: {} }]");
    let rules = r#"
        default allow := false
        allow if not input.http
        allow if {
            input.http
            not "birthdate" in input.myelin.fhir.parameters
            not input.myelin.fhir.other_parameters
        }"#;
    let ehr = narrowed(setup, &mesh, rules).start().await;
    let web = mesh.pem("web");
    let curl = Curl { identity: &web, to: &ehr };

    let search = async |form: &str| curl.ask("/fhir/Patient/_search", &["-d", form]).await.status;
    assert_eq!(search("name=Meier").await, 200);
    assert_eq!(search("name=Meier&birthdate=1970").await, 403);
    assert_eq!(search("name=Meier&%62irthdate=1970").await, 403);
    assert_eq!(search("name=Meier&mothersMaidenName=1970").await, 403);
    assert_eq!(search(&format!("name={}", "x".repeat(64 * 1024))).await, 403);
    assert_eq!(curl.ask("/fhir/Patient?birthdate=1970", &[]).await.status, 403);

    assert_eq!(workload.asked().len(), 1);
    let denied = ehr.trail().wait_for("request-denied", 5).await;
    assert_eq!(denied[0].reason(), "rego");
    assert_eq!(denied[0].field("myelin.fhir.parameters").to_string(), r#"["birthdate","name"]"#);
    assert_eq!((denied[3].reason(), denied[4].reason()), ("no_route", "rego"));
    let allowed = ehr.trail().only("request-allowed").await;
    assert_eq!(allowed.field("myelin.fhir.parameters").to_string(), r#"["name"]"#);
    assert!(!ehr.trail().text().contains("Meier"));
}

#[tokio::test]
async fn no_more_is_asked_than_a_peers_limits_let_begin() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let limits = r#"routes: [{ name: all, path: "/{all...}", allow: [web], limits: { rate: 1/h, burst: 2 } }]"#;
    let setup = mesh.inbound("ehr").allow("web").http().forward(workload.target()).with(limits);
    let rules = r#"allow if input.event.action == "connection-allowed""#;
    let ehr = narrowed(setup, &mesh, rules).start().await;
    let mut web = mesh.http("web", &ehr).await;

    let answers = [web.get("/").await, web.get("/").await, web.get("/").await];

    assert_eq!(answers.map(|answer| answer.status()), [403, 403, 429]);
    assert_eq!(workload.targets(), [""; 0]);
}

#[tokio::test]
async fn requests_on_an_open_connection_go_by_the_rules_of_their_moment() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = mesh.inbound("ehr").allow("web").http().forward(workload.target());
    let setup = narrowed(setup, &mesh, "allow := true");
    let ehr = setup.start().await;
    let mut web = mesh.http("web", &ehr).await;
    assert_eq!(web.get("/a").await.status(), 200);

    rewrite(mesh.dir(), r#"allow if input.event.action == "connection-allowed""#);
    ehr.reload(&setup).await.unwrap();

    assert_eq!(web.get("/b").await.status(), 403);
    assert_eq!(workload.targets(), ["/a"]);
}

#[tokio::test]
async fn rules_that_cannot_be_used_change_nothing() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let setup = narrowed(setup, &mesh, "allow := true");
    let db = setup.start().await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("hello").await;

    rewrite(mesh.dir(), "allow if nowhere(input)");
    let refused = db.reload(&setup).await.unwrap_err();

    let told = Report(&refused).to_string();
    assert!(told.contains("policy.rego:2:10: "), "{told}");
    let rejected = db.trail().only("config-rejected").await;
    assert!(rejected.text("message").contains("policy.rego:2:10: "), "{rejected:#?}");
    web.echoes("still here").await;
    mesh.connect("web", &db).await.echoes("and new ones").await;
}

#[tokio::test]
async fn what_fails_or_takes_too_long_is_denied() {
    for (timeout, rules, says) in [
        (
            "5s",
            "allow if not late\nlate if { input.myelin.peer == \"web\"; to_number(input.myelin.peer) > 1 }",
            "data.myelin.allow failed",
        ),
        (
            "5ms",
            "allow if { input.myelin.peer == \"web\"; some a in data.n; some b in data.n; some c in data.n; a + b + c < 0 }",
            "data.myelin.allow took longer than 5ms",
        ),
    ] {
        let mesh = Mesh::new();
        let workload = Workload::tcp(Kind::Echo).await;
        let n: Vec<_> = (0..500).map(|n| n.to_string()).collect();
        write(mesh.dir(), "data.json", &format!(r#"{{"n": [{}]}}"#, n.join(", ")));
        rewrite(mesh.dir(), rules);
        let policy =
            format!("policy: {{ rego: ../policy.rego, data: ../data.json, timeout: {timeout} }}");
        let setup = mesh.inbound("db").allow("web").forward(workload.target()).file(&policy);
        let db = setup.start().await;

        let refused = mesh.connect("web", &db).await.first_read().await;

        assert!(matches!(refused, FirstRead::Closed | FirstRead::Lost), "{refused:?}");
        let denied = db.trail().only("connection-denied").await;
        assert_eq!(denied.reason(), "rego");
        assert!(denied.text("myelin.nearest").starts_with(says), "{denied:#?}");
    }
}

#[tokio::test]
async fn while_policy_is_observed_an_objection_is_only_told() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = mesh.inbound("ehr").allow("web").http().forward(workload.target());
    let ehr = narrowed(setup, &mesh, "allow := false").observing(FAR).start().await;
    let mut web = mesh.http("web", &ehr).await;

    assert_eq!(web.get("/a").await.status(), 200);

    let connected = ehr.trail().only("connection-allowed").await;
    assert_eq!(connected.text("myelin.would_deny"), "rego");
    assert_eq!(connected.text("myelin.peer"), "web");
    let allowed = ehr.trail().only("request-allowed").await;
    assert_eq!(allowed.text("myelin.would_deny"), "rego");
    assert_eq!(allowed.text("myelin.nearest"), "data.myelin.allow is false");
    ehr.metric_is("myelin_would_deny_total", &[("reason", "rego")], 2.0).await;
}

#[tokio::test]
async fn a_message_is_asked_about_by_its_header() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let rules = r#"
        allow if input.event.action == "connection-allowed"
        allow if {
            input.myelin.hl7.type == "ADT^A01"
            input.myelin.hl7.sending.application == "LIS"
            input.myelin.peer == "lab"
        }"#;
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().forward(engine.target());
    let ehr = narrowed(setup, &mesh, rules).start().await;
    let lab = mesh.outbound("lab").allow("ehr").mllp().to(ehr.address()).start().await;
    let mut sender = TcpStream::connect(lab.address()).await.unwrap();

    exchange(&mut sender, "ADT^A01", "1").await;
    sender.write_all(message("ORU^R01", "2").as_bytes()).await.unwrap();

    let denied = ehr.trail().only("message-denied").await;
    assert_eq!((denied.reason(), denied.text("myelin.hl7.type")), ("rego", "ORU^R01"));
    assert_eq!(engine.received().len(), 1);
}

#[tokio::test]
async fn an_association_is_asked_about_by_its_titles() {
    let (mesh, store) = (Mesh::new(), tempfile::tempdir().unwrap());
    let (_scp, target) = storescp(store.path(), &[]).await;
    let setup = mesh.inbound("pacs").allow("ct").with("protocol: dicom").phi().forward(&target);
    let setup = narrowed(
        setup,
        &mesh,
        r#"allow if input.event.action == "connection-allowed"
        allow if input.myelin.dicom.calling_ae == "CT2""#,
    );
    let pacs = setup.start().await;
    let ct = mesh.outbound("ct").allow("pacs").with("protocol: dicom").to(pacs.address());
    let ct = ct.start().await;

    assert_eq!(asks("echoscu", &ct, &[], &[]).await.code, Some(0));
    let refused = asks("echoscu", &ct, &["-aet", "CT3"], &[]).await;

    assert_ne!(refused.code, Some(0), "{}", refused.all());
    let denied = pacs.trail().only("association-denied").await;
    assert_eq!((denied.reason(), denied.text("myelin.dicom.calling_ae")), ("rego", "CT3"));
}

#[tokio::test]
async fn of_what_goes_out_the_connection_is_asked_about() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let ehr = mesh.inbound("ehr").allow("lab").forward(workload.target()).start().await;
    let setup = mesh.outbound("lab").allow("ehr").to(ehr.address());
    let lab = narrowed(setup, &mesh, r#"allow if input.network.direction == "ingress""#);
    let lab = lab.start().await;

    let mut caller = TcpStream::connect(lab.address()).await.unwrap();
    let _gone = caller.write_all(b"hello").await;

    let denied = lab.trail().only("connection-denied").await;
    assert_eq!((denied.reason(), denied.text("network.direction")), ("rego", "egress"));
    lab.ended("refused", 1.0).await;
    assert!(workload.received().is_empty());
}
