//! Things that are used by one thread at a time, kept for the next use near the thread that used them.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Most things that are kept, whatever the number of threads.
const SEATS: usize = 64;

/// Threads have seats, and a seat holds one thing. Threads that share a seat may have to make one anew.
#[derive(Debug)]
pub(super) struct Pool<T>([Mutex<Option<Box<T>>>; SEATS]);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self([const { Mutex::new(None) }; SEATS])
    }
}

impl<T> Pool<T> {
    /// What lies at the seat of this thread.
    pub(super) fn take(&self) -> Option<Box<T>> {
        self.seat()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Leaves `thing` at the seat of this thread.
    pub(super) fn put(&self, thing: Box<T>) {
        let Some(seat) = self.seat() else { return };
        *seat.lock().unwrap_or_else(PoisonError::into_inner) = Some(thing);
    }

    fn seat(&self) -> Option<&Mutex<Option<Box<T>>>> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static SEAT: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        self.0.get(SEAT.get() % SEATS)
    }
}
