//! Taking leave of a peer that is not let in.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// How long a peer may take to hear us out.
const LIMIT: Duration = Duration::from_secs(1);
/// What is read of a peer that goes on talking.
const BYTES: u64 = 64 * 1024;

/// Ends our side, then reads until the peer has ended its own, within bounds.
///
/// A socket that is closed with unread bytes is reset by the kernel, and a reset overtakes the alert
/// that says why: the peer's operator would see "connection reset" and nothing else.
pub async fn part<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let parting = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(BYTES), &mut tokio::io::sink()).await
    };
    if !matches!(timeout(LIMIT, parting).await, Ok(Ok(_))) {
        tracing::trace!("a peer that was not let in did not hear us out");
    }
}
