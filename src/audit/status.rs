//! What the writer and those who hand in or ask know of each other.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info};

use super::line::Sealed;
use super::pages::Pages;
use crate::audit::line::encode::{Hash, NOTHING_BEFORE};
use crate::clock::rfc3339;
use crate::telemetry::metrics::AuditMetrics;

/// A write that has not returned for this long counts as a failure.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How the trail stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrailStatus {
    /// Where it is kept; `None` when there is none.
    pub dir: Option<PathBuf>,
    /// The file that is written to.
    pub segment: Option<String>,
    /// The last record's number; 0 before the first.
    pub sequence: u64,
    /// SHA-256 of the last record's line, lower-case hexadecimal.
    pub last_hash: String,
    /// The last checkpoint that is durable.
    pub checkpoint: Option<Sealed>,
    /// When it became durable; `None` before the first of this process.
    pub sealed_at: Option<String>,
    /// Why it can't be written now.
    pub failing: Option<String>,
    /// Records that were never written, since this process started.
    pub lost: u64,
    /// PHI accesses that `on_failure: allow` let pass before they were durable, since this process started.
    pub passed_unrecorded: u64,
    /// How often the disk was made to keep what was written (`fdatasync`), since this process started.
    pub syncs: u64,
}

/// Where the writer is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The file that is written to.
    pub(super) segment: Option<String>,
    /// The last record's number.
    pub(super) sequence: u64,
    /// The hash of its line.
    pub(super) last_hash: Hash,
    /// Why it can't go on.
    pub(super) failing: Option<Arc<str>>,
    /// The last checkpoint that is durable.
    pub(super) checkpoint: Option<Sealed>,
    /// When it became durable.
    pub(super) sealed_at: Option<OffsetDateTime>,
    /// Another process writes the trail, or is about to.
    pub(super) is_left: bool,
    /// Since when it has been at the disk.
    pub(super) busy_since: Option<Instant>,
}

/// Shared by the writer and all handles.
pub(super) struct Shared {
    /// Counts what is written.
    pub(super) metrics: AuditMetrics,
    /// For `/denials` and `/observed`.
    pub(super) pages: Pages,
    /// How often `fdatasync` was called.
    pub(super) syncs: AtomicU64,
    /// The number of the last record that is durable, for those who follow the trail.
    pub(super) durable: watch::Sender<u64>,
    dir: Option<PathBuf>,
    progress: Mutex<Progress>,
    lost: AtomicU64,
    lost_at_door: AtomicU64,
    passed_unrecorded: AtomicU64,
    stalled: AtomicBool,
}

impl Shared {
    /// Of a trail in `dir`, or of none.
    pub(super) fn new(dir: Option<PathBuf>, metrics: AuditMetrics) -> Self {
        Self {
            metrics,
            pages: Pages::default(),
            syncs: AtomicU64::new(0),
            durable: watch::Sender::new(0),
            dir,
            progress: Mutex::new(Progress { last_hash: NOTHING_BEFORE, ..Progress::default() }),
            lost: AtomicU64::new(0),
            lost_at_door: AtomicU64::new(0),
            passed_unrecorded: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
        }
    }

    /// Where the trail is kept, if there is one.
    pub(super) fn dir(&self) -> Option<PathBuf> {
        self.dir.clone()
    }

    /// The writer's place, for a moment.
    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a record that could not even be handed to the writer.
    pub(super) fn lose_at_door(&self) {
        self.lose();
        if self.lost_at_door.fetch_add(1, Ordering::Relaxed) == 0 {
            error!("the audit writer takes no more records: records are being lost");
        }
    }

    /// Counts a record that the writer had to give up.
    pub(super) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.metrics.lost();
    }

    /// What was lost at the door since the last call: for the trail to tell.
    pub(super) fn take_lost_at_door(&self) -> u64 {
        self.lost_at_door.swap(0, Ordering::Relaxed)
    }

    /// Counts a PHI access that passed before it was durable.
    pub(super) fn pass_unrecorded(&self) {
        self.passed_unrecorded.fetch_add(1, Ordering::Relaxed);
        self.metrics.passed_unrecorded();
    }

    /// Notes that a permit waited in vain.
    pub(super) fn stall(&self) {
        if !self.stalled.swap(true, Ordering::Relaxed) {
            error!(patience = ?PATIENCE, "the audit trail's disk does not answer");
        }
    }

    /// Notes that the disk has answered.
    pub(super) fn answered(&self) {
        if self.stalled.swap(false, Ordering::Relaxed) {
            info!("the audit trail's disk answers again");
        }
    }

    /// Why the trail can't be written now.
    pub(super) fn failing(&self) -> Option<String> {
        let progress = self.progress();
        if let Some(why) = &progress.failing {
            return Some(why.to_string());
        }
        let busy = progress.busy_since?.elapsed();
        (busy > PATIENCE).then(|| format!("the disk has not answered for {} s", busy.as_secs()))
    }

    /// How the trail stands.
    pub(super) fn status(&self) -> TrailStatus {
        let failing = self.failing();
        let progress = self.progress();
        TrailStatus {
            dir: self.dir.clone(),
            segment: progress.segment.clone(),
            sequence: progress.sequence,
            last_hash: hex::encode(progress.last_hash),
            checkpoint: progress.checkpoint.clone(),
            sealed_at: progress.sealed_at.map(rfc3339),
            failing,
            lost: self.lost.load(Ordering::Relaxed),
            passed_unrecorded: self.passed_unrecorded.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
        }
    }
}
