//! The fields of a line: Elastic Common Schema names, nested, in a stable order.
//!
//! `myelin` comes last, so that `myelin.prev` is the end of every line.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use time::OffsetDateTime;

use crate::audit::about::About;
use crate::audit::line::event::Event;
use crate::audit::line::flood::FloodFields;
use crate::audit::line::operation::OperationFields;
use crate::audit::line::own::{Own, Removed, Sealed, SegmentStart, Truncated};
use crate::audit::line::rule::{Origin, RuleFields};
use crate::audit::line::text::{Text, Timestamp};
use crate::audit::line::tls::TlsFields;
use crate::audit::record::{Action, Connection, Record, Request};
use crate::outcome::{DenyReason, Differs, Direction};

/// One line, all but its place in the trail.
#[derive(Serialize)]
pub(in crate::audit) struct Line<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: Timestamp,
    event: Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Text<'a>>,
    service: Name<'a>,
    observer: Observer<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Side<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<Side<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Id<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<RuleFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Http<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Url<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Id<'a>>,
    myelin: Myelin<'a>,
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Id<'a> {
    id: Text<'a>,
}

#[derive(Serialize)]
struct Observer<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    product: &'static str,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<Text<'a>>,
}

#[derive(Serialize)]
struct Side<'a> {
    /// As it was asked for, where it was not asked for by its IP address.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

#[derive(Serialize)]
struct Network {
    direction: &'static str,
    transport: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
}

#[derive(Serialize)]
struct Http<'a> {
    version: &'a str,
    request: HttpRequest<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<HttpResponse>,
}

#[derive(Serialize)]
struct HttpRequest<'a> {
    method: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

#[derive(Serialize)]
struct HttpResponse {
    status_code: u16,
}

#[derive(Serialize)]
struct Url<'a> {
    path: &'a str,
}

#[derive(Default, Serialize)]
struct Myelin<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    plaintext: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    phi: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nearest: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    differs: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_deny: Option<&'static str>,
    #[serde(flatten)]
    asked: OperationFields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flood: Option<FloodFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<&'a SegmentStart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<&'a Truncated>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    removed: &'a [Removed],
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<&'a Sealed>,
    #[serde(flatten)]
    about: Option<&'a About>,
}

impl<'a> Line<'a> {
    /// All that `record` and the trail itself have to say.
    pub(in crate::audit) fn of(
        origin: &'a Origin,
        at: OffsetDateTime,
        record: &'a Record,
        own: &'a Own,
    ) -> Self {
        let connection = record.connection.as_deref();
        let request = record.request.as_ref();
        let traffic = record.traffic;
        let address = |of: fn(&Connection) -> Option<SocketAddr>| connection.and_then(of);
        Self {
            timestamp: Timestamp(at),
            event: Event::of(record),
            message: record.message.as_deref().map(Text::long),
            service: Name { name: &origin.service },
            observer: Observer::of(record),
            source: side(None, address(|c| c.source), traffic.map(|t| t.sent_up)),
            destination: side(
                connection.and_then(|c| c.asked.as_deref()),
                address(|c| c.destination),
                traffic.map(|t| t.sent_down),
            ),
            network: connection.map(Network::of),
            tls: connection.and_then(|c| TlsFields::of(c, record.action)),
            user: connection.and_then(identity).map(|id| Id { id }),
            rule: record.rule.as_ref().map(|rule| RuleFields::of(rule, origin)),
            http: request.map(|request| Http::of(request, connection)),
            url: request.and_then(|r| r.template.as_deref()).map(|path| Url { path }),
            trace: request.and_then(|r| r.trace_id.as_deref()).map(|id| Id { id: Text::short(id) }),
            myelin: Myelin::of(record, own),
        }
    }
}

impl<'a> Observer<'a> {
    fn of(record: &'a Record) -> Self {
        let sidecar = record.about.as_ref().and_then(|about| about.sidecar.as_ref());
        Self {
            kind: "proxy",
            product: "Myelin",
            version: env!("CARGO_PKG_VERSION"),
            hostname: sidecar.map(|sidecar| Text::short(&sidecar.host)),
        }
    }
}

fn side(asked: Option<&str>, address: Option<SocketAddr>, bytes: Option<u64>) -> Option<Side<'_>> {
    (asked.is_some() || address.is_some() || bytes.is_some()).then(|| Side {
        address: asked.map(Text::short),
        ip: address.map(|address| address.ip()),
        port: address.map(|address| address.port()),
        bytes,
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_false(value: &bool) -> bool {
    !value
}

fn identity(connection: &Connection) -> Option<Text<'_>> {
    connection.identity.as_deref().map(Text::identity)
}

impl Network {
    fn of(connection: &Connection) -> Self {
        Self {
            direction: match connection.direction {
                Direction::Inbound => "ingress",
                Direction::Outbound => "egress",
            },
            transport: "tcp",
            // ECS keeps this field for application protocols.
            protocol: Some(connection.protocol).filter(|protocol| *protocol != "tcp"),
        }
    }
}

impl<'a> Http<'a> {
    fn of(request: &'a Request, connection: Option<&Connection>) -> Self {
        let id = connection.map(|connection| connection.request_id(request.number));
        Self {
            version: request.version,
            request: HttpRequest { method: Text::short(request.method.as_str()), id },
            response: request.status.map(|status_code| HttpResponse { status_code }),
        }
    }
}

impl<'a> Myelin<'a> {
    fn of(record: &'a Record, own: &'a Own) -> Self {
        let nearest = record.rule.as_ref().and_then(|rule| rule.nearest.as_ref());
        let trail = Self {
            request: record.request.as_ref().map(|request| request.number),
            nearest: nearest.map(|nearest| Text::long(&nearest.text)),
            differs: nearest.and_then(|nearest| nearest.differs).map(Differs::label),
            would_deny: nearest.and_then(|nearest| nearest.would_deny).map(DenyReason::label),
            asked: OperationFields::of(record),
            flood: record.flood.as_ref().map(FloodFields::of),
            segment: own.segment.as_ref(),
            truncated: own.truncated.as_ref(),
            lost: own.lost,
            removed: &own.removed,
            checkpoint: own.sealed.as_ref(),
            about: record.about.as_deref(),
            ..Self::default()
        };
        let Some(connection) = record.connection.as_deref() else { return trail };
        // Once for each connection is enough, and where somebody is kept out.
        let says_who = record.action == Action::ConnectionAllowed || record.action.is_denial();
        Self {
            listener: Some(connection.listener.as_str()),
            connection: Some(hex::encode(connection.id.0)),
            identity: identity(connection),
            anchor: connection.anchor.filter(|_| says_who).map(|anchor| hex::encode(anchor.0)),
            peer: connection.peer.as_ref().map(|peer| peer.as_str()),
            plaintext: connection.plaintext,
            phi: Some(record.phi().unwrap_or(connection.phi)),
            endpoint: connection.endpoint.as_deref(),
            ..trail
        }
    }
}
