//! One of the two ways of a connection, from a reader to a writer.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use metrics::Counter;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::Instant;

use super::Exchanges;
use super::chunk::Chunk;
use super::current::{Current, Said, control_id};
use super::host::{Flow, Host, Message, No};
use crate::outcome::Ending;
use crate::protocol::mllp::{Lead, Reading, Scanner, Step};
use crate::shutdown::Shutdown;

/// Why a way carries nothing more.
#[derive(Debug)]
pub(super) enum Stop {
    /// Its reader has ended, and its writer knows.
    Ended,
    /// It was told to take no more messages, and is between two.
    Drained,
    /// A message may not pass.
    Denied,
    /// What came is no message.
    Malformed,
    /// The reader broke.
    Reading(io::Error),
    /// The writer broke.
    Writing(io::Error),
}

/// What the two ways of a connection share.
pub(super) struct Shared<'a, H: Host> {
    pub(super) host: &'a H,
    pub(super) exchanges: Exchanges<'a, H>,
    /// The connection's end: drained, it takes no more messages.
    pub(super) end: &'a Shutdown,
    /// When something moved last.
    pub(super) clock: Clock,
}

/// When something moved last, in milliseconds.
pub(super) struct Clock {
    begun: Instant,
    moved: AtomicU64,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { begun: Instant::now(), moved: AtomicU64::new(0) }
    }

    fn moved(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    pub(super) fn last(&self) -> Instant {
        self.begun + std::time::Duration::from_millis(self.moved.load(Ordering::Relaxed))
    }
}

/// Rejections, from the way that finds them to the one that sends them.
pub(super) enum Nacks {
    To(Sender<Vec<u8>>),
    From(Receiver<Vec<u8>>),
}

/// One of the two ways.
pub(super) struct Way<'a, H: Host, R, W> {
    shared: &'a Shared<'a, H>,
    flow: Flow,
    reader: R,
    writer: W,
    scanner: Scanner,
    nacks: Nacks,
    /// Read, and too little yet to be judged.
    held: Vec<u8>,
    current: Current<H::Ticket>,
    /// Messages so far.
    number: u64,
    /// What the last of them said of itself.
    last: Said,
    /// Bytes of the current frame.
    frame: u64,
    /// Acknowledgements that are in the current chunk to their ends, with their sizes.
    answered: Vec<(super::exchanges::Open<H::Ticket>, u64)>,
    /// Bytes that the writer has taken.
    pub(super) moved: u64,
    counter: &'a Counter,
}

impl<'a, H: Host, R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Way<'a, H, R, W> {
    pub(super) fn new(
        shared: &'a Shared<'a, H>,
        flow: Flow,
        (reader, writer): (R, W),
        nacks: Nacks,
        counter: &'a Counter,
    ) -> Self {
        let scanner = Scanner::new(match flow {
            Flow::Up => Reading::Messages,
            Flow::Down => Reading::Answers,
        });
        let (held, answered, current) = (Vec::new(), Vec::new(), Current::Nothing);
        let (number, frame, moved, last) = (0, 0, 0, Said::default());
        Self {
            shared,
            flow,
            reader,
            writer,
            scanner,
            nacks,
            held,
            current,
            number,
            last,
            frame,
            answered,
            moved,
            counter,
        }
    }

    /// Carries until it cannot, or may not.
    pub(super) async fn run(&mut self) -> Stop {
        let stop = loop {
            if let Err(stop) = self.turn().await {
                break stop;
            }
        };
        if matches!(stop, Stop::Denied | Stop::Malformed) {
            self.give_up(Ending::Denied); // nobody will acknowledge half a frame
        }
        stop
    }

    /// Tells of what the way was in the middle of when it stopped.
    pub(super) fn give_up(&mut self, ending: Ending) {
        let exchanges = &self.shared.exchanges;
        match std::mem::replace(&mut self.current, Current::Nothing) {
            Current::Nothing | Current::Discarded(_) => {}
            Current::Message(id) => exchanges.broken_off(self.flow, id, self.frame, ending),
            Current::Answer(open) => exchanges.unanswered(open, ending),
        }
        for (open, _) in self.answered.drain(..) {
            exchanges.unanswered(open, ending);
        }
    }

    /// Ends the writer, within what the caller allows.
    pub(super) async fn end(&mut self) {
        if let Err(error) = self.writer.shutdown().await {
            tracing::trace!(%error, "a stream was gone before its end");
        }
    }

    /// Reads once, and carries what came.
    async fn turn(&mut self) -> Result<(), Stop> {
        let mut chunk = match self.next().await? {
            Next::Chunk(chunk) => chunk,
            Next::Nack(nack) => return self.write(&nack).await,
        };
        self.shared.clock.moved();
        let bytes = chunk.bytes();
        let taken = self.carry(bytes).await?;
        let rest = bytes.get(taken..).unwrap_or_default();
        if chunk.is_last {
            if self.flow == Flow::Down {
                self.write(rest).await?; // no message, and never will be one
            }
            self.writer.shutdown().await.map_err(Stop::Writing)?;
            return Err(Stop::Ended);
        }
        self.held = rest.to_vec();
        chunk.broken.take().map_or(Ok(()), |error| Err(Stop::Reading(error)))
    }

