//! What is known of a connection while it lives, so that its end is recorded however it comes.

use std::sync::Arc;

use tokio::time::Instant;

use super::counted::Tally;
use super::traced::TracedConnection;
use super::{Services, record};
use crate::audit::Connection;
use crate::outcome::Ending;
use crate::proxy::l4::{Ended, Moved};
use crate::traces::ConnectionTrace;

/// Filled as a connection lives.
#[derive(Default)]
pub(super) struct Life {
    /// Set once its permit is on record: then the ending goes on record, too.
    pub(super) permitted: Option<Arc<Connection>>,
    /// How much a relay moved.
    pub(super) moved: Moved,
    /// How much went through, where HTTP moves the bytes.
    pub(super) tally: Option<Arc<Tally>>,
    /// What is to be said about the ending.
    pub(super) message: Option<String>,
    /// `None`: it is not traced.
    pub(super) traced: Option<Box<TracedConnection>>,
}

impl Life {
    /// The trace that its messages or its association are in.
    pub(super) fn trace(&self) -> Option<ConnectionTrace> {
        self.traced.as_ref().map(|traced| traced.trace.clone())
    }

    /// Notes how a relay came to its end.
    pub(super) fn relayed(&mut self, ended: Ended) -> Ending {
        self.message = ended.cause.map(|cause| cause.to_string());
        ended.ending
    }

    /// Counts and records the end, once.
    pub(super) async fn end(self, services: &Services, ending: Ending, begun: Instant) {
        services.metrics.closed(ending);
        if let Some(traced) = &self.traced {
            traced.ended(ending, begun.elapsed());
        }
        if let Some(connection) = &self.permitted {
            let took = begun.elapsed();
            let moved = self.tally.map_or(self.moved, |tally| tally.moved());
            let closed = record::closed(connection, ending, self.message, moved, took);
            services.audit.note(closed).await;
        }
    }
}
