//! Requests that the HTTP/2 library turns away by itself.
//!
//! A head that breaks HTTP/2 never becomes a request: its stream is reset, or the connection ended, and
//! nobody is told. But it shows in the frames that go out, so those are watched: the reset of a stream
//! that is not being answered, and the end of a connection for another reason than that it is time. A
//! head that is too large gets an answer without a body, one more of those than we gave ourselves.
//!
//! A body that breaks HTTP/2 shows in the same way. Its request is then on record as let through and
//! broken off, and the violation beside it.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// Length of a frame's header, and kinds and flags of frames (RFC 9113, 4.1 and 6).
const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
/// What of a payload is of interest: the longest is GOAWAY's last stream and reason.
const PAYLOAD: usize = 8;
/// Reasons (RFC 9113, 7).
const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const INTERNAL_ERROR: u32 = 2;
const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;
/// Most streams that are remembered as being answered. Those that the peer has reset stay until then.
const ANSWERING: usize = 1024;

/// What has been turned away on one connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Violations {
    /// How often.
    pub(super) count: u64,
    /// The whole connection was.
    pub(super) is_fatal: bool,
    /// Answers without a body that went out, ours and the library's.
    pub(super) bodyless: u64,
}

/// An HTTP/2 transport whose outgoing frames are watched.
#[derive(Debug)]
pub(super) struct Overseen<S> {
    io: S,
    frames: Frames,
}

impl<S> Overseen<S> {
    /// Watches `io`. The news end when it is dropped.
    pub(super) fn new(io: S) -> (Self, watch::Receiver<Violations>) {
        let (tell, news) = watch::channel(Violations::default());
        (Self { io, frames: Frames::new(tell) }, news)
    }
}

/// Follows frames through the bytes of one direction.
#[derive(Debug)]
struct Frames {
    header: [u8; HEADER],
    payload: [u8; PAYLOAD],
    /// Bytes of the current frame so far.
    seen: usize,
    /// Streams of which an answer has begun and not ended.
    answering: BTreeSet<u32>,
    /// Of the streams up to this one nothing is known for certain.
    forgotten: u32,
    tell: watch::Sender<Violations>,
}

impl Frames {
    fn new(tell: watch::Sender<Violations>) -> Self {
        Self {
            header: [0; HEADER],
            payload: [0; PAYLOAD],
            seen: 0,
            answering: BTreeSet::new(),
            forgotten: 0,
            tell,
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.take_header(&mut rest);
            if self.seen < HEADER {
                return;
            }
            self.take_payload(&mut rest);
            if self.seen == HEADER + self.length() {
                self.seen = 0;
                self.frame();
            }
        }
    }

    fn take_header(&mut self, rest: &mut &[u8]) {
        if let Some(missing) = self.header.get_mut(self.seen..) {
            self.seen += take(missing, rest);
        }
    }

    fn take_payload(&mut self, rest: &mut &[u8]) {
        let length = self.length();
        if let Some(missing) = self.payload.get_mut(self.seen - HEADER..length.min(PAYLOAD)) {
            self.seen += take(missing, rest);
        }
        let skipped = (HEADER + length - self.seen).min(rest.len());
        *rest = rest.get(skipped..).unwrap_or_default();
        self.seen += skipped;
    }

    /// Length of the current frame's payload.
    fn length(&self) -> usize {
        let [high, middle, low, ..] = self.header;
        usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
    }

    fn is_being_answered(&self, stream: u32) -> bool {
        stream <= self.forgotten || self.answering.contains(&stream)
    }

    /// A frame is complete.
    fn frame(&mut self) {
        let [_, _, _, kind, flags, stream @ ..] = self.header;
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        let [first @ .., e, f, g, h] = self.payload;
        match kind {
            DATA | HEADERS if flags & END_STREAM != 0 => {
                if !self.is_being_answered(stream) && kind == HEADERS {
                    self.tell.send_modify(|seen| seen.bodyless += 1);
                }
                self.answering.remove(&stream);
            }
            HEADERS => {
                self.answering.insert(stream);
                if self.answering.len() > ANSWERING {
                    self.forgotten = self.answering.pop_first().unwrap_or_default();
                }
            }
            RST_STREAM => {
                let is_violation = matches!(
                    u32::from_be_bytes(first),
                    PROTOCOL_ERROR | FLOW_CONTROL_ERROR | FRAME_SIZE_ERROR
                );
                // An answer that breaks off is the upstream's doing.
                if !self.is_being_answered(stream) && is_violation {
                    self.tell.send_modify(|seen| seen.count += 1);
                }
                self.answering.remove(&stream);
            }
            GOAWAY if !matches!(u32::from_be_bytes([e, f, g, h]), NO_ERROR | INTERNAL_ERROR) => {
                self.tell.send_modify(|seen| {
                    seen.count += 1;
                    seen.is_fatal = true;
                });
            }
            _ => {}
        }
    }
}

