use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::identity::ListenerName;
use crate::outcome::{Direction, Ending};
use crate::protocol::mllp::{Malformed, nack};
use crate::proxy::l4::Moved;
use crate::proxy::l4::tests::permit;
use crate::proxy::mllp::{Admission, Ended, Flow, Host, Message, MessageEnd, No, Stay, relay};
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::Metrics;

pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// A message in its frame.
pub(super) fn message(kind: &str, id: &str) -> String {
    framed(&format!("MSH|^~\\&|ADT1|MAIN|LAB|ANNEX|20261122||{kind}|{id}|P|2.5\rPID|1||4711\r"))
}

/// An acknowledgement in its frame.
pub(super) fn ack(code: &str, id: &str) -> String {
    framed(&format!("MSH|^~\\&|LAB|ANNEX|ADT1|MAIN|20261122||ACK|A{id}|P|2.5\rMSA|{code}|{id}\r"))
}

pub(super) fn framed(content: &str) -> String {
    format!("\x0b{content}\x1c\r")
}

/// Lets everything through but `ORU`, which it closes for, and `ORM`, which it rejects.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) said: Mutex<Vec<String>>,
    /// Admissions wait for one of these, as those of PHI wait for the disk.
    pub(super) disk: Semaphore,
    pub(super) binds_senders: bool,
    /// Judging takes long, and waits for nothing.
    pub(super) takes_long: bool,
}

impl Default for Judge {
    fn default() -> Self {
        Self {
            said: Mutex::default(),
            disk: Semaphore::new(Semaphore::MAX_PERMITS),
            binds_senders: true,
            takes_long: false,
        }
    }
}

impl Judge {
    fn say(&self, what: String) {
        self.said.lock().unwrap().push(what);
    }

    fn judge(&self, message: &Message<'_>) -> Result<String, No> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let header = message.header;
        let way = if message.flow == Flow::Up { "" } else { "down " };
        let further = if message.is_further { "+" } else { "" };
        if message.is_envelope {
            let sender = text(header.sending_application);
            self.say(format!("{further}batch of {sender}"));
            return if sender == "PACS" { Err(No::Close) } else { Ok(sender) };
        }
        let name = format!("{way}{further}{} {}", text(header.code), text(header.control_id));
        match header.code {
            b"ORU" => {
                self.say(format!("{name} denied"));
                Err(No::Close)
            }
            b"ORM" => {
                self.say(format!("{name} rejected"));
                Err(No::Nack(nack(header, "20261122", "N")))
            }
            _ => {
                self.say(format!("{name} allowed"));
                Ok(name)
            }
        }
    }
}

impl Host for Judge {
    type Ticket = String;

    fn admit<'a>(&'a self, message: &'a Message<'_>) -> Admission<'a, String> {
        if self.takes_long {
            return match self.judge(message) {
                Ok(name) => Admission::Now(name),
                Err(no) => Admission::Recorded(Box::pin(async { Err(no) })),
            };
        }
        Admission::Recorded(Box::pin(async {
            self.disk.acquire().await.unwrap().forget();
            self.judge(message)
        }))
    }

    fn binds_senders(&self) -> bool {
        self.binds_senders
    }

    fn takes_long(&self) -> bool {
        self.takes_long
    }

    async fn malformed(&self, number: u64, why: Malformed) {
        self.say(format!("{number} {why:?}"));
    }

    fn completed(&self, ticket: String, end: MessageEnd) {
        let code = end.acknowledgement.map_or("-", |code| code.label());
        let batch = if end.is_batch { " batch" } else { "" };
        let accepted = end.accepted.map_or("", |(code, _)| code.label());
        let codes = end.codes.map(|count| count.to_string()).join("");
        let codes = if end.codes == [0; 6] { String::new() } else { format!(" {codes}") };
        let (up, down, count) = (end.sent_up, end.sent_down, end.messages);
        let count = if count == 1 { String::new() } else { format!(" x{count}") };
        let ending = end.ending.label();
        self.say(format!("{ticket} {accepted}{code} {ending} {up}/{down}{batch}{count}{codes}"));
    }
}

/// A relay under way, with its two far ends.
pub(super) struct Stage {
    pub(super) peer: DuplexStream,
    pub(super) workload: DuplexStream,
    pub(super) judge: Arc<Judge>,
    pub(super) end: Shutdown,
    running: JoinHandle<(Ended, Moved)>,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::with(64 * 1024, HOUR, Judge::default())
    }

    #[expect(clippy::disallowed_methods, reason = "a test has no drain")]
    pub(super) fn with(capacity: usize, idle: Duration, judge: Judge) -> Self {
        let (peer, mut downstream) = duplex(capacity);
        let (workload, upstream) = duplex(capacity);
        let (judge, end) = (Arc::new(judge), Shutdown::default());
        let (host, its_end) = (Arc::clone(&judge), end.clone());
        let running = tokio::spawn(async move {
            let metrics = Metrics::new().unwrap();
            let metrics = metrics.listener(&ListenerName::new("x"), Direction::Inbound);
            let mut moved = Moved::default();
            let stay = Stay { idle, drain: Duration::from_secs(30), end: &its_end };
            let streams = (&mut downstream, upstream);
            let ended = relay(&permit(), &*host, streams, stay, &mut moved, &metrics).await;
            (ended, moved)
        });
        Self { peer, workload, judge, end, running }
    }

    pub(super) async fn sends(&mut self, text: impl AsRef<[u8]>) {
        self.peer.write_all(text.as_ref()).await.unwrap();
    }

    /// The workload gets exactly this next.
    pub(super) async fn arrives(&mut self, text: &str) {
        assert_eq!(read(&mut self.workload, text.len()).await, text);
    }

    pub(super) async fn answers(&mut self, text: impl AsRef<[u8]>) {
        self.workload.write_all(text.as_ref()).await.unwrap();
    }

    /// The peer gets exactly this next.
    pub(super) async fn comes_back(&mut self, text: &str) {
        assert_eq!(read(&mut self.peer, text.len()).await, text);
    }

    /// One message there, and its acknowledgement back.
    pub(super) async fn exchange(&mut self, id: &str) {
        let (message, ack) = (message("ADT^A01", id), ack("AA", id));
        self.sends(&message).await;
        self.arrives(&message).await;
        self.answers(&ack).await;
        self.comes_back(&ack).await;
    }

    /// How it ended, what either side still got, and what the host said of its messages.
    pub(super) async fn over(self) -> (Ending, String, String, Vec<String>) {
        let Self { mut peer, mut workload, judge, running, .. } = self;
        let (mut to_peer, mut to_workload) = (String::new(), String::new());
        workload.read_to_string(&mut to_workload).await.unwrap();
        drop(workload);
        peer.read_to_string(&mut to_peer).await.unwrap();
        drop(peer);
        let (ended, _moved) = running.await.unwrap();
        let said = std::mem::take(&mut *judge.said.lock().unwrap());
        (ended.ending, to_peer, to_workload, said)
    }

    /// What the host said so far.
    pub(super) fn said(&self) -> Vec<String> {
        self.judge.said.lock().unwrap().clone()
    }
}

async fn read(stream: &mut DuplexStream, len: usize) -> String {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}
