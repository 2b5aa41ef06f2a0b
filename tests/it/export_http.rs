//! The trail goes out by HTTP, to a FHIR repository and to collectors of OpenTelemetry: everything arrives, and what a
//! receiver does not take holds up nothing else and is not forgotten.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::outside::Outside;
use crate::support::pki::{Identity, sha256};
use crate::support::process::{Process, free_port, loopback};
use crate::support::trail::Trail;
use crate::support::workload::{Kind as Serves, Workload};
use crate::support::{eventually, node, python, until};

/// A receiver that may be ended and started again on the same port.
struct Receiver {
    own: Identity,
    port: u16,
    command: fn(&str, &str, &str) -> Command,
    process: Option<Process>,
    /// What earlier ones said.
    said: String,
}

fn repository(port: &str, dir: &str, mode: &str) -> Command {
    node::peer("fhir_repository", &[port, dir, mode])
}

fn grpc(port: &str, dir: &str, mode: &str) -> Command {
    python::peer("otlp_peer", "grpc, opentelemetry.proto", &["grpc", port, dir, mode])
}

fn http(port: &str, dir: &str, mode: &str) -> Command {
    python::peer("otlp_peer", "opentelemetry.proto", &["http", port, dir, mode])
}

impl Receiver {
    async fn start(mesh: &Mesh, command: fn(&str, &str, &str) -> Command, mode: &str) -> Self {
        let (own, said) = (mesh.pem("localhost"), String::new());
        let mut receiver = Self { own, port: free_port(), command, process: None, said };
        receiver.up(mode).await;
        receiver
    }

    async fn up(&mut self, mode: &str) {
        let (port, dir) = (self.port.to_string(), self.own.dir().to_str().unwrap());
        let mut process = Process::start(&mut (self.command)(&port, dir, mode));
        process.says("listening ").await;
        process.listens(loopback(self.port)).await;
        self.process = Some(process);
    }

    fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.stop("KILL");
        self.said.push_str(&process.output());
    }

    /// What it said it got, in order: what follows `word`.
    fn got(&self, word: &str) -> Vec<Value> {
        let now = self.process.as_ref().map(Process::output).unwrap_or_default();
        let all = format!("{}{now}", self.said);
        let lines = all.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

fn exports(mesh: &Mesh, workload: &Workload, export: &str) -> Setup {
    let audit = mesh.dir().join("db/audit");
    let setup = mesh.inbound("db").allow("web").forward(workload.target()).phi();
    setup.audit(&format!("dir: {}, export: [{{ {export} }}]", audit.display()))
}

fn fhir(port: u16, more: &str) -> String {
    format!("fhir: {{ url: \"https://localhost:{port}/fhir/AuditEvent\" {more} }}")
}

fn otlp(port: u16, more: &str) -> String {
    format!("otlp: {{ endpoint: \"https://localhost:{port}\" {more} }}")
}

async fn accesses(mesh: &Mesh, db: &Outside, count: usize) {
    for _ in 0..count {
        mesh.connect("web", db).await.echoes("hello").await;
    }
}

/// Some accesses and a denial, and the end of the sidecar.
async fn a_day(mesh: &Mesh, db: Running) -> Trail {
    let trail = db.trail().clone();
    let before = trail.all("connection-allowed").len();
    accesses(mesh, &db, 4).await;
    mesh.connect("stranger", &db).await;
    trail.wait_for("connection-closed", before + 4).await;
    trail.wait_for("connection-denied", 1).await;
    db.stop().await;
    trail
}

/// The digests of the trail's lines.
fn digests(trail: &Trail) -> Vec<String> {
    trail.text().lines().map(|line| sha256(line.as_bytes())).collect()
}

/// The records that events tell of, by the digests that they carry.
fn told(events: &[Value]) -> Vec<String> {
    let digest = |event: &Value| {
        let details = event["entity"][0]["detail"].as_array().unwrap();
        let found = details.iter().find(|detail| detail["type"] == "RecordSHA256").unwrap();
        found["valueString"].as_str().unwrap().to_owned()
    };
    events.iter().map(digest).collect()
}

#[tokio::test]
async fn every_record_becomes_an_event_of_the_repository_once_and_in_order() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    for (mode, more) in
        [("", ""), ("", ", batch: 1"), ("singles", ""), ("closing", ""), ("busy", "")]
    {
        let repository = Receiver::start(&mesh, repository, mode).await;
        let db = exports(&mesh, &workload, &fhir(repository.port, more)).start().await;
        if mode == "busy" {
            let asked = "myelin_audit_export_failures_total";
            let labels = [("exporter", "fhir"), ("reason", "busy")];
            db.metric_is(asked, &labels, 3.0).await;
        }

        let trail = a_day(&mesh, db).await;

        let all = digests(&trail);
        until("all events", || repository.got("created").len() >= all.len()).await;
        assert_eq!(told(&repository.got("created")), all, "{mode} {more}");
        let bundles = repository.got("bundle").len();
        assert_eq!(bundles > 0, more.is_empty(), "{mode} {more}: {bundles}");
        std::fs::remove_dir_all(trail.dir()).unwrap();
    }
}

