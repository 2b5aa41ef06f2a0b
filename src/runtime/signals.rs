//! SIGHUP reloads, SIGTERM and SIGINT drain then cut, and a second one cuts at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use super::Sidecar;
use crate::config::{Config, Problems};
use crate::report::Report;
use crate::shutdown::Drained;

/// Runs until a signal ends the process. `load` reads the configuration again.
///
/// # Errors
///
/// The signal handlers cannot be set up.
pub async fn until_stopped(
    sidecar: Sidecar,
    load: impl Fn() -> Result<Config, Problems>,
) -> io::Result<Drained> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
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
            drained = &mut stopping => return Ok(drained),
            _ = terminate.recv() => cut(),
            _ = interrupt.recv() => cut(),
        }
    }
}
