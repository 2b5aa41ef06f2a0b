//! A worker process, and how it ends.

use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

use crate::handover::{Channel, Told};

/// A process that was started, until it is told of its end.
pub(super) struct Worker {
    pub(super) pid: u32,
    pub(super) channel: Channel,
}

impl Worker {
    /// Whether `pid` is its.
    pub(super) fn is(&self, pid: u32) -> bool {
        self.pid == pid
    }

    /// Waits for what it says next; never comes back when it has gone.
    pub(super) async fn told(&self) -> Told {
        match self.channel.receive().await {
            Ok((told, _)) => told,
            Err(_gone) => std::future::pending().await,
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
            Ok(Some((pid, status))) if has_ended(status) => {
                return Some((raw(pid)?, Ended(status)));
            }
            Ok(Some(_still_there)) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

fn has_ended(status: WaitStatus) -> bool {
    status.exited() || status.signaled()
}

fn raw(pid: Pid) -> Option<u32> {
    u32::try_from(pid.as_raw_nonzero().get()).ok()
}
