//! One of the two ways through a relay.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::proxy::stream::{Broken, Filled, PIECE, poll_fill};

thread_local! {
    /// Where a worker reads to; borrowed within one poll, never across an await.
    static WORKER: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into_boxed_slice());
}

/// Looks at bytes on their way.
pub(in crate::proxy) trait Look {
    /// How many of `bytes` may go on. If not all of them may, the way is stopped after those.
    fn pass(&mut self, bytes: &[u8]) -> usize;

    /// Whether nothing may go on any more, even if all that was read may.
    fn is_over(&self) -> bool {
        false
    }

    /// Whether the writer is not to be ended with the reader, for something is still to be said to it.
    fn keeps_writer(&self) -> bool {
        false
    }
}

/// Lets everything pass, unseen.
pub(in crate::proxy) struct Blind;

impl Look for Blind {
    fn pass(&mut self, bytes: &[u8]) -> usize {
        bytes.len()
    }
}

/// One of the two ways, from a reader to a writer.
#[derive(Default)]
pub(in crate::proxy) struct Way {
    /// Read and not yet taken by the writer; empty nearly always.
    left: Vec<u8>,
    /// How much of `left` the writer has taken.
    taken: usize,
    state: State,
    /// Bytes that the writer has taken: what was only read has not moved yet.
    pub(in crate::proxy) moved: u64,
}

#[derive(Default)]
enum State {
    #[default]
    Open,
    /// The reader has ended; the writer is to be told.
    Ending,
    Ended,
    /// What was read may not go on; the writer is to have what came before.
    Stopping,
    /// The writer has what came before.
    Stopped,
    /// The reader broke; reported once the writer has what came before.
    Broken(io::Error),
}

impl Way {
    /// Moves what can be moved; ready when the reader has ended and the writer was told, or when the way
    /// was stopped.
    pub(in crate::proxy) fn poll<R, W, L>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        look: &mut L,
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
        L: Look,
    {
        // A bound on one turn, so that a fast pair does not starve the worker's other connections.
        let mut turns = 16;
        loop {
            ready!(self.poll_left(cx, writer)).map_err(Broken::Writing)?;
            if ready!(self.poll_end(cx, writer, look))? {
                return Poll::Ready(Ok(()));
            }
            if turns == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            turns -= 1;
            let moving =
                WORKER.with_borrow_mut(|scratch| self.poll_move(cx, reader, writer, look, scratch));
            if moving.is_pending() {
                // Nothing to read: what the writer still holds must go out, the peer may wait for it.
                // That may be TLS' own: an answer to what the other way has just read.
                ready!(Pin::new(&mut *writer).poll_flush(cx)).map_err(Broken::Writing)?;
            }
            ready!(moving)?;
        }
    }

    /// Tells the writer that nothing more comes, once that is so; whether the way is over.
    fn poll_end<W, L>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
        look: &L,
    ) -> Poll<Result<bool, Broken>>
    where
        W: AsyncWrite + Unpin,
        L: Look,
    {
        let mut writer = Pin::new(writer);
        match std::mem::take(&mut self.state) {
            State::Open => return Poll::Ready(Ok(false)),
            State::Broken(error) => return Poll::Ready(Err(Broken::Reading(error))),
            State::Ending => {
                self.state = State::Ending;
                let told = if look.keeps_writer() {
                    writer.as_mut().poll_flush(cx)
                } else {
                    writer.as_mut().poll_shutdown(cx)
                };
                ready!(told).map_err(Broken::Writing)?;
                self.state = State::Ended;
            }
            State::Stopping => {
                self.state = State::Stopping;
                ready!(writer.as_mut().poll_flush(cx)).map_err(Broken::Writing)?;
                self.state = State::Stopped;
            }
            over @ (State::Ended | State::Stopped) => self.state = over,
        }
        Poll::Ready(Ok(true))
    }

    /// Reads what there is into `scratch` and hands on as much as the writer takes; the rest becomes
    /// `left`.
    fn poll_move<R, W, L>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        look: &mut L,
        scratch: &mut [u8],
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
        L: Look,
    {
        let mut buffer = ReadBuf::new(scratch);
        let filled = ready!(poll_fill(cx, reader, &mut buffer));
        let read = buffer.filled();
        match filled {
            Filled::More => {}
            Filled::End => self.state = State::Ending,
            Filled::Broken(error) if read.is_empty() => {
                return Poll::Ready(Err(Broken::Reading(error)));
            }
            Filled::Broken(error) => self.state = State::Broken(error),
        }
        let passing = look.pass(read);
        if passing < read.len() || look.is_over() {
            self.state = State::Stopping;
        }
        let mut rest = read.get(..passing).unwrap_or(read);
        while !rest.is_empty() {
            match Pin::new(&mut *writer).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(Broken::Writing(io::ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::Writing(error))),
                Poll::Ready(Ok(n)) => {
                    self.moved += n as u64;
                    rest = rest.get(n..).unwrap_or_default();
                }
                Poll::Pending => {
                    self.left = rest.to_vec();
                    self.taken = 0;
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the writer has taken all that may go on.
    pub(in crate::proxy) fn is_clear(&self) -> bool {
        self.left.is_empty()
    }

    /// Whether something was read that may not go on, and the writer has what came before.
    pub(in crate::proxy) fn is_stopped(&self) -> bool {
        matches!(self.state, State::Stopped)
    }

    /// Writes what was read earlier, then gives its memory back.
    fn poll_left<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        while let Some(rest) = self.left.get(self.taken..).filter(|rest| !rest.is_empty()) {
            let n = ready!(Pin::new(&mut *writer).poll_write(cx, rest))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken += n;
            self.moved += n as u64;
        }
        if self.taken > 0 {
            self.left = Vec::new();
            self.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}
