//! The line to the agent: one open stream of updates, opened anew whenever it is lost.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::FutureExt;
use futures_util::stream::{BoxStream, StreamExt};
use spiffe::transport::Endpoint;
use spiffe::{WorkloadApiClient, WorkloadApiError, X509Context};
use tokio::time::{Instant, sleep_until, timeout};

use super::failure::Failure;

/// An agent that does not answer is given up after this.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// From one attempt to the next; doubled by every further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Attempts are never further apart.
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// The line to the agent.
pub(super) struct Line {
    socket: PathBuf,
    open: Option<Open>,
    /// When the next attempt may be made.
    not_before: Instant,
    pause: Duration,
    /// That the agent is away has been told.
    away: bool,
}

struct Open {
    updates: BoxStream<'static, Result<X509Context, WorkloadApiError>>,
    /// Without it the connection would end.
    _client: WorkloadApiClient,
}

impl Line {
    pub(super) fn new(socket: PathBuf) -> Self {
        let not_before = Instant::now();
        Self { socket, open: None, not_before, pause: FIRST_PAUSE, away: false }
    }

    /// Opens the line at once, and waits for what the agent says first.
    pub(super) async fn first(&mut self) -> Result<X509Context, Failure> {
        self.open = None;
        let first = async {
            self.attempt().await?;
            self.next().await
        };
        match timeout(ANSWER, first).await {
            Ok(said) => said,
            Err(_elapsed) => {
                self.open = None;
                Err(Failure::silent(&self.socket, ANSWER))
            }
        }
    }

    /// What the agent says next, however long that takes. Opens the line again when it is lost, and logs
    /// that once. May be dropped without missing anything.
    pub(super) async fn heard(&mut self) -> Result<X509Context, Failure> {
        loop {
            if self.open.is_none() {
                sleep_until(self.not_before).await;
            }
            let said = match self.reopen().await {
                Ok(()) => self.next().await,
                Err(failure) => Err(failure),
            };
            match said {
                Err(failure) if !failure.answered => self.told_away(&failure),
                said => {
                    self.told_back();
                    return said;
                }
            }
        }
    }

    /// What the agent has said already and nobody has heard.
    pub(super) fn waiting(&mut self) -> Option<Result<X509Context, Failure>> {
        self.open.as_ref()?;
        let said = self.next().now_or_never()?;
        // A line that was lost is told by whoever opens it again.
        said.map_or_else(|failure| failure.answered.then_some(Err(failure)), |said| Some(Ok(said)))
    }

    async fn reopen(&mut self) -> Result<(), Failure> {
        if self.open.is_some() {
            return Ok(());
        }
        match timeout(ANSWER, self.attempt()).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Failure::silent(&self.socket, ANSWER)),
        }
    }

    async fn attempt(&mut self) -> Result<(), Failure> {
        self.not_before = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        if let Some(failure) = Failure::of_path(&self.socket).await {
            return Err(failure);
        }
        let failed = |error| Failure::of(&self.socket, &error);
        let client = WorkloadApiClient::connect(Endpoint::Unix(self.socket.clone()));
        let client = client.await.map_err(failed)?;
        let updates = client.stream_x509_contexts().await.map_err(failed)?;
        self.open = Some(Open { updates: updates.boxed(), _client: client });
        Ok(())
    }

    async fn next(&mut self) -> Result<X509Context, Failure> {
        let said = match &mut self.open {
            Some(open) => open.updates.next().await,
            None => None,
        };
        let said = match said {
            Some(said) => said.map_err(|error| Failure::of(&self.socket, &error)),
            None => Err(Failure::ended(&self.socket)),
        };
        match &said {
            Ok(_) => self.pause = FIRST_PAUSE,
            Err(failure) if failure.over => self.open = None,
            Err(_another_may_follow) => {}
        }
        said
    }

    fn told_away(&mut self, failure: &Failure) {
        if !self.away {
            let error = &failure.error;
            tracing::warn!("the agent is away; its last identity stays until it expires: {error}");
        }
        self.away = true;
    }

    fn told_back(&mut self) {
        if self.away {
            tracing::info!(socket = %self.socket.display(), "the agent is back");
        }
        self.away = false;
    }
}
