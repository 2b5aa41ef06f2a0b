//! Which program a worker is, and how it is started.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::manager;
use super::worker::Worker;
use crate::handover::Channel;

/// Where this program is itself, whatever stands under its name.
const ITSELF: &str = "/proc/self/exe";

/// A program with its arguments, as this process was started.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    name: OsString,
    arguments: Vec<OsString>,
}

impl Program {
    /// This one. `arguments` are all that it was started with, its own name first; `search` is where the shell looks for
    /// programs. The path stays as it was named: whoever puts another version there, or leads a link to it, means that one.
    pub fn this(arguments: impl IntoIterator<Item = OsString>, search: Option<OsString>) -> Self {
        let mut arguments = arguments.into_iter();
        let name = arguments.next().unwrap_or_else(|| ITSELF.into());
        let path = find(Path::new(&name), search).unwrap_or_else(|| ITSELF.into());
        Self { path, name, arguments: arguments.collect() }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts a worker, in a process group of its own: Ctrl-C is for the parent to hear.
    pub(super) fn start(&self) -> io::Result<Worker> {
        let (channel, end) = Channel::pair()?;
        let mut command = Command::new(&self.path);
        for name in manager::ENVIRONMENT {
            command.env_remove(name);
        }
        let child = command
            .arg0(&self.name)
            .args(&self.arguments)
            .arg("--worker-of")
            .arg(std::process::id().to_string())
            .stdin(Stdio::from(end))
            .process_group(0)
            .spawn()?;
        Ok(Worker { pid: child.id(), channel })
    }
}

/// The file that was started as `name`; only one that is this program.
fn find(name: &Path, search: Option<OsString>) -> Option<PathBuf> {
    let places = if name.components().nth(1).is_some() || name.is_absolute() {
        vec![std::path::absolute(name).ok()?]
    } else {
        std::env::split_paths(&search?).map(|dir| dir.join(name)).collect()
    };
    let own = file(Path::new(ITSELF))?;
    places.into_iter().find(|place| file(place) == Some(own))
}

fn file(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_that_it_was_started_by_is_kept_and_no_other_program_is_taken_for_it() {
        let own = std::env::current_exe().unwrap();
        let dir = tempfile::TempDir::new().unwrap();
        let link = dir.path().join("myelin");
        std::os::unix::fs::symlink(&own, &link).unwrap();
        let path = |name: &Path, search: Option<&Path>| {
            Program::this([name.into(), "run".into()], search.map(Into::into)).path
        };

        assert_eq!(path(&link, None), link);
        assert_eq!(path(Path::new("myelin"), Some(dir.path())), link);
        assert_eq!(path(Path::new("/bin/sh"), None), Path::new(ITSELF));
        assert_eq!(path(Path::new("myelin"), None), Path::new(ITSELF));
    }
}
