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
use super::current::{Current, Kinds};
use super::host::{Flow, Host};
use super::open::Open;
use crate::outcome::Ending;
use crate::protocol::mllp::{Reading, Scanner, Step};
use crate::proxy::stream::Broken;
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
    /// The reader broke, or the writer.
    Broken(Broken),
}

impl Stop {
    fn writing(error: io::Error) -> Self {
        Self::Broken(Broken::Writing(error))
    }
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
    pub(super) shared: &'a Shared<'a, H>,
    pub(super) flow: Flow,
    reader: R,
    writer: W,
    scanner: Scanner,
    pub(super) nacks: Nacks,
    /// Read, and too little yet to be judged.
    held: Vec<u8>,
    pub(super) current: Current<H::Ticket>,
    /// Messages so far.
    pub(super) number: u64,
    /// What those of the current frame say of themselves.
    pub(super) kinds: Kinds,
    /// Messages, and headers of files and batches, of the current frame.
    pub(super) headers: u32,
    /// Bytes of the current frame.
    pub(super) frame: u64,
    /// What has its acknowledgement in the current chunk, to its end, with its size.
    pub(super) answered: Vec<(Open<H::Ticket>, u64)>,
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
        let (number, headers, frame, moved, kinds) = (0, 0, 0, 0, Kinds::default());
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
            kinds,
            headers,
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
            self.writer.shutdown().await.map_err(Stop::writing)?;
            return Err(Stop::Ended);
        }
        self.held = rest.to_vec();
        chunk.broken.take().map_or(Ok(()), |error| Err(Stop::Broken(Broken::Reading(error))))
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
                    Poll::Ready(Err(error)) => Poll::Ready(Err(Stop::writing(error))),
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
            if self.flow == Flow::Up && self.scanner.is_inside() {
                self.scanner.heed_envelopes(self.shared.host.binds_senders());
            }
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
                Step::Envelope(header, count) => {
                    self.write(before).await?;
                    sent = at;
                    self.further_envelope(header).await?;
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

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.writer.write(rest).await.map_err(Stop::writing)?;
            if count == 0 {
                return Err(Stop::writing(io::ErrorKind::WriteZero.into()));
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
