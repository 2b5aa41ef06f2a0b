//! The worker that serves until this one does, as this one sees it: sockets and trail come from it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::handover::{Channel, ChannelError, Given, VERSION, Wanted};
use crate::listener::Sockets;
use crate::sandbox::Sandbox;

/// It answers within this, or not at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a worker begins with.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// The way to the worker that serves until now, if there is one.
    pub predecessor: Option<OwnedFd>,
    /// What the service manager has opened, each with its name.
    pub sockets: Vec<(String, OwnedFd)>,
    /// What was bound before it gave up the privilege to.
    pub early: Sockets,
    /// What holds it.
    pub sandbox: Arc<Sandbox>,
}

/// Why nothing is handed over to this worker.
#[derive(Debug, thiserror::Error)]
pub enum PredecessorError {
    /// The way to it.
    #[error("the worker that serves until now cannot be reached")]
    Channel(#[from] ChannelError),
    /// It does not answer.
    #[error("the worker that serves until now does not answer")]
    Silent,
    /// It is of another version.
    #[error("the worker that serves until now hands over in another way: restart this sidecar")]
    Foreign,
}

/// The worker that serves until this one does.
pub(super) struct Predecessor {
    channel: Channel,
}

impl Predecessor {
    /// At the other end of `end`, within a runtime.
    pub(super) fn over(end: OwnedFd) -> Result<Self, PredecessorError> {
        Ok(Self { channel: Channel::over(end).map_err(ChannelError::Io)? })
    }

    /// All sockets on which it listens. It goes on to.
    pub(super) async fn sockets(&self) -> Result<Sockets, PredecessorError> {
        self.want(&Wanted::Sockets { version: VERSION }).await?;
        let mut sockets = Sockets::default();
        loop {
            match self.given().await? {
                (Given::Socket { of, listen }, Some(socket)) => sockets.add(of, listen, socket),
                (Given::NoMoreSockets, _) => return Ok(sockets),
                _ => return Err(PredecessorError::Foreign),
            }
        }
    }

    /// Has it leave the trail in `dir`, if it is the one that it writes: then its own records come over what is returned.
    pub(super) async fn trail(
        &self,
        dir: Option<PathBuf>,
    ) -> Result<Option<UnixStream>, PredecessorError> {
        self.want(&Wanted::Trail { dir }).await?;
        match self.given().await? {
            (Given::Trail, records) => Ok(records.map(UnixStream::from)),
            _ => Err(PredecessorError::Foreign),
        }
    }

    /// This worker serves: the other one drains from now on.
    pub(super) async fn nothing_more(self) -> Result<(), PredecessorError> {
        Ok(self.want(&Wanted::Nothing { process: std::process::id() }).await?)
    }

    /// This worker cannot serve: the other one goes on.
    pub(super) async fn cannot(self, why: String) {
        // When it is gone, nobody goes on.
        let _gone = self.want(&Wanted::Up { why }).await;
    }

    async fn want(&self, wanted: &Wanted) -> Result<(), ChannelError> {
        self.channel.send(wanted, None).await
    }

    async fn given(&self) -> Result<(Given, Option<OwnedFd>), PredecessorError> {
        let given = timeout(PATIENCE, self.channel.receive()).await;
        Ok(given.map_err(|_elapsed| PredecessorError::Silent)??)
    }
}

/// Tells the worker at the other end of `end`, which serves until now, that this one cannot.
pub async fn decline(end: OwnedFd, why: String) {
    if let Ok(predecessor) = Predecessor::over(end) {
        predecessor.cannot(why).await;
    }
}
