//! HL7 v2 over MLLP on a listener of either direction: each message is judged by the policy of its moment.

use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;

use super::inbound::InboundState;
use super::outbound::OutboundState;
use super::permits::{Held, Terms};
use super::quota::Running;
use super::{Services, record};
use crate::audit::{Action, Connection, Hl7, Hl7From, Pseudonyms, Record, Rule, Traffic};
use crate::authz::{Denied, Grant, Permit};
use crate::clock;
use crate::config::OnDenied;
use crate::live::Live;
use crate::outcome::{DenyReason, Direction};
use crate::protocol::mllp::{AckCode, Header, Malformed, nack};
use crate::proxy::mllp::{Flow, Host, Message, MessageEnd, No};
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::ListenerMetrics;

/// What a listener's state has to say about messages.
pub(super) trait MessageTerms: Terms {
    /// Whether its messages are accesses to PHI.
    fn phi(&self) -> bool;
    /// What becomes of a message that is not let through.
    fn on_denied(&self) -> OnDenied;
    /// Whether the holder of `permit` may send this message. What rules grant is for `narrow` to narrow.
    fn judge(
        &self,
        permit: &Permit,
        message: &Message<'_>,
        narrow: impl FnOnce(Grant) -> Result<Grant, Denied>,
        now: OffsetDateTime,
        charged: &Charged,
    ) -> Result<Judged, Denied>;
}

/// The rules that the frame in hand has been charged to. A frame is charged once to each: cut in its middle, it
/// would come again, and be cut again.
#[derive(Debug, Default)]
pub(super) struct Charged(Mutex<Vec<Arc<str>>>);

impl Charged {
    /// Whether the frame is charged to this rule with the message that is let through by it.
    fn begins(&self, message: &Message<'_>, rule: &Arc<str>) -> bool {
        let mut charged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !message.is_further {
            charged.clear();
        }
        let is_first = !charged.contains(rule);
        if is_first {
            charged.push(Arc::clone(rule));
        }
        is_first
    }
}

/// Policy's yes.
pub(super) struct Judged {
    rule: Rule,
    phi: bool,
    would_deny: Option<Arc<Denied>>,
    running: Running,
}

/// Peers send messages, and those are judged; what the workload has to say to a peer that is let in is not.
impl MessageTerms for InboundState {
    fn phi(&self) -> bool {
        self.config.phi
    }

    fn on_denied(&self) -> OnDenied {
        self.config.mllp.on_denied
    }

    fn judge(
        &self,
        permit: &Permit,
        message: &Message<'_>,
        narrow: impl FnOnce(Grant) -> Result<Grant, Denied>,
        now: OffsetDateTime,
        charged: &Charged,
    ) -> Result<Judged, Denied> {
        match message.flow {
            Flow::Up if message.is_envelope => {
                let grant = self.policy.authorize_envelope(permit, message.header, now)?;
                Ok(Judged::of(&grant, Running::default()))
            }
            Flow::Up => {
                let grant = self.policy.authorize_message(permit, message.header, now)?;
                let grant = narrow(grant)?;
                let running = match (charged.begins(message, grant.rule()), message.is_further) {
                    (true, true) => self.quotas.begin_further(permit, &grant, now),
                    (true, false) => self.quotas.begin(permit, Some(&grant), now),
                    (false, _) => {
                        self.quotas.used(permit, Some(&grant), now);
                        Ok(Running::default())
                    }
                };
                Ok(Judged::of(&grant, running.map_err(|over| over.denied)?))
            }
            Flow::Down => Ok(Judged::by(permit, self.config.phi)),
        }
    }
}

/// Whom the workload may send to was decided at the handshake.
impl MessageTerms for OutboundState {
    fn phi(&self) -> bool {
        self.config.phi
    }

    fn on_denied(&self) -> OnDenied {
        OnDenied::Close
    }

    fn judge(
        &self,
        permit: &Permit,
        _message: &Message<'_>,
        _narrow: impl FnOnce(Grant) -> Result<Grant, Denied>,
        _now: OffsetDateTime,
        _charged: &Charged,
    ) -> Result<Judged, Denied> {
        Ok(Judged::by(permit, self.config.phi))
    }
}

impl Judged {
    fn of(grant: &Grant, running: Running) -> Self {
        let would_deny = grant.would_deny().map(Arc::clone);
        Self { rule: record::granted(grant), phi: grant.phi(), would_deny, running }
    }

