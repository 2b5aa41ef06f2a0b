//! A disk that can be made to wait: whoever writes to it goes on when it may.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::process::needs;

/// A file system of its own, with a directory for a trail.
pub(crate) struct Disk {
    dir: TempDir,
}

/// A disk that takes nothing until this drops.
pub(crate) struct Stopped<'a>(&'a Disk);

impl Disk {
    /// # Panics
    ///
    /// Unless the test runs as root.
    pub(crate) fn new() -> Self {
        let disk = Self { dir: TempDir::new().unwrap() };
        std::fs::create_dir(disk.mounted()).unwrap();
        std::fs::File::create(disk.image()).unwrap().set_len(16 << 20).unwrap();
        does(Command::new(needs("mkfs.ext4", "e2fsprogs")).arg("-q").arg(disk.image()));
        let mut mount = Command::new(needs("mount", "mount"));
        does(mount.args(["-o", "loop"]).args([disk.image(), disk.mounted()]));
        disk
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn mounted(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    /// `audit` of a configuration.
    pub(crate) fn audit(&self) -> String {
        format!("dir: {}", self.mounted().join("trail").display())
    }

    pub(crate) fn stop(&self) -> Stopped<'_> {
        does(Command::new(needs("fsfreeze", "util-linux")).arg("-f").arg(self.mounted()));
        Stopped(self)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        let mut thaw = Command::new(needs("fsfreeze", "util-linux"));
        let _status = thaw.arg("-u").arg(self.0.mounted()).status();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _status = Command::new("umount").arg("-l").arg(self.mounted()).status();
    }
}

fn does(command: &mut Command) {
    assert!(command.status().unwrap().success(), "this test must run as root: {command:?}");
}
