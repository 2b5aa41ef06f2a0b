//! Files that commands write for other programs.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Never writes over a file.
pub(super) fn write(path: &Path, mode: u32, text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let put = |mut file: File| file.write_all(text.as_ref()).and_then(|()| file.sync_all());
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(put)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Puts a new file in the place of the old one, which readers see whole or not at all.
pub(super) fn replace(path: &Path, mode: u32, text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    if new.exists() {
        fs::remove_file(&new).with_context(|| format!("cannot remove {}", new.display()))?;
    }
    write(&new, mode, text)?;
    fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
}
