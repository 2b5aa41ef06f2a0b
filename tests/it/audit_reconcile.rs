//! `myelin audit reconcile`: what one side of a connection has on record and the other has not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cli::myelin;
use crate::outbound::ask_at;
use crate::support::legacy::Legacy;
use crate::support::lenient::FAR;
use crate::support::mesh::{Mesh, Running};
use crate::support::mllp::{Engine, exchange};
use crate::support::pki::{Ca, Identity, spiffe};
use crate::support::process::{Said, needs, run};
use crate::support::until;
use crate::support::workload::{Kind, Workload};

/// The trails of `web`, which goes out, and `ehr`, to which it goes, as their files' text.
struct Trails {
    dir: TempDir,
    web: Vec<Value>,
    ehr: Vec<Value>,
}

impl Trails {
    /// Of two sidecars and a day's traffic between them and with others: pooled requests, lines, messages, plaintext, a
    /// peer that has no sidecar.
    async fn new() -> Self {
        let mesh = Mesh::new();
        let (legacy, lines) = (Legacy::start().await, Workload::tcp(Kind::Line).await);
        let engine = Engine::start().await;
        let ehr = mesh.inbound("ehr").allow("web").allow("portal").http().phi();
        let ehr = ehr.forward(legacy.target()).permissive(FAR);
        let ehr = ehr
            .also(&item("db", lines.target(), "tcp"))
            .also(&item("adt", engine.target(), "mllp"))
            .start()
            .await;
        let web = mesh.outbound("web").allow("ehr").http().phi().to(ehr.address());
        let out = |name, protocol| {
            format!(
                "{{ name: {name}, listen: '127.0.0.1:0', to: ['{}'], expect: [ehr], protocol: {protocol}, phi: true }}",
                ehr.address_of(name)
            )
        };
        let web = web.also(&out("db", "tcp")).also(&out("adt", "mllp")).start().await;
        traffic(&mesh, &web, &ehr).await;
        let trails = [web.trail().clone(), ehr.trail().clone()];
        web.stop().await;
        ehr.stop().await;
        let [web, ehr] = trails.map(|trail| values(&trail.text()));
        Self { dir: TempDir::new().unwrap(), web, ehr }
    }

    /// The same, after somebody had `ehr`'s in hand.
    async fn tampered(&self, change: impl Fn(Value) -> Option<Value>) -> Said {
        let ehr: Vec<_> = self.ehr.iter().cloned().filter_map(change).collect();
        self.reconciled(&ehr, &["--format", "json"]).await
    }

    async fn reconciled(&self, ehr: &[Value], args: &[&str]) -> Said {
        let a = put(self.dir.path(), "web", &self.web);
        let b = put(self.dir.path(), "ehr", ehr);
        reconcile(&a, &b, args).await
    }

    /// The id of a connection to a listener of `ehr`, by TLS from `web`.
    fn connection(&self, listener: &str) -> Value {
        let is_it = |record: &&Value| {
            record["event"]["action"] == "connection-allowed"
                && record["myelin"]["listener"] == listener
                && record["myelin"]["peer"] == "web"
        };
        self.ehr.iter().find(is_it).unwrap()["myelin"]["connection"].clone()
    }
}

fn item(name: &str, forward: &str, protocol: &str) -> String {
    format!(
        "{{ name: {name}, listen: '127.0.0.1:0', forward: '{forward}', protocol: {protocol}, phi: true, allow: [web] }}"
    )
}

/// Asks in plaintext.
async fn get(of: &Running, path: &str) {
    let url = format!("http://{}{path}", of.address());
    let said = run(Command::new(needs("curl", "curl")).args(["-sSf", "-m", "15", &url]), "").await;
    assert_eq!(said.code, Some(0), "{said:#?}");
}

async fn traffic(mesh: &Mesh, web: &Running, ehr: &Running) {
    for path in ["/1", "/2", "/3"] {
        get(web, path).await;
    }
    for _ in 0..2 {
        let mut line = TcpStream::connect(web.address_of("db")).await.unwrap();
        line.write_all(b"hello\n").await.unwrap();
        line.shutdown().await.unwrap();
        let mut answer = String::new();
        line.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "you said hello\n");
    }
    let mut feed = TcpStream::connect(web.address_of("adt")).await.unwrap();
    exchange(&mut feed, "ADT^A01", "1").await;
    exchange(&mut feed, "ADT^A08", "2").await;
    drop(feed);
    // Without TLS, and by a service that has no sidecar.
    get(ehr, "/plain").await;
    assert_eq!(mesh.http("portal", ehr).await.get("/portal").await.status(), 200);
    ehr.trail().wait_for("request-completed", 5).await;
    ehr.trail().wait_for("message-completed", 2).await;
    web.trail().wait_for("message-completed", 2).await;
}

