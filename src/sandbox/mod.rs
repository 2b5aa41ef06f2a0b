//! What this process may do to its machine: as little as its work takes.
//!
//! It is put on once, while the process has one thread: what holds a thread holds those that it begins, and no other. So no thread of
//! the sidecar is ever without it.

mod calls;
mod files;
mod privileges;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use files::Granted;
use rustix::thread::{SecureComputingMode, secure_computing_mode};

/// How to get at what a process in a sandbox cannot.
const MEND: &str = "is outside of what this process has kept when it started (`runtime.sandbox`): hand over to a new \
                    process with SIGUSR2, or restart";

/// The files of this process, once they are bounded: whoever cannot open one may ask why.
static FILES: OnceLock<Granted> = OnceLock::new();

/// What the process has to do with the file system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Files that it reads, again and again, and which others may replace.
    pub reads: BTreeSet<PathBuf>,
    /// Directories in which it writes.
    pub writes: BTreeSet<PathBuf>,
    /// Those of them that it makes again when somebody has taken them away, or put another disk in their place.
    pub remakes: BTreeSet<PathBuf>,
    /// Directories in which it makes sockets.
    pub listens: BTreeSet<PathBuf>,
    /// Unix sockets that it connects to. They may come later.
    pub connects: BTreeSet<PathBuf>,
}

/// What holds this process. Without anything put on, nothing is known to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// What it may get at in the file system, if that is bounded.
    pub files: Option<Granted>,
    /// Whether its system calls are filtered.
    pub filtered: bool,
    /// No program that it may start gives it a privilege; `None` when nobody has looked.
    pub no_new_privs: Option<bool>,
    /// Whether the kernel would write its memory to a file, keys included.
    pub core_dumps: Option<bool>,
    /// The capabilities that it has, as `capabilities(7)` calls them.
    pub capabilities: Option<Vec<String>>,
    /// What could not be had, one a text.
    pub missing: Vec<String>,
}

/// Something that the process has not kept for itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {MEND}", .0.display())]
pub struct Outside(pub PathBuf);

impl Sandbox {
    /// Puts on what the kernel gives, on this thread and those that it begins.
    pub fn put_on(needs: &Needs) -> Self {
        let mut missing = Vec::new();
        let core_dumps = privileges::no_core_dumps(&mut missing);
        let no_new_privs = privileges::no_new_ones(&mut missing);
        let capabilities = privileges::drop(needs, &mut missing);
        let files = files::restrict(needs, &mut missing);
        if let Some(files) = &files {
            let _first = FILES.set(files.clone());
        }
        let filtered = calls::filter(&mut missing); // last: all that is above needs calls of its own
        Self {
            files,
            filtered,
            no_new_privs: Some(no_new_privs),
            core_dumps: Some(core_dumps),
            capabilities: Some(capabilities),
            missing,
        }
    }

    /// None, for a reason that is `missing`.
    pub fn without(missing: String) -> Self {
        Self { missing: vec![missing], ..Self::default() }
    }

    /// Whether a process in it can do with `needs`.
    ///
    /// # Errors
    ///
    /// Names the first that it cannot get at.
    pub fn has_room_for(&self, needs: &Needs) -> Result<(), Outside> {
        match self.files.as_ref().and_then(|files| files.lacks(needs)) {
            Some(path) => Err(Outside(path)),
            None => Ok(()),
        }
    }
}

/// Whether this process began with a filter of system calls. It may end whoever asks for more.
pub fn is_filtered() -> bool {
    secure_computing_mode().is_ok_and(|mode| mode == SecureComputingMode::Filter)
}

/// Why `path` cannot be opened, in words: `error`, and what is to be done if it is this process that has given the path up.
pub fn explain(path: &Path, error: &io::Error) -> String {
    let is_ours = error.kind() == io::ErrorKind::PermissionDenied
        && FILES.get().is_some_and(|files| !files.holds(path));
    if is_ours { format!("{error}; it {MEND}") } else { error.to_string() }
}
