//! What the DICOM associations of both directions have in common: their records and metrics, and what a
//! denial is in the protocol's words.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Services;
use super::traced;
use crate::audit::{Action, Connection, Dicom, Record, Rule, Traffic};
use crate::authz::{ContextBinding, Denied, Grant};
use crate::outcome::{AssociationEnding, DenyReason, Ending};
use crate::protocol::dicom::{Answer, Malformed, Reject, Request};
use crate::proxy::dicom::{self, Carried, End, Unasked};
use crate::shutdown::Shutdown;
use crate::traces::ConnectionTrace;

/// One admitted association, until its end is on record.
pub(super) struct OpenAssociation {
    connection: Arc<Connection>,
    dicom: Dicom,
    grant: Grant,
    begun: Instant,
    /// The identifiers of its contexts, in the order of the record's.
    ids: Vec<u8>,
    /// The trace of its connection; `None`: it is not traced.
    trace: Option<ConnectionTrace>,
}

impl OpenAssociation {
    /// Whether the association ends with a command that its presentation context is not for.
    pub(super) fn is_bound(&self) -> bool {
        self.grant.context_binding() == ContextBinding::Bound
    }
}

/// The record of the permit could not be made durable.
pub(super) struct NotAudited;

/// Puts an admitted association on record, durably if it is an access to PHI.
pub(super) async fn admit(
    services: &Services,
    (connection, trace): (&Arc<Connection>, Option<ConnectionTrace>),
    request: &Request,
    grant: &Grant,
) -> Result<OpenAssociation, NotAudited> {
    let dicom = Dicom { phi: grant.phi(), ..Dicom::of(request) };
    let allowed = of_yes(connection, dicom.clone(), Rule::granted(grant));
    if services.audit.permit(allowed, grant.phi()).await.is_err() {
        let message = "the record of the permit could not be made durable".to_owned();
        let what = (DenyReason::NotAudited, Some(message), None);
        services.metrics.association(false);
        put_denial(services, connection, Some(dicom), what).await;
        return Err(NotAudited);
    }
    services.would_deny(grant.would_deny());
    services.metrics.association(true);
    let ids = request.contexts.iter().map(|context| context.id).collect();
    let (connection, grant) = (Arc::clone(connection), grant.clone());
    Ok(OpenAssociation { connection, dicom, grant, begun: Instant::now(), ids, trace })
}

/// The record of an association that is let through.
pub(super) fn allowed(connection: &Arc<Connection>, request: &Request, grant: &Grant) -> Record {
    let dicom = Dicom { phi: grant.phi(), ..Dicom::of(request) };
    of_yes(connection, dicom, Rule::granted(grant))
}

fn of_yes(connection: &Arc<Connection>, dicom: Dicom, rule: Rule) -> Record {
    Record {
        connection: Some(Arc::clone(connection)),
        dicom: Some(dicom),
        rule: Some(rule),
        ..Record::new(Action::AssociationAllowed)
    }
}

/// Counts and records the end of an admitted association; `ending` is that of its connection.
pub(super) async fn completed(
    services: &Services,
    open: OpenAssociation,
    end: &End,
    ending: Ending,
    carried: &Carried,
) {
    services.metrics.association_ended(end.how);
    let OpenAssociation { connection, mut dicom, grant, begun, ids, trace } = open;
    for (context, id) in dicom.contexts.iter_mut().zip(ids) {
        let answers = carried.answers.as_deref();
        context.accepted = answers.map(|answers| accepted(answers, id));
    }
    dicom.data_units = carried.data_units;
    dicom.commands.clone_from(&carried.commands);
    let rule = judged(services, (&connection, &dicom), &grant, carried).await;
    dicom.result = Some(end.how.label());
    if let Some(trace) = &trace {
        let failed = !matches!(end.how, AssociationEnding::Released | AssociationEnding::Rejected);
        let how = (Some(end.how.label()), begun.elapsed(), failed);
        traced::association(trace, &connection, &rule, how, None);
    }
    let ours = (end.how == AssociationEnding::Aborted).then(|| ending.label().to_owned());
    let record = Record {
        reason: Some(end.how.label()),
        message: end.message.clone().or(ours),
        connection: Some(connection),
        dicom: Some(dicom),
        rule: Some(rule),
        traffic: Some(Traffic {
            sent_up: carried.moved.up,
            sent_down: carried.moved.down,
            duration: begun.elapsed(),
        }),
        ..Record::new(Action::AssociationCompleted)
    };
    services.audit.note(record).await;
}

/// Ends an admitted association of which the called side has heard nothing.
pub(super) async fn unbegun(
    services: &Services,
    open: OpenAssociation,
    how: AssociationEnding,
    ending: Ending,
    message: Option<String>,
) {
    let over = End { how, ending, message, cause: None };
    completed(services, open, &over, ending, &Carried::default()).await;
}

