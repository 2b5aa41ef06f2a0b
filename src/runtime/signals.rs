//! SIGHUP reloads, SIGTERM and SIGINT drain then cut, and a second one cuts at once. The control socket may ask for the same.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::Sidecar;
use crate::admin::control::Act;
use crate::audit::Reader;
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
    mut sidecar: Sidecar,
    signals: Signals,
    load: impl Fn() -> Result<Config, Problems>,
) -> Drained {
    let Signals { mut terminate, mut interrupt, mut hangup } = signals;
    let (closed, none) = mpsc::channel(1);
    drop(closed);
    let mut acts = std::mem::replace(&mut sidecar.acts, none);
    let by = loop {
        tokio::select! {
            _ = hangup.recv() => {
                let _told_in_the_log = reload(&sidecar, None, load()).await;
            }
            Some(act) = acts.recv() => match act {
                Act::Reload { by, answer } => {
                    // Whoever asked may have gone; the outcome is on record all the same.
                    let _heard = answer.send(reload(&sidecar, Some(by), load()).await);
                }
                Act::Drain { by } => break Some(by),
            },
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
        }
    };
    drop(acts);
    let cut = sidecar.cutter();
    let stopping = sidecar.stop_for(by);
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            drained = &mut stopping => return drained,
            _ = terminate.recv() => cut(),
            _ = interrupt.recv() => cut(),
        }
    }
}

async fn reload(
    sidecar: &Sidecar,
    by: Option<Reader>,
    loaded: Result<Config, Problems>,
) -> Result<(), String> {
    sidecar.reload_for(by, loaded).await.map_err(|error| {
        let why = Report(&error).to_string();
        tracing::error!("reload refused, the old configuration stays: {why}");
        why
    })
}
