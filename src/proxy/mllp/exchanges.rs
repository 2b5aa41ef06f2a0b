//! Messages that wait for their acknowledgements.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::current::{KINDS, Kind};
use super::host::{Flow, Host};
use super::open::{Beginning, Id, Open};
use crate::outcome::Ending;
use crate::protocol::mllp::AckCode;

/// Messages of one way that may wait at once. Of senders that want no acknowledgements the oldest are then
/// taken to have got none.
const OUTSTANDING: usize = 256;
/// Identifiers of one way that are remembered at once, beside that of each frame's first message. Further ones
/// of batches, and in them, are counted, and not paired.
const IDS: usize = 4096;

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

impl<'a, H: Host> Exchanges<'a, H> {
    pub(super) fn new(host: &'a H) -> Self {
        let waiting = || Mutex::new(Waiting { all: VecDeque::new(), next: 0, answering: 0 });
        Self { host, up: waiting(), down: waiting(), settled: Notify::new() }
    }

    /// A frame with a message passes; the number is how its end is told.
    pub(super) fn begin(&self, mut beginning: Beginning<H::Ticket>) -> u64 {
        let mut waiting = self.waiting(beginning.flow);
        let oldest = waiting.without_room();
        beginning.batch_ids.truncate(IDS.saturating_sub(waiting.ids()));
        let id = waiting.next;
        waiting.next += 1;
        waiting.all.push_back(Open::new(id, beginning));
        drop(waiting);
        for oldest in oldest {
            self.complete(oldest, Ending::Finished);
        }
        id
    }

    /// A frame has another message in it. Beyond [`KINDS`] of them, those of one more kind are told of at once.
    pub(super) fn further(
        &self,
        (flow, id): (Flow, u64),
        (kind, control_id): (Kind, Option<Id>),
        ticket: H::Ticket,
    ) {
        let mut waiting = self.waiting(flow);
        let has_room = waiting.ids() < IDS;
        let Some(open) = waiting.all.iter_mut().find(|open| open.id == id) else { return };
        let kind = match kind {
            Kind::Known(kind) => {
                open.again(kind);
                kind
            }
            Kind::New if open.tickets() < KINDS => open.also(ticket),
            Kind::New => {
                drop(waiting);
                let alone = Open::new(id, Beginning::further(flow, ticket));
                return self.complete(alone, Ending::Finished);
            }
        };
        if let Some(id) = control_id.filter(|_| has_room) {
            open.knows(id, kind);
        }
    }

    /// More of a frame has passed.
    pub(super) fn passed(&self, flow: Flow, id: u64, bytes: u64) {
        if let Some(open) = self.waiting(flow).all.iter_mut().find(|open| open.id == id) {
            open.bytes = bytes;
        }
    }

    /// The frame of this way that an acknowledgement is for: the one with its identifier, or the oldest
    /// where one of the two has none. It goes on to count as waiting until it is [`answered`](Self::answered).
    pub(super) fn acknowledged(
        &self,
        flow: Flow,
        control_id: Option<Id>,
        code: Option<AckCode>,
    ) -> Option<Open<H::Ticket>> {
        let mut waiting = self.waiting(flow);
        let at = match waiting.all.iter().position(|open| open.is_known_by(control_id)) {
            Some(at) => at,
            None if control_id.is_none() => {
                waiting.all.iter().position(|open| open.commit.is_none()).unwrap_or(0)
            }
            None => waiting.all.iter().position(|open| open.ids() == 0)?,
        };
        let mut open = waiting.all.remove(at)?;
        waiting.answering += 1;
        open.acknowledge(control_id, code);
        Some(open)
    }

    /// A frame has its acknowledgement, of so many bytes.
    pub(super) fn answered(&self, mut open: Open<H::Ticket>, bytes: u64) {
        let mut waiting = self.waiting(open.flow);
        waiting.answering -= 1;
        if open.answered(bytes) {
            let at = waiting.all.partition_point(|other| other.id < open.id);
            waiting.all.insert(at, open);
            drop(waiting);
        } else {
            drop(waiting);
            self.complete(open, Ending::Finished);
        }
        self.settled.notify_waiters();
    }

    /// A frame does not come to its end.
    pub(super) fn broken_off(&self, flow: Flow, id: u64, bytes: u64, ending: Ending) {
        let mut waiting = self.waiting(flow);
        let at = waiting.all.iter().position(|open| open.id == id);
        let open = at.and_then(|at| waiting.all.remove(at));
        drop(waiting);
        if let Some(mut open) = open {
            open.bytes = bytes;
            self.complete(open, ending);
            self.settled.notify_waiters();
        }
    }

    /// The acknowledgement of a frame does not come to its end.
    pub(super) fn unanswered(&self, mut open: Open<H::Ticket>, ending: Ending) {
        self.waiting(open.flow).answering -= 1;
        open.unanswered();
        self.complete(open, ending);
        self.settled.notify_waiters();
    }

    /// The receiver's transport has, or has not, put the oldest frame that waits in a safe place.
    pub(super) fn committed(&self, flow: Flow, is_safe: bool) {
        if let Some(open) = self.waiting(flow).all.iter_mut().find(|open| open.commit.is_none()) {
            open.committed(is_safe);
        }
        self.settled.notify_waiters();
    }

    /// Resolves when nothing of this way waits for anything.
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
                self.complete(open, ending);
            }
        }
    }

    fn complete(&self, open: Open<H::Ticket>, ending: Ending) {
        for (ticket, end) in open.ends(ending) {
            self.host.completed(ticket, end);
        }
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

    /// Identifiers that are remembered.
    fn ids(&self) -> usize {
        self.all.iter().map(Open::ids).sum()
    }

    /// Takes out the oldest, until there is room for one more.
    fn without_room(&mut self) -> Vec<Open<T>> {
        let mut tickets: usize = self.all.iter().map(Open::tickets).sum();
        let mut oldest = Vec::new();
        while tickets >= OUTSTANDING
            && let Some(open) = self.all.pop_front()
        {
            tickets -= open.tickets();
            oldest.push(open);
        }
        oldest
    }
}

/// Should the relay be dropped in the middle of things, its messages are told of all the same.
impl<H: Host> Drop for Exchanges<'_, H> {
    fn drop(&mut self) {
        self.close(Ending::Cut);
    }
}
