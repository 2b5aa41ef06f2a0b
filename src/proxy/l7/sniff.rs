//! Which HTTP version a plaintext client speaks: HTTP/2 with prior knowledge says so first.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::host::Spoken;
use crate::config::Limits;
use crate::outcome::Ending;

/// The first bytes of HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A transport from which some bytes were read, and put back.
#[derive(Debug)]
pub(super) struct Rewound<S> {
    again: Bytes,
    io: S,
}

impl<S> Rewound<S> {
    /// A transport from which nothing was read.
    pub(super) fn untouched(io: S) -> Self {
        Self { again: Bytes::new(), io }
    }
}

/// Reads until it is certain whether `io` begins with the preface of HTTP/2: the first byte may take
/// `idle_timeout`, the others as long as a head.
///
/// # Errors
///
/// Reading failed, or took too long.
pub(super) async fn sniff<S: AsyncRead + Unpin>(
    mut io: S,
    limits: &Limits,
) -> Result<(Spoken, Rewound<S>), Ending> {
    let mut first = [0; PREFACE.len()];
    let mut seen = 0;
    let mut deadline = Instant::now() + limits.idle_timeout;
    while PREFACE.starts_with(first.get(..seen).unwrap_or_default()) && seen < PREFACE.len() {
        let reading = io.read(first.get_mut(seen..).unwrap_or_default());
        match timeout_at(deadline, reading).await {
            Ok(Ok(0)) => break,
            Ok(Ok(read)) => {
                if seen == 0 {
                    deadline = Instant::now() + limits.header_timeout;
                }
                seen += read;
            }
            Ok(Err(_)) => return Err(Ending::DownstreamLost),
            Err(_elapsed) => return Err(Ending::Idle),
        }
    }
    let seen = first.get(..seen).unwrap_or_default();
    let spoken = if seen == PREFACE { Spoken::Http2 } else { Spoken::Http1 };
    Ok((spoken, Rewound { again: Bytes::copy_from_slice(seen), io }))
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.again.is_empty() {
            return Pin::new(&mut this.io).poll_read(cx, buffer);
        }
        let here = this.again.len().min(buffer.remaining());
        buffer.put_slice(this.again.get(..here).unwrap_or_default());
        this.again.advance(here);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_preface_of_http2_is_recognized_in_pieces_and_put_back() {
        let (limits, (mut near, far)) = (Limits::default(), duplex(64));
        near.write_all(&PREFACE[..5]).await.unwrap();
        let sniffing = tokio::join!(sniff(far, &limits), async {
            near.write_all(&PREFACE[5..]).await.unwrap();
            near.write_all(b"more").await.unwrap();
            drop(near);
        });
        let (spoken, mut rewound) = sniffing.0.unwrap();

        let mut all = Vec::new();
        rewound.read_to_end(&mut all).await.unwrap();

        assert_eq!(spoken, Spoken::Http2);
        assert_eq!(all, [&PREFACE[..], b"more"].concat());
    }

    #[tokio::test]
    async fn http1_is_certain_at_the_first_byte_that_differs() {
        let (limits, (mut near, far)) = (Limits::default(), duplex(64));
        near.write_all(b"PO").await.unwrap();

        let sniffed = timeout(Duration::from_secs(5), sniff(far, &limits)).await;
        let (spoken, _) = sniffed.unwrap().unwrap();

        assert_eq!(spoken, Spoken::Http1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_begins_has_as_long_as_a_head_may_take() {
        let (limits, (mut near, far)) = (Limits::default(), duplex(64));
        let begun = Instant::now();
        near.write_all(b"P").await.unwrap();

        let sniffed = sniff(far, &limits).await;

        assert_eq!(sniffed.err(), Some(Ending::Idle));
        assert_eq!(begun.elapsed().as_secs(), limits.header_timeout.as_secs());
    }
}
