//! The administrative listeners: what they tell, and whom.

use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::admin::{ask, get};
use crate::support::mesh::{Mesh, Running};
use crate::support::process::{needs, run};
use crate::support::workload::{Kind, Workload};
use crate::tcp::pair;

async fn quiet(mesh: &Mesh) -> Running {
    mesh.inbound("db").allow("web").start().await
}

#[tokio::test]
async fn live_and_ready_say_so() {
    let mesh = Mesh::new();
    let db = quiet(&mesh).await;

    let (live, ready) = (db.page("/live").await, db.page("/ready").await);

    assert_eq!((live.status, live.body.as_str()), (200, "live\n"));
    assert_eq!((ready.status, ready.body.as_str()), (200, "ready\n"));
    assert!(ready.head.to_lowercase().contains("cache-control: no-store"), "{}", ready.head);
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics_after_traffic_of_every_kind() {
    let pair = pair(Kind::Line).await;
    assert_eq!(crate::outbound::ask(&pair.web, "hello\n").await, "you said hello\n");
    drop(TcpStream::connect(pair.db.address()).await.unwrap());
    pair.db.ended("refused", 1.0).await;

    for sidecar in [&pair.db, &pair.web] {
        let metrics = sidecar.page("/metrics").await;
        assert!(metrics.head.contains("text/plain; version=0.0.4"), "{}", metrics.head);
        let mut promtool = Command::new(needs("promtool", "prometheus"));
        let said = run(promtool.args(["check", "metrics"]), &metrics.body).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        assert_eq!(said.all(), "", "promtool has something to say");
    }
}

#[tokio::test]
async fn metrics_have_help_and_no_identity_path_or_address_as_a_label() {
    let pair = pair(Kind::Line).await;
    assert_eq!(crate::outbound::ask(&pair.web, "hello\n").await, "you said hello\n");

    let metrics = pair.db.page("/metrics").await.body;

    for name in [
        "myelin_connections_opened_total",
        "myelin_connections_open",
        "myelin_connections_closed_total",
        "myelin_connections_denied_total",
        "myelin_handshakes_total",
        "myelin_handshake_duration_seconds",
        "myelin_bytes_total",
        "myelin_certificate_not_after_timestamp_seconds",
        "myelin_peer_certificate_not_after_timestamp_seconds",
        "myelin_trust_bundle_not_after_timestamp_seconds",
        "myelin_audit_records_total",
        "myelin_config_reloads_total",
        "myelin_build_info",
        "process_open_fds",
    ] {
        assert!(metrics.contains(&format!("# HELP {name} ")), "{name} has no help");
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{name} has no type");
    }
    assert!(!metrics.contains("spiffe://"), "{metrics}");
    assert!(!metrics.contains("127.0.0.1"), "{metrics}");
}

#[tokio::test]
async fn our_own_certificates_end_is_a_metric_and_on_the_status_page() {
    let mesh = Mesh::new();
    let db = quiet(&mesh).await;

    let not_after = db.metric("myelin_certificate_not_after_timestamp_seconds", &[]).await;
    let status: serde_json::Value = serde_json::from_str(&db.page("/status").await.body).unwrap();

    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    #[expect(clippy::cast_precision_loss, reason = "timestamps are far below 2^53")]
    let left = not_after - now as f64;
    assert!((left - 86_400.0).abs() < 60.0, "{left}");
    assert_eq!(status["certificate"]["spiffe"], "spiffe://hospital.example/db");
    assert_eq!(status["service"], "db");
    assert_eq!(status["listeners"][0]["listen"], db.address().to_string());
    assert_eq!(status["listeners"][0]["peers"], serde_json::json!(["web"]));
    assert!(status["audit"]["dir"].as_str().is_some(), "{status:#}");
}

#[tokio::test]
async fn a_switch_that_fails_open_is_on_the_status_page() {
    let mesh = Mesh::new();
    let dir = mesh.dir().join("trail");
    let setup = mesh.inbound("db").allow("web");
    let audit = format!("dir: {}, on_failure: allow", dir.display());
    let db = setup.audit(&audit).start().await;

    let status: serde_json::Value = serde_json::from_str(&db.page("/status").await.body).unwrap();

    assert_eq!(status["fails_open"], serde_json::json!(["audit.on_failure"]));
}

#[tokio::test]
async fn a_page_in_a_browser_cannot_ask_under_a_name_of_its_own() {
    let mesh = Mesh::new();
    let admin = quiet(&mesh).await;
    let admin = &admin;
    let as_host = |host: &str| {
        let head = format!("GET /status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        async move { ask(admin.admin, &head).await.unwrap().status }
    };

    assert_eq!(as_host("evil.example").await, 403);
    for page in ["/", "/page/main.js", "/connections", "/history"] {
        let head =
            format!("GET {page} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(admin.admin, &head).await.unwrap().status, 403, "{page}");
    }
    assert_eq!(as_host("localhost").await, 200);
    assert_eq!(as_host("[::1]:9901").await, 200);
}

#[tokio::test]
async fn only_reading_is_possible() {
    let mesh = Mesh::new();
    let db = quiet(&mesh).await;

    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let head =
            format!("{method} /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(db.admin, &head).await.unwrap().status, 405, "{method}");
    }
    assert_eq!(db.page("/nothing").await.status, 404);
}

#[tokio::test]
async fn the_listener_for_probes_tells_no_more_than_probes_need() {
    let mesh = Mesh::new();
    let setup = mesh.inbound("db").allow("web");
    let probe = crate::support::process::free_port();
    let probe = crate::support::process::loopback(probe);
    let admin = format!("listen: 127.0.0.1:0, probe_listen: {probe}");
    let _db = setup.admin(&admin).start().await;

    for (path, status) in
        [("/live", 200), ("/ready", 200), ("/metrics", 200), ("/status", 404), ("/denials", 404)]
            .into_iter()
            .chain([("/connections", 404), ("/history", 404), ("/page/main.js", 404)])
    {
        assert_eq!(get(probe, path).await.unwrap().status, status, "{path}");
    }
}

#[tokio::test]
async fn a_scrape_is_answered_while_the_data_threads_are_busy() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;
    let web = mesh.connect("web", &db).await;
    let (mut from, mut to) = tokio::io::split(web.stream);
    let pumping = tokio::spawn(async move {
        let _until_the_end = tokio::io::copy(&mut tokio::io::repeat(7), &mut to).await;
    });
    let draining = tokio::spawn(async move {
        let _until_the_end = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    });

    for _ in 0..20 {
        assert_eq!(db.page("/metrics").await.status, 200);
    }

    pumping.abort();
    draining.abort();
}

#[tokio::test]
async fn open_connections_are_told_while_they_are_open() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("hello").await;
    let told = async || -> serde_json::Value {
        serde_json::from_str(&db.page("/connections").await.body).unwrap()
    };

    let open = told().await;
    web.end().await;
    db.ended("finished", 1.0).await;
    let over = told().await;

    let allowed = db.trail().only("connection-allowed").await;
    let one = &open["connections"][0];
    assert_eq!((&one["peer"], &one["listener"]), (&"web".into(), &"db".into()), "{open:#}");
    assert_eq!(one["id"], allowed.text("myelin.connection"));
    assert_eq!(open["listeners"][0]["open"], 1);
    assert_eq!(over["connections"], serde_json::json!([]), "{over:#}");
}

#[tokio::test]
async fn the_history_tells_what_came_and_then_only_what_is_new() {
    let pair = pair(Kind::Line).await;
    let told = async |query: &str| -> serde_json::Value {
        serde_json::from_str(&pair.db.page(&format!("/history{query}")).await.body).unwrap()
    };
    crate::support::eventually("a first sample", || async {
        told("").await["next"].as_u64().filter(|next| *next > 0)
    })
    .await;
    assert_eq!(crate::outbound::ask(&pair.web, "hello\n").await, "you said hello\n");

    let whole = crate::support::eventually("the connection in a sample", || async {
        let told = told("").await;
        let opened = told["listeners"][0]["opened"].as_array()?.iter();
        (opened.filter_map(serde_json::Value::as_u64).sum::<u64>() == 1).then_some(told)
    })
    .await;

    let next = whole["next"].as_u64().unwrap();
    assert_eq!(
        (&whole["from"], whole["times"].as_array().unwrap().len() as u64),
        (&0.into(), next)
    );
    let more = told(&format!("?since={next}")).await;
    assert_eq!(more["from"], next);
    let new = more["next"].as_u64().unwrap() - next;
    assert_eq!(more["times"].as_array().unwrap().len() as u64, new);
}

#[tokio::test]
async fn an_open_dashboard_keeps_no_sidecar_from_ending() {
    let mesh = Mesh::new();
    let db = quiet(&mesh).await;
    let mut kept = TcpStream::connect(db.admin).await.unwrap();
    let asked = kept.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    asked.unwrap();
    let mut first = [0; 15];
    kept.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");

    let begun = tokio::time::Instant::now();
    db.stop().await;

    assert!(begun.elapsed().as_secs() < 20, "its connection has a minute");
    kept.read_to_end(&mut Vec::new()).await.unwrap();
}
