//! A time of which records are wanted, and which files need not be read for it.

use std::path::{Path, PathBuf};

use time::{Duration, OffsetDateTime};

use super::Recorded;
use super::files::{COMPRESSED, open};
use super::lines::{Lines, Next};

/// Records of different connections overtake each other, and clocks are set back: so much is read beside the time.
const MARGIN: Duration = Duration::hours(1);

/// A time of which records are wanted; without bounds, all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window {
    /// Not before this moment.
    pub from: Option<OffsetDateTime>,
    /// Before this moment.
    pub to: Option<OffsetDateTime>,
}

impl Window {
    /// Whether `at` is in it.
    pub fn has(self, at: OffsetDateTime) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }

    /// Those of `files` in which there may be a record of this time, by the first records of each and of the one that
    /// says that it continues it.
    pub(super) fn files(self, files: &[PathBuf]) -> Vec<PathBuf> {
        if self.from.is_none() && self.to.is_none() {
            return files.to_vec();
        }
        let firsts: Vec<_> = files.iter().map(|path| first(path)).collect();
        let next = firsts.iter().skip(1).map(Option::as_ref).chain([None]);
        let known = files.iter().zip(&firsts).zip(next);
        known
            .filter(|((path, first), next)| {
                let begins_late = first.as_ref().is_some_and(|first| self.is_before(first.at));
                let is_over =
                    next.is_some_and(|next| continues(next, path) && self.is_after(next.at));
                !begins_late && !is_over
            })
            .map(|((path, _), _)| path.clone())
            .collect()
    }

    /// Whether it is over, long before `at`.
    fn is_before(self, at: OffsetDateTime) -> bool {
        self.to.and_then(|to| to.checked_add(MARGIN)).is_some_and(|to| at > to)
    }

    /// Whether it begins long after `at`.
    fn is_after(self, at: OffsetDateTime) -> bool {
        self.from.and_then(|from| from.checked_sub(MARGIN)).is_some_and(|from| at < from)
    }
}

/// Whether `next` begins the segment behind the one in `path`. Where several trails lie side by side, the next file may
/// be another's.
fn continues(next: &Recorded, path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.strip_suffix(COMPRESSED).unwrap_or(name);
    let previous = next.myelin.segment.as_ref().and_then(|segment| segment.previous.as_deref());
    previous == Some(name)
}

/// The first record of a file. What cannot be read is told when the file is.
fn first(path: &Path) -> Option<Recorded> {
    match Lines::new(open(path).ok()?).next().ok()? {
        Next::Line(line) => serde_json::from_slice(line).ok(),
        Next::TooLong | Next::Unfinished(_) | Next::End => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::write;

    use time::macros::datetime;

    use super::*;

    /// A file whose only record is of this hour and says so of the file before it.
    fn segment(dir: &Path, hour: u8, previous: &str) -> PathBuf {
        let path = dir.join(format!("trail-{hour:02}.jsonl"));
        let line = format!(
            r#"{{"@timestamp":"2026-11-22T{hour:02}:00:00.000Z","event":{{"action":"recording-started"}},"myelin":{{"segment":{{"previous":"{previous}"}}}}}}"#
        );
        write(&path, line + "\n").unwrap();
        path
    }

    fn hours(window: Window, files: &[PathBuf]) -> Vec<String> {
        let name = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap()[6..].to_owned();
        window.files(files).into_iter().map(name).collect()
    }

    const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    #[test]
    fn files_that_are_over_before_or_begin_after_it_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let files = [8, 10, 12, 14, 16]
            .map(|hour| segment(dir.path(), hour, &format!("trail-{:02}.jsonl", hour - 2)));

        let from = Window { from: Some(NOON), to: None };
        let both = Window { from: Some(NOON), to: Some(NOON + Duration::minutes(1)) };

        assert_eq!(hours(Window::default(), &files).len(), 5);
        assert_eq!(hours(from, &files), ["10", "12", "14", "16"]);
        assert_eq!(hours(both, &files), ["10", "12"]);
    }

    #[test]
    fn of_trails_side_by_side_none_ends_where_another_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let files = [segment(dir.path(), 2, ""), segment(dir.path(), 4, "trail-00.jsonl")];

        assert_eq!(hours(Window { from: Some(NOON), to: None }, &files), ["02", "04"]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let files = [segment(dir.path(), 2, ""), dir.path().join("trail-03.jsonl")];
        write(&files[1], "garbage\n").unwrap();

        assert_eq!(hours(Window { from: Some(NOON), to: None }, &files), ["02", "03"]);
    }
}
