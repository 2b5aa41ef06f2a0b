//! Last words to whoever does not get an association, or whose association is over.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::ARTIM;
use crate::protocol::dicom::{Abort, Malformed, Pdu, Reject};
use crate::shutdown::Shutdown;

/// How long an end may take that nobody waits for any more.
const BRIEFLY: Duration = Duration::from_secs(1);
/// How much is read of somebody who goes on talking.
const TALK: u64 = 64 << 20;

/// Rejects an association, then waits for the peer to end the connection, as long as PS3.8 has it wait.
pub async fn reject<S>(stream: S, reject: Reject, end: &Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Last::Say(reject.pdu()).to(stream, end).await;
}

/// The same with an abort.
pub async fn abort<S>(stream: S, abort: Abort, end: &Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Last::Say(abort.pdu()).to(stream, end).await;
}

/// Ends the connection of somebody who has asked for nothing.
pub async fn close<S>(stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    leave(stream).await;
}

/// The streams of an association that is over, and what each side is still told.
#[must_use = "whoever is not told sees a lost connection"]
pub struct Parting<D, U> {
    pub(super) downstream: (D, Last),
    pub(super) upstream: (U, Last),
}

impl<D, U> Parting<D, U>
where
    D: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    /// Tells both, and ends both connections.
    pub async fn done(self, end: &Shutdown) {
        let (downstream, down) = self.downstream;
        let (upstream, up) = self.upstream;
        tokio::join!(down.to(downstream, end), up.to(upstream, end));
    }
}

/// The last that one side hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// These words; then it is to end the connection.
    Say(Pdu),
    /// It knows, and is to end the connection.
    Linger,
    /// Nothing.
    Leave,
}

impl Last {
    async fn to<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: S, end: &Shutdown) {
        let hearing = async {
            match self {
                Self::Say(words) => hear_out(&mut stream, &words).await,
                Self::Linger => linger(&mut stream).await,
                Self::Leave => {}
            }
        };
        let patience = async {
            end.draining().await;
            sleep(BRIEFLY).await;
        };
        tokio::select! {
            _ = timeout(ARTIM, hearing) => {}
            () = patience => {}
        }
        leave(stream).await;
    }
}

/// Says so, then waits until the other side has ended the connection.
async fn hear_out<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, words: &[u8]) {
    let saying = async {
        stream.write_all(words).await?;
        stream.flush().await
    };
    if matches!(timeout(BRIEFLY, saying).await, Ok(Ok(()))) {
        until_end(stream).await;
    }
}

/// Waits until the other side has ended the connection. If it speaks instead, it hears that it may not.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    if stream.flush().await.is_ok() && stream.read_u8().await.is_ok() {
        hear_out(stream, &Malformed::UnexpectedPdu.abort().pdu()).await;
    }
}

/// Ends our side, and takes in what is still on its way: a socket that is closed with unread bytes is
/// reset, and a reset overtakes what was said.
async fn leave<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let leaving = async {
        if stream.shutdown().await.is_ok() {
            until_end(&mut stream).await;
        }
    };
    if timeout(BRIEFLY, leaving).await.is_err() {
        tracing::trace!("the other side of an association did not end its connection");
    }
}

async fn until_end<S: AsyncRead + Unpin>(stream: &mut S) {
    let ended = tokio::io::copy(&mut stream.take(TALK), &mut tokio::io::sink()).await;
    if let Err(error) = ended {
        tracing::trace!(%error, "the other side of an association broke off");
    }
}