#[tokio::test]
async fn an_event_that_the_repository_never_takes_holds_up_no_other_and_is_listed() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let repository = Receiver::start(&mesh, repository, "choosy").await;
    let db = exports(&mesh, &workload, &fhir(repository.port, "")).start().await;

    mesh.connect("stranger", &db).await;
    let denied = db.trail().only("connection-denied").await.number("event.sequence");
    let list = db.trail().dir().join("export-fhir.rejected.jsonl");
    let listed = eventually("the list of what is left out", || async {
        std::fs::read_to_string(&list).ok().filter(|text| text.ends_with('\n'))
    })
    .await;
    let trail = db.trail().clone();
    accesses(&mesh, &db, 1).await;
    trail.wait_for("connection-closed", 1).await;
    eventually("the sidecar to tell of one", || async {
        let status: Value = serde_json::from_str(&db.page("/status").await.body).unwrap();
        (status["audit"]["export"][0]["rejected"] == 1).then_some(())
    })
    .await;
    db.stop().await;

    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&listed["sequence"], &listed["why"]),
        (&denied.into(), &"the receiver answers 400 Bad Request".into())
    );
    let mut all = digests(&trail);
    all.remove(usize::try_from(denied).unwrap() - 1);
    until("all other events", || repository.got("created").len() >= all.len()).await;
    let mut arrived = told(&repository.got("created"));
    arrived.sort();
    all.sort();
    assert_eq!(arrived, all);
}

#[tokio::test]
async fn nothing_is_lost_while_the_repository_goes_down_and_up() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let mut repository = Receiver::start(&mesh, repository, "").await;
    let db = exports(&mesh, &workload, &fhir(repository.port, "")).start().await;

    accesses(&mesh, &db, 3).await;
    repository.kill();
    accesses(&mesh, &db, 3).await;
    repository.up("").await;
    let trail = a_day(&mesh, db).await;

    let all = digests(&trail);
    let arrived = || {
        let mut arrived = told(&repository.got("created"));
        let mut seen = std::collections::BTreeSet::new();
        arrived.retain(|digest| seen.insert(digest.clone()));
        arrived
    };
    until("all events", || arrived().len() >= all.len()).await;
    assert_eq!(arrived(), all);
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_comes_twice_while_our_certificate_rotates() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let repository = Receiver::start(&mesh, repository, "").await;
    let own = mesh.pem("db");
    let setup = exports(&mesh, &workload, &fhir(repository.port, "")).files(&own, &[]);
    let db = setup.start().await;
    accesses(&mesh, &db, 1).await;
    until("an event", || !repository.got("created").is_empty()).await;
    let mut shown = vec![sha256(&own.leaf())];
    // A connection that was idle may have been ended and made again.
    let seen = || {
        let mut seen = repository.got("peer");
        seen.dedup();
        seen
    };

    for _ in 0..4 {
        let new = mesh.pem("db");
        own.replace_with(&new);
        let (reloaded, ()) = tokio::join!(db.reload(&setup), accesses(&mesh, &db, 10));
        reloaded.unwrap();
        shown.push(sha256(&new.leaf()));
        until("the new certificate", || seen() == shown).await;
    }
    let trail = a_day(&mesh, db).await;

    assert_eq!(seen(), shown);
    let all = digests(&trail);
    until("all events", || repository.got("created").len() >= all.len()).await;
    assert_eq!(told(&repository.got("created")), all);
}

/// The lines that a collector got, once each.
fn lines(collector: &Receiver) -> Vec<String> {
    let original =
        |record: &Value| record["attributes"]["log.record.original"].as_str().unwrap().to_owned();
    collector.got("record").iter().map(original).collect()
}

#[tokio::test]
async fn every_record_is_a_log_record_of_the_collector_with_its_fields_and_its_line() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    for (command, more) in
        [(grpc as fn(&str, &str, &str) -> Command, ""), (http, ", protocol: http")]
    {
        let collector = Receiver::start(&mesh, command, "").await;
        let db = exports(&mesh, &workload, &otlp(collector.port, more)).start().await;

        let trail = a_day(&mesh, db).await;

        let all: Vec<_> = trail.text().lines().map(str::to_owned).collect();
        until("all records", || collector.got("record").len() >= all.len()).await;
        assert_eq!(lines(&collector), all, "{more}");
        for (record, line) in collector.got("record").iter().zip(&all) {
            let line_fields: Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["body"], line_fields);
            assert_eq!(record["event"], line_fields["event"]["action"]);
            assert_eq!(record["attributes"]["log.record.uid"], sha256(line.as_bytes()));
            assert_eq!(record["resource"]["service.name"], "db");
            let is_failure = line_fields["event"]["outcome"] == "failure";
            assert_eq!(record["severity"][1], if is_failure { "WARN" } else { "INFO" });
        }
        std::fs::remove_dir_all(trail.dir()).unwrap();
    }
}

