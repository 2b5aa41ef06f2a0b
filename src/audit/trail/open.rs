//! Taking up a trail where it was left.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::warn;

use super::backlog::Backlog;
use super::chunk::{Chunk, Position};
use super::end::{End, Last};
use super::keeper::Keeper;
use super::sealing::Sealing;
use super::segment::{Directory, Tail};
use super::{Previous, Trail};
use crate::audit::OpenError;
use crate::audit::about::{self, About};
use crate::audit::cursor;
use crate::audit::line::own::{Own, Truncated};
use crate::audit::line::rule::Origin;
use crate::audit::read::files::SegmentFile;
use crate::audit::record::{Action, Record};
use crate::audit::status::Shared;
use crate::clock;
use crate::config::AuditSettings;

impl Trail {
    /// Opens the trail in the directory that `settings` name, and writes its first record of this run.
    pub(in crate::audit) fn open(
        settings: &AuditSettings,
        origin: Origin,
        shared: Arc<Shared>,
    ) -> Result<Self, OpenError> {
        let directory = Arc::new(Directory::open(&settings.dir)?);
        let needs = cursor::needs(settings);
        let keeper = Keeper::start(Arc::clone(&directory), settings.keeping.clone(), needs);
        let keeper = keeper.map_err(OpenError::Thread)?;
        let name = new_name(&origin);
        let mut trail = Self {
            origin,
            on_failure: settings.on_failure,
            segment_size: settings.segment_size,
            shared,
            directory,
            keeper,
            segment: None,
            previous: None,
            written: Position::start(),
            synced: Position::start(),
            backlog: Backlog::default(),
            unsynced: VecDeque::new(),
            unsynced_since: None,
            looked: Instant::now(),
            repair: None,
            removing: Vec::new(),
            lost: 0,
            failing: None,
            chunk: Chunk::default(),
            sealing: Sealing::new(settings, name),
            unsealed: None,
        };
        trail.find_end()?;
        trail.shared.durable.send_replace(trail.synced.next - 1);
        trail.attempt(true);
        Ok(trail)
    }

    /// Takes in what came while the trail could not be opened.
    pub(in crate::audit) fn take_over(&mut self, records: Backlog) {
        self.backlog.append(records);
        self.attempt(false);
    }

    /// Finds where the trail ended, mends a torn end, and goes on in the last segment if it has room.
    fn find_end(&mut self) -> Result<(), OpenError> {
        let dir = self.directory.path().to_owned();
        let unreadable = |source| OpenError::Read { dir: dir.clone(), source };
        let End { last, torn } = End::find(&dir).map_err(unreadable)?;
        if let Some((file, torn)) = torn {
            self.cut_torn(&file, &torn).map_err(unreadable)?;
        }
        let announced = last.as_ref().and_then(|last| last.key.clone());
        let vouched = self.sealing.open(announced.as_deref()).map_err(unreadable)?;
        let Some(Last { file, position, is_newest, time, .. }) = last else { return Ok(()) };
        let name = &file.name;
        let has_room =
            !file.is_compressed && name.takes(position.length, self.segment_size, clock::now());
        // A new segment announces the key; in the middle of one only the key before introduces the next.
        if is_newest && has_room && vouched {
            self.segment = Some(self.directory.reopen(name).map_err(unreadable)?);
            self.written = position;
            self.keeper.closed(name.first);
            let started = self.started(None);
            self.push_own_behind(started);
        } else {
            self.previous = Some(Previous { file: name.to_string(), records: position.records });
            self.written = Position { length: 0, records: 0, ..position };
        }
        self.synced.clone_from(&self.written);
        self.tell_of_step(time);
        Ok(())
    }

    /// The clock was set back while nobody wrote: what comes now seems to have been before what is there.
    fn tell_of_step(&mut self, last: Option<OffsetDateTime>) {
        let Some(step) = last.map(|last| clock::now() - last).filter(|step| *step <= -clock::STEP)
        else {
            return;
        };
        let clock = Some(about::Clock::stepped(step));
        let record = Record {
            reason: Some("since_last_record"),
            message: Some(
                "the last record of the trail is of a later time than it is now".to_owned(),
            ),
            about: Some(Box::new(About { clock, ..About::default() })),
            ..Record::new(Action::ClockStepped)
        };
        self.push(record, &Own::default());
    }

    /// Cuts a torn end off a segment; the trail tells of it.
    fn cut_torn(&mut self, file: &SegmentFile, tail: &Tail) -> io::Result<()> {
        let kept = self.directory.cut_torn(&file.name, tail)?;
        warn!(segment = %file.name, bytes = tail.torn, kept, "cut a torn end off the audit trail");
        let truncated = Truncated { file: file.name.to_string(), bytes: tail.torn, kept };
        let own = Own { truncated: Some(truncated), ..Own::default() };
        self.push(Record::new(Action::TrailTruncated), &own);
        Ok(())
    }
}

/// A name for a trail that no other has: a service may have several sidecars.
fn new_name(Origin { trust_domain, service, .. }: &Origin) -> String {
    let mut id = [0; 8];
    // Without randomness there is no key, either.
    let _unavailable = aws_lc_rs::rand::fill(&mut id);
    format!("{trust_domain}/{service}/{}", hex::encode(id))
}
