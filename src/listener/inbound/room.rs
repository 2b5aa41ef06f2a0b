//! For how many there is room at an inbound listener: let in, let in without being listed, not let in yet.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::InboundState;
use super::http::InboundHttp;
use crate::authz::{Denied, Holder, Permit};
use crate::listener::crowd::{Crowd, Place};
use crate::listener::permits::Permits;
use crate::outcome::{DenyReason, Differs};
use crate::proxy::l7::Pool;

/// What is said to nobody but the operator, of whoever comes beyond the bound.
pub(super) const TOO_MANY_UNLISTED: &str = "there are as many connections of those who are not listed as there may be: half of \
                                 limits.connections, and an eighth for one source";

/// What the connections of a listener share.
pub(super) struct Room {
    pub(super) pool: Arc<Pool<InboundHttp>>,
    pub(super) permits: Arc<Permits<InboundState>>,
    /// Those who were let in.
    pub(super) slots: Arc<Semaphore>,
    /// Those who were not, or not yet.
    pub(super) crowd: Arc<Crowd>,
    /// Those who were let in without being listed.
    pub(super) unlisted: Arc<Crowd>,
}

impl Room {
    /// Waits until somebody more could be let in, and for a place among the unfinished handshakes.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.free().await;
        self.crowd.place().await
    }

    /// Waits until somebody more could be let in.
    pub(super) async fn free(&self) {
        drop(self.slots.acquire().await);
    }

    /// The place of somebody who is let in only because policy is observed. Plaintext has its place before.
    pub(super) fn place_of(
        &self,
        permit: &Permit,
        source: SocketAddr,
    ) -> Result<Option<Place>, Denied> {
        match permit.holder() {
            Holder::Peer(_) | Holder::Plaintext => Ok(None),
            Holder::Observed => match self.unlisted.enter_now(source) {
                Some(place) => Ok(Some(place)),
                None => Err(Denied {
                    reason: DenyReason::ConcurrencyLimit,
                    rule: Arc::clone(permit.rule()),
                    line: permit.line(),
                    version: permit.version(),
                    peer: None,
                    template: None,
                    differs: Some(Differs::Concurrency),
                    nearest: TOO_MANY_UNLISTED.to_owned(),
                }),
            },
        }
    }
}
