//! What the authority has issued and revoked, and its join tokens: a file to which lines are added.
//!
//! A line is durable before anything comes of it: a certificate that was handed out is always on record.
//! The last line may be torn, if the machine died while it was written; then nothing came of it, and it
//! is cut off. When most of what it says is over, the file is written anew without that.

mod book;
mod entry;
mod form;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;

pub(super) use book::Book;
pub use book::Standing;
pub(super) use entry::Entry;
pub use entry::{Authorized, Reason, Record, Redemption, Revocation, Serial, SerialError, Token};

use super::error::AuthorityError;
use super::store::Store;

const NAME: &str = "issued.jsonl";
/// The form of the lines that this program writes.
const VERSION: u32 = 1;
/// A file shorter than this is never made shorter.
const SMALL: u64 = 256 * 1024;
/// A ledger is full beyond this: somebody enrols without an end. About half a million certificates.
const MOST: u64 = 256 * 1024 * 1024;
/// A full ledger is looked through for what has ended since no more often than this.
const REST: Duration = Duration::from_secs(60);
/// No line is longer.
const LONGEST_LINE: u64 = 64 * 1024;

/// The file, for as long as the directory is locked.
pub(super) struct Ledger<'s> {
    store: &'s Store,
    path: PathBuf,
    /// Nothing is issued beyond so many bytes.
    most: u64,
}

impl<'s> Ledger<'s> {
    pub(super) fn of(store: &'s Store) -> Self {
        Self { store, path: store.dir().join(NAME), most: MOST }
    }

    /// All that it says. A torn last line is passed over.
    pub(super) fn read(&self) -> Result<Book, AuthorityError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Book::default()),
            Err(source) => return Err(self.io("read", source)),
        };
        let mut book = Book::default();
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        for number in 1_usize.. {
            line.clear();
            let limited = &mut (&mut lines).take(LONGEST_LINE);
            limited.read_until(b'\n', &mut line).map_err(|source| self.io("read", source))?;
            if line.last() != Some(&b'\n') && (line.len() as u64) < LONGEST_LINE {
                break; // the end, or a torn line before it
            }
            match serde_json::from_slice(&line) {
                Ok(Entry::Begun { version, .. }) if version > VERSION => {
                    return Err(AuthorityError::NewerLedger { path: self.path.clone(), version });
                }
                Ok(entry) => book.add(entry),
                Err(_) => {
                    let path = self.path.clone();
                    return Err(AuthorityError::DamagedLine { path, line: number });
                }
            }
        }
        Ok(book)
    }

    /// Adds a line. When this returns, the line is durable.
    pub(super) fn append(&self, entry: &Entry, now: OffsetDateTime) -> Result<(), AuthorityError> {
        self.append_all(std::slice::from_ref(entry), now)
    }

    /// Adds lines, in one step: whoever waits for the directory waits no longer than for one. When this
    /// returns, they are durable; if the machine dies before, the first of them may be.
    pub(super) fn append_all(
        &self,
        entries: &[Entry],
        now: OffsetDateTime,
    ) -> Result<(), AuthorityError> {
        let (mut file, length) = self.whole(now)?;
        // Whoever has filled it can still be revoked.
        if length > self.most && !entries.iter().all(|entry| matches!(entry, Entry::Revoked(_))) {
            return Err(AuthorityError::FullLedger { path: self.path.clone(), most: self.most });
        }
        let lines: Vec<u8> = entries.iter().flat_map(line).collect();
        let added = file.write_all(&lines).and_then(|()| file.sync_data());
        added.map_err(|source| {
            // Otherwise the next line would be glued to half of this one, until somebody repairs it.
            let _repaired_later = file.set_len(length);
            self.io("written", source)
        })
    }

    /// The file, made if it is not there, without a torn line; and its length.
    fn whole(&self, now: OffsetDateTime) -> Result<(File, u64), AuthorityError> {
        let (mut file, mut length) = self.open()?;
        let end = self.end_of_lines(&mut file, length)?;
        if end < length {
            tracing::warn!(path = %self.path.display(), bytes = length - end, "cut off a torn line");
            file.set_len(end).map_err(|source| self.io("repaired", source))?;
            length = end;
        }
        if length == 0 {
            self.rewrite(&[])?;
            return self.open();
        }
        let is_worth_it = length > SMALL && length > 2 * self.kept(&mut file)?;
        if is_worth_it || (length > self.most && self.rests(&file)?) {
            self.rewrite(&self.read()?.worth_keeping(now))?;
            (file, length) = self.open()?;
        }
        Ok((file, length))
    }

    fn open(&self) -> Result<(File, u64), AuthorityError> {
        let file =
            OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&self.path);
        let file = file.map_err(|source| self.io("opened", source))?;
        let length = file.metadata().map_err(|source| self.io("read", source))?.len();
        Ok((file, length))
    }

    /// Where the last whole line ends.
    fn end_of_lines(&self, file: &mut File, length: u64) -> Result<u64, AuthorityError> {
        let from = length.saturating_sub(LONGEST_LINE);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(from))
            .and_then(|_| file.read_to_end(&mut tail))
            .map_err(|source| self.io("read", source))?;
        match tail.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => Ok(from + at as u64 + 1),
            None if from == 0 => Ok(0),
            None => Err(AuthorityError::Damaged { path: self.path.clone() }),
        }
    }

    /// How many bytes were left when the file was last made shorter.
    fn kept(&self, file: &mut File) -> Result<u64, AuthorityError> {
        let mut first = Vec::new();
        file.rewind().map_err(|source| self.io("read", source))?;
        BufReader::new(file.take(LONGEST_LINE))
            .read_until(b'\n', &mut first)
            .map_err(|source| self.io("read", source))?;
        match serde_json::from_slice(&first) {
            Ok(Entry::Begun { kept_bytes, .. }) => Ok(kept_bytes),
            Ok(_) | Err(_) => Ok(0),
        }
    }

    /// Whether nothing was written for a while: a full file of which all is alive is not looked through for
    /// everybody who is refused.
    fn rests(&self, file: &File) -> Result<bool, AuthorityError> {
        let written = file.metadata().and_then(|data| data.modified());
        let written = written.map_err(|source| self.io("read", source))?;
        Ok(written.elapsed().is_ok_and(|since| since > REST))
    }

    /// Puts another file in the place of this one, at once.
    fn rewrite(&self, entries: &[Entry]) -> Result<(), AuthorityError> {
        let lines: Vec<u8> = entries.iter().flat_map(line).collect();
        let first = Entry::Begun { version: VERSION, kept_bytes: lines.len() as u64 };
        self.store.put(NAME, &[line(&first), lines].concat(), 0o600)
    }

    fn io(&self, what: &'static str, source: std::io::Error) -> AuthorityError {
        AuthorityError::io(&self.path, what, source)
    }
}

fn line(entry: &Entry) -> Vec<u8> {
    let mut line = serde_json::to_vec(entry).unwrap_or_default(); // strings and numbers always can be
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;
