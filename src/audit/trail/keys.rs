//! The key that signs checkpoints, in a file of its own, and those that come after it.
//!
//! A key lives for `lifetime`. Then it signs, together with the next one, the checkpoint that introduces that
//! one, and is gone: whoever takes over the machine later cannot seal what was recorded before anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::audit::seal::Signer;
use crate::clock;
use crate::config::{Checkpoints, KeyAlgorithm};

/// Its file in the trail's directory, where the configuration names no other.
const FILE: &str = "checkpoint-key";
/// More than any key's file has.
const FILE_BYTES: u64 = 4096;

/// The keys of a trail.
#[derive(Debug)]
pub(super) struct Keys {
    path: PathBuf,
    algorithm: KeyAlgorithm,
    lifetime: Duration,
    current: Signer,
    /// When the current one was made.
    since: OffsetDateTime,
    /// It is written, and being introduced.
    next: Option<Signer>,
}

impl Keys {
    /// Takes up the key that the trail in `dir` has announced last, or makes the first one of `name`.
    pub(super) fn open(
        settings: &Checkpoints,
        dir: &Path,
        name: &str,
        announced: Option<&str>,
    ) -> io::Result<Self> {
        let path = settings.key_file.clone().unwrap_or_else(|| dir.join(FILE));
        let (algorithm, lifetime) = (settings.algorithm, settings.key_lifetime);
        let is_announced =
            |(signer, _): &(Signer, _)| Some(&*signer.verifier().to_string()) == announced;
        let mut kept = load(&path)?;
        if announced.is_some() && !kept.as_ref().is_some_and(is_announced) {
            // The next one may have been introduced, and not yet moved to its place.
            if let Some(next) = load(&next_to(&path))?.filter(is_announced) {
                promote(&path)?;
                kept = Some(next);
            }
        }
        let (current, since) = match kept {
            Some(kept) => kept,
            None => {
                let signer = generate(name, algorithm)?;
                store(&next_to(&path), &signer)?;
                promote(&path)?;
                (signer, clock::now())
            }
        };
        Ok(Self { path, algorithm, lifetime, current, since, next: None })
    }

    /// The key that signs now.
    pub(super) fn current(&self) -> &Signer {
        &self.current
    }

    /// Writes the one that signs now again, if its file was taken away.
    pub(super) fn keep_again(&self) -> io::Result<()> {
        if self.path.exists() { Ok(()) } else { store(&self.path, &self.current) }
    }

    /// The next key, while it is being introduced.
    pub(super) fn next(&self) -> Option<&Signer> {
        self.next.as_ref()
    }

    /// Makes and writes the next key, once the current one has lived its time.
    pub(super) fn grow_old(&mut self, now: OffsetDateTime) -> io::Result<()> {
        if self.next.is_none() && now - self.since >= self.lifetime {
            let next = generate(&self.current.verifier().key_id().name, self.algorithm)?;
            store(&next_to(&self.path), &next)?;
            self.next = Some(next);
        }
        Ok(())
    }

    /// The next key was introduced, durably: it takes the current one's place.
    pub(super) fn introduced(&mut self, now: OffsetDateTime) -> io::Result<()> {
        let Some(next) = self.next.take() else { return Ok(()) };
        (self.current, self.since) = (next, now);
        promote(&self.path)
    }
}

fn next_to(path: &Path) -> PathBuf {
    let mut next = path.to_owned().into_os_string();
    next.push(".next");
    next.into()
}

fn generate(name: &str, algorithm: KeyAlgorithm) -> io::Result<Signer> {
    Signer::generate(name, algorithm).map_err(io::Error::other)
}

/// The key in the file, and since when it is there.
fn load(path: &Path) -> io::Result<Option<(Signer, OffsetDateTime)>> {
    let told = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
        }
    };
    let metadata = file.metadata()?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(told(format!(
            "{path} has mode {mode:04o}: others could sign checkpoints; chmod 0600 mends it"
        )));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES).read_to_string(&mut text)?;
    let signer = Signer::parse(&text).map_err(|why| {
        told(format!(
            "{}: {why}; a copy of the key mends it, or its removal: then the trail goes on with a new key, \
             and verify says so",
            path.display()
        ))
    })?;
    Ok(Some((signer, metadata.modified()?.into())))
}

/// Writes a key to a file of its own, in place of whatever an attempt before has left there.
fn store(path: &Path, signer: &Signer) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(signer.text().as_bytes())?;
    file.sync_all()?;
    sync_around(path)
}

/// Moves the next key to its place, where it replaces the one before.
fn promote(path: &Path) -> io::Result<()> {
    fs::rename(next_to(path), path)?;
    sync_around(path)
}

fn sync_around(path: &Path) -> io::Result<()> {
    let dir =
        path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(dir)?.sync_all()
}
