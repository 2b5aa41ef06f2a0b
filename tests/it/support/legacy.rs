//! A legacy HTTP/1.1 program that answers by itself, and remembers every byte that reached it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::http::Head;

/// A request as it reached the workload.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) head: Head,
    /// The body as it stood on the wire, chunk sizes and trailers included.
    pub(crate) body: Vec<u8>,
}

type Answers = dyn Fn(&Asked) -> String + Send + Sync;

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    bytes: Mutex<Vec<u8>>,
    asked: Mutex<Vec<Asked>>,
}

/// A running program.
pub(crate) struct Legacy {
    target: String,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Legacy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Legacy {
    /// Answers everything with 200 and the target that was asked for.
    pub(crate) async fn start() -> Self {
        Self::answering(|asked| ok(asked.head.target())).await
    }

    /// Answers with the bytes that `answers` makes.
    pub(crate) async fn answering(
        answers: impl Fn(&Asked) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Seen::default());
        let answers: Arc<Answers> = Arc::new(answers);
        let remembered = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                remembered.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&answers), Arc::clone(&remembered)));
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

    /// Everything that reached it, over all connections.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.seen.bytes.lock().unwrap().clone()
    }

    /// The whole requests that reached it.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.seen.asked.lock().unwrap().clone()
    }

    /// The one request that reached it.
    pub(crate) fn only(&self) -> Asked {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:#?}");
        asked.remove(0)
    }

    /// The targets of the requests that reached it.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.asked().iter().map(|asked| asked.head.target().to_owned()).collect()
    }
}

/// An answer with a body.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn serve(mut stream: TcpStream, answers: Arc<Answers>, seen: Arc<Seen>) {
    let mut ahead = Vec::new();
    loop {
        let Some(head) = through(&mut stream, &mut ahead, b"\r\n\r\n", &seen).await else { return };
        let head = Head(String::from_utf8_lossy(&head).into_owned());
        let body = if head.header("transfer-encoding").is_some() {
            through(&mut stream, &mut ahead, b"\r\n\r\n", &seen).await
        } else {
            let length = head.header("content-length").map_or(0, |text| text.parse().unwrap());
            exactly(&mut stream, &mut ahead, length, &seen).await
        };
        let Some(body) = body else { return };
        let asked = Asked { head, body };
        let answer = answers(&asked);
        seen.asked.lock().unwrap().push(asked);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn through(
    stream: &mut TcpStream,
    ahead: &mut Vec<u8>,
    end: &[u8],
    seen: &Seen,
) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = ahead.windows(end.len()).position(|bytes| bytes == end) {
            return Some(ahead.drain(..at + end.len()).collect());
        }
        more(stream, ahead, seen).await?;
    }
}

async fn exactly(
    stream: &mut TcpStream,
    ahead: &mut Vec<u8>,
    count: usize,
    seen: &Seen,
) -> Option<Vec<u8>> {
    while ahead.len() < count {
        more(stream, ahead, seen).await?;
    }
    Some(ahead.drain(..count).collect())
}

async fn more(stream: &mut TcpStream, ahead: &mut Vec<u8>, seen: &Seen) -> Option<()> {
    let before = ahead.len();
    let read = stream.read_buf(ahead).await.ok().filter(|read| *read > 0)?;
    seen.bytes.lock().unwrap().extend_from_slice(&ahead[before..before + read]);
    Some(())
}
