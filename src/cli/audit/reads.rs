//! Whoever reads the trail with these commands is on record there.

use std::mem;
use std::path::{Path, PathBuf};

use super::super::{console, environment};
use crate::audit::{Noted, Reader};
use crate::report::Report;

/// Longest name of a user that is noted, in bytes.
const LONGEST: usize = 64;

/// Notes of a read that goes on, one for each trail.
pub(super) struct Reads {
    command: String,
    filters: Vec<String>,
    by: Reader,
    noted: Vec<Noted>,
    /// Trails without a writer.
    copies: Vec<PathBuf>,
}

impl Reads {
    /// Notes that these trails are about to be read, and says so when one of them cannot be told: the read itself goes on, for an
    /// auditor has to see a trail whose disk is full, too.
    pub(super) fn begin(dirs: &[PathBuf], command: &str, filters: &[&str]) -> Self {
        let filters = filters.iter().map(|name| (*name).to_owned()).collect();
        let copies = dirs.to_vec();
        let (command, by) = (command.to_owned(), who());
        let mut reads = Self { command, filters, by, noted: Vec::new(), copies };
        reads.again();
        reads
    }

    /// Notes it for those trails, too, that have got a writer since.
    pub(super) fn again(&mut self) {
        for dir in mem::take(&mut self.copies) {
            let (filters, by) = (self.filters.clone(), self.by.clone());
            match Noted::begin(place(&dir), &self.command, filters, by) {
                Ok(Some(noted)) => self.noted.push(noted),
                Ok(None) => self.copies.push(dir),
                Err(unnoted) => unsaid(&unnoted),
            }
        }
    }

    /// Notes how many records were read.
    pub(super) fn finish(self, records: u64) {
        for noted in self.noted {
            if let Err(unnoted) = noted.finish(records) {
                unsaid(&unnoted);
            }
        }
    }
}

/// The directory of a trail of which a file was named.
fn place(named: &Path) -> &Path {
    if named.is_file() { named.parent().unwrap_or(named) } else { named }
}

fn unsaid(unnoted: &(dyn std::error::Error + 'static)) {
    console::error(&format!(
        "warning: this read of the trail will not be on record there: {}",
        Report(unnoted)
    ));
}

/// Whose process this is.
pub(super) fn who() -> Reader {
    let sudo = environment("SUDO_USER").filter(|name| name.len() <= LONGEST);
    let uid = rustix::process::getuid().as_raw();
    Reader { sudo, ..Reader::of_process(uid, std::process::id()) }
}