/// Fills `missing` from `rest`; how much of it.
fn take(missing: &mut [u8], rest: &mut &[u8]) -> usize {
    let here = missing.len().min(rest.len());
    let (taken, left) = rest.split_at(here);
    for (to, from) in missing.iter_mut().zip(taken) {
        *to = *from;
    }
    *rest = left;
    here
}

impl<S: AsyncRead + Unpin> AsyncRead for Overseen<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Overseen<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes))?;
        this.frames.feed(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, slices))?;
        let mut left = written;
        for slice in slices {
            let here = left.min(slice.len());
            this.frames.feed(slice.get(..here).unwrap_or_default());
            left -= here;
        }
        Poll::Ready(Ok(written))
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
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    /// What is seen in `frames`, whatever the pieces that they come in.
    fn seen(frames: &[Vec<u8>]) -> Violations {
        let bytes = frames.concat();
        let all = [1, 2, 7, 9, 10, usize::MAX].map(|piece| {
            let (tell, news) = watch::channel(Violations::default());
            let mut frames = Frames::new(tell);
            bytes.chunks(piece.min(bytes.len())).for_each(|piece| frames.feed(piece));
            assert_eq!(frames.seen, 0);
            *news.borrow()
        });
        assert!(all.iter().all(|one| *one == all[0]));
        all[0]
    }

    fn reset(stream: u32, reason: u32) -> Vec<u8> {
        frame(RST_STREAM, 0, stream, &reason.to_be_bytes())
    }

    #[test]
    fn the_reset_of_a_stream_that_was_not_answered_is_seen() {
        let settings = frame(4, 0, 0, &[0; 12]);
        let frames = [settings, reset(1, PROTOCOL_ERROR), reset(3, PROTOCOL_ERROR)];

        assert_eq!(seen(&frames), Violations { count: 2, ..Violations::default() });
    }

    #[test]
    fn an_answer_that_breaks_off_and_a_refusal_for_want_of_room_are_no_violations() {
        let frames = [
            frame(HEADERS, 4, 1, &[0x88; 30]),
            frame(DATA, 0, 1, &[3; 100]),
            reset(1, PROTOCOL_ERROR),
            reset(3, 7),
            reset(5, 8),
            frame(GOAWAY, 0, 0, &[0; 8]),
        ];

        assert_eq!(seen(&frames), Violations::default());
    }

    #[test]
    fn the_end_of_a_connection_for_a_reason_is_seen() {
        let goaway = frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 9, b'w', b'h', b'y']);

        assert_eq!(seen(&[goaway]), Violations { count: 1, is_fatal: true, bodyless: 0 });
    }

    #[test]
    fn answers_without_a_body_are_counted_and_trailers_are_none() {
        let frames = [
            frame(HEADERS, 4 | END_STREAM, 1, &[0x89]),
            frame(HEADERS, 4, 3, &[0x88]),
            frame(DATA, 0, 3, b"body"),
            frame(HEADERS, 4 | END_STREAM, 3, &[0x88]),
        ];

        assert_eq!(seen(&frames), Violations { bodyless: 1, ..Violations::default() });
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_forgotten_is_no_violation() {
        let (tell, news) = watch::channel(Violations::default());
        let mut frames = Frames::new(tell);

        for stream in 0..10_000 {
            frames.feed(&frame(HEADERS, 4, stream * 2 + 1, &[0x88]));
        }

        frames.feed(&frame(HEADERS, 4 | END_STREAM, 1, &[0x88]));
        frames.feed(&reset(3, PROTOCOL_ERROR));

        assert_eq!(frames.answering.len(), ANSWERING);
        assert_eq!(*news.borrow(), Violations::default());
    }
}
