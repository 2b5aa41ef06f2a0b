//! Who reached which PHI endpoint: how often, when, and how much moved.

use crate::audit::forms::Value;
use crate::audit::forms::fields::operation;
use crate::audit::report::part::{Citation, Part, cite};
use crate::audit::report::seen::Seen;
use crate::audit::report::table::{Column, Kind, Table, below, column};
use crate::audit::report::told::{Span, Told};
use crate::report::Count;

const SUPPORTS: &[Citation] = &[
    cite(
        "45 CFR 164.312(b)",
        "audit controls: activity at endpoints that carry ePHI is recorded, and here examined",
    ),
    cite(
        "45 CFR 164.308(a)(1)(ii)(D)",
        "information system activity review: an access report to review",
    ),
];
const PEERS: &[Column] = &[
    column("listener", "Endpoint", Kind::Label),
    below("service", "service", Kind::Label),
    below("direction", "direction", Kind::Label),
    below("protocol", "protocol", Kind::Label),
    column("peer", "Peer", Kind::Label),
    below("identity", "proven identity", Kind::Id),
    column("allowed", "Allowed", Kind::Number),
    column("denied", "Denied", Kind::Number),
    column("connections", "Connections", Kind::Number),
    column("first", "First", Kind::Moment),
    below("last", "last", Kind::Moment),
    column("client_bytes", "Client sent", Kind::Bytes),
    column("server_bytes", "Server sent", Kind::Bytes),
];
const ASKED: &[Column] = &[
    column("listener", "Endpoint", Kind::Label),
    column("peer", "Peer", Kind::Label),
    column("operation", "Operation", Kind::Text),
    below("resource", "resource", Kind::Label),
    column("method", "Method", Kind::Label),
    column("path", "Path, as the rule has it", Kind::Id),
    column("allowed", "Allowed", Kind::Number),
    column("denied", "Denied", Kind::Number),
    column("last", "Last", Kind::Moment),
];

/// Accesses to PHI.
#[derive(Debug, Default)]
pub(in crate::audit::report) struct Access {
    peers: Told<6, Tally>,
    asked: Told<6, Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    allowed: u64,
    denied: u64,
    connections: u64,
    client_bytes: u64,
    server_bytes: u64,
    span: Span,
}

impl Tally {
    fn take(&mut self, seen: &Seen<'_>) {
        let (client, server) = seen.bytes().unwrap_or_default();
        self.allowed = self.allowed.saturating_add(seen.allowed());
        self.denied = self.denied.saturating_add(seen.denied());
        self.connections += u64::from(seen.opens());
        self.client_bytes = self.client_bytes.saturating_add(client);
        self.server_bytes = self.server_bytes.saturating_add(server);
        self.span.seen(seen.record.at);
    }
}

impl Access {
    pub(in crate::audit::report) fn take(&mut self, seen: &Seen<'_>) {
        if !seen.record.myelin.phi {
            return;
        }
        let (listener, who) = (seen.listener(), seen.who());
        let peer = if seen.identity().is_empty() { who } else { seen.peer() };
        let key = [listener, seen.service(), seen.direction, seen.protocol, peer, seen.identity()];
        self.peers.at(key).take(seen);
        let is_asked = seen.record.http.is_some() || operation(seen.record).is_some();
        if is_asked && seen.allowed() + seen.denied() > 0 {
            let operation = operation(seen.record).unwrap_or_default();
            let fhir = seen.record.myelin.fhir.as_ref();
            let resource = fhir.and_then(|fhir| fhir.resource.as_deref()).unwrap_or_default();
            let method = seen.record.http.as_ref().map_or("", |http| &http.request.method);
            let path = seen.record.url.as_ref().map_or("", |url| &url.path);
            self.asked.at([listener, who, &operation, resource, method, path]).take(seen);
        }
    }

    pub(in crate::audit::report) fn part(&self) -> Part {
        let peers = self.peers.rows(
            |[listener, ..], tally| (listener.clone(), u64::MAX - tally.allowed),
            |tally| {
                let [first, last] = tally.span.cells();
                let Tally { allowed, denied, connections, client_bytes, server_bytes, .. } = *tally;
                let [allowed, denied, connections, client, server] =
                    [allowed, denied, connections, client_bytes, server_bytes].map(Value::Number);
                vec![allowed, denied, connections, first, last, client, server]
            },
        );
        let asked = self.asked.rows(
            |_, tally| u64::MAX - tally.allowed - tally.denied.min(u64::MAX - tally.allowed),
            |tally| {
                let [_, last] = tally.span.cells();
                vec![Value::Number(tally.allowed), Value::Number(tally.denied), last]
            },
        );
        let peers =
            Table { name: "peers", title: "Peers at PHI endpoints", columns: PEERS, rows: peers };
        let asked =
            Table { name: "operations", title: "What was asked for", columns: ASKED, rows: asked };
        let (allowed, denied) =
            (Count(peers.sum("allowed"), "access"), Count(peers.sum("denied"), "attempt"));
        Part {
            id: "access",
            title: "Access to PHI endpoints",
            supports: SUPPORTS,
            says: says(allowed.0, denied.0, &peers),
            tables: vec![peers, asked],
        }
    }
}

fn says(allowed: u64, denied: u64, peers: &Table) -> Vec<String> {
    if peers.rows.is_empty() {
        return vec!["No record of this period is about a PHI endpoint.".into()];
    }
    vec![
        format!("{} allowed, {} denied.", Accesses(allowed), Count(denied, "attempt")),
        "An access is a request (HTTP), a message (HL7 v2), an association (DICOM), or else a connection. A peer is a system, known by its certificate. \
         The trail does not say which person or which patient it was about: it is input for an accounting of disclosures (45 CFR 164.528), not one.".into(),
        "Bytes are those of accesses that ended in the period, in plaintext.".into(),
    ]
}

/// `1 access`, `2 accesses`.
pub(in crate::audit::report) struct Accesses(pub(in crate::audit::report) u64);

impl std::fmt::Display for Accesses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} access{}", self.0, if self.0 == 1 { "" } else { "es" })
    }
}
