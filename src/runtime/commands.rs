//! What is asked of the supervisor, and by what it is asked.

use std::os::fd::OwnedFd;

use tokio::sync::{mpsc, oneshot};

use super::{HandOver, ReloadError};
use crate::audit::Reader;
use crate::config::{Config, Problems};
use crate::shutdown::Drained;

/// Commands that may wait.
const WAITING: usize = 16;

/// What the sidecar's handle asks for.
pub(super) enum Command {
    Reload {
        loaded: Box<Result<Config, Problems>>,
        by: Option<Reader>,
        answer: oneshot::Sender<Result<(), ReloadError>>,
    },
    HandOver {
        /// The way to the process that is to serve.
        end: OwnedFd,
        answer: oneshot::Sender<HandOver>,
    },
    Stop {
        by: Option<Reader>,
        answer: oneshot::Sender<Drained>,
    },
}

/// Asks the supervisor.
#[derive(Clone)]
pub(super) struct Commands(mpsc::Sender<Command>);

/// Whoever asks, and the other end.
pub(super) fn commands() -> (Commands, mpsc::Receiver<Command>) {
    let (commands, inbox) = mpsc::channel(WAITING);
    (Commands(commands), inbox)
}

impl Commands {
    /// Puts a new configuration in place of the old one; of a sidecar that drains, judges what is still open by it.
    pub(super) async fn reload(
        &self,
        by: Option<Reader>,
        loaded: Result<Config, Problems>,
    ) -> Result<(), ReloadError> {
        let (answer, answered) = oneshot::channel();
        let command = Command::Reload { loaded: Box::new(loaded), by, answer };
        self.0.send(command).await.map_err(|_gone| ReloadError::Stopping)?;
        answered.await.map_err(|_gone| ReloadError::Stopping)?
    }

    /// Hands over to the process to which `end` leads; what becomes of it comes later.
    pub(super) async fn hand_over(&self, end: OwnedFd) -> Option<oneshot::Receiver<HandOver>> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Command::HandOver { end, answer }).await.ok()?;
        Some(answered)
    }

    /// Drains and ends; a sidecar that has ended meanwhile had finished.
    pub(super) async fn stop(&self, by: Option<Reader>) -> Drained {
        let (answer, answered) = oneshot::channel();
        match self.0.send(Command::Stop { by, answer }).await {
            Ok(()) => answered.await.unwrap_or(Drained::Clean),
            Err(_gone) => Drained::Clean,
        }
    }
}
