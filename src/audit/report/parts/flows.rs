//! Who reaches what: the map of flows.

use crate::audit::forms::Value;
use crate::audit::report::part::{Citation, Part, cite};
use crate::audit::report::seen::{PLAINTEXT, Seen};
use crate::audit::report::table::{Column, Kind, Table, below, column, text};
use crate::audit::report::told::{Span, Told};
use crate::report::Count;

const SUPPORTS: &[Citation] = &[
    cite(
        "45 CFR 164.308(a)(1)(ii)(A)",
        "risk analysis: where ePHI was seen to flow, and how protected",
    ),
    cite(
        "90 FR 898 (proposed, not final)",
        "input for the network map that the proposed rule asks for",
    ),
];
const COLUMNS: &[Column] = &[
    column("from", "From", Kind::Text),
    column("listener", "Through", Kind::Label),
    below("direction", "direction", Kind::Label),
    column("to", "To", Kind::Text),
    below("endpoint", "endpoint", Kind::Id),
    column("protocol", "Protocol", Kind::Label),
    column("protection", "Protection", Kind::Label),
    column("phi", "PHI endpoint", Kind::Label),
    column("accesses", "Accesses", Kind::Number),
    column("connections", "Connections", Kind::Number),
    column("last", "Last", Kind::Moment),
];

/// Flows that were let through.
#[derive(Debug, Default)]
pub(in crate::audit::report) struct Flows {
    flows: Told<8, Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    accesses: u64,
    connections: u64,
    span: Span,
}

impl Flows {
    pub(in crate::audit::report) fn take(&mut self, seen: &Seen<'_>) {
        if seen.allowed() == 0 && !seen.opens() {
            return;
        }
        let record = seen.record;
        let (from, to) = match record.is_outbound() {
            true => (seen.service(), seen.who()),
            false => (seen.who(), seen.service()),
        };
        let protection = match record.tls.version.as_deref() {
            Some(version) => format!("TLS {version}"),
            None if seen.who() == PLAINTEXT => "none".into(),
            None => String::new(),
        };
        let endpoint = record.myelin.endpoint.as_deref().unwrap_or_default();
        let key = [
            from,
            seen.listener(),
            seen.direction,
            to,
            endpoint,
            seen.protocol,
            &protection,
            phi(record.myelin.phi),
        ];
        let tally = self.flows.at(key);
        tally.accesses = tally.accesses.saturating_add(seen.allowed());
        tally.connections += u64::from(seen.opens());
        tally.span.seen(record.at);
    }

    pub(in crate::audit::report) fn part(&self) -> Part {
        let rows = self.flows.rows(
            |_, tally| u64::MAX - tally.accesses,
            |tally| {
                let [_, last] = tally.span.cells();
                vec![Value::Number(tally.accesses), Value::Number(tally.connections), last]
            },
        );
        let table = Table { name: "flows", title: "Flows", columns: COLUMNS, rows };
        let (of_phi, bare) = (having(&table, "phi", "yes"), having(&table, "protection", "none"));
        let says = match table.rows.len() as u64 {
            0 => "Nothing was let through in this period.".into(),
            flows => format!(
                "{}, {of_phi} of them through PHI endpoints, {bare} without TLS. These are the flows that this sidecar saw; what goes around it is not in its trail.",
                Count(flows, "flow")
            ),
        };
        Part {
            id: "flows",
            title: "Who reaches what",
            supports: SUPPORTS,
            says: vec![says],
            tables: vec![table],
        }
    }
}

fn phi(is_phi: bool) -> &'static str {
    if is_phi { "yes" } else { "no" }
}

/// How many rows have this text there.
fn having(table: &Table, column: &str, value: &str) -> usize {
    table.rows.iter().filter(|row| table.cell(row, column) == Some(&text(value))).count()
}
