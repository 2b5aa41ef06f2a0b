//! What spans say of connections, requests, messages and associations: names of the configuration, templates and closed
//! sets, as records have them and by OpenTelemetry's semantic conventions; never a path, a host, a header or an id of somebody.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::{Connection, Hl7, Hl7From, Rule};
use crate::authz::{Denied, Permit};
use crate::clock;
use crate::config::Target;
use crate::outcome::{DenyReason, Direction, Ending};
use crate::proxy::l7::RequestEnd;
use crate::traces::{
    Attribute, ConnectionTrace, Kind, RequestSpan, RequestTold, Span, Tracer, Value,
};

/// Something was denied, or would have been, and why.
type Event = (&'static str, &'static str);
const DENIED: &str = "denied";

/// A connection that is traced.
pub(super) struct TracedConnection {
    pub(super) trace: ConnectionTrace,
    connection: Arc<Connection>,
    rule: Arc<str>,
    event: Option<Event>,
}

impl TracedConnection {
    /// One that `permit` was given for, if it is sampled. Boxed: few are.
    pub(super) fn permitted(
        tracer: Option<&Arc<Tracer>>,
        connection: &Arc<Connection>,
        permit: &Permit,
    ) -> Option<Box<Self>> {
        let would_deny = permit.would_deny().map(|denied| denied.reason.label());
        Self::of(tracer, connection, permit.rule(), event(None, would_deny))
    }

    /// One that was not let in.
    pub(super) fn denied(
        tracer: Option<&Arc<Tracer>>,
        connection: &Arc<Connection>,
        denied: &Denied,
    ) -> Option<Box<Self>> {
        Self::of(tracer, connection, &denied.rule, event(Some(denied.reason.label()), None))
    }

    fn of(
        tracer: Option<&Arc<Tracer>>,
        connection: &Arc<Connection>,
        rule: &Arc<str>,
        event: Option<Event>,
    ) -> Option<Box<Self>> {
        let trace = tracer?.connection(connection.id.0, kind(connection.direction))?;
        let (connection, rule) = (Arc::clone(connection), Arc::clone(rule));
        Some(Box::new(Self { trace, connection, rule, event }))
    }

    /// The connection has ended after so long.
    pub(super) fn ended(&self, ending: Ending, took: Duration) {
        let Self { trace, connection, rule, event } = self;
        let is_denied = event.is_some_and(|(what, _)| what == DENIED);
        let mut attributes = of_connection(connection);
        attributes.push(("network.protocol.name", Value::Label(connection.protocol)));
        attributes.extend(server(connection));
        attributes.extend(decided(Some(rule), is_denied));
        attributes.push(("myelin.ending", Value::Label(ending.label())));
        // A denial is what we are there for, and no failure.
        let failed = !matches!(ending, Ending::Finished | Ending::Denied | Ending::Idle);
        if failed {
            attributes.push(("error.type", Value::Label(ending.label())));
        }
        let name = format!("{} connection", connection.protocol).into();
        let span = Span::new(
            (trace.trace, None),
            kind(connection.direction),
            over(took),
            (name, attributes),
        );
        trace.take(Span { id: trace.span, event: *event, failed, ..span });
    }
}

/// A request that is traced, until its end.
pub(super) struct TracedRequest {
    span: Arc<RequestSpan>,
    connection: Arc<Connection>,
    rule: Rule,
    template: Option<Arc<str>>,
    version: &'static str,
    /// Inbound: where it is forwarded to.
    forward: Option<Target>,
}

