//! A connection that came in: over mutual TLS, or in plaintext where that is taken, too.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::listener::crowd::Place;
use crate::proxy::l7::Downstream;
use crate::tls::{Session, TlsStream};

/// What has come in, before anybody has said whether it may stay.
pub(super) enum Arrival {
    /// A handshake has told who it is.
    Tls(Session),
    /// Nothing is known of who it is.
    Plaintext(TcpStream, Place),
}

/// The bytes of a connection that came in, as the peer means them.
pub(super) enum Incoming {
    Tls(TlsStream),
    Plaintext(TcpStream, #[expect(dead_code, reason = "kept for as long as the stream")] Place),
}

impl Arrival {
    /// What its handshake established; `None` in plaintext.
    pub(super) fn session(&self) -> Option<&Session> {
        match self {
            Self::Tls(session) => Some(session),
            Self::Plaintext(..) => None,
        }
    }

    /// The version of HTTP that was agreed on, if it is HTTP that it carries.
    pub(super) fn http_version(&self) -> Downstream {
        match self {
            Self::Plaintext(..) => Downstream::Auto,
            Self::Tls(session) => match session.tls.next_protocol.as_deref() {
                Some("h2") => Downstream::Http2,
                Some(_) | None => Downstream::Http1,
            },
        }
    }

    /// Its bytes.
    pub(super) fn into_stream(self) -> Incoming {
        match self {
            Self::Tls(session) => Incoming::Tls(session.stream),
            Self::Plaintext(socket, place) => Incoming::Plaintext(socket, place),
        }
    }
}

impl AsyncRead for Incoming {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Plaintext(stream, _) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Plaintext(stream, _) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Plaintext(stream, _) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Plaintext(stream, _) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Plaintext(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Plaintext(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
