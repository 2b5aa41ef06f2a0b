//! `enforce: false`: what policy would deny goes through and is told, until a date. Who somebody is has to
//! be proven all the same.

use serde_json::{Value, json};

use crate::audit::SmallDisk;
use crate::support::client::{FirstRead, connect};
use crate::support::eventually;
use crate::support::http::{https, plain};
use crate::support::legacy::Legacy;
use crate::support::lenient::{FAR, SOON};
use crate::support::mesh::{Mesh, Setup};
use crate::support::pki::{Ca, spiffe};
use crate::support::workload::{Kind, Workload};

const ROUTES: &str = "routes: [{ name: read, methods: [GET], path: /records, allow: [web] }]";

fn ehr(mesh: &Mesh, workload: &Legacy) -> Setup {
    mesh.inbound("ehr").allow("web").http().forward(workload.target())
}

#[tokio::test]
async fn a_peer_that_is_not_listed_is_let_in_and_it_is_told_why_it_would_not_be() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target()).phi();
    let db = setup.observing(FAR).start().await;

    mesh.connect("web", &db).await.echoes("hello").await;
    mesh.connect("lab", &db).await.echoes("hello").await;

    let allowed = db.trail().wait_for("connection-allowed", 2).await;
    let (web, lab) = (&allowed[0], &allowed[1]);
    assert!(web.field("myelin.would_deny").is_null(), "{web:#?}");
    assert!(web.field("rule.reference").is_null(), "{web:#?}");
    assert_eq!(lab.text("myelin.identity"), spiffe("lab"));
    assert!(lab.field("myelin.peer").is_null());
    assert_eq!(lab.text("event.outcome"), "success");
    assert_eq!(lab.text("myelin.would_deny"), "unknown_peer");
    assert_eq!(lab.text("myelin.differs"), "peer");
    assert!(lab.text("myelin.nearest").contains("nearest is peer `web`"), "{lab:#?}");
    let line = lab.number("rule.line");
    let config = std::fs::read_to_string(&db.config).unwrap();
    let written = config.lines().nth(usize::try_from(line).unwrap() - 1).unwrap();
    assert_eq!(written, "  - name: db");
    assert_eq!(lab.text("rule.reference"), format!("{}:{line}", db.config.display()));
    let labels = [("listener", "db"), ("reason", "unknown_peer")];
    db.metric_is("myelin_would_deny_total", &labels, 1.0).await;
    db.metric_is("myelin_connections_denied_total", &labels, 0.0).await;
}

#[tokio::test]
async fn what_was_only_observed_is_on_a_page_of_its_own_the_newest_first() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.peer("lab", &format!("spiffe: {}", spiffe("lab"))).observing(FAR).start().await;

    mesh.connect("ris", &db).await.echoes("hello").await;
    mesh.connect("lab", &db).await.echoes("hello").await;
    db.trail().wait_for("connection-closed", 2).await;

    let observed = db.shown("/observed").await;
    let reasons: Vec<_> = observed.iter().map(|shown| &shown["myelin"]["would_deny"]).collect();
    assert_eq!(reasons, ["not_listed", "unknown_peer"], "once each: {observed:#?}");
    assert_eq!(observed[0]["event"]["action"], "connection-allowed");
    assert!(db.shown("/denials").await.is_empty());
}

#[tokio::test]
async fn a_request_that_no_route_lets_through_goes_through_and_is_recorded() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, &workload).with(ROUTES).observing(FAR).start().await;
    let mut web = mesh.http("web", &ehr).await;

    assert_eq!(web.get("/records").await.status(), 200);
    assert_eq!(web.get("/else").await.status(), 200);

    assert_eq!(workload.targets(), ["/records", "/else"]);
    let allowed = ehr.trail().only("request-allowed").await; // of the other nothing is to be told
    assert_eq!(allowed.text("myelin.would_deny"), "no_route");
    assert_eq!(allowed.text("myelin.peer"), "web");
    assert!(!allowed.text("myelin.nearest").is_empty());
    assert!(allowed.text("rule.reference").starts_with(&*ehr.config.to_string_lossy()));
    let completed = ehr.trail().only("request-completed").await;
    assert_eq!(completed.text("myelin.would_deny"), "no_route");
    assert_eq!(completed.number("http.response.status_code"), 200);
    let labels = [("listener", "ehr"), ("reason", "no_route")];
    ehr.metric_is("myelin_would_deny_total", &labels, 1.0).await;
    ehr.metric_is("myelin_connections_denied_total", &labels, 0.0).await;
}

