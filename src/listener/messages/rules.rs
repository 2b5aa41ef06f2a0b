//! What the state of a listener of either direction says to a message.

use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;

use crate::audit::Rule;
use crate::authz::{Denied, Grant, Permit};
use crate::config::OnDenied;
use crate::listener::inbound::InboundState;
use crate::listener::outbound::OutboundState;
use crate::listener::permits::Rules;
use crate::listener::quota::Running;
use crate::outcome::DenyReason;
use crate::proxy::mllp::{Flow, Message};

/// What a listener's state has to say about messages.
pub(in crate::listener) trait MessageRules: Rules {
    /// Whether its messages are accesses to PHI.
    fn phi(&self) -> bool;
    /// What becomes of a message that is not let through.
    fn on_denied(&self) -> OnDenied;
    /// Whether rules say who may send as whom.
    fn binds_senders(&self) -> bool;
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
pub(in crate::listener) struct Charged(Mutex<Vec<Arc<str>>>);

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
pub(in crate::listener) struct Judged {
    pub(super) rule: Rule,
    pub(super) phi: bool,
    pub(super) would_deny: Option<Arc<Denied>>,
    pub(super) running: Running,
}

/// Peers send messages, and those are judged; what the workload has to say to a peer that is let in is not.
impl MessageRules for InboundState {
    fn phi(&self) -> bool {
        self.config.phi
    }

    fn on_denied(&self) -> OnDenied {
        self.config.mllp.on_denied
    }

    fn binds_senders(&self) -> bool {
        self.config.mllp.senders.is_some()
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
            Flow::Up if message.place > self.config.limits.batch_messages => {
                Err(self.too_many(permit))
            }
            Flow::Up if message.is_envelope => {
                let grant = self.policy.authorize_envelope(permit, message.header, now)?;
                Ok(Judged::of(&grant, Running::default()))
            }
            Flow::Up => {
                let grant = self.policy.authorize_message(permit, message.header, now)?;
                let running = match (charged.begins(message, grant.rule()), message.is_further) {
                    (true, true) => self.quotas.begin_further(permit, &grant),
                    (true, false) => self.quotas.begin(permit, Some(&grant)),
                    (false, _) => Ok(Running::default()),
                };
                let running = running.map_err(|over| over.denied)?;
                let grant = narrow(grant)?;
                self.quotas.used(permit, Some(&grant), now);
                Ok(Judged::of(&grant, running))
            }
            Flow::Down => Ok(Judged::by(permit, self.config.phi)),
        }
    }
}

impl InboundState {
    /// The denial of what comes in a frame behind as much as one may have.
    fn too_many(&self, permit: &Permit) -> Denied {
        let most = self.config.limits.batch_messages;
        Denied {
            reason: DenyReason::BatchTooLarge,
            rule: Arc::clone(permit.rule()),
            line: permit.line(),
            version: permit.version(),
            peer: None,
            template: None,
            differs: None,
            nearest: format!(
                "more than {most} messages in one frame: send smaller batches, or raise `limits.batch_messages`"
            ),
        }
    }
}

/// Whom the workload may send to was decided at the handshake.
impl MessageRules for OutboundState {
    fn phi(&self) -> bool {
        self.config.phi
    }

    fn on_denied(&self) -> OnDenied {
        OnDenied::Close
    }

    fn binds_senders(&self) -> bool {
        false
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
        Self { rule: Rule::granted(grant), phi: grant.phi(), would_deny, running }
    }

    /// The connection's own rule lets it through.
    fn by(permit: &Permit, phi: bool) -> Self {
        let running = Running::default();
        Self { rule: Rule::permitted(permit), phi, would_deny: None, running }
    }

    /// Accesses to PHI do, and what passes on trial alone. Messages of a file or a batch have records of their own.
    pub(super) fn goes_on_record(&self, message: &Message<'_>) -> bool {
        let is_access = self.phi && !message.is_envelope;
        (is_access || self.would_deny.is_some()) && !message.is_repeated
    }

    /// Whether its record would say the same as that of `other`, and be as durable.
    pub(super) fn is_recorded_as(&self, other: &Self) -> bool {
        let said = |one: &Self| (one.rule.line, one.rule.version, one.phi, one.would_deny.clone());
        self.rule.name == other.rule.name && said(self) == said(other)
    }
}