#[tokio::test]
async fn a_collector_that_is_busy_is_asked_again_and_what_it_rejects_in_part_is_told() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    for (command, more) in
        [(grpc as fn(&str, &str, &str) -> Command, ""), (http, ", protocol: http")]
    {
        for (mode, reason, count) in [("busy", "busy", 3.0), ("partial", "rejected", 1.0)] {
            let collector = Receiver::start(&mesh, command, mode).await;
            let db = exports(&mesh, &workload, &otlp(collector.port, more)).start().await;

            let labels = [("exporter", "otlp"), ("reason", reason)];
            db.metric_is("myelin_audit_export_failures_total", &labels, count).await;
            let trail = a_day(&mesh, db).await;

            let all: Vec<_> = trail.text().lines().map(str::to_owned).collect();
            let what = format!("all records, {mode} {more}");
            until(&what, || collector.got("record").len() >= all.len()).await;
            assert_eq!(lines(&collector), all, "{mode} {more}");
            let list = trail.dir().join("export-otlp.rejected.jsonl");
            assert_eq!(list.exists(), mode == "partial");
            std::fs::remove_dir_all(trail.dir()).unwrap();
        }
    }
}

/// How many records are on the list of those that were left out.
fn left_out(list: &Path) -> u64 {
    let text = std::fs::read_to_string(list).unwrap_or_default();
    let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    entries.map(|entry| entry["count"].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn a_collector_that_sends_us_elsewhere_floods_us_or_rejects_all_gets_no_further() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    for (mode, words) in [
        ("elsewhere", "307 Temporary Redirect: it sends us elsewhere, which is not followed"),
        ("flood", "the receiver answers with more than 4194304 bytes"),
        ("none", "the receiver has refused more than 100 records in a row"),
    ] {
        let collector = Receiver::start(&mesh, http, mode).await;
        let db = exports(&mesh, &workload, &otlp(collector.port, ", protocol: http")).start().await;

        accesses(&mesh, &db, 60).await;
        let stands = eventually(words, || async {
            let status: Value = serde_json::from_str(&db.page("/status").await.body).unwrap();
            let stands = status["audit"]["export"][0].clone();
            let why = stands["failing"]["why"].as_str().unwrap_or_default();
            why.contains(words).then_some(stands)
        })
        .await;
        let dir = db.trail().dir().to_owned();
        db.stop().await;

        assert!(stands["lag_records"].as_u64() > Some(0), "{mode}: {stands}");
        let asked = collector.got("asked");
        assert_eq!(!asked.is_empty(), mode == "elsewhere");
        assert!(asked.iter().all(|path| path == "/v1/logs"), "{asked:?}");
        let left_out = left_out(&dir.join("export-otlp.rejected.jsonl"));
        assert!(left_out <= 100, "{mode}: {left_out} records were left out");
        std::fs::remove_dir_all(dir).unwrap();
    }
}

#[tokio::test]
async fn headers_of_a_file_go_along_and_are_shown_nowhere() {
    use std::os::unix::fs::PermissionsExt;

    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let headers = mesh.dir().join("headers");
    std::fs::write(&headers, "authorization: Bearer s3cret\n").unwrap();
    std::fs::set_permissions(&headers, PermissionsExt::from_mode(0o600)).unwrap();
    let more = format!(", headers_file: {}", headers.display());
    let collector = Receiver::start(&mesh, grpc, "token").await;
    let without = exports(&mesh, &workload, &otlp(collector.port, "")).start().await;
    let labels = [("exporter", "otlp"), ("reason", "refused")];
    eventually("the collector to refuse", || async {
        let refused = without.metric("myelin_audit_export_failures_total", &labels).await;
        (refused >= 1.0).then_some(())
    })
    .await;
    let status = without.page("/status").await.body;
    assert!(status.contains("gRPC status 16: it has to allow this sidecar"), "{status}");
    without.stop().await;

    let db = exports(&mesh, &workload, &otlp(collector.port, &more)).start().await;
    until("records", || !collector.got("record").is_empty()).await;
    let status = db.page("/status").await.body;
    db.stop().await;

    assert!(!status.contains("s3cret"), "{status}");
}
