//! Files as a source.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::contents::Contents;
use super::watch::{Heard, Watcher};
use super::{paths, read};
use crate::certs::MaterialError;
use crate::certs::blocking::Blocking;
use crate::certs::check::{Offered, Unfit, key_fits};
use crate::certs::source::{Looked, Occasion, Source};
use crate::config;

/// At a start, files that do not fit are read again for so long: somebody may just be replacing them.
const START_PATIENCE: Duration = Duration::from_millis(300);
/// The same while there is something good in use: agents write certificate and key one after the other.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two of these reads.
const BETWEEN_READS: Duration = Duration::from_millis(100);
/// Files that were written a shorter time ago may not be complete yet, even if they look so.
const SETTLED: time::Duration = time::Duration::milliseconds(250);

/// So long nothing must happen in the directories before files are looked at.
const QUIET: Duration = Duration::from_millis(250);
/// After so long they are looked at even if something happens all the time.
const NEVER_QUIET: Duration = Duration::from_secs(2);
/// So often files are looked at unasked: network file systems tell nothing, nor do bind mounts always.
const LOOK: Duration = Duration::from_secs(30);
/// The same where directories cannot be watched.
const LOOK_UNWATCHED: Duration = Duration::from_secs(5);

/// Reads key material that someone else puts into files.
pub(in crate::certs) struct Files {
    config: Arc<config::Files>,
    blocking: Blocking,
    watcher: Arc<Mutex<Watcher>>,
    heard: Heard,
    known: Mutex<Known>,
}

/// What was last seen.
#[derive(Default)]
struct Known {
    /// What was in the files when they were read, or told to be news.
    contents: Option<Contents>,
    /// Up to where changes that were heard have been looked at; `None`: nobody has looked yet.
    looked: Option<u64>,
    /// When the next look is due if nothing is heard.
    due: Option<Instant>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Files {
    pub(in crate::certs) fn new(config: config::Files) -> Self {
        Self {
            config: Arc::new(config),
            blocking: Blocking::default(),
            watcher: Arc::default(),
            heard: watch::Sender::new(0),
            known: Mutex::default(),
        }
    }

    /// Reads once, without keeping what was seen.
    async fn read(&self) -> Result<(Result<Offered, MaterialError>, Contents), MaterialError> {
        let config = Arc::clone(&self.config);
        let reading = move || {
            let mut contents = Contents::default();
            let read = read(&config, &mut contents);
            Ok((read, contents))
        };
        self.blocking.run(reading).await
    }

    /// Reads until all files are complete and fit, or have not done so for `patience`.
    async fn whole(
        &self,
        patience: Duration,
        settled: time::Duration,
    ) -> Result<Offered, MaterialError> {
        let deadline = Instant::now() + patience;
        loop {
            let (read, contents) = self.read().await?;
            let again = match &read {
                Ok(offered) => {
                    matches!(key_fits(offered), Some(Unfit::KeyMismatch { .. }))
                        || contents.quiet_for().is_some_and(|quiet| quiet < settled)
                }
                Err(error) => error.may_be_halfway(),
            };
            if !again || Instant::now() + BETWEEN_READS > deadline {
                lock(&self.known).contents = Some(contents);
                return read;
            }
            sleep(BETWEEN_READS).await;
        }
    }

    /// Waits until it is time to look, and says up to where changes have been heard then.
    async fn stirred(&self) -> u64 {
        let mut heard = self.heard.subscribe();
        let (looked, due) = {
            let known = lock(&self.known);
            (known.looked, known.due)
        };
        if let (Some(looked), Some(due)) = (looked, due) {
            let change = heard.wait_for(|count| *count != looked);
            tokio::select! {
                _count = change => {}
                () = sleep_until(due) => return looked,
            }
            let begun = Instant::now();
            while begun.elapsed() < NEVER_QUIET {
                heard.mark_unchanged();
                if timeout(QUIET, heard.changed()).await.is_err() {
                    break;
                }
            }
        }
        *heard.borrow_and_update()
    }

    /// Looks whether the files hold something else than when they were last seen. Whoever drops this
    /// loses nothing: what was found is kept at once, or found again.
    async fn look_for_news(&self, heard: u64) -> bool {
        let files = paths(&self.config);
        let known = lock(&self.known).contents.clone();
        let (watcher, sender) = (Arc::clone(&self.watcher), self.heard.clone());
        let looking = self.blocking.run(move || {
            // In this order: what changes after the look is heard.
            let covered = lock(&watcher).cover(&files, &sender);
            Ok((covered, known.clone().unwrap_or_default().again(&files), known))
        });
        let looked = looking.await;
        let mut known = lock(&self.known);
        let is_first = known.looked.replace(heard).is_none();
        let Ok((covered, now, before)) = looked else {
            known.due = Some(Instant::now() + LOOK_UNWATCHED);
            return false;
        };
        known.due = Some(Instant::now() + if covered { LOOK } else { LOOK_UNWATCHED });
        let news = before.is_some_and(|before| now.differ(&before));
        if news && is_first {
            // It may be changing just now: wait until it is quiet, like after everything that is heard.
            known.looked = Some(heard.wrapping_sub(1));
            return false;
        }
        known.contents = Some(now);
        news
    }
}

impl Source for Files {
    fn offer<'a>(
        &'a self,
        occasion: Occasion<'a>,
    ) -> BoxFuture<'a, Result<Offered, MaterialError>> {
        async move {
            let (patience, settled) = match occasion {
                Occasion::Start => (START_PATIENCE, time::Duration::ZERO),
                Occasion::Refresh(_) | Occasion::Renew(_) => (PATIENCE, SETTLED),
            };
            self.whole(patience, settled).await
        }
        .boxed()
    }

    fn look(&self) -> BoxFuture<'_, Result<Looked, MaterialError>> {
        let look = self.read().map(|read| read.and_then(|(read, _contents)| read));
        look.map(|read| read.map(|offered| Looked::Offered(Box::new(offered)))).boxed()
    }

    fn news(&self) -> BoxFuture<'_, ()> {
        async move {
            loop {
                let heard = self.stirred().await;
                if self.look_for_news(heard).await {
                    return;
                }
            }
        }
        .boxed()
    }

    /// Their owner replaces them.
    fn renews(&self) -> bool {
        false
    }
}

/// What a panic left behind is whole: nothing is written in steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
