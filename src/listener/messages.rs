//! HL7 v2 over MLLP on a listener of either direction: each message is judged by the policy of its moment.

mod rules;
mod words;

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use self::rules::{Charged, Judged, MessageRules};
use self::words::{is_for_good, rejection};
use super::Services;
use super::permits::{Held, Rules};
use super::quota::Running;
use super::traced;
use super::workload::Workload;
use crate::audit::{Action, Connection, Hl7, Hl7From, Pseudonyms, Record, Rule, Traffic};
use crate::authz::{Denied, Grant};
use crate::clock;
use crate::config::OnDenied;
use crate::live::{Generation, Live};
use crate::outcome::{DenyReason, Direction, Ending};
use crate::protocol::mllp::{AckCode, Malformed};
use crate::proxy::mllp::{Admission, Flow, Host, Message, MessageEnd, No};
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::ListenerMetrics;
use crate::traces::ConnectionTrace;

/// The messages of one connection.
pub(super) struct MllpHost<S: Rules> {
    live: Live<S>,
    services: Services,
    held: Arc<Held<S>>,
    charged: Charged,
    /// The trace of the connection; `None`: it is not traced.
    trace: Option<ConnectionTrace>,
}

/// One admitted message, until its end is on record.
pub(super) struct OpenMessage {
    recorded: Recorded,
    /// The same for its span; `None`: it has none.
    traced: Recorded,
    _running: Running,
}

/// What goes on record of a message, and the rule that let it through. `None`: it is only counted.
type Recorded = Option<Box<(Hl7, Rule)>>;

impl<S: MessageRules> MllpHost<S> {
    pub(super) fn new(
        live: Live<S>,
        services: Services,
        held: Arc<Held<S>>,
        trace: Option<ConnectionTrace>,
    ) -> Self {
        Self { live, services, held, charged: Charged::default(), trace }
    }

    /// The connection's end.
    pub(super) fn end(&self) -> &Shutdown {
        self.held.member().end()
    }

    pub(super) fn metrics(&self) -> &ListenerMetrics {
        &self.services.metrics
    }

    /// What is behind an inbound listener.
    pub(super) fn workload(&self) -> &Workload {
        &self.services.workload
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
        let control_id = String::from_utf8_lossy(header.control_id);
        Hl7 {
            number,
            from,
            control_id: key.map(|key| key.pseudonym(Pseudonyms::MESSAGE, &control_id)),
            is_batch: header.is_batch || is_further,
            phi,
            ..Hl7::of(header)
        }
    }

    /// By the rules of this moment.
    async fn judge(&self, message: &Message<'_>) -> Result<(Judged, Generation), No> {
        let now = self.live.snapshot();
        match self.judged(&now.value, message, clock::onward()) {
            Ok(judged) => Ok((judged, now.generation)),
            Err(denied) => Err(self.denied(message, &now.value, &denied).await),
        }
    }

    /// A message that policy lets through, on record, durably if it is an access to PHI.
    async fn put_on_record(&self, message: &Message<'_>, judged: &Judged) -> Result<Recorded, No> {
        let Judged { rule, phi, .. } = judged;
        if !judged.goes_on_record(message) {
            return Ok(None);
        }
        let hl7 = self.hl7(message, *phi);
        let allowed = self.record(Action::MessageAllowed, hl7.clone(), Some(rule.clone()));
        if self.services.audit.permit(allowed, *phi).await.is_err() {
            return Err(self.not_audited(message).await);
        }
        Ok(Some(Box::new((hl7, rule.clone()))))
    }

    fn trace(&self) -> Option<&ConnectionTrace> {
        self.trace.as_ref().filter(|trace| !trace.is_over())
    }

    /// What the span of a message that policy lets through will say; `None`: there is none.
    fn traced(&self, message: &Message<'_>, judged: &Judged) -> Recorded {
        let is_first = !message.is_envelope && !message.is_repeated;
        self.trace().filter(|_| is_first)?;
        Some(Box::new((self.hl7(message, judged.phi), judged.rule.clone())))
    }

    /// The span of a message that was not let through.
    fn trace_denied(&self, hl7: &Hl7, rule: Option<&Rule>, reason: DenyReason) {
        if let Some(trace) = self.trace() {
            let at_once = (Duration::ZERO, None);
            traced::message(trace, self.connection(), (hl7, rule), at_once, Some(reason));
        }
    }

    /// The span of a message that was let through.
    fn trace_completed(&self, traced: Recorded, end: &MessageEnd) {
        let (Some(trace), Some(traced)) = (&self.trace, traced) else { return };
        let (hl7, rule) = *traced;
        let acknowledgement = end.acknowledgement.map(AckCode::label);
        let failed = match self.held.member().request_ending(end.ending) {
            // The application could not do its part; what it rejects is the sender's to mend.
            Ending::Finished => acknowledgement.filter(|code| matches!(*code, "AE" | "CE")),
            ending => Some(ending.label()),
        };
        let hl7 = Hl7 { acknowledgement, ..hl7 };
        let how = (end.duration, failed);
        traced::message(trace, self.connection(), (&hl7, Some(&rule)), how, None);
    }

