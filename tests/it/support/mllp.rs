//! HL7 v2 over MLLP: messages with patients in them, and a legacy engine that acknowledges.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::mesh::Setup;

/// What must be found nowhere but in the message: a name, a number, a secret in MSH-8, an identifier in MSH-10
/// that is a patient's number.
pub(crate) const PHI: [&str; 4] = ["PHIDOE", "PHI4711", "PHISECRET", "PHIMRN"];

/// A message of this type from this sender, in its frame. Its control identifier is a patient's number.
pub(crate) fn message_from(sender: &str, kind: &str, id: &str) -> String {
    framed(&content(sender, kind, id))
}

/// The same from the sender that all know.
pub(crate) fn message(kind: &str, id: &str) -> String {
    message_from("LIS", kind, id)
}

/// The same without its frame.
pub(crate) fn content(sender: &str, kind: &str, id: &str) -> String {
    format!(
        "MSH|^~\\&|{sender}|MAIN|EHR|WARD 3|20261122130000|PHISECRET|{kind}|PHIMRN{id}|P|2.5.1\r\
         PID|1||PHI4711||PHIDOE^JOHN\r"
    )
}

pub(crate) fn framed(content: &str) -> String {
    format!("\x0b{content}\x1c\r")
}

/// The acknowledgement that [`Engine`] gives.
pub(crate) fn ack(code: &str, id: &str) -> String {
    framed(&format!(
        "MSH|^~\\&|EHR|WARD 3|LIS|MAIN|20261122130001||ACK|ACK{id}|P|2.5.1\r\
         MSA|{code}|PHIMRN{id}|PHIDOE is welcome\r"
    ))
}

/// A legacy interface engine: it accepts every message, once it may.
pub(crate) struct Engine {
    target: String,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

struct Seen {
    received: Mutex<Vec<String>>,
    /// What came and is no whole frame yet.
    begun: AtomicUsize,
    /// An acknowledgement takes one.
    may_answer: Semaphore,
    /// It closes instead of acknowledging.
    closes: bool,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Engine {
    pub(crate) async fn start() -> Self {
        Self::with(Semaphore::MAX_PERMITS, false).await
    }

    /// One that acknowledges only as often as it is told to.
    pub(crate) async fn held_back() -> Self {
        Self::with(0, false).await
    }

    /// One that closes the connection instead of acknowledging.
    pub(crate) async fn that_closes() -> Self {
        Self::with(Semaphore::MAX_PERMITS, true).await
    }

    async fn with(answers: usize, closes: bool) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = socket.local_addr().unwrap().to_string();
        let seen = Arc::new(Seen {
            received: Mutex::default(),
            begun: AtomicUsize::new(0),
            may_answer: Semaphore::new(answers),
            closes,
        });
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { target, seen, task }
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// The content of every whole frame so far.
    pub(crate) fn received(&self) -> Vec<String> {
        self.seen.received.lock().unwrap().clone()
    }

    /// Bytes of a frame that is not whole.
    pub(crate) fn begun(&self) -> usize {
        self.seen.begun.load(Ordering::SeqCst)
    }

    /// Lets it acknowledge one message.
    pub(crate) fn may_answer(&self) {
        self.seen.may_answer.add_permits(1);
    }
}

async fn serve(stream: TcpStream, seen: Arc<Seen>) {
    let mut stream = BufReader::new(stream);
    while let Some(content) = whole(&mut stream, &seen.begun).await {
        let header = content.split("MSH|").nth(1).unwrap_or_default();
        let id = header.split('|').nth(8).unwrap_or_default();
        let id = id.trim_start_matches("PHIMRN").to_owned();
        seen.received.lock().unwrap().push(content);
        if seen.closes {
            return;
        }
        seen.may_answer.acquire().await.unwrap().forget();
        if stream.write_all(ack("AA", &id).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The content of the next frame; what is between frames is overlooked.
async fn whole(stream: &mut (impl AsyncBufReadExt + Unpin), begun: &AtomicUsize) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\x0b") {
        bytes.clear();
        stream.read_until(0x0b, &mut bytes).await.ok().filter(|n| *n > 0)?;
    }
    bytes.clear();
    while !bytes.ends_with(b"\x1c") {
        let piece = stream.fill_buf().await.ok().filter(|piece| !piece.is_empty())?;
        let end = piece.iter().position(|byte| *byte == 0x1c).map_or(piece.len(), |at| at + 1);
        bytes.extend_from_slice(&piece[..end]);
        stream.consume(end);
        begun.store(bytes.len(), Ordering::SeqCst);
    }
    begun.store(0, Ordering::SeqCst);
    bytes.pop();
    Some(String::from_utf8(bytes).unwrap())
}

/// Sends a message, and expects its acknowledgement.
pub(crate) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    kind: &str,
    id: &str,
) {
    stream.write_all(message(kind, id).as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    comes(stream, &ack("AA", id)).await;
}

/// Exactly this comes next.
pub(crate) async fn comes(stream: &mut (impl AsyncRead + Unpin), text: &str) {
    let mut bytes = vec![0; text.len()];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), text);
}

/// The content of the frame that comes next, trailer and all.
pub(crate) async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> String {
    assert_eq!(stream.read_u8().await.unwrap(), 0x0b);
    let mut content = Vec::new();
    loop {
        match stream.read_u8().await.unwrap() {
            0x1c => break,
            byte => content.push(byte),
        }
    }
    assert_eq!(stream.read_u8().await.unwrap(), b'\r');
    String::from_utf8(content).unwrap()
}

impl Setup {
    /// Carries HL7 v2 over MLLP.
    pub(crate) fn mllp(self) -> Self {
        self.with("protocol: mllp")
    }
}
