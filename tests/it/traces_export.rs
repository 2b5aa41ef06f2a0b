//! Spans go out and are in nobody's way: what their receiver does not take is counted and gone.

use crate::cli::myelin;
use crate::support::mesh::Mesh;
use crate::support::otlp::Collector;
use crate::support::process::free_port;
use crate::support::until;
use crate::support::workload::{Kind, Workload};

#[tokio::test]
async fn a_receiver_that_is_away_is_in_nobodys_way_and_what_it_misses_is_counted() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Kind::Echo).await);
    let nobody = free_port();
    let db = mesh.inbound("db").allow("web").forward(workload.target());
    let db = db.file(&format!(
        "telemetry: {{ traces: {{ endpoint: \"http://127.0.0.1:{nobody}\", sample: 1 }} }}"
    ));
    let db = db.start().await;

    for _ in 0..20 {
        mesh.connect("web", &db).await.echoes("hello").await;
    }
    let labels = [("reason", "unreachable")];
    db.metric_is("myelin_trace_export_failures_total", &labels, 1.0).await;
    mesh.connect("web", &db).await.echoes("hello").await;

    db.stop().await;
}

#[tokio::test]
async fn what_a_receiver_rejects_is_counted_and_what_it_has_no_time_for_is_sent_again() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Kind::Echo).await);
    for (mode, delivered, dropped) in [("none", 0.0, 1.0), ("busy", 1.0, 0.0)] {
        let collector = Collector::start(&mesh, "grpc", mode).await;
        let db = mesh.inbound("db").allow("web").forward(workload.target());
        let db = db.traced(&collector, "sample: 1").start().await;

        mesh.connect("web", &db).await.echoes("hello").await;

        db.metric_is("myelin_trace_spans_delivered_total", &[], delivered).await;
        db.metric_is("myelin_trace_spans_dropped_total", &[], dropped).await;
        until("a span", || !collector.spans().is_empty()).await;
        db.stop().await;
    }
}

#[tokio::test]
async fn a_reload_begins_to_trace_and_ends_it() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Kind::Echo).await);
    let collector = Collector::start(&mesh, "http", "").await;
    let setup = || mesh.inbound("db").allow("web").forward(workload.target());
    let traced = || setup().traced(&collector, "sample: 1, protocol: http");
    let db = setup().start().await;

    mesh.connect("web", &db).await.echoes("hello").await;
    db.reload(&traced()).await.unwrap();
    mesh.connect("web", &db).await.echoes("hello").await;
    until("a span", || collector.spans().len() == 1).await;
    db.reload(&setup()).await.unwrap();
    mesh.connect("web", &db).await.echoes("hello").await;
    let connections = db.trail().wait_for("connection-closed", 3).await;
    db.stop().await;

    let spans = collector.spans();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].text("trace"), connections[1].connection());
}

#[tokio::test]
async fn check_says_which_of_the_files_of_traces_cannot_be_used() {
    use std::os::unix::fs::PermissionsExt;

    let mesh = Mesh::new();
    let headers = mesh.dir().join("headers");
    std::fs::write(&headers, "authorization: Bearer s3cret\n").unwrap();
    std::fs::set_permissions(&headers, PermissionsExt::from_mode(0o644)).unwrap();
    let setup = mesh.inbound("db").allow("web").forward("127.0.0.1:9").file(&format!(
        "telemetry: {{ traces: {{ endpoint: \"https://otel.example:4317\", sample: 0.1, headers_file: {} }} }}",
        headers.display()
    ));

    let said = myelin(&["check", "-c", setup.write().to_str().unwrap()]).await;

    assert_eq!(said.code, Some(3), "{said:#?}");
    let why = format!("{}: others may read these headers; chmod 0600 mends it", headers.display());
    assert!(said.stderr.contains(&why), "{said:#?}");
    assert!(!said.all().contains("s3cret"));
}