/// The rule by which the association went on. A command that its presentation context was not for is on record
/// as a denial of its own or, while policy is only observed, beside the rule.
async fn judged(
    services: &Services,
    (connection, dicom): (&Arc<Connection>, &Dicom),
    grant: &Grant,
    carried: &Carried,
) -> Rule {
    let rule = Rule::granted(grant);
    let Some(denied) = carried.misfit.as_ref().and_then(|misfit| grant.mismatch(misfit)) else {
        return rule;
    };
    match grant.context_binding() {
        ContextBinding::Bound => {
            let what = (denied.reason, None, Some(Rule::refused_by(&denied)));
            put_denial(services, connection, Some(dicom.clone()), what).await;
            rule
        }
        ContextBinding::Free | ContextBinding::Observed => {
            let denied = Arc::new(denied);
            services.would_deny(rule.nearest.is_none().then_some(&denied));
            rule.although(&denied)
        }
    }
}

/// A context that is not answered is not accepted.
fn accepted(answers: &[Answer], id: u8) -> bool {
    answers.iter().any(|answer| answer.id == id && answer.accepted)
}

/// Counts and records an association that is not let through; what whoever asked for it is told.
pub(super) async fn deny(
    services: &Services,
    (connection, trace): (&Arc<Connection>, Option<ConnectionTrace>),
    request: &Request,
    denied: &Denied,
) -> Reject {
    let dicom = Dicom { phi: connection.phi, ..Dicom::of(request) };
    let rule = Rule::refused_by(denied);
    if let Some(trace) = &trace {
        let how = (None, Duration::ZERO, false);
        traced::association(trace, connection, &rule, how, Some(denied.reason));
    }
    let what = (denied.reason, None, Some(rule));
    services.expired(denied);
    services.metrics.association(false);
    put_denial(services, connection, Some(dicom), what).await;
    rejection(denied)
}

/// Counts, records and answers what is no request. Whoever asked for nothing is not told of.
pub(super) async fn unasked<S>(
    services: &Services,
    connection: &Arc<Connection>,
    unasked: Unasked,
    stream: S,
    end: &Shutdown,
) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let malformed = match unasked {
        Unasked::Nothing => {
            dicom::close(stream).await;
            return Ending::Finished;
        }
        Unasked::TooSlow => {
            dicom::close(stream).await;
            return Ending::Idle;
        }
        Unasked::Lost(error) => {
            tracing::debug!(listener = %connection.listener, %error, "lost before it was asked for an association");
            return Ending::DownstreamLost;
        }
        Unasked::Malformed(malformed) => malformed,
    };
    let what = (DenyReason::MalformedRequest, Some(malformed.to_string()), None);
    services.metrics.association(false);
    put_denial(services, connection, None, what).await;
    match malformed {
        Malformed::Version => dicom::reject(stream, Reject::VERSION, end).await,
        other => dicom::abort(stream, other.abort(), end).await,
    }
    Ending::ProtocolError
}

async fn put_denial(
    services: &Services,
    connection: &Arc<Connection>,
    dicom: Option<Dicom>,
    (reason, message, rule): (DenyReason, Option<String>, Option<Rule>),
) {
    services.metrics.denied(reason);
    let record = Record {
        reason: Some(reason.label()),
        message,
        connection: Some(Arc::clone(connection)),
        dicom,
        rule,
        ..Record::new(Action::AssociationDenied)
    };
    services.audit.note(record).await;
}

/// What whoever asked is told. Policy's no is always the same, whatever differs: who tries one title after
/// another would learn which ones there are.
fn rejection(denied: &Denied) -> Reject {
    match denied.reason {
        DenyReason::RateLimit | DenyReason::PeerChanged => Reject::CONGESTION,
        DenyReason::ConcurrencyLimit => Reject::LOCAL_LIMIT,
        DenyReason::UnknownPeer
        | DenyReason::NotListed
        | DenyReason::ListingExpired
        | DenyReason::CertificateExpired
        | DenyReason::NoRoute
        | DenyReason::NotListedForRoute
        | DenyReason::RuleExpired
        | DenyReason::SoapMismatch
        | DenyReason::NoMessageRule
        | DenyReason::NotListedForMessage
        | DenyReason::UnknownSender
        | DenyReason::NoAssociationRule
        | DenyReason::NotListedForAssociation
        | DenyReason::SopClass
        | DenyReason::BatchTooLarge
        | DenyReason::SopClassMismatch
        | DenyReason::Rego
        | DenyReason::MalformedRequest
        | DenyReason::NotAudited
        | DenyReason::UnknownDestination
        | DenyReason::PermitWithdrawn => Reject::CALLING_AE,
    }
}
