//! A segment in less room: nothing is removed before its copy was read back and found to be the same.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{Context, Digest, SHA256};

use crate::audit::read::files::{COMPRESSED, SegmentFile, regular};

/// Bytes that are read at a time.
const BUFFER: usize = 128 * 1024;
/// How hard zstd tries: its own default, of about a tenth of the length and 4 MiB of memory.
const LEVEL: i32 = 3;
/// What the name of a copy that is not whole yet ends with.
const UNFINISHED: &str = ".new";

/// Replaces `file` by a compressed copy; whether it came to its end before `stop`.
///
/// A crash leaves the segment as it was, beside it at most a copy: one that is unfinished counts for nothing, and of one that is
/// whole the segment itself counts, as long as it is there.
pub(super) fn compress(file: &SegmentFile, stop: &AtomicBool) -> io::Result<bool> {
    let copy = with(&file.path, COMPRESSED);
    let unfinished = with(&copy, UNFINISHED);
    let made = make(&file.path, &unfinished, stop);
    if !matches!(made, Ok(true)) {
        // Best effort: the next start removes it, too.
        let _stays = fs::remove_file(&unfinished);
        return made;
    }
    fs::rename(&unfinished, &copy)?;
    sync(&copy)?;
    fs::remove_file(&file.path)?;
    sync(&copy)?;
    Ok(true)
}

/// Removes copies that were never finished.
pub(super) fn clear(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let copied = name.strip_suffix(UNFINISHED).and_then(|name| name.strip_suffix(COMPRESSED));
        if copied.is_some_and(|name| name.starts_with("trail-")) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Writes a copy, reads it back, and compares.
fn make(from: &Path, to: &Path, stop: &AtomicBool) -> io::Result<bool> {
    let source = regular(from)?;
    let metadata = source.metadata()?;
    let copy = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    let mut encoder = zstd::Encoder::new(&copy, LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(metadata.len()))?;
    let Some(original) = read(source, stop, |bytes| encoder.write_all(bytes))? else {
        return Ok(false);
    };
    encoder.finish()?;
    copy.set_modified(metadata.modified()?)?;
    copy.sync_all()?;
    let Some(again) = read(zstd::Decoder::new(File::open(to)?)?, stop, |_bytes| Ok(()))? else {
        return Ok(false);
    };
    if again.as_ref() != original.as_ref() {
        let text = format!("{} does not give back what was compressed", to.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(true)
}

/// Gives `each` all that there is to read; its digest, unless it was stopped.
fn read(
    mut reader: impl io::Read,
    stop: &AtomicBool,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Option<Digest>> {
    let mut digest = Context::new(&SHA256);
    let mut buffer = Vec::with_capacity(BUFFER);
    while !stop.load(Ordering::Relaxed) {
        buffer.clear();
        if reader.by_ref().take(BUFFER as u64).read_to_end(&mut buffer)? == 0 {
            return Ok(Some(digest.finish()));
        }
        digest.update(&buffer);
        each(&buffer)?;
    }
    Ok(None)
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(end);
    path.into()
}

fn sync(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::read::files::files;

    const NAME: &str = "trail-20261122T061201Z-00000000000000000001.jsonl";

    fn segment(text: &str) -> (tempfile::TempDir, SegmentFile) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), text).unwrap();
        let file = files(dir.path()).unwrap().remove(0);
        (dir, file)
    }

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_segment_is_replaced_by_what_zstd_gives_back_as_it_was() {
        let text = "{\"a\":1}\n".repeat(100_000);
        let (dir, file) = segment(&text);
        let written = file.path.metadata().unwrap().modified().unwrap();

        assert!(compress(&file, &AtomicBool::new(false)).unwrap());

        let copy = dir.path().join(format!("{NAME}.zst"));
        assert_eq!(names(dir.path()), [format!("{NAME}.zst")]);
        assert_eq!(zstd::decode_all(File::open(&copy).unwrap()).unwrap(), text.as_bytes());
        assert_eq!(copy.metadata().unwrap().modified().unwrap(), written);
    }

    #[test]
    fn a_stop_leaves_the_segment_and_nothing_else() {
        let (dir, file) = segment("{}\n");

        assert!(!compress(&file, &AtomicBool::new(true)).unwrap());

        assert_eq!(names(dir.path()), [NAME]);
    }

    #[test]
    fn a_copy_that_a_crash_left_is_made_anew() {
        let (dir, file) = segment("{}\n");
        fs::write(dir.path().join(format!("{NAME}.zst")), "half a copy").unwrap();
        fs::write(dir.path().join(format!("{NAME}.zst.new")), "half a copy").unwrap();
        assert!(!files(dir.path()).unwrap()[0].is_compressed, "the segment itself counts");

        clear(dir.path()).unwrap();
        assert!(compress(&file, &AtomicBool::new(false)).unwrap());

        assert_eq!(names(dir.path()), [format!("{NAME}.zst")]);
        let copy = File::open(dir.path().join(format!("{NAME}.zst"))).unwrap();
        assert_eq!(zstd::decode_all(copy).unwrap(), b"{}\n");
    }
}
