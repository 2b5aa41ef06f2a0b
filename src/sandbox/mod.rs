//! What this process may do to its machine: as little as its work takes.
//!
//! It is put on once, while the process has one thread: what holds a thread holds those that it begins, and no other. So no thread of
//! the sidecar is ever without it.

mod privileges;

use std::collections::BTreeSet;
use std::path::PathBuf;

/// What the process has to do with the file system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Files that it reads, again and again, and which others may replace.
    pub reads: BTreeSet<PathBuf>,
    /// Directories in which it writes.
    pub writes: BTreeSet<PathBuf>,
    /// Unix sockets that it connects to. They may come later.
    pub connects: BTreeSet<PathBuf>,
}

/// What holds this process. Without anything put on, nothing is known to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// No program that it may start gives it a privilege; `None` when nobody has looked.
    pub no_new_privs: Option<bool>,
    /// Whether the kernel would write its memory to a file, keys included.
    pub core_dumps: Option<bool>,
    /// The capabilities that it has, as `capabilities(7)` calls them.
    pub capabilities: Option<Vec<String>>,
    /// What could not be had, one a text.
    pub missing: Vec<String>,
}

impl Sandbox {
    /// Puts on what the kernel gives, on this thread and those that it begins.
    pub fn put_on(needs: &Needs) -> Self {
        let mut missing = Vec::new();
        let core_dumps = privileges::no_core_dumps(&mut missing);
        let no_new_privs = privileges::no_new_ones(&mut missing);
        let capabilities = privileges::drop(needs, &mut missing);
        Self {
            no_new_privs: Some(no_new_privs),
            core_dumps: Some(core_dumps),
            capabilities: Some(capabilities),
            missing,
        }
    }
}
