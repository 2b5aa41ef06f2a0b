//! Reads trails for those who ask what was seen: line by line, in constant memory, whatever the lines are.
//!
//! Unlike [`verify()`](super::verify()) it goes on behind a line that is no record, and counts it.

pub(in crate::audit) mod files;
mod follow;
pub(in crate::audit) mod index;
pub(in crate::audit) mod lines;
pub(in crate::audit) mod placed;
mod recorded;
mod sought;
mod window;

use std::collections::{BTreeSet, VecDeque};
use std::fs::read_dir;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use self::follow::{Batch, Follower, Most};
use self::index::{Building, Index};
use self::lines::{Lines, Next};
pub use self::recorded::*;
pub use self::sought::Sought;
pub use self::window::Window;

/// Most lines that are told of one by one.
const TOLD: usize = 5;

/// What there was to read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// Files.
    pub files: u64,
    /// Records.
    pub records: u64,
    /// Lines that are no records of a trail.
    pub broken: u64,
    /// The first of them: `FILE:LINE: WHY`.
    pub told: Vec<String>,
    /// Files whose last line is unfinished: the trail is being written, or was when the power failed.
    pub unfinished: u64,
}

/// A trail that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableTrail {
    /// There is no trail in the directory.
    #[error("{}: no trail-*.jsonl in it", dir.display())]
    Missing {
        /// Which.
        dir: PathBuf,
    },
    /// A file or the directory cannot be read.
    #[error("{}: cannot be read", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// More is asked for than is kept in memory.
    #[error(
        "{}: the last {records} records take more than {} MiB: ask for fewer, or narrow it by a filter",
        dir.display(),
        bytes / (1024 * 1024)
    )]
    TooMuch {
        /// Of which trail.
        dir: PathBuf,
        /// How many there are up to there.
        records: usize,
        /// Most bytes.
        bytes: usize,
    },
}

impl UnreadableTrail {
    /// Whether it may only be to begin.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

/// What a search does with the indexes beside segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexes {
    /// Goes by them, and makes those that are missing, where it may.
    Used,
    /// Reads all.
    Passed,
}

/// A line and its record.
pub type Placed = (Vec<u8>, Recorded);

impl Reading {
    /// Gives `each` all records of the trail in `dir`, in the order of its files' names.
    ///
    /// # Errors
    ///
    /// There is no trail, or one of its files cannot be read.
    pub fn read(
        &mut self,
        dir: &Path,
        each: &mut dyn FnMut(Recorded),
    ) -> Result<(), UnreadableTrail> {
        let mut all = |_line: &[u8], recorded| {
            each(recorded);
            ControlFlow::Continue(())
        };
        self.search(dir, Window::default(), &mut all)
    }