    /// The connection's own rule lets it through.
    fn by(permit: &Permit, phi: bool) -> Self {
        let running = Running::default();
        Self { rule: record::permitted(permit), phi, would_deny: None, running }
    }
}

/// The messages of one connection.
pub(super) struct MllpHost<S: Terms> {
    live: Live<S>,
    services: Services,
    held: Arc<Held<S>>,
    charged: Charged,
}

/// One admitted message, until its end is on record.
pub(super) struct Ticket {
    /// `None`: it is only counted.
    recorded: Option<Box<(Hl7, Rule)>>,
    _running: Running,
}

impl<S: MessageTerms> MllpHost<S> {
    pub(super) fn new(live: Live<S>, services: Services, held: Arc<Held<S>>) -> Self {
        Self { live, services, held, charged: Charged::default() }
    }

    /// The connection's end.
    pub(super) fn end(&self) -> &Shutdown {
        self.held.member().end()
    }

    pub(super) fn metrics(&self) -> &ListenerMetrics {
        &self.services.metrics
    }

    fn connection(&self) -> &Arc<Connection> {
        self.held.member().connection()
    }

    /// A record of what happened to a message.
    fn record(&self, action: Action, hl7: Hl7, rule: Option<Rule>) -> Record {
        let connection = Some(Arc::clone(self.connection()));
        Record { connection, hl7: Some(hl7), rule, ..Record::new(action) }
    }

    /// What goes on record of a message: its header, without what may be somebody's secret or number.
    fn hl7(&self, message: &Message<'_>, phi: bool) -> Hl7 {
        let Message { number, flow, header, is_further, .. } = *message;
        let from = match (flow, self.connection().direction) {
            (Flow::Up, Direction::Inbound) | (Flow::Down, Direction::Outbound) => Hl7From::Peer,
            (Flow::Down, Direction::Inbound) | (Flow::Up, Direction::Outbound) => Hl7From::Workload,
        };
        let key = self.services.audit.pseudonyms().filter(|_| !header.control_id.is_empty());
        Hl7 {
            number,
            from,
            kind: header.kind(),
            sending_application: text(header.sending_application),
            sending_facility: text(header.sending_facility),
            receiving_application: text(header.receiving_application),
            receiving_facility: text(header.receiving_facility),
            control_id: key.map(|key| key.pseudonym(Pseudonyms::MESSAGE, &text(header.control_id))),
            processing_id: word(header.processing_id),
            version: word(header.version),
            is_batch: header.is_batch || is_further,
            phi,
            ..Hl7::default()
        }
    }

    /// By these rules at this moment. The peer is judged with every message: its certificate may have been
    /// revoked, its entry be gone.
    fn judge(
        &self,
        state: &S,
        message: &Message<'_>,
        at: OffsetDateTime,
    ) -> Result<Judged, Denied> {
        let permit = self.held.permit(state, at)?;
        let record = |grant: &Grant| {
            let hl7 = self.hl7(message, grant.phi());
            self.record(Action::MessageAllowed, hl7, Some(record::granted(grant)))
        };
        let narrow = |grant| self.services.narrow(state.policy(), grant, None, record, at);
        state.judge(&permit, message, narrow, at, &self.charged)
    }

    /// Counts and records a message that is not let through.
    async fn denied(&self, message: &Message<'_>, state: &S, denied: &Denied) -> No {
        let Services { metrics, audit, .. } = &self.services;
        self.services.denied(denied);
        metrics.message(message.header.code, false);
        let rule = record::refused_by(denied);
        let hl7 = self.hl7(message, state.phi());
        let record = self.record(Action::MessageDenied, hl7, Some(rule));
        audit.note(Record { reason: Some(denied.reason.label()), ..record }).await;
        if state.on_denied() == OnDenied::Nack && is_for_good(denied.reason) {
            return No::Nack(rejection(message.header));
        }
        No::Close
    }

    /// The record of a message that policy lets through could not be made durable.
    async fn not_audited(&self, message: &Message<'_>) -> No {
        let Services { metrics, audit, .. } = &self.services;
        metrics.denied(DenyReason::NotAudited);
        metrics.message(message.header.code, false);
        let record = self.record(Action::MessageDenied, self.hl7(message, true), None);
        audit.note(Record { reason: Some(DenyReason::NotAudited.label()), ..record }).await;
        No::Close
    }
}

impl<S: MessageTerms> Host for MllpHost<S> {
    type Ticket = Ticket;

