//! Why a permit was withdrawn, in the record's words.

use std::sync::Arc;

use crate::audit::{Action, Connection, Record, Rule};
use crate::authz::{Denied, ListenerPolicy};
use crate::outcome::{DenyReason, Refusal, Withdrawal};

/// Why there is no permit, as those found it who looked.
pub(super) enum Without {
    /// A handshake would come to nothing.
    Refused(Refusal, String),
    /// The peer would not be let in.
    Denied(Denied),
}

impl Without {
    /// Plaintext is not taken any more.
    pub(super) fn tls() -> Self {
        let message = "plaintext is not taken any more: `mode: permissive` has come to its end";
        Self::Refused(Refusal::NotTls, message.to_owned())
    }

    /// Withdrawn from an open connection.
    pub(super) fn lost(self) -> Lost {
        match self {
            Self::Refused(refusal, message) => Lost::refused((refusal, message)),
            Self::Denied(denied) => Lost::denied(denied),
        }
    }

    /// As the answer to something that was asked for on an open connection.
    pub(super) fn denied(self, policy: &ListenerPolicy) -> Denied {
        match self {
            Self::Refused(refusal, _) => policy.withdrawn(Withdrawal::Refused(refusal)),
            Self::Denied(denied) => denied,
        }
    }
}

/// Why a permit does not hold any more.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    /// The closed set's word for it.
    pub(super) reason: Withdrawal,
    message: String,
    rule: Option<Rule>,
}

impl Lost {
    pub(super) fn refused((refusal, message): (Refusal, String)) -> Self {
        Self { reason: Withdrawal::Refused(refusal), message, rule: None }
    }

    pub(super) fn denied(denied: Denied) -> Self {
        let rule = Rule::refused_by(&denied);
        let message = "the peer would not be let in any more".to_owned();
        Self { reason: Withdrawal::Denied(denied.reason), message, rule: Some(rule) }
    }

    /// The connection's permit holds, and `what` goes on over it would not be let through any more.
    pub(super) fn outlived(denied: Denied, what: &str) -> Self {
        let message = format!("{what} would not be let through any more");
        Self { message, ..Self::denied(denied) }
    }

    /// Something that has not begun would be put on record, or looked at, otherwise by the rules of this moment
    /// than by those that let it through.
    pub(super) fn overtaken() -> Self {
        let message = "it was put on record by rules that were replaced before it began".to_owned();
        Self { reason: Withdrawal::Denied(DenyReason::NotAudited), message, rule: None }
    }

    pub(super) fn record(&self, connection: &Arc<Connection>) -> Record {
        Record {
            reason: Some(self.reason.label()),
            message: Some(self.message.clone()),
            connection: Some(Arc::clone(connection)),
            rule: self.rule.clone(),
            ..Record::new(Action::ConnectionWithdrawn)
        }
    }
}