impl TracedRequest {
    /// One that is let through.
    pub(super) fn new(
        span: &Arc<RequestSpan>,
        connection: &Arc<Connection>,
        rule: &Rule,
        (template, version): (Option<Arc<str>>, &'static str),
    ) -> Self {
        let (span, connection) = (Arc::clone(span), Arc::clone(connection));
        Self { span, connection, rule: rule.clone(), template, version, forward: None }
    }

    /// The same, forwarded to this workload.
    pub(super) fn forwarded(self, forward: &Target) -> Self {
        Self { forward: Some(forward.clone()), ..self }
    }

    /// It has ended.
    pub(super) fn ended(self, method: &'static str, end: &RequestEnd, ending: Ending) {
        let Self { span, connection, rule, template, version, forward } = self;
        let status = end.status.map(|status| status.as_u16());
        let is_cut = ending != Ending::Finished;
        let failed = |from: u16| is_cut || status.is_none_or(|status| status >= from);
        let shared = of_request(method, template.as_ref(), version, status);
        let named = |failed: bool| {
            let why = match status {
                Some(status) if !is_cut => Value::Text(status.to_string().into()),
                _ => Value::Label(ending.label()),
            };
            failed.then_some(("error.type", why))
        };
        let mut both = of_connection(&connection);
        both.extend(shared);
        both.extend(decided(Some(&rule.name), false));
        let (failed, would_deny) = ((failed(500), failed(400)), would_deny(&rule));
        let (mut server, mut client) = (at_us(&connection), at_upstream(&connection, forward));
        server.extend(named(failed.0));
        client.extend(named(failed.1));
        let name = name(method, template.as_ref());
        let event = event(None, would_deny);
        span.ended(RequestTold { name, shared: both, server, client, event, failed });
    }
}

/// A request that was not let through.
pub(super) fn denied_request(
    span: &RequestSpan,
    connection: &Connection,
    (method, version): (&'static str, &'static str),
    (template, rule): (Option<&Arc<str>>, Option<&Rule>),
    (reason, status): (DenyReason, u16),
) {
    let mut server = of_connection(connection);
    server.extend(of_request(method, template, version, Some(status)));
    server.extend(decided(rule.map(|rule| &rule.name), true));
    server.extend(at_us(connection));
    let failed = status >= 500;
    if failed {
        server.push(("error.type", Value::Text(status.to_string().into())));
    }
    let told = RequestTold {
        name: name(method, template),
        shared: Vec::new(),
        server,
        client: Vec::new(),
        event: event(Some(reason.label()), None),
        failed: (failed, failed),
    };
    span.ended(told);
}

/// A message that has come to its end, in the trace of its connection. `failed`: why.
pub(super) fn message(
    trace: &ConnectionTrace,
    connection: &Connection,
    (hl7, rule): (&Hl7, Option<&Rule>),
    (took, failed): (Duration, Option<&'static str>),
    denied: Option<DenyReason>,
) {
    let mut attributes = of_connection(connection);
    attributes.push(("network.protocol.name", Value::Label("mllp")));
    attributes.extend(decided(rule.map(|rule| &rule.name), denied.is_some()));
    let kind_of = if hl7.kind.is_empty() { "other" } else { &hl7.kind };
    attributes.push(("myelin.hl7.type", Value::Text(kind_of.into())));
    let code = hl7.acknowledgement.map(Value::Label);
    attributes.extend(code.map(|code| ("myelin.hl7.acknowledgement", code)));
    attributes.extend(failed.map(|why| ("error.type", Value::Label(why))));
    let kind = match hl7.from {
        Hl7From::Peer => Kind::Server,
        Hl7From::Workload => Kind::Client,
    };
    let name = format!("hl7 {kind_of}").into();
    let place = (trace.trace, Some(trace.span));
    let span = Span::new(place, kind, over(took), (name, attributes));
    let event = event(denied.map(DenyReason::label), rule.and_then(would_deny));
    trace.take(Span { event, failed: failed.is_some(), ..span });
}

/// An association that has come to its end, in the trace of its connection. `result`: how; `None` when it was denied.
pub(super) fn association(
    trace: &ConnectionTrace,
    connection: &Connection,
    rule: &Rule,
    (result, took, failed): (Option<&'static str>, Duration, bool),
    denied: Option<DenyReason>,
) {
    let mut attributes = of_connection(connection);
    attributes.push(("network.protocol.name", Value::Label("dicom")));
    attributes.extend(decided(Some(&rule.name), denied.is_some()));
    attributes.extend(result.map(|result| ("myelin.dicom.result", Value::Label(result))));
    let error = result.filter(|_| failed).map(Value::Label);
    attributes.extend(error.map(|error| ("error.type", error)));
    let place = (trace.trace, Some(trace.span));
    let name = Arc::from("dicom association");
    let span = Span::new(place, kind(connection.direction), over(took), (name, attributes));
    let event = event(denied.map(DenyReason::label), would_deny(rule));
    trace.take(Span { event, failed, ..span });
}

fn kind(direction: Direction) -> Kind {
    match direction {
        Direction::Inbound => Kind::Server,
        Direction::Outbound => Kind::Client,
    }
}

/// From when to when something was that is over now, and took so long.
fn over(took: Duration) -> (time::OffsetDateTime, time::OffsetDateTime) {
    let now = clock::now();
    (now - took, now)
}

fn would_deny(rule: &Rule) -> Option<&'static str> {
    rule.nearest.as_ref()?.would_deny.map(DenyReason::label)
}

fn event(denied: Option<&'static str>, would_deny: Option<&'static str>) -> Option<Event> {
    let denied = denied.map(|reason| (DENIED, reason));
    denied.or_else(|| would_deny.map(|reason| ("would_deny", reason)))
}

fn decided(rule: Option<&Arc<str>>, denied: bool) -> impl Iterator<Item = Attribute> {
    let decision = Value::Label(if denied { "denied" } else { "allowed" });
    let rule = rule.map(|rule| ("myelin.rule", Value::Text(Arc::clone(rule))));
    std::iter::once(("myelin.decision", decision)).chain(rule)
}

fn of_connection(connection: &Connection) -> Vec<Attribute> {
    let id = hex::encode(connection.id.0).into();
    let mut attributes = vec![
        ("myelin.listener", Value::Text(connection.listener.as_str().into())),
        ("myelin.direction", Value::Label(connection.direction.label())),
        ("myelin.connection", Value::Text(id)),
    ];
    let peer = connection.peer.as_ref().map(|peer| Value::Text(peer.as_str().into()));
    attributes.extend(peer.map(|peer| ("myelin.peer", peer)));
    if let Some(tls) = &connection.tls {
        attributes.push(("tls.protocol.name", Value::Label("tls")));
        attributes.push(("tls.protocol.version", Value::Label(tls.version)));
    }
    attributes
}

fn of_request(
    method: &'static str,
    template: Option<&Arc<str>>,
    version: &'static str,
    status: Option<u16>,
) -> Vec<Attribute> {
    let mut attributes = vec![
        ("http.request.method", Value::Label(method)),
        ("network.protocol.name", Value::Label("http")),
        ("network.protocol.version", Value::Label(version)),
    ];
    attributes.extend(template.map(|route| ("http.route", Value::Text(Arc::clone(route)))));
    let status = status.map(|status| Value::Whole(i64::from(status)));
    attributes.extend(status.map(|status| ("http.response.status_code", status)));
    attributes
}

/// A name of few different ones (semantic conventions of HTTP, "Name").
fn name(method: &'static str, template: Option<&Arc<str>>) -> Arc<str> {
    let method = if method == OTHER { "HTTP" } else { method };
    template.map_or_else(|| method.into(), |route| format!("{method} {route}").into())
}

/// A method that is none of those known.
const OTHER: &str = "_OTHER";

/// The request as it came to us.
fn at_us(connection: &Connection) -> Vec<Attribute> {
    let is_tls = connection.direction == Direction::Inbound && !connection.plaintext;
    let mut attributes = vec![("url.scheme", Value::Label(if is_tls { "https" } else { "http" }))];
    attributes.extend(server(connection));
    attributes
}

/// The request as we sent it on.
fn at_upstream(connection: &Connection, forward: Option<Target>) -> Vec<Attribute> {
    let is_tls = connection.direction == Direction::Outbound;
    let mut attributes = vec![("url.scheme", Value::Label(if is_tls { "https" } else { "http" }))];
    match forward {
        Some(Target::Tcp(address)) => {
            attributes.extend(place(&address.ip().to_string(), address.port()));
        }
        Some(Target::Unix(path)) => {
            let path = path.display().to_string().into();
            attributes.push(("server.address", Value::Text(path)));
        }
        None => attributes.extend(server(connection)),
    }
    attributes
}

/// Who is asked on a connection: one of our own names or where we listen, or the endpoint as it is configured.
fn server(connection: &Connection) -> Vec<Attribute> {
    let named = connection.tls.as_ref().and_then(|tls| tls.server_name.clone());
    let place_of = |host: String, port| place(&host, port).to_vec();
    match (connection.direction, connection.destination, &connection.endpoint) {
        (Direction::Outbound, _, Some(endpoint)) => match endpoint.rsplit_once(':') {
            Some((host, port)) => place_of(host.to_owned(), port.parse().unwrap_or_default()),
            None => Vec::new(),
        },
        (Direction::Inbound, Some(to), _) => {
            place_of(named.unwrap_or_else(|| to.ip().to_string()), to.port())
        }
        (Direction::Outbound, _, None) | (Direction::Inbound, None, _) => Vec::new(),
    }
}

fn place(host: &str, port: u16) -> [Attribute; 2] {
    let host = host.trim_matches(['[', ']']).into();
    [("server.address", Value::Text(host)), ("server.port", Value::Whole(i64::from(port)))]
}

/// A method as semantic conventions have it.
pub(super) fn method(method: Option<&http::Method>) -> &'static str {
    match method.map(http::Method::as_str) {
        Some("GET") => "GET",
        Some("HEAD") => "HEAD",
        Some("POST") => "POST",
        Some("PUT") => "PUT",
        Some("PATCH") => "PATCH",
        Some("DELETE") => "DELETE",
        Some("OPTIONS") => "OPTIONS",
        Some("TRACE") => "TRACE",
        Some("CONNECT") => "CONNECT",
        Some(_) | None => OTHER,
    }
}
