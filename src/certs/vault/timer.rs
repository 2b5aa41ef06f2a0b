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
        // A token that is overdue could not be renewed a moment ago.
        let token = token.map(|at| if at > now { left(at) } else { RETRY });
        let wait = lists.chain(token).fold(USUAL, Duration::min);
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

    /// Resolves when it is time, and once: what comes of it sets the next moment, and if nothing does, that is
    /// in a minute. May be dropped and asked again.
    pub(super) async fn due(&self) {
        loop {
            let due = *self.lock();
            if Instant::now() >= due.at || clock::now() >= due.wall {
                self.retry();
                return;
            }
            sleep_until(due.at.min(Instant::now() + LOOK)).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Due> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::certs::openssl::OpenSsl;
    use rustls::pki_types::CertificateRevocationListDer;
    use rustls::pki_types::pem::PemObject;

    /// How long it is until the timer wakes.
    async fn left(timer: &Timer) -> Duration {
        let begin = Instant::now();
        timer.due().await;
        begin.elapsed()
    }

    fn lists(validities: &[&str]) -> Trusted {
        let pki = OpenSsl::new();
        pki.root("root");
        let list = |validity: &&str| {
            pki.crl("list", "root", &[], validity);
            CertificateRevocationListDer::from_pem_file(pki.path("list.crl")).unwrap()
        };
        Trusted { crls: validities.iter().map(list).collect(), ..Trusted::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn lists_are_read_again_every_five_minutes_and_sooner_when_one_ends() {
        let timer = Timer::default();
        assert_eq!(left(&timer).await.as_secs(), 300);
        assert_eq!(left(&timer).await.as_secs(), 60, "nobody has set it");

        for (validities, token, seconds) in [
            (&["-crldays 1"][..], None, 300),
            (&["-crldays 1", "-crlsec 120"], None, 59),
            (&["-crlsec 1"], None, 5),
            (
                &["-crldays 1", "-crl_lastupdate 20260101000000Z -crl_nextupdate 20260102000000Z"],
                None,
                60,
            ),
            (&["-crldays 1"], Some(100), 99),
        ] {
            let trusted = lists(validities);
            let token = token.map(|after| clock::now() + Duration::from_secs(after));
            timer.set(&trusted, token);
            let left = left(&timer).await.as_secs();
            assert!(left.abs_diff(seconds) <= 1, "{validities:?}: {left}, not {seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_timer_may_be_dropped_and_asked_again() {
        let timer = Timer::default();
        timer.soon();

        assert!(timer.due().now_or_never().is_none());
        tokio::time::sleep(SOON).await;
        assert!(timer.due().now_or_never().is_some());
        assert!(timer.due().now_or_never().is_none(), "told once");
    }
}
