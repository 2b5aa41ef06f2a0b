//! Asks the rotation for key material, in two steps: nothing changes before the second.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{Material, MaterialError, Supply};
use crate::identity::PeerCertificate;

/// Requests that may wait; there is one signal handler.
const WAITING: usize = 4;

/// Asks the rotation to load key material now.
#[derive(Debug, Clone)]
pub struct Trigger(mpsc::Sender<Request>);

/// The other end of [`Trigger`].
#[derive(Debug)]
pub struct Triggered(pub(super) mpsc::Receiver<Request>);

/// What a trigger asks for.
#[derive(Debug)]
pub(super) struct Request {
    /// Where from, if not from where it came until now.
    pub(super) supply: Option<Supply>,
    pub(super) answer: oneshot::Sender<Result<Prepared, MaterialError>>,
}

/// Told to put the material in place; tells when that is done.
pub(super) type GoAhead = oneshot::Receiver<oneshot::Sender<()>>;

/// Key material that was loaded and checked, and is not in place yet. Dropped, it changes nothing.
///
/// Nothing else is renewed while this lives, for up to a minute: do not keep it.
#[derive(Debug)]
#[must_use = "nothing changes unless it is put in place"]
pub struct Prepared {
    material: Material,
    go_ahead: oneshot::Sender<oneshot::Sender<()>>,
}

/// A trigger, and what it triggers.
pub fn trigger() -> (Trigger, Triggered) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Trigger(sender), Triggered(receiver))
}

impl Trigger {
    /// Loads key material anew, or from a new source when there is one, and checks it. What is in use
    /// stays in use, and is itself the answer while an embedded leaf is not due for renewal.
    ///
    /// # Errors
    ///
    /// It cannot be used; or the rotation has ended, because the process drains.
    pub async fn prepare(&self, supply: Option<Supply>) -> Result<Prepared, MaterialError> {
        let (answer, answered) = oneshot::channel();
        if self.0.send(Request { supply, answer }).await.is_err() {
            return Err(MaterialError::BrokenOff);
        }
        answered.await.unwrap_or(Err(MaterialError::BrokenOff))
    }

    /// Both steps at once; the answer is what the certificate in use says then.
    ///
    /// # Errors
    ///
    /// As [`Self::prepare`]: the old material stays, as does the old source.
    pub async fn reload(
        &self,
        supply: Option<Supply>,
    ) -> Result<Arc<PeerCertificate>, MaterialError> {
        let prepared = self.prepare(supply).await?;
        let facts = Arc::clone(&prepared.material().facts);
        prepared.put_in_place().await?;
        Ok(facts)
    }
}

impl Prepared {
    pub(super) fn new(material: Material) -> (Self, GoAhead) {
        let (go_ahead, told) = oneshot::channel();
        (Self { material, go_ahead }, told)
    }

    /// What was loaded.
    pub fn material(&self) -> &Material {
        &self.material
    }

    /// Puts the material in place, and its source for the renewals to come. Once this returns, whoever
    /// asks for the current material gets it. It counts as a rotation only if it differs from what is
    /// in use.
    ///
    /// # Errors
    ///
    /// Nothing changed: the process drains, or this was kept for too long.
    pub async fn put_in_place(self) -> Result<(), MaterialError> {
        let (done, is_done) = oneshot::channel();
        self.go_ahead.send(done).map_err(|_nobody| MaterialError::BrokenOff)?;
        is_done.await.map_err(|_ended| MaterialError::BrokenOff)
    }
}
