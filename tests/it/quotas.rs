//! `limits` of peers and rules: how often, and how many at once, told in the words of the protocol.

use crate::support::http::ByHand;
use crate::support::legacy::Legacy;
use crate::support::mesh::{Mesh, Setup};
use crate::support::pki::spiffe;
use crate::support::workload::{Kind, Workload};

/// A sidecar before HTTP, to which `web` may come within `limits`, and `lab` as it likes.
fn http(mesh: &Mesh, target: &str, limits: &str) -> Setup {
    let web = format!("spiffe: {}, limits: {{ {limits} }}", spiffe("web"));
    mesh.inbound("ehr").peer("web", &web).allow_known("web").allow("lab").http().forward(target)
}

#[tokio::test]
async fn a_request_too_many_is_answered_429_and_says_when_to_come_again() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = http(&mesh, workload.target(), "rate: 1/h, burst: 2").phi().start().await;
    let mut web = mesh.http("web", &ehr).await;
    let mut lab = mesh.http("lab", &ehr).await;

    assert_eq!(web.get("/a").await.status(), 200);
    assert_eq!(web.get("/a").await.status(), 200);
    let third = web.get("/a").await;

    assert_eq!(third.status(), 429);
    let seconds: u64 = third.head.header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&seconds), "{seconds}");
    assert!(third.head.header("x-request-id").is_some());
    assert_eq!(third.text(), "too many requests\n");
    for _ in 0..5 {
        assert_eq!(lab.get("/a").await.status(), 200, "others have their own");
    }
    assert_eq!(workload.targets().len(), 7);
    let denied = ehr.trail().only("request-denied").await;
    assert_eq!(denied.reason(), "rate_limit");
    assert_eq!(denied.number("http.response.status_code"), 429);
    assert_eq!(denied.text("rule.name"), "peers/web");
    assert_eq!(denied.text("myelin.differs"), "rate");
    let nearest = denied.text("myelin.nearest");
    assert_eq!(nearest, "peer `web` has used up its rate of 1/h (burst 2)");
    let labels = [("listener", "ehr"), ("reason", "rate_limit")];
    ehr.metric_is("myelin_connections_denied_total", &labels, 1.0).await;
}

#[tokio::test]
async fn what_is_used_up_stays_so_over_a_reload() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = http(&mesh, workload.target(), "rate: 1/h, burst: 1");
    let ehr = setup.start().await;
    let mut web = mesh.http("web", &ehr).await;
    assert_eq!(web.get("/a").await.status(), 200);

    ehr.reload(&setup.clone().allow("other")).await.unwrap();
    assert_eq!(web.get("/a").await.status(), 429);

    ehr.reload(&http(&mesh, workload.target(), "rate: 1/h, burst: 2")).await.unwrap();
    assert_eq!(web.get("/a").await.status(), 200, "another limit begins anew");
}

#[tokio::test]
async fn a_request_counts_until_its_response_is_complete() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let ehr = http(&mesh, &workload.target(), "concurrency: 1").start().await;
    let mut first = mesh.http("web", &ehr).await;
    let mut second = mesh.http("web", &ehr).await;

    first.send("GET /a HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    let mut served = workload.accept().await;
    served.head().await;
    served.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab").await;
    first.through(b"ab").await;
    assert_eq!(second.get("/b").await.status(), 429);
    served.send("cd").await;
    first.bytes(2).await;

    // Whoever has the end of the first may begin the next, on whichever connection.
    second.send("GET /c HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    served.head().await;
    served.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(second.message().await.status(), 200);
    assert_eq!(ehr.trail().only("request-denied").await.reason(), "concurrency_limit");
}

#[tokio::test]
async fn one_after_another_is_never_two_at_once() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = http(&mesh, workload.target(), "concurrency: 1").start().await;
    let mut web = mesh.http("web", &ehr).await;

    for _ in 0..300 {
        assert_eq!(web.get("/a").await.status(), 200);
    }
}

#[tokio::test]
async fn a_rule_has_a_limit_for_each_peer() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = mesh.inbound("ehr").allow("web").allow("lab").http().forward(workload.target());
    let ehr = setup
        .with(
            "routes: [{name: search, path: /search, allow: [web, lab], limits: {rate: 1/h}}, \
             {name: rest, path: \"/{rest...}\", allow: [web, lab]}]",
        )
        .start()
        .await;
    let mut web = mesh.http("web", &ehr).await;
    let mut lab = mesh.http("lab", &ehr).await;

    assert_eq!(web.get("/search").await.status(), 200);
    assert_eq!(web.get("/search").await.status(), 429);
    assert_eq!(web.get("/other").await.status(), 200);
    assert_eq!(lab.get("/search").await.status(), 200);
    let denied = ehr.trail().only("request-denied").await;
    assert_eq!((denied.text("rule.name"), denied.reason()), ("ehr/search", "rate_limit"));
}

#[tokio::test]
async fn where_there_are_no_messages_connections_are_limited() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let web = format!("spiffe: {}, limits: {{ concurrency: 1 }}", spiffe("web"));
    let setup = mesh.inbound("db").peer("web", &web).allow_known("web");
    let db = setup.forward(workload.target()).start().await;
    let mut first = mesh.connect("web", &db).await;
    first.echoes("hello").await;

    let mut second = mesh.connect("web", &db).await;
    second.first_read().await;

    let denied = db.trail().only("connection-denied").await;
    assert_eq!(denied.reason(), "concurrency_limit");
    first.echoes("the first goes on").await;
    drop(first);
    db.trail().only("connection-closed").await;
    mesh.connect("web", &db).await.echoes("and another may come").await;
}

#[tokio::test]
async fn status_tells_which_rules_and_peers_are_used() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = mesh.inbound("ehr").allow("web").allow("lab").http().forward(workload.target());
    let ehr = setup
        .with(
            "routes: [{name: a, path: /a, allow: [web, lab]}, {name: b, path: /b, allow: [web]}, \
             {name: c, path: /c, allow: [web], expires: 2020-01-01}]",
        )
        .start()
        .await;
    let mut web = mesh.http("web", &ehr).await;
    for path in ["/a", "/a", "/b"] {
        assert_eq!(web.get(path).await.status(), 200);
    }
    assert_eq!(web.get("/c").await.status(), 403);

    let status: serde_json::Value = serde_json::from_str(&ehr.page("/status").await.body).unwrap();
    let policy = &status["policy"];

    let rule = |place: usize| &policy["rules"][place];
    assert_eq!((&rule(0)["name"], &rule(0)["hits"]), (&"ehr/a".into(), &2.into()));
    assert_eq!((&rule(1)["name"], &rule(1)["hits"]), (&"ehr/b".into(), &1.into()));
    assert!(rule(0)["last_used"].is_string() && rule(0)["line"].is_number());
    assert_eq!((&rule(2)["expired"], &rule(2)["hits"]), (&true.into(), &0.into()));
    assert!(rule(2)["last_used"].is_null());
    let peer = |place: usize| &policy["peers"][place];
    assert_eq!((&peer(0)["name"], &peer(0)["hits"]), (&"lab".into(), &0.into()));
    assert_eq!((&peer(1)["name"], &peer(1)["hits"]), (&"web".into(), &3.into()));
    assert!(peer(0)["last_used"].is_null() && peer(1)["last_used"].is_string());
    ehr.metric_is("myelin_expired_rules", &[], 1.0).await;
}
