//! What becomes of records that real traffic rarely leaves.

use serde_json::Value as Json;
use time::macros::datetime;

use super::told::MOST;
use super::{About, Attestation, Facts, Gathering};
use crate::audit::read::{Reading, Recorded, Window};

const CERTIFICATE: &str = r#"{"subject":"CN=x","issuer":"CN=CA","hash":{"sha256":"AB"},"not_after":"2026-11-20T00:00:00.000Z","x509":{"serial_number":"1"}}"#;

fn record(at: &str, action: &str, beside: &str, myelin: &str) -> Recorded {
    let line = format!(
        r#"{{"@timestamp":"2026-11-{at}Z","event":{{"action":"{action}"}},"service":{{"name":"ehr"}},{beside}"myelin":{{{myelin}}}}}"#
    );
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn inbound(protocol: &str) -> String {
    format!(
        r#""network":{{"direction":"ingress","protocol":"{protocol}"}},"tls":{{"version":"1.3","cipher":"TLS_AES_128_GCM_SHA256","curve":"secp256r1","client":{CERTIFICATE}}},"#
    )
}

/// The 21st and 22nd.
const PERIOD: Window = Window {
    from: Some(datetime!(2026-11-21 00:00 UTC)),
    to: Some(datetime!(2026-11-23 00:00 UTC)),
};

/// Of those days.
fn facts(records: &[Recorded]) -> Facts {
    let mut gathering = Gathering::of(PERIOD);
    records.iter().for_each(|record| gathering.take(record));
    finished(gathering)
}

fn finished(gathering: Gathering) -> Facts {
    gathering.finish(About {
        made: datetime!(2026-11-23 00:00 UTC),
        trail: "audit".into(),
        attestation: Attestation {
            verified: Err("trail-1.jsonl:3: changed".into()),
            held_against: 0,
        },
        waiting: Vec::new(),
        reading: Reading::default(),
    })
}

fn table(facts: &Facts, part: &str, table: &str) -> Vec<Json> {
    let told: Json = serde_json::from_str(&facts.json().unwrap()).unwrap();
    told["parts"][part]["tables"][table].as_array().unwrap().clone()
}

#[test]
fn a_record_that_stands_for_many_counts_for_each_of_its_reasons() {
    let flood = r#""listener":"fhir","phi":true,"flood":{"count":7,"reasons":{"unknown_issuer":5,"expired":2},"first":"2026-11-22T01:00:00Z","last":"2026-11-22T02:00:00Z"}"#;
    let facts = facts(&[record("22T02:00:00", "connection-refused", &inbound("http"), flood)]);

    let reasons = table(&facts, "denials", "reasons");

    let counts: Vec<_> =
        reasons.iter().map(|row| (row["reason"].as_str(), row["count"].as_u64())).collect();
    assert_eq!(counts, [(Some("unknown_issuer"), Some(5)), (Some("expired"), Some(2))]);
    assert_eq!(table(&facts, "access", "peers")[0]["denied"], 7);
}

#[test]
fn plaintext_is_outside_of_the_list_and_drawn_as_such() {
    let bare = r#""network":{"direction":"ingress"},"#;
    let facts = facts(&[record(
        "22T02:00:00",
        "connection-allowed",
        bare,
        r#""listener":"legacy","phi":true,"plaintext":true"#,
    )]);

    assert_eq!(table(&facts, "tls", "outside")[0]["who"], "(in plaintext)");
    assert_eq!(table(&facts, "flows", "flows")[0]["protection"], "none");
    assert!(facts.html().contains("class=\"flow bare\""));
}

#[test]
fn what_is_only_observed_is_told_apart() {
    let would = r#""listener":"fhir","phi":true,"identity":"spiffe://h.example/web","would_deny":"unknown_peer""#;
    let facts = facts(&[
        record("22T02:00:00", "connection-allowed", &inbound("tcp"), would),
        record("22T03:00:00", "connection-closed", &inbound("tcp"), would),
    ]);

    let observed = table(&facts, "denials", "observed");

    assert_eq!(
        (observed.len(), &observed[0]["count"]),
        (1, &1.into()),
        "the ending is the same access"
    );
}

#[test]
fn who_was_seen_before_is_not_new_and_a_certificate_that_is_over_is_expired() {
    let who = |name: &str| {
        format!(r#""listener":"fhir","phi":true,"identity":"spiffe://h.example/{name}""#)
    };
    let facts = facts(&[
        record("01T00:00:00", "connection-allowed", &inbound("tcp"), &who("old")),
        record("22T01:00:00", "connection-allowed", &inbound("tcp"), &who("old")),
        record("22T02:00:00", "connection-denied", &inbound("tcp"), &who("new")),
        record("24T00:00:00", "connection-allowed", &inbound("tcp"), &who("late")),
    ]);

    let new = table(&facts, "newcomers", "peers");

    assert_eq!(
        (new.len(), &new[0]["identity"], &new[0]["let_in"]),
        (1, &"spiffe://h.example/new".into(), &"no".into())
    );
    assert_eq!(table(&facts, "certificates", "inventory")[0]["days_left"], "expired");
}

#[test]
fn a_clock_that_was_set_back_and_records_of_it_are_told() {
    let facts = facts(&[
        record("22T02:00:00", "config-loaded", "", ""),
        record("22T01:59:58", "clock-stepped", r#""message":"2 s back","#, ""),
    ]);

    assert_eq!(table(&facts, "clock", "steps")[0]["milliseconds"], 2000);
    assert_eq!(table(&facts, "clock", "states")[0]["message"], "2 s back");
}

#[test]
fn strangers_without_number_are_counted_in_bounded_memory() {
    let strangers = (0..MOST + 500).map(|n| {
        let source = format!(r#""source":{{"ip":"fd00::{n:x}"}},"#);
        record(
            "22T02:00:00",
            "connection-refused",
            &(source + &inbound("http")),
            r#""listener":"fhir","phi":true"#,
        )
    });
    let facts = facts(&strangers.collect::<Vec<_>>());

    let who = table(&facts, "denials", "who");

    assert_eq!(who.len(), MOST + 1);
    assert_eq!((&who[MOST]["who"], &who[MOST]["count"]), (&"(others)".into(), &500.into()));
    let page = facts.html();
    assert!(
        page.len() < 100_000 && page.contains("more rows are in the same report"),
        "{}",
        page.len()
    );
}

#[test]
fn no_name_of_one_certificate_stands_for_those_that_were_left_out() {
    let of = |n: usize| {
        let certificate = inbound("tcp").replace("\"AB\"", &format!("\"{n:X}\""));
        let who = r#""listener":"fhir","phi":true,"identity":"spiffe://h.example/web""#;
        record("22T02:00:00", "connection-allowed", &certificate, who)
    };
    let facts = facts(&(0..MOST + 5).map(of).collect::<Vec<_>>());

    assert_eq!(table(&facts, "certificates", "inventory").len(), MOST);
    assert!(facts.html().contains("5 records of further certificates were left out"));
}

#[test]
fn what_a_table_has_no_room_for_is_told() {
    let by = r#""by":{"uid":1,"process":1}"#;
    let review = format!(r#""review":{{"at":"","reviewer":"J",{by},"from":"","to":""}}"#);
    let read = format!(r#""read":{{"at":"","command":"audit query",{by}}}"#);
    for (part, action, myelin) in [
        ("certificates", "certificate-rotated", ""),
        ("policy", "config-loaded", ""),
        ("integrity", "recording-started", ""),
        ("readers", "log-read", &*read),
        ("reviews", "review-signed", &*review),
        ("clock", "clock-changed", ""),
    ] {
        let one = record("22T02:00:00", action, "", myelin);
        let mut gathering = Gathering::of(PERIOD);
        (0..MOST + 3).for_each(|_| gathering.take(&one));
        let facts = finished(gathering);

        let told: Json = serde_json::from_str(&facts.json().unwrap()).unwrap();
        let says = told["parts"][part]["says"].to_string();
        assert!(says.contains("Only the first 10000 ") && says.contains("; 3 more are"), "{says}");
    }
}

#[test]
fn a_long_table_of_times_is_set_in_columns_and_a_short_one_is_not() {
    let page = |hours: std::ops::Range<u32>| {
        let at = |hour| {
            let own = r#""listener":"fhir","phi":true"#;
            record(&format!("22T{hour:02}:00:00"), "connection-allowed", &inbound("tcp"), own)
        };
        facts(&hours.map(at).collect::<Vec<_>>()).html()
    };

    let in_columns = |page: String| page.contains("<div class=\"narrow\">");
    assert_eq!((in_columns(page(0..20)), in_columns(page(0..2))), (true, false));
}

#[test]
fn whatever_a_record_says_is_text() {
    let hostile = "<script>alert(1)</script>\\\"'=cmd\u{202e}";
    let named =
        format!(r#""listener":"{hostile}","phi":true,"identity":"{hostile}","peer":"{hostile}""#);
    let facts = facts(&[record("22T02:00:00", "connection-allowed", &inbound("tcp"), &named)]);

    let page = facts.html();

    assert!(!page.contains("<script") && !page.contains('\u{202e}'));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;=cmd"));
}

#[test]
fn an_empty_period_is_told_in_words() {
    let page = facts(&[]).html();

    for words in [
        "No record of this period is about a PHI endpoint.",
        "Nobody was refused, denied or had a permit withdrawn in this period.",
        "No connection was let in in this period.",
        "No review of this trail is on record.",
        "Nothing was let through in this period.",
        "The trail does NOT stand its checks. The first thing that does not fit: trail-1.jsonl:3: changed.",
    ] {
        assert!(page.contains(words), "{words}");
    }
}