    async fn admit(&self, message: &Message<'_>) -> Result<Ticket, No> {
        let now = self.live.snapshot();
        let (state, at) = (&now.value, clock::now());
        let judged = match self.judge(state, message, at) {
            Ok(judged) => judged,
            Err(denied) => return Err(self.denied(message, state, &denied).await),
        };
        let Judged { rule, phi, would_deny, running } = judged;
        if message.is_envelope && would_deny.is_none() {
            return Ok(Ticket { recorded: None, _running: running });
        }
        let mut recorded = None;
        if (phi || would_deny.is_some()) && !message.is_repeated {
            let hl7 = self.hl7(message, phi);
            let allowed = self.record(Action::MessageAllowed, hl7.clone(), Some(rule.clone()));
            if self.services.audit.permit(allowed, phi).await.is_err() {
                return Err(self.not_audited(message).await);
            }
            recorded = Some(Box::new((hl7, rule)));
        }
        self.services.would_deny(would_deny.as_ref());
        self.services.metrics.message(message.header.code, true);
        Ok(Ticket { recorded, _running: running })
    }

    async fn malformed(&self, number: u64, why: Malformed) {
        let Services { metrics, audit, .. } = &self.services;
        let reason = DenyReason::MalformedRequest;
        metrics.denied(reason);
        metrics.message(b"", false);
        let phi = self.live.snapshot().value.phi();
        let hl7 = Hl7 { number, phi, ..Hl7::default() };
        let record = self.record(Action::MessageDenied, hl7, None);
        let (reason, message) = (Some(reason.label()), Some(why.to_string()));
        audit.note(Record { reason, message, ..record }).await;
    }

    fn completed(&self, ticket: Ticket, end: MessageEnd) {
        let code = end.acknowledgement.map(|code| code.label());
        self.services.metrics.acknowledged(code, end.duration);
        let Some((hl7, rule)) = ticket.recorded.map(|recorded| *recorded) else { return };
        let ending = self.held.member().request_ending(end.ending);
        let is_batch = hl7.is_batch || end.is_batch;
        let label = |code: AckCode| code.label();
        let codes = AckCode::ALL.map(label).into_iter().zip(end.codes);
        let hl7 = Hl7 {
            acknowledgement: code,
            accepted: end.accepted.map(|(code, after)| (code.label(), after)),
            acknowledgements: codes.filter(|(_, count)| *count > 0).collect(),
            messages: is_batch.then_some(end.messages),
            is_batch,
            ..hl7
        };
        let record = self.record(Action::MessageCompleted, hl7, Some(rule));
        let MessageEnd { sent_up, sent_down, duration, .. } = end;
        let traffic = Some(Traffic { sent_up, sent_down, duration });
        self.services.audit.note_now(Record { reason: Some(ending.label()), traffic, ..record });
    }
}

/// Whether the same message would be denied tomorrow, too. An `AR` has many senders drop it and go on, so
/// nothing that may pass gets one.
fn is_for_good(reason: DenyReason) -> bool {
    match reason {
        DenyReason::NoMessageRule
        | DenyReason::NotListedForMessage
        | DenyReason::UnknownSender
        | DenyReason::RuleExpired
        | DenyReason::Rego => true,
        DenyReason::UnknownPeer
        | DenyReason::NotListed
        | DenyReason::ListingExpired
        | DenyReason::CertificateExpired
        | DenyReason::NoRoute
        | DenyReason::NotListedForRoute
        | DenyReason::SoapMismatch
        | DenyReason::NoAssociationRule
        | DenyReason::NotListedForAssociation
        | DenyReason::SopClass
        | DenyReason::SopClassMismatch
        | DenyReason::RateLimit
        | DenyReason::ConcurrencyLimit
        | DenyReason::MalformedRequest
        | DenyReason::NotAudited
        | DenyReason::PermitWithdrawn => false,
    }
}

/// The rejection of a message, with a time and an identifier of its own.
fn rejection(header: &Header<'_>) -> Vec<u8> {
    let now = clock::now();
    let (date, time) = (now.date(), now.time());
    let stamp = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    let id = hex::encode(record::random_id().0);
    nack(header, &stamp, id.get(..20).unwrap_or_default())
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

/// A letter or a number of the standard: nothing else can stand there.
fn word(field: &[u8]) -> String {
    let fits = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'.';
    field.iter().filter(fits).take(16).map(|byte| char::from(*byte)).collect()
}