    /// What comes next. Between two messages that may be the end, or a rejection that is to be sent.
    async fn next(&mut self) -> Result<Next, Stop> {
        let is_between = !self.scanner.is_inside();
        let Self { nacks, reader, writer, held, shared, .. } = self;
        let interrupted = async {
            match nacks {
                _ if !is_between => pending().await,
                Nacks::To(_) => {
                    shared.end.draining().await;
                    Err(Stop::Drained)
                }
                Nacks::From(nacks) => match nacks.recv().await {
                    Some(nack) => Ok(Next::Nack(nack)),
                    None => pending().await,
                },
            }
        };
        let reading = poll_fn(|cx| match Chunk::poll(cx, reader, held) {
            Poll::Ready(chunk) => Poll::Ready(Ok(Next::Chunk(chunk))),
            Poll::Pending => {
                // Nothing to read: what the writer still holds must go out, the other side may wait for it.
                match Pin::new(&mut *writer).poll_flush(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(Stop::Writing(error))),
                    Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
                }
            }
        });
        tokio::select! {
            biased;
            interrupted = interrupted => interrupted,
            read = reading => read,
        }
    }

    /// Passes what may pass of `bytes`; how many of them are done with.
    async fn carry(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        let (mut sent, mut at) = (0, 0);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let before = bytes.get(sent..at).unwrap_or_default();
            let step = match self.scanner.step(rest) {
                Ok(step) => step,
                Err(malformed) => {
                    self.write(before).await?;
                    let (host, number) = (self.shared.host, self.number + 1);
                    host.malformed(number, malformed).await;
                    return Err(Stop::Malformed);
                }
            };
            match step {
                Step::More => break,
                Step::Pass(count) => at += self.passed(count),
                Step::Other(reply, count) => {
                    self.frame = 0;
                    if let Some(is_safe) = reply {
                        self.shared.exchanges.committed(self.flow.other(), is_safe);
                    }
                    at += count;
                }
                Step::Drop(count) => {
                    self.write(before).await?;
                    at += count;
                    sent = at;
                }
                Step::Message(lead, count, is_further) => {
                    self.write(before).await?;
                    sent = at;
                    self.message(&lead, is_further).await?;
                    at += self.passed(count);
                }
                Step::End(count) => {
                    at += self.passed(count);
                    if let Some(nack) = self.ended() {
                        sent = at;
                        self.reject(nack).await?;
                    }
                }
            }
            if matches!(self.current, Current::Discarded(_)) {
                sent = at;
            }
        }
        self.write(bytes.get(sent..at).unwrap_or_default()).await?;
        for (open, size) in self.answered.drain(..) {
            self.shared.exchanges.answered(open, size);
        }
        Ok(at)
    }

    fn passed(&mut self, count: usize) -> usize {
        self.frame += count as u64;
        count
    }

    /// A message begins: an acknowledgement of what went the other way, or one that has to be admitted.
    async fn message(&mut self, lead: &Lead<'_>, is_further: bool) -> Result<(), Stop> {
        if is_further && matches!(self.current, Current::Discarded(_)) {
            return Ok(());
        }
        if !is_further {
            if self.flow == Flow::Up && self.shared.end.is_draining() {
                return Err(Stop::Drained);
            }
            self.frame = 0;
            if self.answers(lead) {
                return Ok(());
            }
        }
        self.number += 1;
        let control_id = control_id(lead.header.control_id);
        let (number, flow, header) = (self.number, self.flow, &lead.header);
        let same = self.last.is(header);
        let is_repeated = is_further && same;
        let message = Message { number, flow, header, control_id, is_further, is_repeated };
        let Shared { host, exchanges, .. } = self.shared;
        match (host.admit(&message).await, &self.current) {
            (Ok(_ticket), Current::Message(id)) if is_further => exchanges.is_batch(flow, *id),
            (Ok(_ticket), _) if is_further => {}
            (Ok(ticket), _) => {
                let id = exchanges.begin(flow, control_id, ticket, header.is_batch);
                self.current = Current::Message(id);
            }
            (Err(No::Nack(nack)), _) if !is_further => self.current = Current::Discarded(nack),
            (Err(_), _) => return Err(Stop::Denied),
        }
        Ok(())
    }

    /// Whether a message is the answer to one that went the other way.
    fn answers(&mut self, lead: &Lead<'_>) -> bool {
        let (id, code) = match &lead.ack {
            Some(ack) => (control_id(ack.control_id), ack.code),
            None if lead.header.code == b"ACK" => (None, None),
            None => return false,
        };
        let open = self.shared.exchanges.acknowledged(self.flow.other(), id, code);
        let is_answer = open.is_some();
        if let Some(open) = open {
            self.current = Current::Answer(open);
        } else if self.flow == Flow::Down && lead.header.code == b"ACK" {
            self.current = Current::Nothing; // late, or for a message of another connection
            return true;
        }
        is_answer
    }

    /// A frame has ended; the answer to it, if it is our own.
    fn ended(&mut self) -> Option<Vec<u8>> {
        match std::mem::replace(&mut self.current, Current::Nothing) {
            Current::Nothing => {}
            Current::Message(id) => self.shared.exchanges.passed(self.flow, id, self.frame),
            Current::Answer(open) => self.answered.push((open, self.frame)),
            Current::Discarded(nack) => return Some(nack),
        }
        None
    }

    /// Has the other way send a rejection, after the acknowledgements of what came before.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "shared, a way would have to be Sync")]
    async fn reject(&mut self, nack: Vec<u8>) -> Result<(), Stop> {
        self.shared.exchanges.settled(self.flow).await;
        match &self.nacks {
            Nacks::To(nacks) => nacks.send(nack).await.map_err(|_gone| Stop::Denied),
            Nacks::From(_) => Err(Stop::Denied),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.writer.write(rest).await.map_err(Stop::Writing)?;
            if count == 0 {
                return Err(Stop::Writing(io::ErrorKind::WriteZero.into()));
            }
            self.moved += count as u64;
            self.counter.increment(count as u64);
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(())
    }
}

/// What comes next on a way.
enum Next {
    Chunk(Chunk),
    Nack(Vec<u8>),
}

impl Flow {
    fn other(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}
