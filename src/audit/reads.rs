//! Who has read the trail.
//!
//! Commands leave a note of it for the writer ([`spool`]).

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::spool::{self, Spool, Unnoted};

/// The directory of notes, in the trail's.
const DIR: &str = "reads";
/// A read that takes longer than this counts as broken off.
const BROKEN_OFF: Duration = Duration::from_secs(3600);
/// What `/proc/PID/loginuid` says of a process that nobody logged in for.
const NOBODY: u32 = u32::MAX;
/// Longest name of a user that is noted, in bytes.
const LONGEST: usize = 64;

/// `myelin.read`: that somebody read the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// When: RFC 3339, in UTC.
    pub at: String,
    /// By which command, like `audit query`.
    pub command: String,
    /// What narrowed it: names of filters, never their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
    /// How many records were read. `None`: the command was broken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Who.
    pub by: Reader,
}

/// Whose process it was that read the trail, or asked the sidecar for something.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reader {
    /// The user's number.
    pub uid: u32,
    /// Its name, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As whom it logged in, whatever it has become since (`/proc/self/loginuid`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// Who asked for it, as sudo says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sudo: Option<String>,
    /// Its number as a process.
    pub process: u32,
}

impl Reader {
    /// Whose the process is, as the machine knows its users.
    pub fn of_process(uid: u32, process: u32) -> Self {
        let login = fs::read_to_string(format!("/proc/{process}/loginuid")).ok();
        let login = login.and_then(|text| text.trim().parse().ok()).filter(|uid| *uid != NOBODY);
        let login = login.map(|uid: u32| name_of(uid).unwrap_or_else(|| uid.to_string()));
        Self { uid, name: name_of(uid), login, sudo: None, process }
    }
}

/// A user's name, where users are in a file.
fn name_of(uid: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let user = users.lines().find(|line| line.split(':').nth(2) == Some(&*uid.to_string()))?;
    user.split(':').next().filter(|name| name.len() <= LONGEST).map(ToOwned::to_owned)
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (uid {})", self.uid)?,
            None => write!(f, "uid {}", self.uid)?,
        }
        for (how, who) in [("logged in as", &self.login), ("by sudo for", &self.sudo)] {
            if let Some(who) = who.as_ref().filter(|who| Some(*who) != self.name.as_ref()) {
                write!(f, ", {how} {who}")?;
            }
        }
        Ok(())
    }
}

/// A note that was left, of a read that goes on.
#[derive(Debug)]
pub struct Noted {
    spool: Spool,
    /// Its file's name there.
    name: String,
    read: Read,
}

impl Noted {
    /// Notes that the trail in `trail` is about to be read. `None`: it is a copy, which has no writer.
    ///
    /// # Errors
    ///
    /// It cannot be noted; the trail can be read all the same.
    pub fn begin(
        trail: &Path,
        command: &str,
        filters: Vec<String>,
        by: Reader,
    ) -> Result<Option<Self>, Unnoted> {
        let Some(spool) = Spool::open(trail, DIR)? else { return Ok(None) };
        let (name, at) = spool.place(by.process);
        let read = Read { at, command: command.to_owned(), filters, records: None, by };
        spool.put(&name, &read)?;
        Ok(Some(Self { spool, name, read }))
    }

    /// Notes how many records were read.
    ///
    /// # Errors
    ///
    /// It cannot be written; that the trail was read is noted all the same.
    pub fn finish(mut self, records: u64) -> Result<(), Unnoted> {
        self.read.records = Some(records);
        self.spool.put(&self.name, &self.read)
    }
}

/// The notes that wait in the trail's directory, but for those of reads that go on.
pub(super) fn waiting(trail: &Path) -> Vec<(PathBuf, Read)> {
    let goes_on = |path: &Path, note: &Read| {
        note.records.is_none() && is_young(path) && is_running(note.by.process)
    };
    spool::waiting(trail, DIR, goes_on)
}

/// A process of the same number may be another, and in another container the number says nothing.
fn is_young(path: &Path) -> bool {
    let age = path.metadata().and_then(|metadata| metadata.modified()).map(|made| made.elapsed());
    matches!(age, Ok(Ok(age)) if age < BROKEN_OFF)
}

fn is_running(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}
