//! The records of the trail that an export sends, in the words of its receiver.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use time::OffsetDateTime;

use super::failure::Failure;
use crate::audit::cursor::Mark;
use crate::audit::{Batch, Follower, Most, Recorded, UnreadableTrail};
use crate::config::ExportFeed;
use crate::outcome::Undelivered;
use crate::report::Report;

/// Most that is taken at a time.
const MOST: Most = Most { records: 500, bytes: 512 * 1024 };
/// One record, and broken lines before it.
const ONE: Most = Most { bytes: 1, ..MOST };

/// A record in the words of a receiver.
pub(super) type Encode = Arc<dyn Fn(&[u8], &Recorded) -> Vec<u8> + Send + Sync>;

/// Follows the trail for one export. Everything here reads files, and is for a thread that may wait.
pub(super) struct Feed {
    dir: PathBuf,
    which: ExportFeed,
    encode: Encode,
    follower: Follower,
    /// The last record that was read.
    read: Mark,
}

/// A record in the words of its receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// `event.sequence`
    pub(super) sequence: u64,
    pub(super) bytes: Vec<u8>,
}

/// Records that follow each other.
#[derive(Debug, Default)]
pub(super) struct Portion {
    /// Those that go out, encoded.
    pub(super) items: Vec<Item>,
    /// When the first of them was written.
    pub(super) since: Option<OffsetDateTime>,
    /// The last record of them, gone out or not. `None`: there was nothing to read.
    pub(super) end: Option<Mark>,
    /// What is wrong with the trail, for the operator.
    pub(super) faults: Vec<String>,
}

/// What a cursor is worth when an export goes on by it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// The record is as it was.
    Same,
    /// It is gone, as are all before it: nobody can say.
    Gone,
    /// Something else has its number, or the trail ends before.
    Other(String),
}

impl Feed {
    /// From behind `mark` on.
    pub(super) fn new(dir: &Path, which: ExportFeed, encode: Encode, mark: Mark) -> Self {
        let follower = Follower::after(dir, mark.sequence);
        Self { dir: dir.to_owned(), which, encode, follower, read: mark }
    }

    /// Goes back to behind `mark`.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.follower = Follower::after(&self.dir, mark.sequence);
        self.read = mark;
    }

    /// Whether the trail, durable up to `durable`, still has the record at which this feed begins.
    pub(super) fn holds(&self, durable: u64) -> Result<Held, Failure> {
        let Mark { sequence, digest } = self.read;
        let Some(before) = sequence.checked_sub(1) else { return Ok(Held::Same) };
        if durable < sequence {
            // Without the number of its end, which grows: the same fault has the same words.
            let why = format!("the trail ends before record {sequence}, which was delivered");
            return Ok(Held::Other(why));
        }
        let mut follower = Follower::after(&self.dir, before);
        let mut batch = follower.batch(durable, ONE).map_err(unreadable)?;
        while batch.lines.is_empty() && !batch.broken.is_empty() {
            batch = follower.batch(durable, ONE).map_err(unreadable)?;
        }
        match batch.lines.first() {
            Some((found, line)) if *found == sequence => {
                if Mark::of(sequence, line).digest == digest {
                    return Ok(Held::Same);
                }
                Ok(Held::Other(format!("record {sequence} is not the one that was delivered")))
            }
            Some(_) => Ok(Held::Gone),
            None => Ok(Held::Other(format!("record {sequence} is not there any more"))),
        }
    }

    /// What comes next, up to the record `durable`.
    pub(super) fn next(&mut self, durable: u64) -> Result<Portion, Failure> {
        let Batch { lines, missing, broken } =
            self.follower.batch(durable, MOST).map_err(unreadable)?;
        let mut portion = Portion::default();
        let before = self.read.sequence;
        if missing > 0 {
            let first = lines.first().map_or_else(|| self.follower.next(), |(first, _)| *first);
            portion.faults.push(format!(
                "{missing} records between {before} and {first} are gone and cannot be sent"
            ));
        }
        portion.faults.extend(broken.into_iter().map(|place| format!("{place}: not a record")));
        for (sequence, line) in lines {
            self.take(sequence, &line, &mut portion);
        }
        Ok(portion)
    }

    fn take(&mut self, sequence: u64, line: &[u8], portion: &mut Portion) {
        let before = std::mem::replace(&mut self.read, Mark::of(sequence, line));
        portion.end = Some(self.read);
        let Ok(recorded) = serde_json::from_slice::<Recorded>(line) else {
            portion.faults.push(format!("record {sequence} cannot be read, and is not sent"));
            return;
        };
        if sequence == before.sequence + 1 && recorded.myelin.prev != before.digest.to_string() {
            let text =
                format!("record {sequence} does not follow the one before it: see `audit verify`");
            portion.faults.push(text);
        }
        if goes_out(self.which, &recorded) {
            portion.since.get_or_insert(recorded.at);
            portion.items.push(Item { sequence, bytes: (self.encode)(line, &recorded) });
        }
    }
}

