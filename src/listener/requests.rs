//! What the HTTP exchanges of both directions have in common: a request's record and metrics.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, Version};

use super::Services;
use super::description::Description;
use super::permits::Member;
use super::traced::{self, TracedRequest};
use crate::audit::{Action, Connection, Record, Request, Rule, Traffic};
use crate::config::Target;
use crate::outcome::DenyReason;
use crate::proxy::l7::{Head, Malformed, NotAudited, RequestEnd, Rough};
use crate::traces::TraceContext;

/// One admitted request, until its end is on record.
pub(super) struct OpenRequest {
    method: Method,
    /// `None` when neither listener nor route is a PHI endpoint: then it is counted, not recorded.
    recorded: Option<(Arc<Connection>, Request, Rule)>,
    /// The connection that carries it, whose permit may be withdrawn meanwhile.
    carrier: Option<Arc<Member>>,
    /// `None`: it is not traced. Boxed: few are.
    traced: Option<Box<TracedRequest>>,
}

impl OpenRequest {
    /// The same, of a request that goes over this connection.
    pub(super) fn carried_by(self, carrier: Option<&Arc<Member>>) -> Self {
        Self { carrier: carrier.map(Arc::clone), ..self }
    }

    /// The same, forwarded to this workload.
    pub(super) fn forwarded(self, forward: &Target) -> Self {
        Self { traced: self.traced.map(|traced| Box::new(traced.forwarded(forward))), ..self }
    }
}

/// How a request is to be recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// At all. Requests that have nothing to do with PHI are only counted.
    pub(super) recorded: bool,
    /// As an access to PHI: on disk before the first byte.
    pub(super) phi: bool,
    /// With its permit. Not so when there is nobody to send it to: then only its end is recorded.
    pub(super) permit: bool,
}

/// Puts an admitted request on record, durably if it is an access to PHI.
pub(super) async fn admit(
    services: &Services,
    connection: &Arc<Connection>,
    head: &Head<'_>,
    asked: Description,
    rule: Rule,
    wish: Wish,
) -> Result<OpenRequest, NotAudited> {
    let method = head.method.clone();
    let traced = head.span.map(|span| {
        let described = (asked.template.clone(), version(Some(head.version)));
        Box::new(TracedRequest::new(span, connection, &rule, described))
    });
    if !wish.recorded {
        return Ok(OpenRequest { method, recorded: None, carrier: None, traced });
    }
    let request = described(head, asked, wish.phi);
    if wish.permit {
        let record = allowed(connection, request.clone(), rule.clone());
        let audited = services.audit.permit(record, wish.phi).await;
        audited.map_err(|_not_durable| NotAudited)?;
    }
    let recorded = Some((Arc::clone(connection), request, rule));
    Ok(OpenRequest { method, recorded, carrier: None, traced })
}

/// What goes on record of a request before its answer.
pub(super) fn described(head: &Head<'_>, asked: Description, phi: bool) -> Request {
    Request {
        number: head.number,
        method: head.method.clone(),
        template: asked.template,
        operation: asked.operation,
        words: asked.words,
        version: version(Some(head.version)),
        phi,
        trace_id: trace_id(head.headers),
        status: None,
    }
}

/// The record of a request that is let through.
pub(super) fn allowed(connection: &Arc<Connection>, request: Request, rule: Rule) -> Record {
    Record {
        connection: Some(Arc::clone(connection)),
        request: Some(request),
        rule: Some(rule),
        ..Record::new(Action::RequestAllowed)
    }
}

