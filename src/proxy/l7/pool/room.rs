//! Room for one more upstream connection, made where there is none.

use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::shelves::Shelves;
use super::{Lease, Pool};
use crate::proxy::l7::host::{ConnectError, Host, PoolKey, Wanted};

/// What a request gets that needs a connection.
pub(super) enum Room<H: Host> {
    /// Leave to open one.
    Slot(OwnedSemaphorePermit),
    /// One that came back while there was no room.
    Back(Lease<H>),
}

/// Whether a request may have a connection that was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Any,
    New,
}

impl<H: Host> Pool<H> {
    /// Room for a request. If as many connections are open as may be, those that nobody uses make room,
    /// the longest unused first; if all are in use, the request waits for one, for `connect_timeout`.
    pub(super) async fn room(
        self: &Arc<Self>,
        key: &PoolKey,
        wanted: Wanted,
        need: Need,
    ) -> Result<Room<H>, ConnectError> {
        if let Ok(slot) = Arc::clone(&self.open).try_acquire_owned() {
            return Ok(Room::Slot(slot));
        }
        let room = Box::pin(self.wait_for_room(key, wanted, need)); // rare, and large
        timeout(self.limits.connect_timeout, room).await.unwrap_or(Err(ConnectError::Exhausted))
    }

    async fn wait_for_room(
        self: &Arc<Self>,
        key: &PoolKey,
        wanted: Wanted,
        need: Need,
    ) -> Result<Room<H>, ConnectError> {
        let mut slot = pin!(Arc::clone(&self.open).acquire_owned().map(|slot| match slot {
            Ok(slot) => Ok(Room::Slot(slot)),
            Err(_closed) => Err(ConnectError::Exhausted),
        }));
        // It queues up before it closes anything: the slot that comes free is for whoever waits.
        if let Some(slot) = slot.as_mut().now_or_never() {
            return slot;
        }
        loop {
            let mut returned = pin!(self.returned.notified());
            if returned.as_mut().enable() {
                continue; // from before anyone was waiting
            }
            if need == Need::Any
                && let Some(lease) = self.reuse(key, wanted).await
            {
                return Ok(Room::Back(lease));
            }
            self.on_shelves(Shelves::discard_longest_unused);
            tokio::select! {
                biased;
                slot = slot.as_mut() => return slot,
                () = returned => {}
            }
        }
    }
}
