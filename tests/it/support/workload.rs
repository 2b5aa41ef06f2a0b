//! Legacy programs of all kinds: they speak no TLS, and they count what reaches them.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How a workload behaves.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Sends back what it gets; ends when the other side does.
    Echo,
    /// Speaks first, then echoes.
    Greets(&'static str),
    /// Reads a line, answers `you said LINE`, and closes.
    Line,
    /// Says this, ends its side, and goes on reading.
    EndsFirst(&'static str),
    /// Says nothing; when the other side has ended, tells how many bytes came, and ends.
    Counts,
    /// Reads a little at a time, with pauses.
    Slow,
    /// Breaks off (RST) as soon as something arrives.
    Rude,
    /// Accepts, and never reads.
    NeverReads,
    /// Answers HTTP/1.1 requests without a body.
    Http,
}

/// What a workload saw.
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    open: AtomicUsize,
    received: Mutex<Vec<u8>>,
}

/// A running workload.
pub(crate) struct Workload {
    target: String,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Workload {
    /// Listens on loopback.
    pub(crate) async fn tcp(kind: Kind) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = socket.local_addr().unwrap().to_string();
        let seen = Arc::new(Seen::default());
        let counted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                if matches!(kind, Kind::Rude) {
                    let stream = socket2::SockRef::from(&stream);
                    stream.set_linger(Some(Duration::ZERO)).unwrap();
                }
                tokio::spawn(serve(kind.clone(), stream, Arc::clone(&counted)));
            }
        });
        Self { target, seen, task }
    }

    /// Listens on a socket in the file system.
    pub(crate) fn unix(kind: Kind, path: &Path) -> Self {
        let socket = UnixListener::bind(path).unwrap();
        let target = format!("unix:{}", path.display());
        let seen = Arc::new(Seen::default());
        let counted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                tokio::spawn(serve(kind.clone(), stream, Arc::clone(&counted)));
            }
        });
        Self { target, seen, task }
    }

    /// What `forward` is to say.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }

    /// Everything that reached it, over all connections.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.seen.received.lock().unwrap().clone()
    }
}

async fn serve(kind: Kind, stream: impl AsyncRead + AsyncWrite + Unpin, seen: Arc<Seen>) {
    seen.connections.fetch_add(1, Ordering::SeqCst);
    seen.open.fetch_add(1, Ordering::SeqCst);
    let _broken = behave(kind, stream, &seen).await;
    seen.open.fetch_sub(1, Ordering::SeqCst);
}

async fn behave(
    kind: Kind,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    seen: &Seen,
) -> std::io::Result<()> {
    match kind {
        Kind::Echo => echo(&mut stream, seen).await,
        Kind::Greets(words) => {
            stream.write_all(words.as_bytes()).await?;
            echo(&mut stream, seen).await
        }
        Kind::Line => {
            let mut line = Vec::new();
            while !line.ends_with(b"\n") {
                if !read(&mut stream, seen, &mut line).await? {
                    return Ok(());
                }
            }
            stream.write_all(b"you said ").await?;
            stream.write_all(&line).await?;
            stream.shutdown().await
        }
        Kind::EndsFirst(words) => {
            stream.write_all(words.as_bytes()).await?;
            stream.shutdown().await?;
            while read(&mut stream, seen, &mut Vec::new()).await? {}
            Ok(())
        }
        Kind::Counts => {
            let mut all = Vec::new();
            while read(&mut stream, seen, &mut all).await? {}
            stream.write_all(all.len().to_string().as_bytes()).await?;
            stream.shutdown().await
        }
        Kind::Slow => {
            let mut piece = [0; 4096];
            loop {
                let n = stream.read(&mut piece).await?;
                if n == 0 {
                    return stream.shutdown().await;
                }
                seen.received.lock().unwrap().extend_from_slice(&piece[..n]);
                sleep(Duration::from_millis(1)).await;
            }
        }
        Kind::Rude => read(&mut stream, seen, &mut Vec::new()).await.map(|_| ()),
        Kind::NeverReads => std::future::pending().await,
        Kind::Http => {
            let mut head = Vec::new();
            loop {
                while !head.ends_with(b"\r\n\r\n") {
                    if !read(&mut stream, seen, &mut head).await? {
                        return Ok(());
                    }
                }
                head.clear();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello\n").await?;
            }
        }
    }
}

/// Whether there was something, which is then at the end of `all`.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    seen: &Seen,
    all: &mut Vec<u8>,
) -> std::io::Result<bool> {
    let mut piece = vec![0; 64 * 1024];
    let n = stream.read(&mut piece).await?;
    seen.received.lock().unwrap().extend_from_slice(&piece[..n]);
    all.extend_from_slice(&piece[..n]);
    Ok(n > 0)
}

async fn echo(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    seen: &Seen,
) -> std::io::Result<()> {
    let mut piece = Vec::new();
    while read(stream, seen, &mut piece).await? {
        stream.write_all(&piece).await?;
        piece.clear();
    }
    stream.shutdown().await
}