fn values(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn put(dir: &Path, name: &str, records: &[Value]) -> PathBuf {
    let dir = dir.join(name);
    fs::create_dir_all(&dir).unwrap();
    let text: String = records.iter().map(|record| format!("{record}\n")).collect();
    fs::write(dir.join("trail-1.jsonl"), text).unwrap();
    dir
}

async fn reconcile(a: &Path, b: &Path, args: &[&str]) -> Said {
    let paths = [a, b].map(|path| path.to_str().unwrap());
    myelin(&[&["audit", "reconcile"], &paths[..], args].concat()).await
}

/// What `ehr` lacks, as far as it does.
fn lacked(said: &Said) -> Vec<(String, String)> {
    assert_eq!(said.code, Some(1), "{said:#?}");
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let differences = told["differences"].as_array().unwrap();
    let lacked = differences.iter().map(|difference| {
        assert_eq!(difference["side"], "b", "{said:#?}");
        (text(&difference["lacks"]), text(&difference["connection"]))
    });
    lacked.collect()
}

#[tokio::test]
async fn two_sides_agree_and_what_is_not_between_them_is_only_counted() {
    let trails = Trails::new().await;

    let said = trails.reconciled(&trails.ehr, &[]).await;
    let told = trails.reconciled(&trails.ehr, &["--format", "json"]).await;

    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:#?}");
    assert!(said.stdout.ends_with("\nthey agree\n"), "{said:#?}");
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["a"]["services"], json!(["web"]));
    assert_eq!(told["b"]["identities"], json!([spiffe("ehr")]));
    assert_eq!(told["b"]["with_others"], 1, "the portal has no sidecar: {told:#}");
    assert!(told["joined"].as_u64().unwrap() >= 4, "{told:#}");
    assert_eq!(told["differences"], json!([]));
    // The other way round, and file by file, it is the same.
    let [a, b] = ["ehr", "web"].map(|name| trails.dir.path().join(name));
    assert_eq!(reconcile(&a, &b, &[]).await.code, Some(0));
    let files = [a, b].map(|dir| dir.join("trail-1.jsonl"));
    assert_eq!(reconcile(&files[0], &files[1], &["--from", "1h"]).await.code, Some(0));
}

#[tokio::test]
async fn a_record_that_was_taken_away_or_changed_is_told_with_its_connection() {
    let trails = Trails::new().await;
    let (db, http, adt) =
        (trails.connection("db"), trails.connection("ehr"), trails.connection("adt"));
    let without = |connection: &Value, action: &'static str| {
        let connection = connection.clone();
        move |record: Value| {
            let is_it = record["myelin"]["connection"] == connection
                && record["event"]["action"].as_str().unwrap().starts_with(action);
            (!is_it).then_some(record)
        }
    };
    let one = |lacks: &str, connection: &Value| {
        vec![(lacks.to_owned(), connection.as_str().unwrap().to_owned())]
    };

    let whole = trails.tampered(without(&db, "")).await;
    assert_eq!(lacked(&whole), one("connection", &db));
    let beginning = trails.tampered(without(&db, "connection-allowed")).await;
    assert!(lacked(&beginning).contains(&one("beginning", &db)[0]), "{beginning:#?}");
    let end = trails.tampered(without(&db, "connection-closed")).await;
    assert_eq!(lacked(&end), one("end", &db));
    let requests = trails.tampered(without(&http, "request-")).await;
    assert_eq!(lacked(&requests), one("exchanges", &http));
    let messages = trails.tampered(without(&adt, "message-")).await;
    assert_eq!(lacked(&messages), one("exchanges", &adt));

    let changed = trails
        .tampered(|mut record| {
            let is_end = record["event"]["action"] == "connection-closed";
            if is_end && record["myelin"]["connection"] == db {
                record["source"]["bytes"] = json!(2);
            }
            Some(record)
        })
        .await;
    assert_eq!(lacked(&changed), one("bytes", &db));
    assert!(changed.stdout.contains("6 bytes sent and 2 received"), "{changed:#?}");
}

