//! What the listener does for its messages, and the words that the two share.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::outcome::Ending;
use crate::protocol::mllp::{AckCode, Header, Malformed};

/// What the listener does for the messages of one connection.
pub trait Host: Send + Sync {
    /// One admitted message, until its record is completed.
    type Ticket: Send;

    /// Judges a message, and puts the verdict on record: durably before it passes, where it has to be.
    fn admit<'a>(&'a self, message: &'a Message<'_>) -> Admission<'a, Self::Ticket>;

    /// Whether it matters whom the headers of files and batches name: then all of them are to be asked about.
    fn binds_senders(&self) -> bool;

    /// Whether judging one may take so long that others have to get their turn before it.
    fn takes_long(&self) -> bool;

    /// What came is no message, and does not pass: to be counted and recorded.
    fn malformed(&self, number: u64, why: Malformed) -> impl Future<Output = ()> + Send;

    /// A message that was admitted has its acknowledgement, or will get none.
    fn completed(&self, ticket: Self::Ticket, end: MessageEnd);
}

/// Whether a message may pass.
pub enum Admission<'a, T> {
    /// It may.
    Now(T),
    /// Something has to go on record first. Boxed, for a connection on which nothing happens need not have the
    /// room for it.
    Recorded(Pin<Box<dyn Future<Output = Result<T, No>> + Send + 'a>>),
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// From downstream to upstream: what a listener is there for.
    Up,
    /// From upstream to downstream: what the other side has to say by itself.
    Down,
}

/// A message that asks to pass.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Counts messages on their connection and way from 1.
    pub number: u64,
    /// Which way it goes.
    pub flow: Flow,
    /// What it says of itself.
    pub header: &'a Header<'a>,
    /// It is in the frame of an earlier one, of which a part may have passed.
    pub is_further: bool,
    /// Counts messages, and headers of files and batches, in their frame from 1.
    pub place: u32,
    /// One of the same type and sender came before it in the same frame: judged like all others, it need not
    /// go on record once more.
    pub is_repeated: bool,
    /// It is no message, but the header of a file or a batch of them: it only says who sends.
    pub is_envelope: bool,
}

/// A message may not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum No {
    /// The connection ends.
    Close,
    /// It is answered with this frame, and the connection goes on.
    Nack(Vec<u8>),
}

/// How a message, or those of one type and sender in a frame, came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageEnd {
    /// [`Ending::Finished`] with an acknowledgement; else how the connection ended.
    pub ending: Ending,
    /// What the acknowledgement says, as far as it can be read; of several, the worst.
    pub acknowledgement: Option<AckCode>,
    /// The accept acknowledgement that came before it, and after how long.
    pub accepted: Option<(AckCode, Duration)>,
    /// How many of each code there were, in the order of [`AckCode::ALL`], where each message of a batch got
    /// one of its own.
    pub codes: [u32; AckCode::ALL.len()],
    /// Several messages came in its frame.
    pub is_batch: bool,
    /// How many messages it stands for.
    pub messages: u32,
    /// Bytes from downstream to upstream: of its frame, or of its acknowledgement's.
    pub sent_up: u64,
    /// Bytes from upstream to downstream.
    pub sent_down: u64,
    /// From its header to the end of its acknowledgement.
    pub duration: Duration,
}