/// Whether a record is one for the receiver.
fn goes_out(which: ExportFeed, recorded: &Recorded) -> bool {
    const ACCESSES: [&str; 4] = ["connection-", "request-", "message-", "association-"];
    let event = &recorded.event;
    match which {
        ExportFeed::All => true,
        ExportFeed::Failures => {
            event.outcome == "failure"
                || recorded.myelin.would_deny.is_some()
                || !ACCESSES.iter().any(|access| event.action.starts_with(access))
        }
    }
}

fn unreadable(error: UnreadableTrail) -> Failure {
    Failure::new(Undelivered::Trail, Report(&error).to_string())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// A trail of `actions`, each with its outcome.
    fn trail(dir: &Path, records: &[(&str, &str)]) {
        let (mut text, mut prev) = (String::new(), "0".repeat(64));
        for (index, (action, outcome)) in records.iter().enumerate() {
            let line = format!(
                r#"{{"@timestamp":"2026-11-22T06:12:01.123Z","event":{{"action":"{action}","outcome":"{outcome}","sequence":{}}},"myelin":{{"prev":"{prev}"}}}}"#,
                index + 1
            );
            prev = Mark::of(0, line.as_bytes()).digest.to_string();
            writeln!(text, "{line}").unwrap();
        }
        std::fs::write(dir.join("trail-20261122T061201Z-00000000000000000001.jsonl"), text)
            .unwrap();
    }

    const RECORDS: &[(&str, &str)] = &[
        ("recording-started", "success"),
        ("connection-allowed", "success"),
        ("connection-denied", "failure"),
        ("checkpoint", "success"),
    ];

    fn feed(dir: &Path, which: ExportFeed, mark: Mark) -> Feed {
        let action = |_line: &[u8], recorded: &Recorded| recorded.event.action.clone().into_bytes();
        Feed::new(dir, which, Arc::new(action), mark)
    }

    fn actions(portion: &Portion) -> Vec<&str> {
        portion.items.iter().map(|item| std::str::from_utf8(&item.bytes).unwrap()).collect()
    }

    #[test]
    fn a_feed_of_failures_leaves_out_what_succeeded_and_keeps_what_the_trail_says_of_itself() {
        let dir = tempfile::tempdir().unwrap();
        trail(dir.path(), RECORDS);

        let failures = feed(dir.path(), ExportFeed::Failures, Mark::BEGINNING).next(4).unwrap();
        let all = feed(dir.path(), ExportFeed::All, Mark::BEGINNING).next(4).unwrap();

        assert_eq!(actions(&failures), ["recording-started", "connection-denied", "checkpoint"]);
        assert_eq!(failures.end.unwrap().sequence, 4);
        assert_eq!(all.items.len(), 4);
        assert!(all.faults.is_empty(), "{:?}", all.faults);
    }

    #[test]
    fn a_feed_goes_on_where_the_cursor_was_and_sees_another_trail_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        trail(dir.path(), RECORDS);
        let mut first = feed(dir.path(), ExportFeed::All, Mark::BEGINNING);
        let mark = first.next(2).unwrap().end.unwrap();

        let mut again = feed(dir.path(), ExportFeed::All, mark);
        assert_eq!(again.holds(4).unwrap(), Held::Same);
        assert_eq!(actions(&again.next(4).unwrap()), ["connection-denied", "checkpoint"]);
        let too_short = |durable| feed(dir.path(), ExportFeed::All, mark).holds(durable).unwrap();
        assert!(matches!(too_short(1), Held::Other(_)));
        assert_eq!(too_short(0), too_short(1), "it is told once, however it grows");

        trail(dir.path(), &[RECORDS[1], RECORDS[0], RECORDS[2]]);
        let other = feed(dir.path(), ExportFeed::All, mark).holds(3).unwrap();
        assert_eq!(other, Held::Other("record 2 is not the one that was delivered".to_owned()));
    }

    #[test]
    fn broken_lines_before_the_record_that_was_delivered_do_not_hide_it() {
        let dir = tempfile::tempdir().unwrap();
        trail(dir.path(), RECORDS);
        let mut first = feed(dir.path(), ExportFeed::All, Mark::BEGINNING);
        let mark = first.next(2).unwrap().end.unwrap();
        let path = dir.path().join("trail-20261122T061201Z-00000000000000000001.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, "garbage\n".repeat(MOST.records + 1) + &text).unwrap();

        let held = feed(dir.path(), ExportFeed::All, mark).holds(4);

        assert_eq!(held.unwrap(), Held::Same);
    }

    #[test]
    fn a_record_that_does_not_follow_the_one_before_is_sent_and_told() {
        let dir = tempfile::tempdir().unwrap();
        trail(dir.path(), RECORDS);
        let mut feed = feed(dir.path(), ExportFeed::All, Mark::BEGINNING);
        feed.next(2).unwrap();
        trail(dir.path(), &[RECORDS[0], RECORDS[0], RECORDS[2], RECORDS[3]]);

        feed.rewind(feed.read);
        let portion = feed.next(4).unwrap();

        assert_eq!(portion.items.len(), 2);
        assert!(portion.faults[0].starts_with("record 3 does not follow"), "{portion:?}");
    }
}
