//! Pieces of a stream: read into buffers that a worker thread keeps, and gives to whoever has bytes.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes read at once.
const SIZE: usize = 8 * RECORD;
/// The plaintext of a full TLS record (RFC 8446, 5.1).
const RECORD: usize = 16 * 1024;
/// Buffers that a worker keeps for the next reader.
const SPARE: usize = 4;

thread_local! {
    static BUFFERS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// What was read, behind what was held back before.
pub(super) struct Chunk {
    buffer: Box<[u8]>,
    len: usize,
    /// The stream has ended behind it.
    pub(super) is_last: bool,
    /// The stream broke behind it.
    pub(super) broken: Option<io::Error>,
}

impl Chunk {
    /// Reads what there is, until there is nothing more at the moment or no room for another TLS record.
    pub(super) fn poll<R: AsyncRead + Unpin>(
        cx: &mut Context<'_>,
        reader: &mut R,
        held: &[u8],
    ) -> Poll<Self> {
        let mut chunk = Self { buffer: take(), len: 0, is_last: false, broken: None };
        let mut buffer = ReadBuf::new(&mut chunk.buffer);
        buffer.put_slice(held); // never more than a lead, which is far less than a buffer
        loop {
            let before = buffer.filled().len();
            match Pin::new(&mut *reader).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().len() == before => chunk.is_last = true,
                Poll::Ready(Ok(())) if buffer.remaining() >= RECORD => continue,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => chunk.broken = Some(error),
                Poll::Pending if before == held.len() => return Poll::Pending,
                Poll::Pending => {}
            }
            chunk.len = buffer.filled().len();
            return Poll::Ready(chunk);
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        // A worker that is shutting down has no place for it any more; then it is simply freed.
        let _ended = BUFFERS.try_with(|buffers| {
            let mut buffers = buffers.borrow_mut();
            if buffers.len() < SPARE {
                buffers.push(buffer);
            }
        });
    }
}

fn take() -> Box<[u8]> {
    let spare = BUFFERS.try_with(|buffers| buffers.borrow_mut().pop()).ok().flatten();
    spare.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice())
}
