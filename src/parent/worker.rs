//! A worker process, and how it ends.

use std::os::fd::BorrowedFd;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};

use crate::handover::{Channel, Order, Told};
use crate::report::Report;

/// A process that was started, until it is told of its end.
pub(super) struct Worker {
    pub(super) pid: u32,
    pub(super) channel: Channel,
}

impl Worker {
    /// Gives an order. Of a worker that has gone is heard otherwise.
    pub(super) async fn tell(&self, order: &Order, descriptor: Option<BorrowedFd<'_>>) {
        if let Err(error) = self.channel.send(order, descriptor).await {
            tracing::debug!(?order, "order not heard: {}", Report(&error));
        }
    }

    /// Waits for what it says next; never comes back when it has gone.
    pub(super) async fn told(&self) -> Told {
        match self.channel.receive().await {
            Ok((told, _)) => told,
            Err(_gone) => std::future::pending().await,
        }
    }

    /// What it said before it ended, one by one.
    pub(super) async fn last_told(&self) -> Option<Told> {
        self.channel.receive().await.ok().map(|(told, _)| told)
    }

    /// Ends it at once.
    pub(super) fn kill(&self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // It was not waited for: the number is still its own.
        if let Some(Err(error)) = pid.map(|pid| kill_process(pid, Signal::KILL)) {
            tracing::debug!(%error, process = self.pid, "not killed");
        }
    }
}

/// How a process has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended(WaitStatus);

impl Ended {
    /// Its exit code, or 128 and the signal that has killed it: as a shell says it.
    pub(super) fn code(self) -> u8 {
        let code = self.0.exit_status().or_else(|| self.0.terminating_signal().map(|n| 128 + n));
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
    }
}

/// The next child that has ended, if there is one.
pub(super) fn ended() -> Option<(u32, Ended)> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if status.exited() || status.signaled() => {
                return Some((raw(pid)?, Ended(status)));
            }
            Ok(Some(_still_there)) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

fn raw(pid: Pid) -> Option<u32> {
    u32::try_from(pid.as_raw_nonzero().get()).ok()
}