#[tokio::test]
async fn status_tells_since_when_nothing_would_have_been_denied() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, &workload).with(ROUTES).observing(FAR).start().await;
    let mut web = mesh.http("web", &ehr).await;

    assert_eq!(web.get("/records").await.status(), 200);
    let before = ehr.strictness().await;
    assert_eq!(web.get("/else").await.status(), 200);
    let after = ehr.strictness().await;

    assert_eq!((&before["mode"], &before["enforce"]), (&json!("strict"), &json!(false)));
    assert_eq!(before["would_deny"]["count"], 0);
    assert_eq!(before["would_deny"]["days_since_last"], Value::Null);
    assert_eq!(before["would_deny"]["days_left"], 1);
    assert_eq!(before["fails_open"], json!(["inbound.ehr.enforce"]));
    assert_eq!(after["would_deny"]["count"], 1);
    assert_eq!(after["would_deny"]["days_since_last"], 0);
    assert!(after["would_deny"]["last"].is_string());
    let until = ehr.metric("myelin_observe_until_timestamp_seconds", &[("listener", "ehr")]).await;
    let left = until - ehr.metric("process_start_time_seconds", &[]).await;
    assert!((left - FAR.as_secs_f64()).abs() < 60.0, "{left}");
}

#[tokio::test]
async fn when_the_date_passes_policy_is_enforced_and_who_was_only_observed_is_withdrawn() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = ehr(&mesh, &workload).with(ROUTES);
    let ehr = setup.clone().observing(FAR).start().await;
    let mut lab = mesh.http("lab", &ehr).await;
    assert_eq!(lab.get("/records").await.status(), 200);
    let mut web = mesh.http("web", &ehr).await;
    assert_eq!(web.get("/else").await.status(), 200);

    let ended = ehr.turns_strict(&setup.observing(SOON)).await;

    lab.ends().await;

    let withdrawn = ehr.trail().only("connection-withdrawn").await;
    assert_eq!(withdrawn.reason(), "unknown_peer");
    assert_eq!(withdrawn.text("myelin.identity"), spiffe("lab"));
    assert!(withdrawn.text("myelin.nearest").contains("`web`"), "{withdrawn:?}");
    assert_eq!(web.get("/else").await.status(), 403, "the same connection, and now it is denied");
    assert_eq!(web.get("/records").await.status(), 200);
    let mut late = mesh.http("lab", &ehr).await;
    late.try_send("GET /records HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    late.ends().await;
    assert_eq!(ehr.trail().only("connection-denied").await.reason(), "unknown_peer");
    assert_eq!(ehr.trail().only("request-denied").await.reason(), "no_route");
    assert_eq!(ended.reason(), "observe_ended");
    let status = ehr.strictness().await;
    assert_eq!((&status["enforce"], &status["fails_open"]), (&json!(true), &json!([])));
}

#[tokio::test]
async fn a_tcp_connection_that_was_only_observed_ends_at_the_date() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.clone().observing(FAR).start().await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("hello").await;
    let mut lab = mesh.connect("lab", &db).await;
    lab.echoes("hello").await;
    db.turns_strict(&setup.observing(SOON)).await;

    let read = lab.first_read().await;

    assert!(matches!(read, FirstRead::Closed | FirstRead::Lost), "{read:?}");
    assert_eq!(db.trail().only("connection-withdrawn").await.reason(), "unknown_peer");
    web.echoes("still here").await;
}

#[tokio::test]
async fn who_is_only_observed_leaves_room_for_those_who_are_listed() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.limits("connections: 16").observing(FAR).start().await;
    let mut inside = Vec::new();
    for _ in 0..2 {
        let mut lab = mesh.connect("lab", &db).await;
        lab.echoes("an eighth of them for one source").await;
        inside.push(lab);
    }

    let read = mesh.connect("lab", &db).await.first_read().await;

    assert!(matches!(read, FirstRead::Closed | FirstRead::Lost), "{read:?}");
    let denied = db.trail().only("connection-denied").await;
    assert_eq!(denied.reason(), "concurrency_limit");
    assert_eq!(denied.text("myelin.differs"), "concurrency");
    assert!(denied.text("myelin.nearest").contains("an eighth for one source"), "{denied:#?}");
    for _ in 0..5 {
        let mut web = mesh.connect("web", &db).await;
        web.echoes("listed").await;
        inside.push(web);
    }
    inside.remove(0).end().await;
    db.trail().only("connection-closed").await;
    mesh.connect("lab", &db).await.echoes("a place is free").await;
}

