//! The filter of this process's log, which may change while it runs.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use time::OffsetDateTime;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::{EnvFilter, Registry};

use super::Filter;

/// A process has one log.
static LIVE: OnceLock<Live> = OnceLock::new();

/// Changes what is logged.
pub(super) struct Live {
    handle: Handle<EnvFilter, Registry>,
    level: Mutex<Level>,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// Now.
    pub filter: Filter,
    /// Until when; then `settled` holds again. `None`: from now on.
    pub until: Option<OffsetDateTime>,
    /// What holds when nothing is for a while.
    pub settled: Filter,
    /// Counts changes, so that the end of one does not undo a later one.
    change: u64,
}

/// A change that ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForNow(u64);

/// The log of this process is not ours to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process's log was started by another program, whose it is to change")]
pub struct NotOurs;

/// The log is ours from now on. A second call changes nothing.
pub(super) fn live(handle: Handle<EnvFilter, Registry>, filter: Filter) {
    let level = Level { settled: filter.clone(), filter, until: None, change: 0 };
    let _started_before = LIVE.set(Live { handle, level: Mutex::new(level) });
}

/// What is logged now.
///
/// # Errors
///
/// The log is another program's.
pub fn level() -> Result<Level, NotOurs> {
    Ok(LIVE.get().ok_or(NotOurs)?.locked().clone())
}

/// Logs what `filter` says from now on; if there is an `until`, only until [`put_back`] is called.
///
/// # Errors
///
/// The log is another program's.
pub fn change(filter: Filter, until: Option<OffsetDateTime>) -> Result<ForNow, NotOurs> {
    let live = LIVE.get().ok_or(NotOurs)?;
    let mut level = live.locked();
    let settled = if until.is_some() { level.settled.clone() } else { filter.clone() };
    let change = level.change + 1;
    live.take(&mut level, Level { filter, until, settled, change });
    Ok(ForNow(change))
}

/// Ends a change that was for a while: the filter that holds again, unless another change came since.
pub fn put_back(ForNow(change): ForNow) -> Option<Filter> {
    let live = LIVE.get()?;
    let mut level = live.locked();
    if level.change != change || level.until.is_none() {
        return None;
    }
    let filter = level.settled.clone();
    live.take(
        &mut level,
        Level { filter: filter.clone(), until: None, settled: filter.clone(), change },
    );
    Some(filter)
}

impl Live {
    fn take(&self, level: &mut Level, new: Level) {
        // The log says so itself, as long as it says anything of the kind, or as soon as it does again.
        let tell = || tracing::info!(filter = %new.filter, "the log's filter is another one");
        let is_told = tracing::enabled!(tracing::Level::INFO);
        if is_told {
            tell();
        }
        if let Err(error) = self.handle.reload(new.filter.compiled()) {
            tracing::warn!(%error, "the log's filter stays as it is");
            return;
        }
        if !is_told {
            tell();
        }
        *level = new;
    }

    fn locked(&self) -> MutexGuard<'_, Level> {
        self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
