//! The Workload API as a source.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use futures_util::future::{BoxFuture, FutureExt};
use spiffe::X509Context;
use tokio::time::timeout;

use super::failure::Failure;
use super::line::{ANSWER, Line};
use super::update::Update;
use crate::certs::check::Offered;
use crate::certs::source::{Looked, Occasion, Source};
use crate::certs::{EnrolError, MaterialError};
use crate::config;
use crate::identity::SpiffeId;

/// Takes what an agent pushes.
pub(in crate::certs) struct Spiffe {
    socket: PathBuf,
    /// The identity that we take when the agent has several for us.
    wanted: SpiffeId,
    line: tokio::sync::Mutex<Line>,
    heard: Mutex<Heard>,
}

/// What the agent has said until now.
#[derive(Default)]
struct Heard {
    /// The last update that could be read.
    update: Option<Update>,
    /// What came after it and could not, until it has been told.
    untold: Option<EnrolError>,
    /// The text of what was told last, so that the same is not told at every attempt.
    told: Option<String>,
    /// There is something that [`Source::news`] has not announced.
    fresh: bool,
}

impl Spiffe {
    pub(in crate::certs) fn new(config: config::Spiffe, wanted: SpiffeId) -> Self {
        let socket = config.socket;
        let line = tokio::sync::Mutex::new(Line::new(socket.clone()));
        Self { socket, wanted, line, heard: Mutex::default() }
    }

    fn with_heard<T>(&self, look: impl FnOnce(&mut Heard) -> T) -> T {
        look(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps what the agent has said.
    fn note(&self, said: Result<X509Context, Failure>) {
        let read = said.and_then(|context| Update::of(&context, &self.wanted, &self.socket));
        self.with_heard(|heard| heard.note(read));
    }

    /// What holds now. While the agent is away, or after an update that could not be read, that is the
    /// last one that could.
    async fn current(&self) -> Result<Update, EnrolError> {
        // Somebody who waits for news has the line; then there is nothing that he does not hear.
        if let Ok(mut line) = self.line.try_lock() {
            while let Some(said) = line.waiting() {
                self.note(said);
            }
        }
        if let Some(known) = self.with_heard(Heard::take) {
            return known;
        }
        let Ok(mut line) = timeout(ANSWER, self.line.lock()).await else {
            return Err(Failure::silent(&self.socket, ANSWER).error);
        };
        let first = line.first().await;
        let read = first.and_then(|context| Update::of(&context, &self.wanted, &self.socket));
        let update = read.map_err(|failure| failure.error)?;
        self.with_heard(|heard| heard.update = Some(update.clone()));
        Ok(update)
    }
}

impl Heard {
    fn note(&mut self, read: Result<Update, Failure>) {
        match read {
            Ok(update) => {
                (self.untold, self.told) = (None, None);
                if !self.update.as_ref().is_some_and(|known| known.same_as(&update)) {
                    self.update = Some(update);
                    self.fresh = true;
                }
            }
            Err(Failure { error, .. }) => {
                let text = error.to_string();
                if self.told.as_ref() != Some(&text) {
                    (self.told, self.untold) = (Some(text), Some(error));
                    self.fresh = true;
                }
            }
        }
    }

    /// A failure is told once; after that what went before still holds.
    fn take(&mut self) -> Option<Result<Update, EnrolError>> {
        match self.untold.take() {
            Some(error) => Some(Err(error)),
            None => self.update.clone().map(Ok),
        }
    }
}

impl Source for Spiffe {
    fn offer<'a>(
        &'a self,
        occasion: Occasion<'a>,
    ) -> BoxFuture<'a, Result<Offered, MaterialError>> {
        async move { Ok(self.current().await?.offered(&self.socket, occasion)) }.boxed()
    }

    fn look(&self) -> BoxFuture<'_, Result<Looked, MaterialError>> {
        async move {
            let said = Line::new(self.socket.clone()).first().await;
            let read = said.and_then(|context| Update::of(&context, &self.wanted, &self.socket));
            let update = read.map_err(|failure| failure.error)?;
            Ok(Looked::Offered(Box::new(update.offered(&self.socket, Occasion::Start))))
        }
        .boxed()
    }

    fn news(&self) -> BoxFuture<'_, ()> {
        async move {
            while !self.with_heard(|heard| std::mem::take(&mut heard.fresh)) {
                let said = self.line.lock().await.heard().await;
                self.note(said);
            }
        }
        .boxed()
    }

    /// The agent does it, and tells.
    fn renews(&self) -> bool {
        false
    }

    /// The agent may start after us, and registrations take a while to reach it.
    fn may_be_late(&self) -> bool {
        true
    }
}

impl fmt::Debug for Spiffe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spiffe")
            .field("socket", &self.socket)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}
