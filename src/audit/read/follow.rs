//! Follows a trail record by record while it grows, is compressed, and loses its oldest files.
//!
//! Nothing is read that is not durable yet: what comes behind may still be cut off and written anew.

use std::io::{self, BufRead, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::UnreadableTrail;
use super::files::{SegmentFile, files, regular};
use super::lines::{Lines, Next};
use super::placed::Line;

/// Bytes that are read at a time.
const BUFFER: usize = 256 * 1024;

/// Where a reader is in a trail.
pub struct Follower {
    dir: PathBuf,
    /// The number of the record that comes next.
    next: u64,
    place: Option<Place>,
}

/// Where it is in a file.
struct Place {
    file: SegmentFile,
    /// Of a file that may still grow, how far it was read; a compressed one stays open.
    reader: Reader,
    line: u64,
}

enum Reader {
    Growing(u64),
    Whole(Lines<Box<dyn BufRead + Send>>),
}

/// Some records in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Each with its number; lines without their newlines.
    pub lines: Vec<(u64, Vec<u8>)>,
    /// How many records before these are gone: their retention was over, or somebody took them away.
    pub missing: u64,
    /// Lines that are no records: `FILE:LINE`.
    pub broken: Vec<String>,
}

/// How much is taken at a time.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Records.
    pub records: usize,
    /// Bytes of them, but one record at least.
    pub bytes: usize,
}

/// A batch that is being taken.
struct Taking {
    durable: u64,
    most: Most,
    bytes: usize,
    batch: Batch,
}

impl Taking {
    /// Whether it wants the record `next`. Broken lines are bounded, too.
    fn wants(&self, next: u64) -> bool {
        let Most { records, bytes } = self.most;
        next <= self.durable
            && self.batch.lines.len() + self.batch.broken.len() < records
            && self.bytes < bytes
    }
}

impl Follower {
    /// Of the trail in `dir`, after the record `sequence`; 0 is before the first.
    pub fn after(dir: &Path, sequence: u64) -> Self {
        Self { dir: dir.to_owned(), next: sequence.saturating_add(1), place: None }
    }

    /// The number of the record that comes next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// What comes next, up to the record `durable`. Nothing, when all of that was taken.
    ///
    /// # Errors
    ///
    /// A file cannot be read. The next call tries again from the same place.
    pub fn batch(&mut self, durable: u64, most: Most) -> Result<Batch, UnreadableTrail> {
        let mut taking = Taking { durable, most, bytes: 0, batch: Batch::default() };
        while taking.wants(self.next) {
            let place = match self.place.take() {
                Some(place) => Some(place),
                None => self.find()?,
            };
            let Some(mut place) = place else { break };
            if !self.read(&mut place, &mut taking)? {
                self.place = Some(place);
                continue;
            }
            // Behind the end of a file comes the next one; without one there is nothing more.
            match self.file_behind(&place.file)? {
                // It may have grown between its end and this look; now it grows no more.
                Some(behind) if self.read(&mut place, &mut taking)? => {
                    self.place = Some(Place::beginning(behind)?);
                }
                Some(_behind) => self.place = Some(place),
                None => {
                    self.place = Some(place);
                    break;
                }
            }
        }
        Ok(taking.batch)
    }

    /// Reads on in one file; whether it came to its end.
    fn read(&mut self, place: &mut Place, taking: &mut Taking) -> Result<bool, UnreadableTrail> {
        let path = place.file.path.clone();
        let failed = |source| UnreadableTrail::Io { path: path.clone(), source };
        match &mut place.reader {
            Reader::Whole(lines) => self.take(lines, (&path, 0), taking).map_err(failed),
            Reader::Growing(offset) => {
                let mut file = match regular(&path) {
                    Ok(file) => file,
                    Err(gone) if gone.kind() == io::ErrorKind::NotFound => {
                        // It was compressed meanwhile: what was read is passed over by its numbers.
                        *place = Place::beginning(place.file.clone())?;
                        return Ok(false);
                    }
                    Err(error) => return Err(failed(error)),
                };
                file.seek(SeekFrom::Start(*offset)).map_err(failed)?;
                let mut lines = Lines::new(BufReader::with_capacity(BUFFER, file));
                let is_over = self.take(&mut lines, (&path, place.line), taking).map_err(failed)?;
                *offset += lines.offset();
                place.line += lines.number();
                Ok(is_over)
            }
        }
    }

    /// Takes lines until there are enough; whether there are no more.
    fn take<R: BufRead>(
        &mut self,
        lines: &mut Lines<R>,
        (path, before): (&Path, u64),
        taking: &mut Taking,
    ) -> io::Result<bool> {
        while taking.wants(self.next) {
            let sequence = match lines.next()? {
                Next::End | Next::Unfinished(_) => return Ok(true),
                Next::TooLong => None,
                Next::Line(line) => Line::parse(line).ok().map(|parsed| parsed.event.sequence),
            };
            let batch = &mut taking.batch;
            match sequence {
                None => {
                    batch.broken.push(format!("{}:{}", path.display(), before + lines.number()));
                }
                Some(sequence) if sequence < self.next => {}
                Some(sequence) if sequence > taking.durable => {
                    // Behind a gap, and not durable yet.
                    batch.missing += sequence - self.next;
                    self.next = sequence;
                    lines.put_back();
                }
                Some(sequence) => {
                    batch.missing += sequence - self.next;
                    batch.lines.push((sequence, lines.last().to_vec()));
                    taking.bytes += lines.last().len();
                    self.next = sequence.saturating_add(1);
                }
            }
        }
        Ok(false)
    }

