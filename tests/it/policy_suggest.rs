//! `myelin policy suggest`: what was seen as an allowlist, and nothing that was seen is missing from it.

use std::path::Path;

use insta::assert_snapshot;
use myelin::config::{self, Config};
use myelin::review::suggest::{Suggestion, Wish};
use myelin::review::{Filter, History, Judge, Replay};
use proptest::prelude::*;
use serde_json::json;
use time::OffsetDateTime;
use time::macros::datetime;

use super::cli::myelin;
use super::support::paper::{Paper, Somebody};

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
/// The keys that a file has before its peers and listeners.
pub(crate) const HEAD: &str = "version: 1\nservice: ehr\ntrust_domain: hospital.example\n\
                               identity: { embedded: { dir: authority } }\naudit: { dir: audit }\n";

fn history(dir: &Path) -> History {
    let mut history = History::default();
    history.read(dir, &Filter::default()).unwrap();
    history
}

fn suggested(history: &History, config: Option<&Config>) -> String {
    let wish = Wish { config, denied: false, now: NOW };
    let suggestion = Suggestion::of(history, wish);
    assert!(suggestion.is_whole(), "{suggestion}");
    suggestion.to_string()
}

fn parsed(text: &str) -> Config {
    let text = format!("{HEAD}{text}");
    config::parse(Path::new("myelin.yaml"), &text, &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn clinic() -> Paper {
    let (billing, portal) =
        (Somebody::service("billing").known("billing"), Somebody::service("portal"));
    let soap = json!({
        "http": { "request": { "method": "POST" } },
        "url": { "path": "/pdq" },
        "myelin": { "soap": { "action": "urn:hl7-org:v3:PRPA_IN201305UV02", "ihe": "ITI-47" } },
    });
    Paper::default()
        .line("connection-allowed", ("fhir", "http"), &billing, &json!({}))
        .line(
            "connection-allowed",
            ("fhir", "http"),
            &portal,
            &json!({ "myelin": { "would_deny": "unknown_peer" } }),
        )
        .request(&billing, "GET", "/fhir/Patient/{id}")
        .request(&billing, "GET", "/fhir/Observation/{id}")
        .request(&portal, "GET", "/fhir/Observation/{id}")
        .request(&portal, "GET", "/fhir/metadata")
        .request(&billing, "POST", "/reports/monthly")
        .request(&billing, "GET", "/reports/monthly")
        .line("request-allowed", ("fhir", "http"), &billing, &soap)
}

#[test]
fn what_was_seen_becomes_a_short_allowlist_with_its_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let history = history(&clinic().put(dir.path()));

    assert_snapshot!(suggested(&history, None), @r#"
peers:
  billing: { spiffe: spiffe://hospital.example/billing }
  portal: { spiffe: spiffe://hospital.example/portal }
inbound:
  - name: fhir
    listen: 0.0.0.0:8443 # only the port is on record
    forward: 127.0.0.1:1 # not on record: where the workload listens
    protocol: http
    phi: true
    allow:
      - billing # 1 connection, last 2026-11-09
      - portal # 1 connection, last 2026-11-06
    routes:
      # 1 request of 1 peer, last 2026-11-09
      - name: iti-47
        methods: [POST]
        path: /pdq
        ihe: [ITI-47]
        allow: [billing]
      # 1 request of 1 peer, last 2026-11-06
      - name: fhir-capabilities
        path: /fhir
        fhir: { interactions: [capabilities] }
        allow: [portal]
      # 1 request of 1 peer, last 2026-11-03
      - name: patient
        path: /fhir
        fhir: { interactions: [read], resources: [Patient] }
        allow: [billing]
      # 2 requests of 2 peers, last 2026-11-05
      - name: observation
        path: /fhir
        fhir: { interactions: [read], resources: [Observation] }
        allow: [billing, portal]
      # 2 requests of 1 peer, last 2026-11-08
      - name: monthly
        methods: [GET, POST]
        path: /reports/monthly
        allow: [billing]
"#);
}

#[test]
fn messages_and_associations_become_rules_in_their_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let (lab, ct) = (Somebody::service("lab"), Somebody::service("ct-2"));
    let of_the_workload = json!({ "myelin": { "hl7": {
        "from": "workload", "type": "OML^O21", "sending": { "application": "KIS", "facility": "MAIN" },
    } } });
    let paper = Paper::default()
        .message(&lab, "ORU^R01", "LIS")
        .message(&lab, "ORU^R30", "LIS")
        .message(&Somebody::service("adt"), "ADT^A01", "KIS")
        .association(&ct, "CT2", &["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1"])
        .line("message-allowed", ("adt", "mllp"), &lab, &of_the_workload);
    let history = history(&paper.put(dir.path()));

    assert_snapshot!(suggested(&history, None), @r#"
peers:
  adt: { spiffe: spiffe://hospital.example/adt }
  ct-2: { spiffe: spiffe://hospital.example/ct-2 }
  lab: { spiffe: spiffe://hospital.example/lab }
inbound:
  - name: adt
    listen: 0.0.0.0:8443 # only the port is on record
    forward: 127.0.0.1:1 # not on record: where the workload listens
    protocol: mllp
    phi: true
    allow:
      - adt
      - lab
    messages:
      # 1 message of 1 peer, last 2026-11-03
      - name: adt-a01
        types: ["ADT^A01"]
        allow: [adt]
      # 2 messages of 1 peer, last 2026-11-02
      - name: oru
        types: ["ORU^R01", "ORU^R30"]
        allow: [lab]
    senders:
      # 1 message of 1 peer, last 2026-11-03
      - name: from-kis
        application: KIS
        facility: MAIN
        allow: [adt]
      # 2 messages of 1 peer, last 2026-11-02
      - name: from-lis
        application: LIS
        facility: MAIN
        allow: [lab]
  - name: pacs
    listen: 0.0.0.0:0 # only the port is on record
    forward: 127.0.0.1:1 # not on record: where the workload listens
    protocol: dicom
    phi: true
    allow:
      - ct-2
    associations:
      # 1 association of 1 peer, last 2026-11-04
      - name: ct2
        calling_ae: CT2
        called_ae: PACS
        sop_classes: [Verification, CTImageStorage]
        allow: [ct-2]
"#);
}

#[test]
fn names_of_the_configuration_are_kept_and_what_it_answers_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let config = parsed(
        "peers:\n  accounts: { spiffe: spiffe://hospital.example/billing }\ninbound:\n  - name: fhir\n    \
         listen: 0.0.0.0:9443\n    forward: 127.0.0.1:8080\n    protocol: http\n    phi: true\n    \
         allow: [accounts]\n    routes:\n      - { name: probe, path: /healthz, respond: 200, allow: [accounts] }\n",
    );
    let history = history(&clinic().put(dir.path()));

    let text = suggested(&history, Some(&config));

    assert!(text.contains("listen: 0.0.0.0:9443\n    forward: 127.0.0.1:8080\n"), "{text}");
    assert!(text.contains("- accounts # "), "{text}");
    assert!(text.contains("respond: 200"), "{text}");
    assert!(!text.contains("billing"), "{text}");
}

#[test]
fn without_paths_on_record_no_routes_are_suggested_and_what_would_help_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let more = json!({ "http": { "request": { "method": "GET" } } });
    let billing = Somebody::service("billing");
    let paper = clinic().line("request-allowed", ("fhir", "http"), &billing, &more);
    let history = history(&paper.put(dir.path()));

    let text = suggested(&history, None);

    assert!(text.contains("1 requests have no path on record"), "{text}");
    assert!(text.contains("`observe_paths: true`"), "{text}");
    assert!(!text.contains("routes:\n"), "{text}");
    parsed(&text);
}

#[tokio::test]
async fn a_trail_that_is_partly_broken_is_read_and_what_was_passed_over_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let trail = clinic().scribble("patient: Smith").put(dir.path());

    let said = myelin(&["policy", "suggest", "--audit", trail.to_str().unwrap()]).await;
    let none = myelin(&["policy", "suggest", "--audit", dir.path().to_str().unwrap()]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.stderr.contains("trail-20261101T000000Z-1.jsonl:10: not JSON"), "{said:#?}");
    assert!(!said.all().contains("Smith"), "{said:#?}");
    assert_eq!(none.code, Some(1), "{none:#?}");
    assert!(none.stderr.contains("no trail-*.jsonl in it"), "{none:#?}");
}

/// One line of a random trail.
#[derive(Debug, Clone)]
enum Line {
    Request(usize, &'static str, String),
    Message(usize, String, &'static str),
    Association(usize, &'static str, Vec<&'static str>),
}

fn path() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "fhir",
        "Patient",
        "Observation",
        "{id}",
        "_search",
        "$everything",
        "metadata",
        "studies",
        "series",
        "api",
        "v1",
        "a",
        "b",
        "c",
        "d",
        "e",
        "f",
        "g",
        "h",
        "i",
        "j",
    ]);
    let end = prop::sample::select(vec!["", "", "", "/{rest...}"]);
    (prop::collection::vec(word, 0..5), end).prop_map(|(words, end)| {
        let path: String = words.iter().map(|word| format!("/{word}")).collect();
        if path.is_empty() && end.is_empty() { "/".to_owned() } else { path + end }
    })
}

fn line() -> impl Strategy<Value = Line> {
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "PURGE"]);
    let kind = ("(ADT|ORU|adt|)", "(A0[1-9]|A1[0-9]|R01|)").prop_map(|(c, t)| format!("{c}^{t}"));
    let application = prop::sample::select(vec!["LIS", "KIS", "KIS^1.2^ISO", "", "A&B"]);
    let calling = prop::sample::select(vec!["CT1", "CT2", "", "TOO LONG FOR A TITLE"]);
    let class =
        prop::sample::select(vec!["1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2", "no UID"]);
    prop_oneof![
        (0..5_usize, method, path())
            .prop_map(|(who, method, path)| Line::Request(who, method, path)),
        (0..5_usize, kind, application)
            .prop_map(|(who, kind, from)| Line::Message(who, kind, from)),
        (0..5_usize, calling, prop::collection::vec(class, 0..3))
            .prop_map(|(who, calling, classes)| Line::Association(who, calling, classes)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_was_let_through_is_let_through_by_what_is_suggested(
        lines in prop::collection::vec(line(), 1..60),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let who: Vec<_> = (0..5).map(|number| Somebody::service(&format!("s{number}"))).collect();
        let mut paper = Paper::default();
        for line in &lines {
            paper = match line {
                Line::Request(number, method, path) => paper.request(&who[*number], method, path),
                Line::Message(number, kind, from) => paper.message(&who[*number], kind, from),
                Line::Association(number, calling, classes) => {
                    paper.association(&who[*number], calling, classes)
                }
            };
        }
        let history = history(&paper.put(dir.path()));

        let text = suggested(&history, None);
        let config = parsed(&text);
        let replay = Replay::of(&history, &Judge::new(&config, NOW));

        prop_assert!(replay.denied.is_empty(), "{:#?}\n{text}", replay.denied);
        prop_assert!(replay.unjudged.is_empty(), "{:#?}\n{text}", replay.unjudged);
        prop_assert_eq!(replay.same, history.attempts().len());
    }
}
