//! A socket that is read in large pieces.
//!
//! rustls asks for one record at a time; a system call for each costs a receiver a quarter of its CPU.
//! Bytes are read ahead into a buffer that is taken from the worker thread when there is something to
//! read and given back as soon as rustls has taken it all, so an idle connection owns none.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read ahead at most.
const AHEAD: usize = 128 * 1024;
/// Buffers that a worker keeps for the next reader.
const SPARE: usize = 4;

thread_local! {
    static BUFFERS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Wraps a stream; writes go straight through.
#[derive(Debug)]
pub struct Wire<S> {
    inner: S,
    ahead: Option<Ahead>,
}

#[derive(Debug)]
struct Ahead {
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
}

impl<S> Wire<S> {
    /// Reads `inner` ahead from now on.
    pub fn new(inner: S) -> Self {
        Self { inner, ahead: None }
    }

    /// The stream underneath.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S> Drop for Wire<S> {
    fn drop(&mut self) {
        give_back(&mut self.ahead);
    }
}

fn give_back(ahead: &mut Option<Ahead>) {
    if let Some(ahead) = ahead.take() {
        // A worker that is shutting down has no place for it any more; then it is simply freed.
        let _ended = BUFFERS.try_with(|buffers| {
            let mut buffers = buffers.borrow_mut();
            if buffers.len() < SPARE {
                buffers.push(ahead.buffer);
            }
        });
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ahead.is_none() {
            let mut buffer = BUFFERS
                .with_borrow_mut(Vec::pop)
                .unwrap_or_else(|| vec![0; AHEAD].into_boxed_slice());
            let mut filling = ReadBuf::new(&mut buffer);
            let read = Pin::new(&mut this.inner).poll_read(cx, &mut filling);
            let to = filling.filled().len();
            this.ahead = Some(Ahead { buffer, from: 0, to });
            if to == 0 {
                give_back(&mut this.ahead);
                return read;
            }
            ready!(read)?;
        }
        if let Some(ahead) = &mut this.ahead {
            let to = ahead.to.min(ahead.from + out.remaining());
            out.put_slice(ahead.buffer.get(ahead.from..to).unwrap_or_default());
            ahead.from = to;
            if ahead.from == ahead.to {
                give_back(&mut this.ahead);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_was_read_ahead_comes_in_order_and_the_buffer_goes_back() {
        let (mut far, near) = duplex(64);
        let mut wire = Wire::new(near);
        far.write_all(b"abcdef").await.unwrap();

        let mut piece = [0; 4];
        wire.read_exact(&mut piece).await.unwrap();
        assert_eq!(&piece, b"abcd");
        assert!(wire.ahead.is_some());

        wire.read_exact(&mut piece[..2]).await.unwrap();
        assert_eq!(&piece[..2], b"ef");
        assert!(wire.ahead.is_none());
    }

    #[tokio::test]
    async fn the_end_of_the_stream_is_passed_on() {
        let (far, near) = duplex(64);
        let mut wire = Wire::new(near);
        drop(far);

        assert_eq!(wire.read(&mut [0; 4]).await.unwrap(), 0);
    }
}
