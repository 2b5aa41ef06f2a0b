//! One connection that holds a permit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use time::OffsetDateTime;

use super::lost::Lost;
use super::{Rules, Services};
use crate::audit::Connection;
use crate::authz::Permit;
use crate::clock;
use crate::live::{Generation, Snapshot};
use crate::outcome::{Ending, Withdrawal};
use crate::shutdown::Shutdown;

/// One connection that holds a permit, and its own end.
pub(in crate::listener) struct Member {
    connection: Arc<Connection>,
    since: OffsetDateTime,
    end: Shutdown,
    /// The whole listener's end.
    whole: Shutdown,
    /// There is no message to wait for: an end is at once.
    is_endless: AtomicBool,
    withdrawn: OnceLock<Withdrawal>,
    asked: Mutex<Asked>,
}

/// Rego's last word on a connection.
struct Asked {
    /// The generation of the rules that it is by.
    by: Generation,
    /// When to ask again, even if nothing is published.
    until: OffsetDateTime,
}

impl Member {
    /// Rego has let it in by the rules of the generation `by`, and is to be asked again at `until`.
    pub(super) fn new(
        connection: Arc<Connection>,
        whole: &Shutdown,
        is_endless: bool,
        (by, until): (Generation, OffsetDateTime),
    ) -> Self {
        Self {
            connection,
            since: clock::now(),
            end: whole.child(),
            whole: whole.clone(),
            is_endless: AtomicBool::new(is_endless),
            withdrawn: OnceLock::new(),
            asked: Mutex::new(Asked { by, until }),
        }
    }

    /// What is known of it.
    pub(in crate::listener) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Since when it holds its permit.
    pub(super) fn since(&self) -> OffsetDateTime {
        self.since
    }

    /// Drained when the permit is withdrawn, and cut when it has not come to its end by itself.
    pub(in crate::listener) fn end(&self) -> &Shutdown {
        &self.end
    }

    /// Why the permit was withdrawn, if it was.
    pub(in crate::listener) fn withdrawn(&self) -> Option<Withdrawal> {
        self.withdrawn.get().copied()
    }

    /// The permit of its group, unless Rego objects to this connection by these rules.
    pub(super) fn narrowed<S: Rules>(
        &self,
        services: &Services,
        now: &Snapshot<S>,
        permit: Permit,
        at: OffsetDateTime,
    ) -> Result<Permit, Lost> {
        let policy = now.value.policy();
        let narrowed = services.narrow_permit(policy, permit, &self.connection, at);
        let mut asked = self.asked();
        if asked.by <= now.generation {
            *asked = Asked { by: now.generation, until: policy.asks_again(at) };
        }
        drop(asked);
        narrowed.map_err(Lost::denied)
    }

    /// Whether Rego is to be asked by these rules at this moment, if there is any.
    pub(super) fn is_due<S>(&self, now: &Snapshot<S>, at: OffsetDateTime) -> bool {
        let asked = self.asked();
        asked.by < now.generation || asked.until <= at
    }

    /// When Rego is to be asked again, if nothing is published before.
    pub(super) fn asked_until(&self) -> OffsetDateTime {
        self.asked().until
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on the bytes are nobody's messages that we know: a tunnel.
    pub(in crate::listener) fn tunnelled(&self) {
        self.is_endless.store(true, Ordering::SeqCst);
        // Either this sees the withdrawal, or the withdrawal sees the tunnel.
        if self.withdrawn().is_some() {
            self.end.cut();
        }
    }

    /// Withdraws the permit: nothing new begins. `false` if it was withdrawn before.
    pub(super) fn withdraw(&self, reason: Withdrawal) -> bool {
        self.withdrawn.set(reason).is_ok()
    }

    /// Ends what is open: at the next message boundary where there are messages, else at once.
    pub(super) fn finish(&self) {
        if self.is_endless.load(Ordering::SeqCst) {
            self.end.cut();
        } else {
            self.end.drain();
        }
    }

    /// How a connection ended that seems to have ended in this way. Denied is what comes between the withdrawal
    /// and the drain, for which its record is waited for.
    pub(in crate::listener) fn ending(&self, ending: Ending) -> Ending {
        match ending {
            Ending::Finished | Ending::Cut | Ending::Idle | Ending::Denied if self.is_ours() => {
                Ending::Withdrawn
            }
            other => other,
        }
    }

    /// How a request ended. One that came to its end in time did so.
    pub(in crate::listener) fn request_ending(&self, ending: Ending) -> Ending {
        match ending {
            Ending::Finished => Ending::Finished,
            _ if self.end.is_cutting() && self.is_ours() => Ending::Withdrawn,
            other => other,
        }
    }

    /// Whether the end is the withdrawal's doing, not the whole listener's.
    fn is_ours(&self) -> bool {
        self.withdrawn().is_some() && !self.whole.is_cutting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::ConnectionId;
    use crate::identity::ListenerName;
    use crate::live::live;
    use crate::outcome::{DenyReason, Direction};

    fn member() -> Member {
        let connection = Connection {
            id: ConnectionId([5; 16]),
            listener: ListenerName::new("adt"),
            direction: Direction::Inbound,
            protocol: "mllp",
            phi: true,
            source: None,
            destination: None,
            asked: None,
            endpoint: None,
            tls: None,
            plaintext: false,
            certificate: None,
            anchor: None,
            identity: None,
            peer: None,
        };
        let (_publisher, rules) = live(());
        let asked = (rules.generation(), time::PrimitiveDateTime::MAX.assume_utc());
        Member::new(Arc::new(connection), &Shutdown::default(), false, asked)
    }

    #[test]
    fn whatever_ends_a_connection_whose_permit_is_gone_it_was_the_withdrawal_or_somebody_else() {
        let member = member();
        assert_eq!(member.ending(Ending::Denied), Ending::Denied);

        assert!(member.withdraw(Withdrawal::Denied(DenyReason::NotListed)));

        for ours in [Ending::Finished, Ending::Cut, Ending::Idle, Ending::Denied] {
            assert_eq!(member.ending(ours), Ending::Withdrawn, "{ours:?}");
        }
        for theirs in [Ending::DownstreamLost, Ending::UpstreamLost, Ending::ProtocolError] {
            assert_eq!(member.ending(theirs), theirs);
        }
    }
}
