//! The bounded way from the data path to the writer.
//!
//! A plain channel with a semaphore for its bound: those who hand in wait without blocking a thread, and
//! the writer, a thread of its own, waits without a runtime. Records that nobody waits for are gathered
//! for a moment, because to wake the writer for each would cost the data path more than the record.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{Semaphore, oneshot};

use super::line::{Encoded, Origin, Own};
use super::record::Record;
use super::turn::Turn;

/// Records that may wait for the writer.
const CAPACITY: usize = 8192;
/// How long the writer gathers records that nobody waits for, before it writes them.
const GATHER: Duration = Duration::from_millis(5);
/// How long the writer waits, at its end, for a record whose sender has a place but was interrupted.
const STRAGGLER: Duration = Duration::from_millis(100);

/// Tells a waiting permit whether its record is durable, and if not, why.
pub(super) type Waiting = oneshot::Sender<Result<(), Arc<str>>>;

/// A record on its way to the writer.
pub(super) struct Handed {
    /// When it was handed in.
    pub(super) at: OffsetDateTime,
    /// What it says.
    pub(super) what: What,
    /// Who waits for it to be durable.
    pub(super) waiting: Option<Waiting>,
}

impl Handed {
    /// Its line, and who waits for it.
    pub(super) fn encoded(self, origin: &Origin) -> (Encoded, Option<Waiting>) {
        let line = match self.what {
            What::Record(record) => Encoded::new(origin, self.at, &record, &Own::default()),
            What::Line(line) => line,
        };
        (line, self.waiting)
    }
}

/// What a record says.
pub(super) enum What {
    /// As this process says it.
    Record(Box<Record>),
    /// As the process before it has said it.
    Line(Encoded),
}

/// What goes through the queue.
enum Message {
    Record(Handed),
    /// Somebody else is to write the trail.
    Turn(Turn),
    End,
}

/// There was no place, or there is no writer any more.
#[derive(Debug)]
pub(super) struct NoPlace;

/// The data path's end.
pub(super) struct Door {
    sender: Sender<Message>,
    places: Arc<Semaphore>,
    urgent: Arc<Urgent>,
}

/// The writer's end.
pub(super) struct Inbox {
    receiver: Receiver<Message>,
    places: Arc<Semaphore>,
    urgent: Arc<Urgent>,
}

