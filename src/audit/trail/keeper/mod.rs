//! What becomes of segments that nothing is written to any more: they are compressed and indexed, and removed when their time is
//! over.
//!
//! A thread of its own and of the lowest priority does it, the only one that touches them. What is about to go it tells the
//! writer, who puts that on record and says when the record is durable.

mod compress;
mod expire;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, mem, thread};

use tracing::{info, warn};

use super::segment::Directory;
use crate::audit::line::own::Removed;
use crate::audit::read::files::{SegmentFile, files};
use crate::audit::read::index::{self, Index};
use crate::config::Keeping;

/// So often it looks whether a segment's time is over, beside whenever one is closed.
const LOOK: Duration = Duration::from_secs(3600);
/// The lowest priority of a thread.
const LOWEST: i32 = 19;

/// Says which record is the first that somebody still needs, if there is anybody: what comes before may be removed.
pub type Needs = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// The thread that keeps closed segments. It ends when this is dropped.
pub(in crate::audit) struct Keeper {
    orders: Orders,
    told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
}

/// The way to the thread.
#[derive(Clone)]
pub(in crate::audit) struct Orders(Sender<Order>);

enum Order {
    /// All segments before the one that begins with this record are closed.
    Closed(u64),
    /// It is on durable record that these are removed.
    Remove(Vec<Removed>),
    /// Keep them like this from now on.
    Keep(Keeping),
    /// Ask this before anything is removed.
    Needs(Needs),
    Stop,
}

/// What the thread and the writer know of each other.
#[derive(Default)]
struct Told {
    stop: AtomicBool,
    expired: Mutex<Vec<Removed>>,
}

impl Told {
    fn expired(&self) -> MutexGuard<'_, Vec<Removed>> {
        self.expired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    /// Of the trail in `directory`. `needs` is asked before anything is removed.
    pub(super) fn start(
        directory: Arc<Directory>,
        keeping: Keeping,
        needs: Needs,
    ) -> io::Result<Self> {
        let (sender, orders) = channel();
        let told = Arc::new(Told::default());
        let kept = Kept {
            directory,
            keeping,
            needs,
            closed: 0,
            awaited: false,
            indexed: HashSet::new(),
            told: Arc::clone(&told),
        };
        let thread =
            thread::Builder::new().name("audit-keeper".into()).spawn(move || kept.run(&orders))?;
        Ok(Self { orders: Orders(sender), told, thread: Some(thread) })
    }

    /// The way to it for others.
    pub(in crate::audit) fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// All segments before the one that begins with the record `first` are closed.
    pub(super) fn closed(&self, first: u64) {
        self.orders.give(Order::Closed(first));
    }

    /// Takes what is about to be removed; it waits for [`Self::remove`].
    pub(super) fn take_expired(&self) -> Vec<Removed> {
        mem::take(&mut *self.told.expired())
    }

    /// It is on durable record that these are removed.
    pub(super) fn remove(&self, removed: Vec<Removed>) {
        self.orders.give(Order::Remove(removed));
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.told.stop.store(true, Ordering::Relaxed);
        self.orders.give(Order::Stop);
        if let Some(thread) = self.thread.take() {
            // One that has panicked has said so.
            let _panicked = thread.join();
        }
    }
}

impl Orders {
    /// Keeps segments like this from now on.
    pub(in crate::audit) fn keep(&self, keeping: Keeping) {
        self.give(Order::Keep(keeping));
    }

    /// Removes nothing that is needed.
    pub(in crate::audit) fn needs(&self, needs: Needs) {
        self.give(Order::Needs(needs));
    }

    fn give(&self, order: Order) {
        // Without the thread segments stay as they are.
        let _gone = self.0.send(order);
    }
}

/// The thread's own.
struct Kept {
    directory: Arc<Directory>,
    keeping: Keeping,
    needs: Needs,
    /// Segments that begin before this record are closed.
    closed: u64,
    /// The writer was told of expired segments, and has not answered.
    awaited: bool,
    /// Closed segments that were found to have an index: to look into each of years' worth takes long.
    indexed: HashSet<PathBuf>,
    told: Arc<Told>,
}

impl Kept {
    fn run(mut self, orders: &Receiver<Order>) {
        // Without the right to it, it goes on with the priority of others.
        let _allowed = rustix::process::setpriority_process(None, LOWEST);
        let dir = self.directory.path();
        if let Err(error) = compress::clear(dir).and_then(|()| index::clear(dir)) {
            warn!(%error, "an unfinished copy or index of an audit segment stays behind");
        }
        loop {
            match orders.recv_timeout(LOOK) {
                Ok(Order::Closed(first)) => self.closed = first,
                Ok(Order::Remove(removed)) => self.remove(removed),
                Ok(Order::Keep(keeping)) => self.keeping = keeping,
                Ok(Order::Needs(needs)) => self.needs = needs,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.find_expired();
            self.compress();
            self.index();
        }
    }

    fn find_expired(&mut self) {
        if self.awaited {
            return;
        }
        let needs = (self.needs)();
        match expire::expired(&self.directory, &self.keeping, needs) {
            Ok(expired) => {
                self.awaited = !expired.is_empty();
                *self.told.expired() = expired;
            }
            Err(error) => warn!(
                %error,
                "the oldest segments of the audit trail cannot be read, and stay beyond their retention"
            ),
        }
    }

    fn remove(&mut self, removed: Vec<Removed>) {
        self.awaited = false;
        match &self.keeping.legal_hold {
            None => expire::remove(&self.directory, removed),
            // It came in between. What the record names will be removed when nothing holds it any more.
            Some(_) => info!("segments of the audit trail stay: there is a legal hold now"),
        }
    }

    fn compress(&self) {
        let wanted = self.keeping.compress && !self.told.stop.load(Ordering::Relaxed);
        for file in self.closed() {
            let has_records = || file.path.metadata().is_ok_and(|metadata| metadata.len() > 0);
            if !wanted || file.is_compressed || !has_records() {
                continue;
            }
            match compress::compress(&file, &self.told.stop) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    let segment = file.name.to_string();
                    warn!(segment, %error, "a segment of the audit trail cannot be compressed, and stays as it is; it is tried again within the hour");
                    if is_of_all(&error) {
                        return;
                    }
                }
            }
        }
    }

    /// Gives each closed segment an index, unless it has one.
    fn index(&mut self) {
        let (known, closed) = (mem::take(&mut self.indexed), self.closed().collect::<Vec<_>>());
        for file in closed {
            if self.told.stop.load(Ordering::Relaxed) {
                return;
            }
            let is_known = known.contains(&file.path) && index::beside(&file.path).exists();
            if is_known || Index::of(&file.path).is_some() {
                self.indexed.insert(file.path);
                continue;
            }
            if let Err(error) = index::make(&file.path, &self.told.stop) {
                let segment = file.name.to_string();
                warn!(segment, %error, "a segment of the audit trail gets no index, and searches read it whole; it is tried again within the hour");
                if is_of_all(&error) {
                    return;
                }
            }
        }
    }

    fn closed(&self) -> impl Iterator<Item = SegmentFile> {
        let files = files(self.directory.path()).unwrap_or_default();
        files.into_iter().filter(|file| file.name.first < self.closed)
    }
}

/// Whether the next segment would fare no better: the fault is the disk's, not one file's.
fn is_of_all(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::ReadOnlyFilesystem | ErrorKind::QuotaExceeded
    )
}
