//! What moves in one exchange, and on one connection: counted, timed, and ended exactly once.

use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::host::{Host, RequestEnd};
use crate::outcome::Ending;
use crate::shutdown::Shutdown;

/// What happens on one downstream connection.
#[derive(Debug)]
pub(super) struct Activity {
    begun: Instant,
    /// Microseconds from `begun` to the last thing that moved.
    moved: AtomicU64,
    in_flight: AtomicUsize,
    quiet: Notify,
    shutdown: Shutdown,
}

impl Activity {
    pub(super) fn new(shutdown: Shutdown) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            moved: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            quiet: Notify::new(),
            shutdown,
        })
    }

    /// A request has begun, until the guard drops.
    pub(super) fn request(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        self.touch();
        InFlight(Arc::clone(self))
    }

    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) > 0
    }

    /// When something moved last.
    pub(super) fn last_moved(&self) -> Instant {
        self.begun + Duration::from_micros(self.moved.load(Ordering::Relaxed))
    }

    /// Resolves when no request is in flight.
    pub(super) async fn quiet(&self) {
        loop {
            let quiet = self.quiet.notified();
            if !self.is_busy() {
                return;
            }
            quiet.await;
        }
    }

    fn touch(&self) {
        self.moved.store(micros(self.begun.elapsed()), Ordering::Relaxed);
    }
}

/// Counts a request as in flight until it drops.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.touch();
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

/// What is there of an exchange before it is on record.
pub(super) struct Started<R> {
    /// When its head was complete.
    pub(super) begun: Instant,
    /// Counts it on its connection.
    pub(super) in_flight: InFlight,
    /// Counts it among those of its peer.
    pub(super) running: R,
}

/// One exchange that was admitted. Both bodies hold it; when the last of them drops, it has ended.
pub(super) struct Flow<H: Host> {
    host: Arc<H>,
    begun: Instant,
    /// Microseconds from `begun`; 0 while it has not happened.
    moved: AtomicU64,
    sent: AtomicU64,
    answered: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    status: AtomicU16,
    ending: OnceLock<Ending>,
    ticket: Mutex<Option<H::Ticket>>,
    in_flight: InFlight,
    running: Mutex<Option<H::Running>>,
}

impl<H: Host> Flow<H> {
    /// An exchange that has started and holds `ticket`.
    pub(super) fn new(host: Arc<H>, started: Started<H::Running>, ticket: H::Ticket) -> Arc<Self> {
        let Started { begun, in_flight, running } = started;
        Arc::new(Self {
            host,
            begun,
            moved: AtomicU64::new(micros(begun.elapsed())),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            status: AtomicU16::new(0),
            ending: OnceLock::new(),
            ticket: Mutex::new(Some(ticket)),
            in_flight,
            running: Mutex::new(Some(running)),
        })
    }

    /// Bytes went upstream.
    pub(super) fn moved_up(&self, bytes: usize) {
        self.up.fetch_add(bytes as u64, Ordering::Relaxed);
        self.touch();
    }

    /// Bytes went downstream.
    pub(super) fn moved_down(&self, bytes: usize) {
        self.down.fetch_add(bytes as u64, Ordering::Relaxed);
        self.touch();
    }

    /// The request has been sent to its end.
    pub(super) fn request_sent(&self) {
        let _ = self.sent.compare_exchange(
            0,
            micros(self.begun.elapsed()).max(1),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        self.touch();
    }

    /// Whether the request has been sent to its end.
    pub(super) fn is_request_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire) > 0
    }

    /// When the request was sent to its end, if it was.
    pub(super) fn sent_at(&self) -> Option<Instant> {
        let sent = self.sent.load(Ordering::Acquire);
        (sent > 0).then(|| self.begun + Duration::from_micros(sent))
    }

    /// When something moved last.
    pub(super) fn last_moved(&self) -> Instant {
        self.begun + Duration::from_micros(self.moved.load(Ordering::Relaxed))
    }

    /// What the downstream is answered.
    pub(super) fn answer(&self, status: StatusCode) {
        self.status.store(status.as_u16(), Ordering::Release);
        self.touch();
    }

    /// The response has been passed on to its end.
    pub(super) fn finished(&self) {
        // Before the downstream has the end: whoever then asks for the next is not over its limit.
        drop(self.running.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.answered.store(micros(self.begun.elapsed()).max(1), Ordering::Release);
        self.end(Ending::Finished);
    }

    /// Notes why the exchange ends; the first reason stays.
    pub(super) fn end(&self, ending: Ending) {
        let _ = self.ending.set(ending);
    }

    /// Whether the downstream broke HTTP, so that no answer can have come.
    pub(super) fn is_malformed(&self) -> bool {
        self.ending.get() == Some(&Ending::ProtocolError)
    }

    /// Puts `ticket` in place of the one that came to nothing, which is completed as not sent.
    pub(super) fn renew(&self, ticket: H::Ticket, ending: Ending) {
        let old = self.ticket.lock().unwrap_or_else(PoisonError::into_inner).replace(ticket);
        if let Some(old) = old {
            self.host.completed(old, self.outcome(ending));
        }
    }

    fn touch(&self) {
        self.moved.store(micros(self.begun.elapsed()), Ordering::Relaxed);
        self.in_flight.0.touch();
    }

    fn outcome(&self, ending: Ending) -> RequestEnd {
        let answered = self.answered.load(Ordering::Acquire);
        RequestEnd {
            status: StatusCode::from_u16(self.status.load(Ordering::Acquire)).ok(),
            sent_up: self.up.load(Ordering::Relaxed),
            sent_down: self.down.load(Ordering::Relaxed),
            duration: match answered {
                0 => self.begun.elapsed(),
                _ => Duration::from_micros(answered),
            },
            ending,
        }
    }
}

impl<H: Host> Drop for Flow<H> {
    fn drop(&mut self) {
        let ending = match self.ending.get() {
            Some(Ending::Finished) => Ending::Finished,
            // A cut ends all connections at once; which of them notices first says nothing.
            Some(_) | None if self.in_flight.0.shutdown.is_cutting() => Ending::Cut,
            Some(ending) => *ending,
            // Nobody said why: the future was dropped, which hyper does when the downstream is gone.
            None => Ending::DownstreamLost,
        };
        let end = self.outcome(ending);
        let ticket = self.ticket.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ticket) = ticket {
            self.host.completed(ticket, end);
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
