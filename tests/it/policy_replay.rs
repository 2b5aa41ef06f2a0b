//! `myelin policy replay`: who would newly be denied by another configuration, for people and for CI.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::cli::myelin;
use super::policy_suggest::HEAD;
use super::support::paper::{Paper, Somebody};
use super::support::process::{Said, write};

const PEERS: &str = "peers:\n  billing: { spiffe: spiffe://hospital.example/billing }\n  \
                     portal: { spiffe: spiffe://hospital.example/portal }\n";
const LISTENER: &str = "inbound:\n  - name: fhir\n    listen: 0.0.0.0:8443\n    forward: 127.0.0.1:8080\n    \
                        protocol: http\n    phi: true\n";

/// A trail and configurations.
struct Desk(TempDir);

impl Desk {
    fn new(paper: &Paper) -> Self {
        let dir = tempfile::tempdir().unwrap();
        paper.put(dir.path());
        Self(dir)
    }

    fn config(&self, keys: &str) -> PathBuf {
        write(self.0.path(), "new.yaml", &format!("{HEAD}{PEERS}{LISTENER}{keys}"))
    }

    async fn replay(&self, config: &Path, more: &[&str]) -> Said {
        let (audit, config) = (self.0.path().join("audit"), config.to_str().unwrap());
        let named = ["policy", "replay", "--audit", audit.to_str().unwrap(), "-c", config];
        myelin(&[&named, more].concat()).await
    }
}

fn day() -> Paper {
    let (billing, portal) = (
        Somebody::service("billing").known("billing"),
        Somebody::service("portal").known("portal"),
    );
    let denied = json!({
        "event": { "reason": "not_listed_for_route" },
        "http": { "request": { "method": "GET" } },
        "url": { "path": "/fhir/Patient/{id}" },
    });
    Paper::default()
        .line("connection-allowed", ("fhir", "http"), &billing, &json!({}))
        .line("connection-allowed", ("fhir", "http"), &portal, &json!({}))
        .request(&billing, "GET", "/fhir/Patient/{id}")
        .request(&billing, "GET", "/fhir/Patient/{id}")
        .line("request-denied", ("fhir", "http"), &portal, &denied)
}

#[tokio::test]
async fn a_configuration_that_takes_something_away_says_from_whom_and_fails() {
    let desk = Desk::new(&day());
    let routes = "    routes:\n      - { name: read, methods: [POST], path: \"/fhir/Patient/{id}\", allow: [billing] }\n";
    let config = desk.config(&format!("    allow: [billing, portal]\n{routes}"));

    let said = desk.replay(&config, &[]).await;

    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.stdout.contains("newly denied on fhir: billing\n  GET /fhir/Patient/{id}: 2 times, 2026-11-03 to 2026-11-04\n    no_route by fhir/read (new.yaml:17): nearest is route `read`: method POST, not GET"), "{said:#?}");
    assert!(
        said.stdout.contains(
            "5 records, 4 attempts told apart: 1 newly denied, 0 newly allowed, 3 as before"
        ),
        "{said:#?}"
    );
}

#[tokio::test]
async fn a_configuration_that_gives_more_fails_only_if_that_was_asked_for() {
    let desk = Desk::new(&day());
    let config = desk.config("    allow: [billing, portal]\n");

    let fine = desk.replay(&config, &[]).await;
    let strict = desk.replay(&config, &["--newly-allowed", "--format", "json"]).await;

    assert_eq!((fine.code, strict.code), (Some(0), Some(1)), "{fine:#?} {strict:#?}");
    assert!(fine.stdout.contains("newly allowed on fhir: portal"), "{fine:#?}");
    let json: Value = serde_json::from_str(&strict.stdout).unwrap();
    assert_eq!(json["newly_allowed"][0]["who"], "portal");
    assert_eq!(json["newly_denied"], json!([]));
}

#[tokio::test]
async fn what_a_record_does_not_say_is_not_guessed() {
    let billing = Somebody::service("billing").known("billing");
    let without_path = json!({ "http": { "request": { "method": "GET" } } });
    let paper = Paper::default()
        .line("request-allowed", ("fhir", "http"), &billing, &without_path)
        .line("connection-allowed", ("old", "http"), &billing, &json!({}));
    let desk = Desk::new(&paper);
    let config = desk.config(
        "    allow: [billing]\n    routes:\n      - { name: read, path: /fhir, allow: [billing] }\n",
    );

    let said = desk.replay(&config, &[]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(
        said.stdout.contains("not judged: 1 attempt in 1 record: no path on record"),
        "{said:#?}"
    );
    assert!(said.stdout.contains("no listener `old` in new.yaml: 1 record"), "{said:#?}");
}

#[tokio::test]
async fn denials_that_share_a_record_are_counted_each() {
    let portal = Somebody::service("portal").known("portal");
    let flood = |count, reasons: Value| {
        let first = "2026-11-01T06:00:00.000Z";
        json!({ "myelin": { "flood": { "count": count, "reasons": reasons, "first": first, "last": first } } })
    };
    let merged = |more: Value| {
        let mut all = flood(4900, json!({ "not_listed_for_route": 4900 }));
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let same = merged(json!({
        "event": { "reason": "not_listed_for_route" },
        "http": { "request": { "method": "GET" } },
        "url": { "path": "/fhir/Patient/{id}" },
    }));
    let mixed = flood(70, json!({ "no_route": 60, "rate_limit": 10 }));
    let differing = flood(5, json!({ "no_route": 5 }));
    let limits = flood(8, json!({ "rate_limit": 8 }));
    let handshakes = flood(20, json!({ "lost": 20 }));
    let paper = day()
        .line("request-denied", ("fhir", "http"), &portal, &same)
        .line("request-denied", ("fhir", "http"), &portal, &mixed)
        .line("request-denied", ("fhir", "http"), &portal, &differing)
        .line("request-denied", ("fhir", "http"), &portal, &limits)
        .line("connection-refused", ("fhir", "http"), &portal, &handshakes);
    let desk = Desk::new(&paper);
    let config = desk.config("    allow: [billing, portal]\n");

    let said = desk.replay(&config, &[]).await.stdout;

    assert!(said.contains("  GET /fhir/Patient/{id}: 4901 times, 2026-11-01 to"), "{said}");
    assert!(said.contains("left aside: 20 handshakes that came to nothing, 8 denials"), "{said}");
    assert!(said.contains("not told apart: 75 denials"), "{said}");
}

#[tokio::test]
async fn bad_arguments_and_bad_configurations_have_exit_codes_of_their_own() {
    let desk = Desk::new(&day());
    let broken = desk.config("    alow: [billing]\n");

    let bad = desk.replay(&broken, &[]).await;
    let unknown = desk.replay(&broken, &["--since", "yesterday"]).await;

    assert_eq!((bad.code, unknown.code), (Some(3), Some(2)), "{bad:#?} {unknown:#?}");
    assert!(bad.stderr.contains("did you mean `allow`?"), "{bad:#?}");
    assert!(unknown.stderr.contains("neither a duration like 7d, a date"), "{unknown:#?}");
}