#[tokio::test]
async fn a_certificate_is_never_only_observed() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.observing(FAR).start().await;
    let foreign = Ca::new("Elsewhere").issue("web");
    std::fs::copy(mesh.pem("web").trust_bundle(), foreign.trust_bundle()).unwrap();

    let mut web = connect(&foreign, db.address(), "db").await.unwrap();
    let read = web.first_read().await;

    assert!(matches!(read, FirstRead::Alert(_)), "{read:?}");
    assert_eq!(db.trail().only("connection-refused").await.reason(), "unknown_issuer");
    let mut stranger = plain(db.address()).await;
    stranger.try_send("hello").await;
    let refused = db.trail().wait_for("connection-refused", 2).await;
    assert_eq!(refused[1].reason(), "not_tls");
    assert_eq!(workload.connections(), 0);
}

#[tokio::test]
async fn a_malformed_request_is_never_only_observed() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, &workload).with(ROUTES).observing(FAR).start().await;

    let mut lab = https(&mesh.pem("lab"), &ehr).await;
    lab.send("GET /a/../records HTTP/1.1\r\nHost: ehr\r\n\r\n").await;

    assert_eq!(lab.message().await.status(), 400);
    assert_eq!(workload.connections(), 0);
    assert_eq!(ehr.trail().only("request-denied").await.reason(), "malformed_request");
}

#[tokio::test]
async fn what_cannot_be_recorded_is_never_only_observed() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let disk = SmallDisk::new();
    let audit = format!("dir: {}", disk.trail().display());
    let ehr = ehr(&mesh, &workload).phi().observing(FAR).audit(&audit).start().await;
    let mut lab = mesh.http("lab", &ehr).await;
    assert_eq!(lab.get("/1").await.status(), 200);

    disk.fill();
    eventually("the trail to fail", || async {
        let mut lab = mesh.http("lab", &ehr).await;
        lab.try_send("GET /2 HTTP/1.1\r\nHost: ehr\r\nConnection: close\r\n\r\n").await;
        (!lab.rest().await.starts_with(b"HTTP/1.1 200")).then_some(())
    })
    .await;
    let passed = workload.asked().len();

    assert_eq!(lab.get("/3").await.status(), 503);
    assert_eq!(workload.asked().len(), passed);
}

#[tokio::test]
async fn a_denial_tells_the_operator_all_and_the_peer_nothing_but_a_name_for_it() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, &workload).with(ROUTES).start().await;
    let mut web = mesh.http("web", &ehr).await;

    web.send("POST /records HTTP/1.1\r\nHost: ehr\r\nContent-Length: 0\r\n\r\n").await;
    let answer = web.message().await;
    ehr.trail().only("request-denied").await;

    let denied = &ehr.shown("/denials").await[0];
    assert_eq!((answer.status(), answer.text().as_str()), (403, "not allowed\n"));
    assert_eq!(answer.head.header("x-request-id"), denied["http"]["request"]["id"].as_str());
    let told = answer.head.0.to_lowercase();
    for inside in ["read", "route", "records", "web", "myelin", "spiffe"] {
        assert!(!told.contains(inside), "{told}");
    }
    let client = &denied["tls"]["client"];
    assert_eq!(client["x509"]["alternative_names"][0], format!("URI:{}", spiffe("web")));
    assert!(client["issuer"].is_string() && denied["myelin"]["anchor"].is_string(), "{denied:#}");
    assert_eq!(denied["myelin"]["peer"], "web");
    assert_eq!(denied["event"]["reason"], "no_route");
    assert_eq!(denied["myelin"]["differs"], "method");
    assert!(denied["myelin"]["nearest"].as_str().unwrap().contains("`read`"), "{denied:#}");
    let reference = denied["rule"]["reference"].as_str().unwrap();
    let (file, line) = reference.rsplit_once(':').unwrap();
    let line = line.parse::<usize>().unwrap();
    assert_eq!(std::path::Path::new(file), ehr.config);
    let config = std::fs::read_to_string(file).unwrap();
    assert!(config.lines().nth(line - 1).unwrap().contains("name: read"), "{config}");
}