    /// The file in which the next record is, or the first behind it.
    fn find(&self) -> Result<Option<Place>, UnreadableTrail> {
        let files = self.files()?;
        let behind = files.partition_point(|file| file.name.first <= self.next);
        let file = files.get(behind.saturating_sub(1));
        file.map(|file| Place::beginning(file.clone())).transpose()
    }

    fn file_behind(&self, file: &SegmentFile) -> Result<Option<SegmentFile>, UnreadableTrail> {
        let mut files = self.files()?.into_iter();
        Ok(files.find(|other| other.name.first > file.name.first))
    }

    fn files(&self) -> Result<Vec<SegmentFile>, UnreadableTrail> {
        files(&self.dir).map_err(|source| UnreadableTrail::Io { path: self.dir.clone(), source })
    }
}

impl Place {
    fn beginning(file: SegmentFile) -> Result<Self, UnreadableTrail> {
        let is_growing = !file.is_compressed && file.path.exists();
        let reader = if is_growing {
            Reader::Growing(0)
        } else {
            let opened = file.open();
            let failed = |source| UnreadableTrail::Io { path: file.path.clone(), source };
            Reader::Whole(Lines::new(opened.map_err(failed)?))
        };
        Ok(Self { file, reader, line: 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{remove_file, write};

    use super::*;

    const ALL: Most = Most { records: 1000, bytes: 1 << 20 };

    fn lines(numbers: std::ops::RangeInclusive<u64>) -> String {
        let line = |number| {
            format!(
                r#"{{"@timestamp":"2026-11-22T06:12:01.123Z","event":{{"action":"a","sequence":{number}}},"myelin":{{"prev":"00"}}}}"#
            ) + "\n"
        };
        numbers.map(line).collect()
    }

    fn segment(dir: &Path, first: u64) -> PathBuf {
        dir.join(format!("trail-20261122T061201Z-{first:020}.jsonl"))
    }

    fn compress(path: &Path) {
        let packed = zstd::encode_all(&*std::fs::read(path).unwrap(), 1).unwrap();
        write(format!("{}.zst", path.display()), packed).unwrap();
        remove_file(path).unwrap();
    }

    fn numbers(batch: Batch) -> Vec<u64> {
        batch.lines.into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn a_trail_is_followed_while_it_grows_and_no_further_than_it_is_durable() {
        let dir = tempfile::tempdir().unwrap();
        write(segment(dir.path(), 1), lines(1..=3)).unwrap();
        let mut follower = Follower::after(dir.path(), 0);

        assert_eq!(numbers(follower.batch(2, ALL).unwrap()), [1, 2]);
        assert_eq!(numbers(follower.batch(2, ALL).unwrap()), [0; 0]);
        // The third was not durable: it is written anew, into the next file.
        write(segment(dir.path(), 1), lines(1..=2)).unwrap();
        write(segment(dir.path(), 3), lines(3..=5)).unwrap();
        assert_eq!(numbers(follower.batch(5, ALL).unwrap()), [3, 4, 5]);
        assert_eq!(follower.next(), 6);
    }

    #[test]
    fn a_file_that_is_compressed_meanwhile_is_followed_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        write(segment(dir.path(), 1), lines(1..=4)).unwrap();
        write(segment(dir.path(), 5), lines(5..=6)).unwrap();
        let mut follower = Follower::after(dir.path(), 1);
        let one = Most { records: 1, ..ALL };

        assert_eq!(numbers(follower.batch(6, one).unwrap()), [2]);
        compress(&segment(dir.path(), 1));
        assert_eq!(numbers(follower.batch(6, one).unwrap()), [3]);
        assert_eq!(numbers(follower.batch(6, ALL).unwrap()), [4, 5, 6]);
    }

    #[test]
    fn what_is_gone_and_what_is_no_record_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("{}garbage\n{}", lines(4..=4), lines(5..=5));
        write(segment(dir.path(), 4), text).unwrap();

        let batch = Follower::after(dir.path(), 0).batch(5, ALL).unwrap();

        assert_eq!((batch.missing, batch.broken.len()), (3, 1));
        assert!(batch.broken[0].ends_with(".jsonl:2"), "{batch:?}");
        assert_eq!(numbers(batch), [4, 5]);
    }

    #[test]
    fn behind_a_gap_nothing_is_taken_before_it_is_durable() {
        let dir = tempfile::tempdir().unwrap();
        write(segment(dir.path(), 1), lines(1..=2) + &lines(6..=7)).unwrap();
        let mut follower = Follower::after(dir.path(), 0);

        assert_eq!(numbers(follower.batch(4, ALL).unwrap()), [1, 2]);
        assert_eq!(numbers(follower.batch(4, ALL).unwrap()), [0; 0]);
        assert_eq!(numbers(follower.batch(7, ALL).unwrap()), [6, 7]);
    }

    #[test]
    fn a_batch_is_bounded_in_records_and_in_bytes() {
        let dir = tempfile::tempdir().unwrap();
        write(segment(dir.path(), 1), lines(1..=9)).unwrap();
        let mut follower = Follower::after(dir.path(), 0);

        let few = Most { records: 2, ..ALL };
        assert_eq!(numbers(follower.batch(9, few).unwrap()), [1, 2]);
        let small = Most { bytes: 1, ..ALL };
        assert_eq!(numbers(follower.batch(9, small).unwrap()), [3]);
    }
}
