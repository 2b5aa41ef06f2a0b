//! `config/metrics.md` says what is rendered, no more and no less.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::handles::{METHODS, STATUSES};
use super::messages::{CODES, KINDS};
use super::metrics::{Lenient, Metrics};
use crate::identity::{ListenerName, PeerName};
use crate::outcome::{
    AssociationEnding, DenyReason, Direction, Ending, Refusal, Rejection, Undelivered, Withdrawal,
};

const PAGE: &str = include_str!("../../config/metrics.md");

/// Something of everything that is counted.
fn rendered() -> String {
    let metrics = Metrics::new().unwrap();
    let listener = metrics.listener(&ListenerName::new("fhir"), Direction::Inbound);
    let instant = Duration::from_millis(1);
    let _open = listener.opened();
    listener.handshaken(instant);
    listener.request("GET", 200, true, instant);
    listener.message(b"ADT", true);
    listener.acknowledged(Some("AA"), instant);
    listener.association(true);
    listener.association_ended(AssociationEnding::Released);
    listener.upstream_healthy("lab.example:8443", true);
    metrics.lenient_until(&ListenerName::new("fhir"), Lenient::Permissive, Some(1));
    metrics.lenient_until(&ListenerName::new("fhir"), Lenient::Observe, None);
    metrics.expired(0, 0, 0);
    metrics.clock_behind(instant);
    metrics.certificate(0, 1);
    metrics.trust_bundle_not_after(1);
    metrics.crl_next_update(Some(1));
    metrics.peer_certificate(&PeerName::new("lab"), 0, 1);
    metrics.reloaded(true);
    metrics.handed_over(true);
    let audit = metrics.audit();
    audit.written("checkpoint", 1);
    audit.durable_after(instant);
    audit.sealed(1);
    metrics.export("arr").lags(0, 0.0);
    metrics.traces().delivered(1);
    metrics.render()
}

/// Rows of the page's tables below a head that begins with `first`: cells without their ticks.
fn rows(first: &str) -> impl Iterator<Item = Vec<String>> {
    let head = format!("| {first} |");
    let below = PAGE.lines().skip_while(move |line| !line.starts_with(&head)).skip(2);
    below.take_while(|line| line.starts_with('|')).map(|line| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.replace('`', "").trim().to_owned()).collect()
    })
}

fn words(cell: &str) -> BTreeSet<String> {
    cell.split_whitespace().map(str::to_owned).collect()
}

type Told = BTreeMap<String, (String, BTreeSet<String>)>;

/// Name, type and labels of each metric of an exposition.
fn exposed(text: &str) -> Told {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut told: Told =
        types.map(|(name, kind)| (name.to_owned(), (kind.to_owned(), BTreeSet::new()))).collect();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, _value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let whole = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let name = whole.filter(|whole| told.contains_key(*whole)).unwrap_or(name);
        let keys = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        let known = told.get_mut(name).unwrap_or_else(|| panic!("{name} has no type"));
        known.1.extend(keys.filter(|key| key != "le"));
    }
    told
}

#[test]
fn the_table_of_metrics_says_what_is_rendered_and_nothing_else() {
    let documented: Told =
        rows("name").map(|row| (row[0].clone(), (row[1].clone(), words(&row[2])))).collect();

    let rendered = exposed(&rendered());

    for (name, told) in &rendered {
        assert_eq!(documented.get(name), Some(told), "{name} in config/metrics.md");
    }
    let gone: Vec<_> = documented.keys().filter(|name| !rendered.contains_key(*name)).collect();
    assert!(gone.is_empty(), "config/metrics.md has what is not rendered: {gone:?}");
}

#[test]
fn results_of_what_is_rare_are_counted_from_the_start() {
    let text = Metrics::new().unwrap().render();

    for name in ["certificate_rotations", "config_reloads", "handovers"] {
        for result in ["ok", "rejected"] {
            let begins = format!("myelin_{name}_total{{result=\"{result}\"");
            let of = |line: &&str| line.starts_with(&begins);
            assert!(text.lines().filter(of).any(|line| line.ends_with(" 0")), "{begins}");
        }
    }
}

#[test]
fn every_metric_has_a_unit_and_a_meaning() {
    for row in rows("name") {
        assert_eq!(row.len(), 6, "{row:?}");
        assert!(!row[3].is_empty() && row[4].ends_with('.'), "{row:?}");
        let is_total = row[0].ends_with("_total");
        assert_eq!(is_total, row[1] == "counter", "{row:?}");
    }
}

#[test]
fn the_closed_sets_are_those_of_the_program() {
    let set = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    let labels = |values: &mut dyn Iterator<Item = &'static str>| -> BTreeSet<String> {
        values.map(str::to_owned).collect()
    };
    let expected: Vec<(&str, &str, BTreeSet<String>)> = vec![
        ("direction", "listeners", set(&["inbound", "outbound"])),
        ("flow", "bytes", set(&["up", "down"])),
        ("decision", "requests, messages, associations", set(&["allowed", "denied"])),
        ("method", "requests", set(&METHODS)),
        ("status", "requests", set(&STATUSES)),
        ("kind", "messages", set(&KINDS)),
        ("code", "acknowledgements", set(&CODES)),
        ("ending", "connections closed", labels(&mut Ending::ALL.iter().map(|e| e.label()))),
        ("reason", "denials, would deny", labels(&mut DenyReason::ALL.iter().map(|r| r.label()))),
        ("reason", "permits withdrawn", labels(&mut Withdrawal::all().map(Withdrawal::label))),
        (
            "result",
            "handshakes",
            labels(&mut std::iter::once("ok").chain(Refusal::ALL.iter().map(|r| r.label()))),
        ),
        (
            "result",
            "associations ended",
            labels(&mut AssociationEnding::ALL.iter().map(|e| e.label())),
        ),
        ("result", "rotations, reloads, hand-overs", set(&["ok", "rejected"])),
        ("reason", "rotations", labels(&mut Rejection::ALL.iter().map(|r| r.label()))),
        ("reason", "export failures", labels(&mut Undelivered::ALL.iter().map(|u| u.label()))),
    ];

    let documented: Vec<_> = rows("label").collect();
    for (label, of, values) in &expected {
        let row = documented.iter().find(|row| row[0] == *label && row[1] == *of);
        let told = row.map(|row| words(&row[2]));
        let line = values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" ");
        assert_eq!(told.as_ref(), Some(values), "config/metrics.md: | `{label}` | {of} | {line} |");
    }
    assert_eq!(documented.len(), expected.len(), "config/metrics.md has other sets");
}