/// Counts and records the end of an admitted request.
pub(super) fn completed(services: &Services, ticket: OpenRequest, end: RequestEnd) {
    let status = end.status.map(|status| status.as_u16());
    // 499 is what proxies count for a downstream that went away before its answer.
    let method = ticket.method.as_str();
    services.metrics.request(method, status.unwrap_or(499), true, end.duration);
    if ticket.recorded.is_none() && ticket.traced.is_none() {
        return;
    }
    let ending = ticket.carrier.map_or(end.ending, |carrier| carrier.request_ending(end.ending));
    if let Some(traced) = ticket.traced {
        traced.ended(traced::method(Some(&ticket.method)), &end, ending);
    }
    let Some((connection, request, rule)) = ticket.recorded else { return };
    services.audit.note_now(Record {
        reason: Some(ending.label()),
        connection: Some(connection),
        request: Some(Request { status, ..request }),
        rule: Some(rule),
        traffic: Some(Traffic {
            sent_up: end.sent_up,
            sent_down: end.sent_down,
            duration: end.duration,
        }),
        ..Record::new(Action::RequestCompleted)
    });
}

/// A request that was not let through.
pub(super) struct Refused {
    pub(super) reason: DenyReason,
    pub(super) message: Option<String>,
    pub(super) asked: Description,
    pub(super) rule: Option<Rule>,
    pub(super) status: u16,
}

impl Refused {
    /// One that the gate has refused.
    pub(super) fn malformed(malformed: Malformed) -> Self {
        let message = format!("{}: {}", malformed.label(), malformed.text());
        Self::denied(DenyReason::MalformedRequest, Some(message), malformed.status())
    }

    /// One that could not be put on record.
    pub(super) fn not_audited() -> Self {
        Self::denied(DenyReason::NotAudited, None, StatusCode::SERVICE_UNAVAILABLE)
    }

    /// One that no rule has been asked for.
    pub(super) fn denied(reason: DenyReason, message: Option<String>, status: StatusCode) -> Self {
        let (asked, status) = (Description::default(), status.as_u16());
        Self { reason, message, asked, rule: None, status }
    }
}

/// Counts and records a request that was not let through.
pub(super) async fn rejected(
    services: &Services,
    connection: &Arc<Connection>,
    rough: &Rough<'_>,
    refused: Refused,
) {
    let record = denied(services, connection, rough, refused);
    services.audit.note(record).await;
}

/// The same, from where one cannot wait.
pub(super) fn rejected_now(
    services: &Services,
    connection: &Arc<Connection>,
    rough: &Rough<'_>,
    refused: Refused,
) {
    services.audit.note_now(denied(services, connection, rough, refused));
}

fn denied(
    services: &Services,
    connection: &Arc<Connection>,
    rough: &Rough<'_>,
    refused: Refused,
) -> Record {
    let method = rough.method.cloned().unwrap_or_default();
    let known = rough.method.map_or("other", Method::as_str);
    services.metrics.request(known, refused.status, false, Duration::ZERO);
    services.metrics.denied(refused.reason);
    if let Some(span) = rough.span {
        let how = (traced::method(rough.method), version(rough.version));
        let by = (refused.asked.template.as_ref(), refused.rule.as_ref());
        traced::denied_request(span, connection, how, by, (refused.reason, refused.status));
    }
    let request = Request {
        number: rough.number,
        method,
        template: refused.asked.template,
        operation: refused.asked.operation,
        words: refused.asked.words,
        version: version(rough.version),
        phi: connection.phi,
        trace_id: rough.headers.and_then(trace_id),
        status: Some(refused.status),
    };
    Record {
        reason: Some(refused.reason.label()),
        message: refused.message,
        connection: Some(Arc::clone(connection)),
        request: rough.method.map(|_known| request),
        rule: refused.rule,
        ..Record::new(Action::RequestDenied)
    }
}

fn version(version: Option<Version>) -> &'static str {
    match version {
        Some(Version::HTTP_10) => "1.0",
        Some(Version::HTTP_11) => "1.1",
        Some(Version::HTTP_2) => "2",
        Some(_) | None => "unknown",
    }
}

/// The trace that a request belongs to.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    TraceContext::of(headers).map(|context| hex::encode(context.trace.0))
}
