//! Messages that wait for their acknowledgements.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::host::{Flow, Host, MessageEnd};
use crate::outcome::Ending;
use crate::protocol::mllp::AckCode;

/// Messages of one way that may wait at once. Of senders that want no acknowledgements the oldest are then
/// taken to have got none.
const OUTSTANDING: usize = 256;

/// The messages of a connection that wait for their acknowledgements, both ways.
pub(super) struct Exchanges<'a, H: Host> {
    host: &'a H,
    up: Mutex<Waiting<H::Ticket>>,
    down: Mutex<Waiting<H::Ticket>>,
    settled: Notify,
}

/// Those of one way, oldest first.
struct Waiting<T> {
    all: VecDeque<Open<T>>,
    next: u64,
    /// Acknowledgements on their way: found, and not yet passed on to their ends.
    answering: usize,
}

/// One message that waits.
pub(super) struct Open<T> {
    id: u64,
    flow: Flow,
    control_id: Option<[u8; 16]>,
    ticket: T,
    begun: Instant,
    /// Bytes of its frame that have passed.
    bytes: u64,
    is_batch: bool,
    /// What the receiver's transport said (MLLP release 2).
    commit: Option<AckCode>,
    code: Option<AckCode>,
}

impl<'a, H: Host> Exchanges<'a, H> {
    pub(super) fn new(host: &'a H) -> Self {
        let waiting = || Mutex::new(Waiting { all: VecDeque::new(), next: 0, answering: 0 });
        Self { host, up: waiting(), down: waiting(), settled: Notify::new() }
    }

    /// A message passes; the number is how its frame's end is told.
    pub(super) fn begin(
        &self,
        flow: Flow,
        control_id: Option<[u8; 16]>,
        ticket: H::Ticket,
        is_batch: bool,
    ) -> u64 {
        let mut waiting = self.waiting(flow);
        let oldest = match waiting.all.len() < OUTSTANDING {
            true => None,
            false => waiting.all.pop_front(),
        };
        let id = waiting.next;
        waiting.next += 1;
        let (begun, bytes, commit, code) = (Instant::now(), 0, None, None);
        let open = Open { id, flow, control_id, ticket, begun, bytes, is_batch, commit, code };
        waiting.all.push_back(open);
        drop(waiting);
        if let Some(oldest) = oldest {
            self.complete(oldest, Ending::Finished, 0);
        }
        id
    }

    /// More of a message's frame has passed.
    pub(super) fn passed(&self, flow: Flow, id: u64, bytes: u64) {
        if let Some(open) = self.waiting(flow).all.iter_mut().find(|open| open.id == id) {
            open.bytes = bytes;
        }
    }

    /// A message's frame has another one in it.
    pub(super) fn is_batch(&self, flow: Flow, id: u64) {
        if let Some(open) = self.waiting(flow).all.iter_mut().find(|open| open.id == id) {
            open.is_batch = true;
        }
    }

    /// The message of this way that an acknowledgement is for: the one with its identifier, or the oldest
    /// where one of the two has none. It goes on to count as waiting until it is [`answered`](Self::answered).
    pub(super) fn acknowledged(
        &self,
        flow: Flow,
        control_id: Option<[u8; 16]>,
        code: Option<AckCode>,
    ) -> Option<Open<H::Ticket>> {
        let mut waiting = self.waiting(flow);
        let fits = |open: &Open<H::Ticket>| match (open.control_id, control_id) {
            (Some(message), Some(answer)) => message == answer,
            _ => false,
        };
        let at = match waiting.all.iter().position(fits) {
            Some(at) => at,
            None if control_id.is_none() => 0,
            None => waiting.all.iter().position(|open| open.control_id.is_none())?,
        };
        let mut open = waiting.all.remove(at)?;
        waiting.answering += 1;
        open.code = code;
        Some(open)
    }

    /// A message has its acknowledgement, of so many bytes.
    pub(super) fn answered(&self, open: Open<H::Ticket>, bytes: u64) {
        self.waiting(open.flow).answering -= 1;
        self.complete(open, Ending::Finished, bytes);
        self.settled.notify_waiters();
    }

    /// The frame of a message does not come to its end.
    pub(super) fn broken_off(&self, flow: Flow, id: u64, bytes: u64, ending: Ending) {
        let mut waiting = self.waiting(flow);
        let at = waiting.all.iter().position(|open| open.id == id);
        let open = at.and_then(|at| waiting.all.remove(at));
        drop(waiting);
        if let Some(open) = open {
            self.complete(Open { bytes, ..open }, ending, 0);
            self.settled.notify_waiters();
        }
    }

    /// The acknowledgement of a message does not come to its end.
    pub(super) fn unanswered(&self, open: Open<H::Ticket>, ending: Ending) {
        self.waiting(open.flow).answering -= 1;
        self.complete(Open { code: None, ..open }, ending, 0);
        self.settled.notify_waiters();
    }

    /// The receiver's transport has, or has not, put the oldest message that waits in a safe place.
    pub(super) fn committed(&self, flow: Flow, is_safe: bool) {
        if let Some(open) = self.waiting(flow).all.iter_mut().find(|open| open.commit.is_none()) {
            open.commit = Some(if is_safe { AckCode::Ca } else { AckCode::Cr });
        }
        self.settled.notify_waiters();
    }

    /// Resolves when no message of this way waits for anything.
    pub(super) async fn settled(&self, flow: Flow) {
        loop {
            let mut changed = std::pin::pin!(self.settled.notified());
            changed.as_mut().enable(); // before the look, so that nothing comes in between unnoticed
            if self.waiting(flow).is_settled() {
                return;
            }
            changed.await;
        }
    }

    /// The connection is over: nothing that waits will get anything.
    pub(super) fn close(&self, ending: Ending) {
        for flow in [Flow::Up, Flow::Down] {
            let all = std::mem::take(&mut self.waiting(flow).all);
            for open in all {
                let ending = if open.commit.is_some() { Ending::Finished } else { ending };
                self.complete(open, ending, 0);
            }
        }
    }

    fn complete(&self, open: Open<H::Ticket>, ending: Ending, answer: u64) {
        let (sent_up, sent_down) = match open.flow {
            Flow::Up => (open.bytes, answer),
            Flow::Down => (answer, open.bytes),
        };
        let end = MessageEnd {
            ending,
            acknowledgement: open.code.or(open.commit),
            is_batch: open.is_batch,
            sent_up,
            sent_down,
            duration: open.begun.elapsed(),
        };
        self.host.completed(open.ticket, end);
    }

    fn waiting(&self, flow: Flow) -> MutexGuard<'_, Waiting<H::Ticket>> {
        let waiting = match flow {
            Flow::Up => &self.up,
            Flow::Down => &self.down,
        };
        waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Waiting<T> {
    fn is_settled(&self) -> bool {
        self.answering == 0 && self.all.iter().all(|open| open.commit.is_some())
    }
}

/// Should the relay be dropped in the middle of things, its messages are told of all the same.
impl<H: Host> Drop for Exchanges<'_, H> {
    fn drop(&mut self) {
        self.close(Ending::Cut);
    }
}
