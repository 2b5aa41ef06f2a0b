//! When authorities and lists are read again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until};

use crate::certs::{Trusted, inspect};
use crate::clock;

/// Authorities and lists are read again after this …
const USUAL: Duration = Duration::from_secs(300);
/// … but not sooner than after this, however soon a list or the token is due.
const LEAST: Duration = Duration::from_secs(5);
/// After a server did not answer.
const RETRY: Duration = Duration::from_secs(60);
/// After a certificate was issued: what is in use by then is kept.
const SOON: Duration = Duration::from_secs(1);
/// So often the wall clock is looked at: a machine that was suspended wakes up late.
const LOOK: Duration = Duration::from_secs(30);

/// Says when to read again.
#[derive(Debug)]
pub(super) struct Timer(Mutex<Due>);

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    /// The same by the wall clock.
    wall: OffsetDateTime,
}

impl Due {
    fn after(wait: Duration) -> Self {
        Self { at: Instant::now() + wait, wall: clock::now() + wait }
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self(Mutex::new(Due::after(USUAL)))
    }
}

impl Timer {
    /// Reads again in a few minutes, or when half of the time is over that is left until the first list of
    /// `trusted` ends; or at `token`, when that is to be renewed.
    pub(super) fn set(&self, trusted: &Trusted, token: Option<OffsetDateTime>) {
        let now = clock::now();
        let left = |at: OffsetDateTime| Duration::try_from(at - now).unwrap_or_default();
        let ends = trusted.crls.iter().filter_map(|der| inspect::next_update(der));
        // Nobody may ever sign a list again that is over: its authority may be out of use.
        let lists = ends.map(|end| if end > now { left(end) / 2 } else { RETRY });
        let wait = lists.chain(token.map(left)).fold(USUAL, Duration::min);
        *self.lock() = Due::after(wait.max(LEAST));
    }

    /// Reads again in a minute.
    pub(super) fn retry(&self) {
        *self.lock() = Due::after(RETRY);
    }

    /// Reads again at once, nearly.
    pub(super) fn soon(&self) {
        *self.lock() = Due::after(SOON);
    }

    /// Resolves when it is time. May be dropped and asked again.
    pub(super) async fn due(&self) {
        loop {
            let due = *self.lock();
            if Instant::now() >= due.at || clock::now() >= due.wall {
                return;
            }
            sleep_until(due.at.min(Instant::now() + LOOK)).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Due> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
