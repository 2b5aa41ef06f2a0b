//! The end of the process that writes the trail.

use std::io;
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::io::{AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use super::{Answer, Head};
use crate::audit::line::Encoded;
use crate::audit::pages::Page;
use crate::audit::queue::{Door, Handed, What};
use crate::audit::record::Action;
use crate::audit::status::Shared;
use crate::clock;

/// Records that may wait for their answer; more stay with the other process.
const WAITING: usize = 4096;

/// A record that somebody over there waits for.
type Awaited = (u64, oneshot::Receiver<Result<(), Arc<str>>>);

/// Puts all that comes over `stream` through `door`, and answers, until there is no more.
///
/// # Errors
///
/// The other process is gone before it has said that this was all, or says what is not understood.
pub(in crate::audit) async fn receive(
    stream: UnixStream,
    door: &Door,
    shared: &Shared,
) -> io::Result<()> {
    let (from, to) = stream.into_split();
    let (awaited, waiting) = mpsc::channel(1); // they wait behind it
    let (read, answered) = tokio::join!(take(from, door, shared, awaited), answer(to, waiting));
    read.and(answered)
}

async fn take(
    from: OwnedReadHalf,
    door: &Door,
    shared: &Shared,
    awaited: mpsc::Sender<Awaited>,
) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let (mut head, mut line) = (Vec::new(), Vec::new());
    loop {
        head.clear();
        if from.read_until(b'\n', &mut head).await? == 0 {
            return Ok(());
        }
        let head: Head = serde_json::from_slice(&head)?;
        line.clear();
        from.read_until(b'\n', &mut line).await?;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (waiting, answer) = oneshot::channel();
        if head.awaited {
            // Nobody answers any more when the other process is gone; the record stays.
            let _gone = awaited.send((head.number, answer)).await;
        }
        let Some(action) = Action::ALL.into_iter().find(|action| action.label() == head.action)
        else {
            error!(action = head.action, "a record of a newer version cannot be written");
            shared.lose_at_door();
            continue;
        };
        let page = head.page.and_then(|label| Page::named(&label));
        let what = What::Line(Encoded::passed(action, page, std::mem::take(&mut line)));
        let waiting = head.awaited.then_some(waiting);
        if door.hand_in(Handed { at: clock::now(), what, waiting }).await.is_err() {
            shared.lose_at_door();
        }
    }
}

/// Answers, for at most [`WAITING`] at a time.
async fn answer(
    mut to: impl AsyncWrite + Unpin,
    mut waiting: mpsc::Receiver<Awaited>,
) -> io::Result<()> {
    let mut open = FuturesUnordered::new();
    let mut is_open = true;
    while is_open || !open.is_empty() {
        tokio::select! {
            next = waiting.recv(), if is_open && open.len() < WAITING => match next {
                Some((number, answer)) => open.push(async move { (number, answer.await) }),
                None => is_open = false,
            },
            Some((number, written)) = open.next() => {
                let failed = match written {
                    Ok(Ok(())) => None,
                    Ok(Err(why)) => Some(why.to_string()),
                    Err(_not_taken) => Some("the audit trail takes no records".to_owned()),
                };
                let mut line = serde_json::to_vec(&Answer { number, failed })?;
                line.push(b'\n');
                to.write_all(&line).await?;
            }
        }
    }
    to.shutdown().await
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn no_more_than_so_many_wait_for_their_answer() {
        let (awaited, waiting) = mpsc::channel(1);
        let (to, mut answers) = tokio::io::duplex(64);
        let mut answering = JoinSet::new();
        answering.spawn(answer(to, waiting));
        let mut durable = Vec::new();
        let mut next = || {
            let (sender, receiver) = oneshot::channel();
            durable.push(sender);
            (u64::try_from(durable.len()).unwrap(), receiver)
        };

        // One more waits in the channel.
        for _ in 0..=WAITING {
            awaited.send(next()).await.unwrap();
        }
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let (full, refused) = (awaited.try_send(next()).is_err(), durable.pop().is_some());
        durable.drain(..).for_each(|written| written.send(Ok(())).unwrap());
        drop(awaited);
        let mut said = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut answers, &mut said).await.unwrap();

        assert!(full && refused);
        assert_eq!(said.lines().count(), WAITING + 1);
        answering.join_next().await.unwrap().unwrap().unwrap();
    }
}
