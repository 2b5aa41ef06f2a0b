//! Syslog over TLS (RFC 5425): messages are written, and nothing ever says that they arrived.
//!
//! TCP says what the other machine's kernel has taken, which a receiver that is killed has not read. What proves
//! delivery is an orderly end: when the receiver ends its side only after ours, and its kernel reports no byte that
//! nobody read (a reset), it has read everything. So connections are ended now and then on purpose (`confirm`), what
//! was sent since the last such end counts as unconfirmed, and after any other end it is sent again.

pub(super) mod frame;
mod parting;

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use self::parting::part;
use super::dial::{Dialed, Dialer};
use super::failure::Failure;
use super::feed::Item;
use crate::live::Generation;
use crate::outcome::Undelivered;

/// Most records that are sent again when a connection breaks.
const UNCONFIRMED: usize = 10_000;
/// A receiver takes a portion within this time, or is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// For what the receiver has to say right after the handshake, beside the way there and back.
const HEARING: Duration = Duration::from_millis(50);

/// The way to a syslog receiver.
pub(super) struct Syslog {
    pub(super) dialer: Dialer,
    pub(super) confirm: Duration,
    pub(super) link: Option<Link>,
}

/// A connection to it.
pub(super) struct Link {
    dialed: Dialed,
    /// Since when something on it is not confirmed.
    since: Option<Instant>,
    unconfirmed: usize,
}

impl Syslog {
    /// Writes frames. When it returns, the kernel has them, and that is all.
    pub(super) async fn send(&mut self, frames: &[Item]) -> Result<(), Failure> {
        let result = self.write(frames).await;
        if result.is_err() {
            self.link = None;
        }
        result
    }

    async fn write(&mut self, frames: &[Item]) -> Result<(), Failure> {
        let link = match &mut self.link {
            Some(link) => link,
            link @ None => link.insert(Link::make(&self.dialer).await?),
        };
        link.since.get_or_insert_with(Instant::now);
        link.unconfirmed += frames.len();
        let stream = &mut link.dialed.stream;
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes.iter().copied()).collect();
        let writing = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        let written = timeout(PATIENCE, writing).await;
        written
            .map_err(|_elapsed| Failure::too_slow("the receiver took no messages", PATIENCE))?
            .map_err(|error| Failure::broken(&error))
    }

    /// When what was sent has to be confirmed; `None` when everything is.
    pub(super) fn due(&self) -> Option<Instant> {
        let link = self.link.as_ref()?;
        let since = link.since?;
        Some(if link.unconfirmed >= UNCONFIRMED { since } else { since + self.confirm })
    }

    /// Ends the connection; when it returns, the receiver has read everything that was sent.
    pub(super) async fn confirm(&mut self) -> Result<(), Failure> {
        match self.link.take() {
            Some(Link { dialed, since, .. }) => match (part(dialed).await, since) {
                (Err(failure), Some(_)) => Err(failure),
                (Ok(()), _) | (Err(_), None) => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// Resolves when the connection has come to an end that we did not make. Receivers have nothing to say.
    pub(super) async fn lost(&mut self) -> Failure {
        let Some(link) = &mut self.link else { return std::future::pending().await };
        let failure = link.hear().await;
        self.link = None;
        failure
    }

    /// The generation of our key material that the connection was made with.
    pub(super) fn generation(&self) -> Option<Generation> {
        self.link.as_ref().map(|link| link.dialed.generation)
    }
}

impl Link {
    async fn make(dialer: &Dialer) -> Result<Self, Failure> {
        let dialed = dialer.dial(&[]).await?;
        let hearing = dialed.round_trip * 2 + HEARING;
        let mut link = Self { dialed, since: None, unconfirmed: 0 };
        // In TLS 1.3 a server refuses our certificate after the handshake: before that, nothing is sent.
        match timeout(hearing, link.hear()).await {
            Ok(failure) => Err(failure),
            Err(_silent) => Ok(link),
        }
    }

    /// Reads until the receiver ends the connection.
    async fn hear(&mut self) -> Failure {
        let mut said = [0; 512];
        match self.dialed.stream.read(&mut said).await {
            Ok(0) => Failure::ended(),
            Ok(_) => Failure::new(
                Undelivered::BadAnswer,
                "the receiver answers, which syslog does not: is the port right?",
            ),
            Err(error) => Failure::broken(&error),
        }
    }
}