/// Whether something was handed in that the writer must not let wait.
#[derive(Default)]
struct Urgent {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Urgent {
    fn raise(&self) {
        *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Waits until it is raised, at most for `limit`, and lowers it.
    fn wait(&self, limit: Duration) {
        let raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(raised, limit, |raised| !*raised);
        let (mut raised, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *raised = false;
    }
}

/// Makes both ends.
pub(super) fn queue() -> (Door, Inbox) {
    let (sender, receiver) = channel();
    let places = Arc::new(Semaphore::new(CAPACITY));
    let urgent = Arc::new(Urgent::default());
    let door = Door { sender, places: Arc::clone(&places), urgent: Arc::clone(&urgent) };
    (door, Inbox { receiver, places, urgent })
}

impl Door {
    /// Waits for a place and hands in.
    pub(super) async fn hand_in(&self, handed: Handed) -> Result<(), NoPlace> {
        self.places.acquire().await.map_err(|_closed| NoPlace)?.forget();
        self.send(handed)
    }

    /// Hands in if there is a place.
    pub(super) fn hand_in_now(&self, handed: Handed) -> Result<(), NoPlace> {
        self.places.try_acquire().map_err(|_full| NoPlace)?.forget();
        self.send(handed)
    }

    fn send(&self, handed: Handed) -> Result<(), NoPlace> {
        let awaited = handed.waiting.is_some();
        self.sender.send(Message::Record(handed)).map_err(|_gone| NoPlace)?;
        if awaited {
            self.urgent.raise();
        }
        Ok(())
    }

    /// Asks the writer to leave the trail to somebody else.
    pub(super) fn turn(&self, turn: Turn) -> Result<(), NoPlace> {
        self.sender.send(Message::Turn(turn)).map_err(|_gone| NoPlace)?;
        self.urgent.raise();
        Ok(())
    }

    /// Asks the writer to come to its end.
    pub(super) fn close(&self) {
        // When the writer is gone already, that is what was asked for.
        let _gone = self.sender.send(Message::End);
        self.urgent.raise();
    }
}

/// Whether there may be more.
pub(super) enum More {
    /// Go on.
    Yes,
    /// Go on when somebody else has written.
    After(Turn),
    /// The end was asked for, or nobody is left who could hand in.
    No,
}

impl Inbox {
    /// Moves all that waits into `batch`; waits for the first, at most for `patience` if there is one.
    pub(super) fn take(&self, batch: &mut Vec<Handed>, patience: Option<Duration>) -> More {
        let first = match patience {
            Some(patience) => self.receiver.recv_timeout(patience),
            None => self.receiver.recv().map_err(|_gone| RecvTimeoutError::Disconnected),
        };
        let mut next = match first {
            Ok(first) => Some(first),
            Err(RecvTimeoutError::Timeout) => return More::Yes,
            Err(RecvTimeoutError::Disconnected) => return More::No,
        };
        if matches!(&next, Some(Message::Record(handed)) if handed.waiting.is_none()) {
            self.urgent.wait(GATHER);
        }
        let mut more = More::Yes;
        while let Some(message) = next {
            match message {
                Message::Record(handed) => batch.push(handed),
                Message::End => more = More::No,
                Message::Turn(turn) => {
                    more = More::After(turn);
                    break;
                }
            }
            next = (batch.len() < CAPACITY).then(|| self.receiver.try_recv().ok()).flatten();
        }
        self.places.add_permits(batch.len());
        more
    }

    /// Lets nobody in any more and moves what is left into `batch`.
    pub(super) fn close(&self, batch: &mut Vec<Handed>) {
        self.places.close();
        while self.places.available_permits() < CAPACITY {
            let before = batch.len();
            match self.receiver.recv_timeout(STRAGGLER) {
                Ok(Message::Record(handed)) => batch.push(handed),
                Ok(Message::End | Message::Turn(_)) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
            self.places.add_permits(batch.len() - before);
        }
    }
}

/// Nobody waits for a place that never comes.
impl Drop for Inbox {
    fn drop(&mut self) {
        self.places.close();
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;
    use crate::audit::Action;
    use crate::clock;

    fn handed(waiting: Option<Waiting>) -> Handed {
        let record = Box::new(Record::new(Action::ConnectionAllowed));
        Handed { at: clock::now(), what: What::Record(record), waiting }
    }

    #[test]
    fn a_record_that_somebody_waits_for_ends_the_gathering() {
        let urgent = Urgent::default();
        urgent.raise();
        urgent.wait(Duration::from_secs(3600)); // would not come back in time

        let (door, inbox) = queue();
        let (waiting, _answer) = oneshot::channel();
        door.hand_in_now(handed(None)).unwrap();
        door.hand_in_now(handed(Some(waiting))).unwrap();

        let mut batch = Vec::new();
        assert!(matches!(inbox.take(&mut batch, None), More::Yes));
        assert_eq!(batch.len(), 2);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_place_when_the_writer_is_gone() {
        let (door, inbox) = queue();
        (0..CAPACITY).for_each(|_| door.hand_in_now(handed(None)).unwrap());

        let waits = timeout(Duration::from_secs(10), door.hand_in(handed(None)));
        let (waited, ()) = tokio::join!(waits, async { drop(inbox) });

        assert!(matches!(waited, Ok(Err(NoPlace))), "{waited:?}");
    }

    #[test]
    fn the_end_is_heard_behind_records_that_nobody_waits_for() {
        let (door, inbox) = queue();
        door.hand_in_now(handed(None)).unwrap();
        door.close();

        let mut batch = Vec::new();
        assert!(matches!(inbox.take(&mut batch, None), More::No));
        assert_eq!(batch.len(), 1);
    }
}
