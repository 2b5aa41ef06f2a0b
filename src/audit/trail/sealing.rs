//! When a trail is sealed, and what the record of it says.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::error;

use super::keys::Keys;
use crate::audit::line::own::Sealed;
use crate::audit::seal::{Checkpoint, Note, Tree, Verifier};
use crate::config::{AuditSettings, Checkpoints};

/// A checkpoint is made after so many records at the latest.
const RECORDS: u64 = 1000;

/// Makes a trail's checkpoints.
#[derive(Debug)]
pub(super) struct Sealing {
    settings: Checkpoints,
    dir: PathBuf,
    /// The trail's name, if it is new.
    name: String,
    /// `None` while there is no room for the first.
    keys: Option<Keys>,
    /// Since when there are records that no checkpoint covers.
    news_since: Option<Instant>,
    /// The trail ends: all that is left is sealed.
    is_last: bool,
    /// The next key cannot be written; the log says so once.
    is_stuck: bool,
}

impl Sealing {
    /// As `settings` have it, of a trail that has this name if it is new.
    pub(super) fn new(settings: &AuditSettings, name: String) -> Self {
        let (dir, settings) = (settings.dir.clone(), settings.checkpoints.clone());
        Self { settings, dir, name, keys: None, news_since: None, is_last: false, is_stuck: false }
    }

    /// Takes up the key that the trail has announced last; whether it is that one, or the trail is new.
    pub(super) fn open(&mut self, announced: Option<&str>) -> io::Result<bool> {
        let keys = match Keys::open(&self.settings, &self.dir, &self.name, announced) {
            Ok(keys) => keys,
            // A disk that is full does not keep the trail from opening.
            Err(error) if error.kind() != io::ErrorKind::InvalidData => return Ok(false),
            Err(error) => return Err(error),
        };
        let key = keys.current().verifier().to_string();
        self.keys = Some(keys);
        let Some(announced) = announced.filter(|announced| *announced != key) else {
            return Ok(announced.is_some());
        };
        error!(
            announced,
            key,
            "the key that sealed the audit trail is gone; the trail goes on with another, which verify will tell"
        );
        Ok(false)
    }

    /// Makes the first key, if there was no room for it before.
    pub(super) fn prepare(&mut self) -> io::Result<()> {
        if self.keys.is_none() {
            self.keys = Some(Keys::open(&self.settings, &self.dir, &self.name, None)?);
        }
        Ok(())
    }

    /// Writes the key again that was taken away.
    pub(super) fn keep_again(&self) -> io::Result<()> {
        self.keys.as_ref().map_or(Ok(()), Keys::keep_again)
    }

    /// The key that signs now; its name is the trail's.
    pub(super) fn verifier(&self) -> Option<&Verifier> {
        self.keys.as_ref().map(|keys| keys.current().verifier())
    }

    /// The trail ends: from now on a checkpoint is due whenever there is news.
    pub(super) fn is_last(&mut self) {
        self.is_last = true;
    }

    /// It does not end.
    pub(super) fn goes_on(&mut self) {
        self.is_last = false;
    }

    /// Notes how many records there are that no checkpoint covers.
    pub(super) fn note(&mut self, news: u64) {
        match news {
            0 => self.news_since = None,
            _ => drop(self.news_since.get_or_insert_with(Instant::now)),
        }
    }

    /// When the next checkpoint is to be made, if nothing else is written before.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.news_since.map(|since| self.settings.interval.saturating_sub(since.elapsed()))
    }

    /// Whether a checkpoint is due, with so many records that none covers.
    pub(super) fn is_due(&self, news: u64) -> bool {
        news >= RECORDS
            || (self.is_last && news > 0)
            || self.news_since.is_some_and(|since| since.elapsed() >= self.settings.interval)
    }

    /// A checkpoint of `tree`; it introduces the next key when the current one has lived its time.
    pub(super) fn seal(&mut self, tree: &Tree, now: OffsetDateTime) -> io::Result<Sealed> {
        let keys = self.keys.as_mut().ok_or_else(|| io::Error::other("there is no key yet"))?;
        match keys.grow_old(now) {
            Ok(()) => self.is_stuck = false,
            // Where keys cannot be written the old one goes on: a trail with it is better than none.
            Err(error) if !self.is_stuck => {
                self.is_stuck = true;
                error!(
                    %error,
                    "the checkpoint key has lived its time, and its successor cannot be written beside it"
                );
            }
            Err(_told) => {}
        }
        let (current, next) = (keys.current(), keys.next());
        let checkpoint = Checkpoint::of(&current.verifier().key_id().name, tree);
        let signers: Vec<_> = [Some(current), next].into_iter().flatten().collect();
        let note = Note::sign(checkpoint.to_string(), &signers)
            .ok_or_else(|| io::Error::other("there is no randomness to sign with"))?;
        let introduces = next.map(|next| next.verifier().to_string());
        Ok(Sealed { size: checkpoint.size, note: note.to_string(), introduces })
    }

    /// The last checkpoint is durable.
    pub(super) fn sealed(&mut self, now: OffsetDateTime) -> io::Result<()> {
        self.keys.as_mut().map_or(Ok(()), |keys| keys.introduced(now))
    }
}
