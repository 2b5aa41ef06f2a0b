//! Disks that wait, that take what they cannot keep, and that fail.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
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
        fs::create_dir(disk.mounted()).unwrap();
        File::create(disk.image()).unwrap().set_len(16 << 20).unwrap();
        disk.mount(&[]);
        disk
    }

    /// One that promises 16 MiB and has less: once [filled](Self::fill), what was written cannot be kept, and only
    /// `fdatasync` tells.
    ///
    /// # Panics
    ///
    /// Unless the test runs as root.
    pub(crate) fn thin() -> Self {
        let disk = Self { dir: TempDir::new().unwrap() };
        mount(&["-t", "tmpfs", "-o", "size=2m", "myelin-test"], disk.dir.path());
        fs::create_dir(disk.mounted()).unwrap();
        // What the file system needs for itself is really there: only contents of files are lost.
        let mut image = File::create(disk.image()).unwrap();
        image.write_all(&[0; 256 << 10]).unwrap();
        image.set_len(16 << 20).unwrap();
        let small = "nodiscard,lazy_itable_init=0";
        disk.mount(&["-O", "^has_journal", "-b", "1024", "-N", "128", "-E", small]);
        disk
    }

    fn mount(&self, made: &[&str]) {
        does(Command::new(needs("mkfs.ext4", "e2fsprogs")).arg("-q").args(made).arg(self.image()));
        mount(&["-o", "loop", self.image().to_str().unwrap()], &self.mounted());
    }

    /// Leaves a [thin](Self::thin) disk nothing.
    pub(crate) fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        while ballast.write_all(&[1; 4096]).is_ok() {}
    }

    /// Gives it room again.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    /// Lets it fail, as the kernel takes it: from now on it can only be read.
    pub(crate) fn fail(&self) {
        mount(&["-o", "remount,abort"], &self.mounted());
    }

    /// Mounts an empty one in its place.
    pub(crate) fn replace(&self) {
        mount(&["-t", "tmpfs", "-o", "size=4m,mode=700", "myelin-test"], &self.mounted());
    }

    fn ballast(&self) -> PathBuf {
        self.dir.path().join("ballast")
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
        // One over another, and both over what is thin; a place where nothing is mounted stays as it is.
        for place in [self.mounted(), self.mounted(), self.dir.path().to_owned()] {
            let _status = Command::new("umount").args(["-q", "-l"]).arg(place).status();
        }
    }
}

fn mount(how: &[&str], to: &Path) {
    does(Command::new(needs("mount", "mount")).args(how).arg(to));
}

fn does(command: &mut Command) {
    assert!(command.status().unwrap().success(), "this test must run as root: {command:?}");
}
