//! The end of the process that drains.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use tracing::error;

use super::{Answer, Head};
use crate::audit::line::{Encoded, Origin};
use crate::audit::queue::{Handed, Inbox, More, Waiting};
use crate::audit::status::{PATIENCE, Shared};

const GONE: &str = "the process that writes the audit trail since the hand-over is gone";

/// Sends all that comes through `inbox` over `stream`, until its end. What cannot be sent is refused to those who wait.
pub(in crate::audit) fn forward(
    inbox: &Inbox,
    origin: &Origin,
    stream: UnixStream,
    shared: &Shared,
) {
    let mut way = match Way::over(stream) {
        Ok(way) => way,
        Err(error) => {
            error!(%error, "records cannot be handed to the process that writes the audit trail");
            return;
        }
    };
    let mut batch = Vec::new();
    loop {
        let more = inbox.take(&mut batch, None);
        batch.drain(..).for_each(|handed| way.send(handed, origin, shared));
        way.flush(shared);
        match more {
            More::Yes => {}
            More::After(turn) => {
                // The trail is not here any more; whoever asked may have gone.
                let _gone = turn.left.send(Err(GONE.into()));
            }
            More::No => break,
        }
    }
    inbox.close(&mut batch);
    batch.drain(..).for_each(|handed| way.send(handed, origin, shared));
    way.end(shared);
}

struct Way {
    out: BufWriter<UnixStream>,
    awaited: Arc<Mutex<Awaited>>,
    answers: JoinHandle<()>,
    number: u64,
    /// Records in `out` that nobody waits for.
    unsent: u64,
}

/// Who waits, by the number of the record.
#[derive(Default)]
struct Awaited {
    waiting: HashMap<u64, Waiting>,
    is_broken: bool,
}

impl Way {
    fn over(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let awaited = Arc::new(Mutex::new(Awaited::default()));
        let (told, hearing) = (stream.try_clone()?, Arc::clone(&awaited));
        let answers =
            Builder::new().name("audit-answers".into()).spawn(move || hear(&told, &hearing))?;
        Ok(Self { out: BufWriter::new(stream), awaited, answers, number: 0, unsent: 0 })
    }

    fn send(&mut self, handed: Handed, origin: &Origin, shared: &Shared) {
        let (line, waiting) = handed.encoded(origin);
        self.number += 1;
        let head = Head {
            number: self.number,
            awaited: waiting.is_some(),
            action: line.action.label().to_owned(),
            page: line.page.map(|page| page.label().to_owned()),
        };
        if !self.expect(waiting, shared) {
            return;
        }
        self.unsent += u64::from(!head.awaited);
        if self.write(&head, &line).is_err() {
            self.broken(shared);
        }
    }

    /// Notes who waits for the next record. Whether it can be sent.
    fn expect(&self, waiting: Option<Waiting>, shared: &Shared) -> bool {
        let mut awaited = lock(&self.awaited);
        match (awaited.is_broken, waiting) {
            (false, Some(waiting)) => {
                awaited.waiting.insert(self.number, waiting);
            }
            (false, None) => {}
            (true, Some(waiting)) => refuse(waiting),
            (true, None) => shared.lose_at_door(),
        }
        !awaited.is_broken
    }

    fn write(&mut self, head: &Head, line: &Encoded) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, head)?;
        self.out.write_all(b"\n")?;
        self.out.write_all(line.bytes())?;
        self.out.write_all(b"\n")
    }

    fn flush(&mut self, shared: &Shared) {
        match self.out.flush() {
            Ok(()) => self.unsent = 0,
            Err(_) => self.broken(shared),
        }
    }

    /// Nothing goes through any more; what was on its way is lost.
    fn broken(&mut self, shared: &Shared) {
        (0..std::mem::take(&mut self.unsent)).for_each(|_| shared.lose_at_door());
        lock(&self.awaited).breaks();
        // It may be closed already.
        let _closed = self.out.get_ref().shutdown(Shutdown::Both);
    }

    /// Says that this was all, and waits for the answers.
    fn end(mut self, shared: &Shared) {
        self.flush(shared);
        let _closed = self.out.get_ref().shutdown(Shutdown::Write);
        let _panicked = self.answers.join();
    }
}

impl Awaited {
    fn breaks(&mut self) {
        if !self.is_broken {
            self.is_broken = true;
            if !self.waiting.is_empty() {
                error!("{GONE}: what is not on record does not happen");
            }
        }
        self.waiting.drain().for_each(|(_, waiting)| refuse(waiting));
    }
}

fn refuse(waiting: Waiting) {
    // Whoever waited may have gone away meanwhile.
    let _gone = waiting.send(Err(GONE.into()));
}

/// Passes on the answers until there are no more.
fn hear(stream: &UnixStream, awaited: &Mutex<Awaited>) {
    for line in BufReader::new(stream).lines() {
        let answer = line.ok().and_then(|line| serde_json::from_str::<Answer>(&line).ok());
        let Some(Answer { number, failed }) = answer else { break };
        let waiting = lock(awaited).waiting.remove(&number);
        if let Some(waiting) = waiting {
            let _gone = waiting.send(failed.map_or(Ok(()), |why| Err(why.into())));
        }
    }
    lock(awaited).breaks();
}

fn lock(awaited: &Mutex<Awaited>) -> MutexGuard<'_, Awaited> {
    awaited.lock().unwrap_or_else(PoisonError::into_inner)
}
