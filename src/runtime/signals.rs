//! SIGHUP reloads, SIGTERM and SIGINT drain then cut, and a second one cuts at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Sidecar;
use crate::config::{Config, Problems};
use crate::report::Report;
use crate::shutdown::Drained;

/// The signals that a sidecar obeys, caught from when this is made.
///
/// Made before anything starts: a signal that comes early then waits, and does not kill.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Catches the signals, within a runtime.
    ///
    /// # Errors
    ///
    /// The handlers cannot be set up.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Resolves when the process is to end.
    pub async fn ended(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs until a signal ends the process. `load` reads the configuration again.
pub async fn until_stopped(
    sidecar: Sidecar,
    signals: Signals,
    load: impl Fn() -> Result<Config, Problems>,
) -> Drained {
    let Signals { mut terminate, mut interrupt, mut hangup } = signals;
    loop {
        tokio::select! {
            _ = hangup.recv() => match sidecar.reload(load()).await {
                Ok(()) => {}
                Err(error) => tracing::error!("reload refused, the old configuration stays: {}", Report(&error)),
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    let cut = sidecar.cutter();
    let stopping = sidecar.stop();
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            drained = &mut stopping => return drained,
            _ = terminate.recv() => cut(),
            _ = interrupt.recv() => cut(),
        }
    }
}
