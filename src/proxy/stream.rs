//! What all relays do with a stream, whatever it carries.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use crate::outcome::Ending;

/// Bytes read at once.
pub(super) const PIECE: usize = 8 * RECORD;
/// The plaintext of a full TLS record (RFC 8446, 5.1).
const RECORD: usize = 16 * 1024;

/// Why there was no more to be read.
pub(super) enum Filled {
    /// There is nothing more at the moment, or no room for another TLS record.
    More,
    /// The stream has ended.
    End,
    /// The stream broke.
    Broken(io::Error),
}

/// Reads all there is behind what `buffer` holds. Pending, it has read nothing.
pub(super) fn poll_fill<R: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    reader: &mut R,
    buffer: &mut ReadBuf<'_>,
) -> Poll<Filled> {
    let held = buffer.filled().len();
    loop {
        let before = buffer.filled().len();
        match Pin::new(&mut *reader).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() == before => {
                return Poll::Ready(Filled::End);
            }
            Poll::Ready(Ok(())) if buffer.remaining() >= RECORD => {}
            Poll::Ready(Ok(())) => return Poll::Ready(Filled::More),
            Poll::Ready(Err(error)) => return Poll::Ready(Filled::Broken(error)),
            Poll::Pending if before == held => return Poll::Pending,
            Poll::Pending => return Poll::Ready(Filled::More),
        }
    }
}

/// Which end of a way broke, and how.
#[derive(Debug)]
pub(super) enum Broken {
    Reading(io::Error),
    Writing(io::Error),
}

impl Broken {
    /// What that means for the connection, and its cause. `up`: the way from downstream to upstream.
    pub(super) fn ending(self, up: bool) -> (Ending, io::Error) {
        let ending = match (&self, up) {
            (Self::Reading(error), _) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Ending::Truncated
            }
            (Self::Reading(_), true) | (Self::Writing(_), false) => Ending::DownstreamLost,
            (Self::Reading(_), false) | (Self::Writing(_), true) => Ending::UpstreamLost,
        };
        let (Self::Reading(cause) | Self::Writing(cause)) = self;
        (ending, cause)
    }
}