#[tokio::test]
async fn a_peer_that_used_the_service_s_certificate_past_its_sidecar_is_told() {
    let trails = Trails::new().await;
    let db = trails.connection("db");
    let web: Vec<_> =
        trails.web.iter().filter(|record| record["myelin"]["connection"] != db).cloned().collect();
    let (a, b) = (put(trails.dir.path(), "a", &web), put(trails.dir.path(), "b", &trails.ehr));

    let said = reconcile(&a, &b, &[]).await;

    assert_eq!(said.code, Some(1), "{said:#?}");
    let told = format!("A lacks a connection: connection {} of ", db.as_str().unwrap());
    assert!(said.stdout.contains(&told), "{said:#?}");
    assert!(said.stdout.contains("without a sidecar has that certificate"), "{said:#?}");
    assert!(said.stdout.ends_with("\n1 difference\n"), "{said:#?}");
}

#[tokio::test]
async fn clocks_that_differ_are_told_and_mislead_nobody() {
    let trails = Trails::new().await;
    let late: Vec<_> = trails.ehr.iter().cloned().map(later).collect();

    let said = trails.reconciled(&late, &[]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    let told = said.stdout.lines().find(|line| line.starts_with("clocks:")).unwrap();
    let words: Vec<_> = told.split(' ').collect();
    let (skew, which): (i64, _) = (words[3].parse().unwrap(), words[5]);
    assert!((299_000..301_000).contains(&skew) && which == "ahead", "{told}");
    assert!(told.contains("mend NTP"), "{told}");
}

/// As a clock has it that is five minutes ahead.
fn later(mut record: Value) -> Value {
    let at = OffsetDateTime::parse(record["@timestamp"].as_str().unwrap(), &Rfc3339).unwrap();
    record["@timestamp"] = json!((at + Duration::minutes(5)).format(&Rfc3339).unwrap());
    record
}

#[tokio::test]
async fn a_handshake_that_the_other_side_refused_is_no_difference() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Line).await;
    let ehr = mesh.inbound("ehr").allow("web").forward(workload.target()).start().await;
    let foreign = Ca::new("Foreign CA").issue("web");
    let ours = mesh.pem("web");
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    let identity = Identity::new(
        &read(foreign.cert()),
        &read(foreign.key()),
        &(read(ours.trust_bundle()) + &read(foreign.trust_bundle())),
    );
    let web = mesh.outbound("web").files(&identity, &[]).allow("ehr").to(ehr.address());
    let web = web.start().await;
    assert_eq!(ask_at(web.address(), "hello\n").await, "");
    ehr.trail().wait_for("connection-refused", 1).await;
    until("the end to be on record", || !web.trail().all("connection-closed").is_empty()).await;
    let trails = [web.trail().clone(), ehr.trail().clone()];
    web.stop().await;
    ehr.stop().await;

    let said = reconcile(trails[0].dir(), trails[1].dir(), &["--format", "json"]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(told["a"]["refused"], 1, "{told:#}");
}

#[tokio::test]
async fn a_trail_that_cannot_be_used_is_named() {
    let trails = Trails::new().await;
    let dir = trails.dir.path();
    let (web, ehr) = (put(dir, "web", &trails.web), put(dir, "ehr", &trails.ehr));
    let empty = dir.join("empty");
    fs::create_dir(&empty).unwrap();
    let torn = put(dir, "torn", &trails.ehr);
    fs::write(torn.join("trail-2.jsonl"), "Smith, Jane\n").unwrap();

    for (b, told) in [
        (dir.join("nowhere"), "nowhere: cannot be read: No such file"),
        (empty, "empty: no trail-*.jsonl in it"),
        (web.clone(), "they are trails of one service"),
        (torn, "trail-2.jsonl:1: not JSON"),
    ] {
        let said = reconcile(&web, &b, &[]).await;
        assert_eq!(said.code, Some(3), "{said:#?}");
        assert!(said.stderr.contains(told) && !said.stderr.contains("Smith"), "{said:#?}");
    }
    let args = ["--from", "2026-11-22", "--to", "2026-11-20"];
    assert_eq!(reconcile(&web, &ehr, &args).await.code, Some(2));
}
