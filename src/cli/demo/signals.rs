//! What the terminal or a script asks of the demonstration.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// SIGINT or SIGTERM: end.
    Stop,
    /// SIGHUP: put changed configurations in place.
    Reload,
}

/// Signals, from when they are first watched.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Keeps signals from ending the process at once.
    pub(super) fn watch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.interrupt.recv() => Order::Stop,
            _ = self.terminate.recv() => Order::Stop,
            _ = self.hangup.recv() => Order::Reload,
        }
    }

    /// Resolves when we are to end.
    pub(super) async fn stop(&mut self) {
        while self.next().await != Order::Stop {}
    }
}
