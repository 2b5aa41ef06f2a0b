//! Pieces of a stream: read into buffers that a worker thread keeps, and gives to whoever has bytes.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::proxy::stream::{Filled, PIECE, poll_fill};

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
    /// Reads what there is.
    pub(super) fn poll<R: AsyncRead + Unpin>(
        cx: &mut Context<'_>,
        reader: &mut R,
        held: &[u8],
    ) -> Poll<Self> {
        let mut chunk = Self { buffer: take(), len: 0, is_last: false, broken: None };
        let mut buffer = ReadBuf::new(&mut chunk.buffer);
        buffer.put_slice(held); // never more than a lead, which is far less than a buffer
        match ready!(poll_fill(cx, reader, &mut buffer)) {
            Filled::More => {}
            Filled::End => chunk.is_last = true,
            Filled::Broken(error) => chunk.broken = Some(error),
        }
        chunk.len = buffer.filled().len();
        Poll::Ready(chunk)
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
    spare.unwrap_or_else(|| vec![0; PIECE].into_boxed_slice())
}
