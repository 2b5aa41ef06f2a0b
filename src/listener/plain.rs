//! The plaintext side: TCP on loopback or a unix socket.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::config::Target;
use crate::outcome::Ending;

/// A plaintext stream.
#[derive(Debug)]
pub(super) enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Small exchanges must not wait for each other's acknowledgements, and a vanished peer is to be noticed.
pub(super) fn tune(socket: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    let tuned = socket.set_nodelay(true);
    let tuned = tuned.and_then(|()| SockRef::from(socket).set_tcp_keepalive(&keepalive));
    if let Err(error) = tuned {
        tracing::debug!(%error, "socket options not set");
    }
}

impl Plain {
    /// Takes pacing off a stream whose other end is on loopback.
    ///
    /// There is no path to be fair to, and no bottleneck to find. Where BBR is the system's choice it
    /// would pace all the same, and the timer that it arms for every write takes a fifth of the CPU.
    pub(super) fn unpaced(self, other_end: Option<SocketAddr>) -> Self {
        if let (Self::Tcp(socket), Some(address)) = (&self, other_end)
            && address.ip().is_loopback()
            && let Err(error) = SockRef::from(socket).set_tcp_congestion(b"reno")
        {
            tracing::debug!(%error, "congestion control of a loopback socket left as it is");
        }
        self
    }

    /// Connects to the workload within `limit`.
    pub(super) async fn connect(
        target: &Target,
        limit: Duration,
    ) -> Result<Self, (Ending, String)> {
        let connecting = async {
            match target {
                Target::Tcp(address) => TcpStream::connect(address).await.map(|socket| {
                    tune(&socket);
                    Self::Tcp(socket).unpaced(Some(*address))
                }),
                Target::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
            }
        };
        match timeout(limit, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err((Ending::UpstreamUnreachable, error.to_string())),
            Err(_elapsed) => Err((Ending::UpstreamTimeout, format!("no answer in {limit:?}"))),
        }
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
