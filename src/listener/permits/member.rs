//! One connection that holds a permit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use time::OffsetDateTime;

use super::lost::Lost;
use super::{Rules, Services};
use crate::audit::Connection;
use crate::authz::Permit;
use crate::outcome::{Ending, Withdrawal};
use crate::shutdown::Shutdown;

/// One connection that holds a permit, and its own end.
pub(in crate::listener) struct Member {
    connection: Arc<Connection>,
    end: Shutdown,
    /// The whole listener's end.
    whole: Shutdown,
    /// There is no message to wait for: an end is at once.
    is_endless: AtomicBool,
    withdrawn: OnceLock<Withdrawal>,
}

impl Member {
    pub(super) fn new(connection: Arc<Connection>, whole: &Shutdown, is_endless: bool) -> Self {
        Self {
            connection,
            end: whole.child(),
            whole: whole.clone(),
            is_endless: AtomicBool::new(is_endless),
            withdrawn: OnceLock::new(),
        }
    }

    /// What is known of it.
    pub(in crate::listener) fn connection(&self) -> &Arc<Connection> {
        &self.connection
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
        rules: &S,
        permit: Permit,
        at: OffsetDateTime,
    ) -> Result<Permit, Lost> {
        let narrowed = services.narrow_permit(rules.policy(), permit, &self.connection, at);
        narrowed.map_err(Lost::denied)
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

    /// How a connection ended that seems to have ended in this way.
    pub(in crate::listener) fn ending(&self, ending: Ending) -> Ending {
        match ending {
            Ending::Finished | Ending::Cut | Ending::Idle if self.is_ours() => Ending::Withdrawn,
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