    /// Gives `each` the records of a time, each with its line, until it has enough. Files in which there is none of
    /// that time are not read. `dir` may also be one file.
    ///
    /// # Errors
    ///
    /// There is no trail, or one of its files cannot be read.
    pub fn search(
        &mut self,
        dir: &Path,
        window: Window,
        each: Each<'_>,
    ) -> Result<(), UnreadableTrail> {
        for path in window.files(&trail_files(dir)?) {
            let failed = |source| UnreadableTrail::Io { path: path.clone(), source };
            if self.file(&path, window, None, each).map_err(failed)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Gives `each` the records that are sought, each with its line, until it has enough. Segments in which there is none by
    /// their indexes are not read.
    ///
    /// # Errors
    ///
    /// There is no trail, or one of its files cannot be read.
    pub fn find(
        &mut self,
        dir: &Path,
        sought: &Sought,
        indexes: Indexes,
        each: Each<'_>,
    ) -> Result<(), UnreadableTrail> {
        let mut files = trail_files(dir)?;
        let mut unindexed = BTreeSet::new();
        if indexes == Indexes::Used && sought.is_narrow() {
            let newest = files.last().cloned();
            files.retain(|path| match Index::of(path) {
                Some(index) => index.may_hold(sought),
                None => {
                    // The newest may still be written to.
                    if Some(path) != newest.as_ref() || files::is_compressed(path) {
                        unindexed.insert(path.clone());
                    }
                    true
                }
            });
        }
        let mut each = |line: &[u8], recorded: Recorded| {
            if sought.takes(&recorded) { each(line, recorded) } else { ControlFlow::Continue(()) }
        };
        for path in sought.window.files(&files) {
            // Without one the next search reads it once more.
            let building = unindexed.take(&path).and_then(|path| Building::begin(&path).ok());
            let failed = |source| UnreadableTrail::Io { path: path.clone(), source };
            let read = self.file(&path, Window::default(), building, &mut each);
            if read.map_err(failed)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The last records, `most` of them, of the trail in `dir` that are wanted, in their order, each with its line; and the number
    /// of the last of all. Files before them are not read.
    ///
    /// # Errors
    ///
    /// There is no trail, one of its files cannot be read, or the records have too many bytes.
    pub fn latest(
        &mut self,
        dir: &Path,
        most: Most,
        wants: &dyn Fn(&Recorded) -> bool,
    ) -> Result<(u64, Vec<Placed>), UnreadableTrail> {
        let mut found: Vec<Placed> = Vec::new();
        let (mut last, mut bytes) = (None, 0);
        for path in trail_files(dir)?.iter().rev() {
            let (mut of_file, mut last_here) = (VecDeque::new(), None);
            let left = most.records - found.len();
            let mut each = |line: &[u8], recorded: Recorded| {
                last_here = Some(recorded.event.sequence);
                if left > 0 && wants(&recorded) {
                    if of_file.len() == left {
                        let gone: Option<Placed> = of_file.pop_front();
                        bytes -= gone.map_or(0, |(line, _)| line.len());
                    }
                    bytes += line.len();
                    of_file.push_back((line.to_vec(), recorded));
                }
                if bytes > most.bytes { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let failed = |source| UnreadableTrail::Io { path: path.clone(), source };
            if self.file(path, Window::default(), None, &mut each).map_err(failed)?.is_break() {
                let (dir, records) = (dir.to_owned(), found.len() + of_file.len());
                return Err(UnreadableTrail::TooMuch { dir, records, bytes: most.bytes });
            }
            last = last.or(last_here);
            found.splice(..0, of_file);
            if found.len() == most.records && last.is_some() {
                break;
            }
        }
        Ok((last.unwrap_or_default(), found))
    }

    fn file(
        &mut self,
        path: &Path,
        window: Window,
        mut building: Option<Building>,
        each: Each<'_>,
    ) -> io::Result<ControlFlow<()>> {
        let mut lines = Lines::new(files::open(path)?);
        self.files += 1;
        let broken = self.broken;
        loop {
            let read = match lines.next()? {
                Next::Line(line) => serde_json::from_slice::<Recorded>(line),
                Next::TooLong => {
                    self.broken(path, lines.number(), "longer than any record");
                    continue;
                }
                Next::Unfinished(_) => {
                    self.unfinished += 1;
                    return Ok(ControlFlow::Continue(()));
                }
                Next::End => break,
            };
            match read {
                Ok(recorded) => {
                    self.records += 1;
                    if let Some(building) = &mut building {
                        building.take(&recorded);
                    }
                    if window.has(recorded.at) && each(lines.last(), recorded).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                // Not what serde says: that may repeat what stands there.
                Err(error) if error.is_data() => {
                    self.broken(path, lines.number(), "not a record of a trail");
                }
                Err(_error) => self.broken(path, lines.number(), "not JSON"),
            }
        }
        if let Some(building) = building.filter(|_| self.broken == broken) {
            // Without it the next search reads all once more.
            let _unwritten = building.finish();
        }
        Ok(ControlFlow::Continue(()))
    }

    fn broken(&mut self, path: &Path, line: u64, why: &str) {
        self.broken += 1;
        if self.told.len() < TOLD {
            self.told.push(format!("{}:{line}: {why}", path.display()));
        }
    }
}

/// What takes a record and its line, and says whether it wants another.
pub type Each<'e> = &'e mut dyn FnMut(&[u8], Recorded) -> ControlFlow<()>;

/// The files of the trail in `dir`, in the order of their names.
pub(in crate::audit) fn trail_files(dir: &Path) -> Result<Vec<PathBuf>, UnreadableTrail> {
    if dir.is_file() {
        return Ok(vec![dir.to_owned()]);
    }
    let failed = |source| UnreadableTrail::Io { path: dir.into(), source };
    let mut files = Vec::new();
    for entry in read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        files.extend(name.to_str().filter(|name| is_of_trail(name)).map(|name| dir.join(name)));
    }
    files.sort();
    // One that is there twice is being compressed: the copy comes behind it.
    files.dedup_by(|copy, file| {
        copy.to_str().and_then(|copy| copy.strip_suffix(files::COMPRESSED)) == file.to_str()
    });
    if files.is_empty() {
        return Err(UnreadableTrail::Missing { dir: dir.into() });
    }
    Ok(files)
}

/// Whoever collects trails may have named their files anew.
fn is_of_trail(name: &str) -> bool {
    let plain = name.strip_suffix(files::COMPRESSED).unwrap_or(name);
    plain.starts_with("trail-") && plain.ends_with(".jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: u64, action: &str) -> String {
        format!(
            r#"{{"@timestamp":"2026-11-22T06:12:01.123Z","event":{{"action":"{action}","sequence":{sequence}}},"myelin":{{"listener":"fhir","prev":"00"}}}}"#
        )
    }

    fn read(dir: &Path) -> (Reading, Vec<String>) {
        let (mut reading, mut actions) = (Reading::default(), Vec::new());
        reading.read(dir, &mut |recorded| actions.push(recorded.event.action)).unwrap();
        (reading, actions)
    }

    #[test]
    fn a_line_that_is_no_record_is_counted_and_told_and_the_others_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let text = [&record(1, "a"), "patient: Smith", "", "{}", &record(2, "b"), "{\"@time"];
        std::fs::write(dir.path().join("trail-1.jsonl"), text.join("\n")).unwrap();
        std::fs::write(dir.path().join("trail-2.jsonl"), record(3, "c") + "\n").unwrap();
        std::fs::write(dir.path().join("notes.txt"), "no trail").unwrap();

        let (reading, actions) = read(dir.path());

        assert_eq!(actions, ["a", "b", "c"]);
        assert_eq!((reading.records, reading.broken, reading.unfinished), (3, 3, 1));
        assert!(reading.told[0].ends_with("trail-1.jsonl:2: not JSON"), "{reading:?}");
        assert!(reading.told[2].ends_with(":4: not a record of a trail"), "{reading:?}");
        assert!(!format!("{reading:?}").contains("Smith"));
    }

    #[test]
    fn a_line_of_any_length_is_passed_over_in_bounded_memory() {
        let dir = tempfile::tempdir().unwrap();
        let long = "x".repeat(3 * 1024 * 1024);
        let text = format!("{long}\n{}\n", record(1, "a"));
        std::fs::write(dir.path().join("trail-1.jsonl"), text).unwrap();

        let (reading, actions) = read(dir.path());

        assert_eq!((reading.broken, actions.len()), (1, 1));
    }

    #[test]
    fn the_last_records_are_those_of_the_last_files_and_have_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        for file in 0..3 {
            let lines = [1, 2].map(|n| record(2 * file + n, "a") + "\n").concat();
            std::fs::write(dir.path().join(format!("trail-{file}.jsonl")), lines).unwrap();
        }
        let bytes = 3 * record(1, "a").len();
        let latest = |records, bytes| {
            let most = Most { records, bytes };
            let (last, found) = Reading::default().latest(dir.path(), most, &|_| true)?;
            let numbers: Vec<_> = found.iter().map(|(_, record)| record.event.sequence).collect();
            Ok::<_, UnreadableTrail>((last, numbers))
        };

        assert_eq!(latest(0, bytes).unwrap(), (6, vec![]));
        assert_eq!(latest(3, bytes).unwrap(), (6, vec![4, 5, 6]));
        let told = latest(4, bytes).unwrap_err().to_string();
        assert!(told.contains("the last 4 records take more than 0 MiB"), "{told}");
    }

    #[test]
    fn a_directory_without_a_trail_is_not_an_empty_trail() {
        let dir = tempfile::tempdir().unwrap();

        let none = Reading::default().read(dir.path(), &mut |_| {});

        assert!(matches!(none, Err(UnreadableTrail::Missing { .. })));
    }
}