    /// What was put on record has come to nothing: policy says something else by now.
    fn unsent(&self, recorded: Recorded) {
        let Some((hl7, rule)) = recorded.map(|recorded| *recorded) else { return };
        let record = self.record(Action::MessageCompleted, hl7, Some(rule));
        let reason = Some(Ending::Denied.label());
        self.services.audit.note_now(Record { reason, ..record });
    }

    /// By these rules at this moment. The peer is judged with every message: its certificate may have been
    /// revoked, its entry be gone.
    fn judged(
        &self,
        state: &S,
        message: &Message<'_>,
        at: OffsetDateTime,
    ) -> Result<Judged, Denied> {
        let permit = self.held.permit(state, at)?;
        let record = |grant: &Grant| {
            let hl7 = self.hl7(message, grant.phi());
            self.record(Action::MessageAllowed, hl7, Some(Rule::granted(grant)))
        };
        let narrow = |grant| self.services.narrow(state.policy(), grant, None, record, at);
        state.judge(&permit, message, narrow, at, &self.charged)
    }

    /// Puts a message on record and lets it through, if policy still says the same then: waiting for the record
    /// may have taken a while, and nothing passes on an old verdict.
    async fn recorded(
        &self,
        message: &Message<'_>,
        (mut judged, mut generation): (Judged, Generation),
    ) -> Result<OpenMessage, No> {
        let mut running = std::mem::take(&mut judged.running);
        let mut recorded = self.put_on_record(message, &judged).await?;
        while !self.held.is_still(generation) {
            let further = Message { is_further: true, ..*message }; // it was charged
            let again = self.judge(&further).await;
            let is_as_before = again.as_ref().is_ok_and(|(again, _)| again.is_recorded_as(&judged));
            if !is_as_before {
                self.unsent(recorded.take());
            }
            (judged, generation) = again?;
            if !is_as_before {
                running = std::mem::take(&mut judged.running);
                recorded = self.put_on_record(message, &judged).await?;
            }
        }
        self.passes(message, judged.would_deny.as_ref());
        let traced = self.traced(message, &judged);
        Ok(OpenMessage { recorded, traced, _running: running })
    }

    /// Counts a message that is let through.
    fn passes(&self, message: &Message<'_>, would_deny: Option<&Arc<Denied>>) {
        self.services.would_deny(would_deny);
        self.services.metrics.message(message.header.code, true);
    }

    /// Counts and records a message that is not let through.
    async fn denied(&self, message: &Message<'_>, state: &S, denied: &Denied) -> No {
        let Services { metrics, audit, .. } = &self.services;
        self.services.denied(denied);
        metrics.message(message.header.code, false);
        let rule = Rule::refused_by(denied);
        let hl7 = self.hl7(message, state.phi());
        self.trace_denied(&hl7, Some(&rule), denied.reason);
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
        let hl7 = self.hl7(message, true);
        self.trace_denied(&hl7, None, DenyReason::NotAudited);
        let record = self.record(Action::MessageDenied, hl7, None);
        audit.note(Record { reason: Some(DenyReason::NotAudited.label()), ..record }).await;
        No::Close
    }
}

impl<S: MessageRules> Host for MllpHost<S> {
    type Ticket = OpenMessage;

    fn admit<'a>(&'a self, message: &'a Message<'_>) -> Admission<'a, OpenMessage> {
        let now = self.live.snapshot();
        let is_sure = || message.is_envelope || self.held.is_still(now.generation);
        match self.judged(&now.value, message, clock::onward()) {
            Ok(judged) if judged.goes_on_record(message) || !is_sure() => {
                Admission::Recorded(Box::pin(self.recorded(message, (judged, now.generation))))
            }
            Ok(judged) => {
                let traced = self.traced(message, &judged);
                let Judged { would_deny, running, .. } = judged;
                if !message.is_envelope {
                    self.passes(message, would_deny.as_ref());
                }
                Admission::Now(OpenMessage { recorded: None, traced, _running: running })
            }
            Err(denied) => Admission::Recorded(Box::pin(async move {
                Err(self.denied(message, &now.value, &denied).await)
            })),
        }
    }

    fn binds_senders(&self) -> bool {
        self.live.snapshot().value.binds_senders()
    }

    fn takes_long(&self) -> bool {
        self.live.snapshot().value.policy().rego().is_some()
    }

    async fn malformed(&self, number: u64, why: Malformed) {
        let Services { metrics, audit, .. } = &self.services;
        let reason = DenyReason::MalformedRequest;
        metrics.denied(reason);
        metrics.message(b"", false);
        let phi = self.live.snapshot().value.phi();
        let hl7 = Hl7 { number, phi, ..Hl7::default() };
        self.trace_denied(&hl7, None, reason);
        let record = self.record(Action::MessageDenied, hl7, None);
        let (reason, message) = (Some(reason.label()), Some(why.to_string()));
        audit.note(Record { reason, message, ..record }).await;
    }

    fn completed(&self, ticket: OpenMessage, end: MessageEnd) {
        let code = end.acknowledgement.map(|code| code.label());
        self.services.metrics.acknowledged(code, end.duration);
        self.trace_completed(ticket.traced, &end);
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
