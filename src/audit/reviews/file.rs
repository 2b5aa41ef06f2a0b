//! The file of reviews: lines that are only ever added, each naming the one before.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use time::OffsetDateTime;

use super::{Event, Placed, Review, Signed};
use crate::clock;

/// Beside the trail.
const FILE: &str = "reviews.jsonl";
/// More than the reviews of a lifetime have.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// The reviews of a trail.
#[derive(Debug, Clone, Default)]
pub struct Reviews {
    /// As far as they fit, the oldest first.
    pub signed: Vec<Signed>,
    /// What does not fit, with its place.
    pub broken: Option<String>,
    /// SHA-256 of the last line.
    last: Option<String>,
}

/// A review that cannot be put in the file.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The file cannot be read or written.
    #[error("{} cannot be written", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is there is not what was written.
    #[error(
        "{broken}; nothing is added to it: keep the file aside as evidence, and the next sign-off begins a new one"
    )]
    Broken {
        /// What, with its place.
        broken: String,
    },
}

impl Reviews {
    /// The latest end of a reviewed period.
    pub fn last_end(&self) -> Option<OffsetDateTime> {
        self.signed.iter().filter_map(|signed| signed.myelin.review.end()).max()
    }

    /// Reads `text`, up to the first line that does not fit.
    fn of(path: &Path, text: &str) -> Self {
        let mut reviews = Self::default();
        for (line, number) in text.split_inclusive('\n').zip(1_u64..) {
            if let Err(why) = reviews.take(line, number) {
                reviews.broken = Some(format!("{}:{number}: {why}", path.display()));
                break;
            }
        }
        reviews
    }

    fn take(&mut self, line: &str, number: u64) -> Result<(), &'static str> {
        let line = line.strip_suffix('\n').ok_or("it is unfinished")?;
        let signed: Signed =
            serde_json::from_str(line).map_err(|_may_quote| "this is no sign-off")?;
        if signed.myelin.prev != self.last() || signed.event.sequence != number {
            return Err(
                "it does not follow the line before it, one of them was changed, added or removed",
            );
        }
        self.last = Some(hex::encode(digest(&SHA256, line.as_bytes())));
        self.signed.push(signed);
        Ok(())
    }

    fn last(&self) -> String {
        self.last.clone().unwrap_or_else(|| "0".repeat(64))
    }
}

/// The reviews of the trail in `dir`. Without a file there is none.
pub fn read(dir: &Path) -> Reviews {
    let path = dir.join(FILE);
    let text = File::open(&path).and_then(|file| whole(&file));
    match text {
        Ok(text) => Reviews::of(&path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Reviews::default(),
        Err(error) => {
            let broken = Some(format!("{} cannot be read: {error}", path.display()));
            Reviews { broken, ..Reviews::default() }
        }
    }
}

/// Puts `review` in the file, durably; two at a time wait for each other. Returns the file.
///
/// # Errors
///
/// The file cannot be written, or what is there does not fit.
pub fn sign(dir: &Path, review: Review) -> Result<PathBuf, SignError> {
    let path = dir.join(FILE);
    let failed = |source| SignError::Io { path: path.clone(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    file.lock().map_err(failed)?;
    let reviews = Reviews::of(&path, &whole(&file).map_err(failed)?);
    let prev = reviews.last();
    if let Some(broken) = reviews.broken {
        return Err(SignError::Broken { broken });
    }
    let signed = Signed {
        at: clock::rfc3339(clock::now()),
        event: Event {
            sequence: reviews.signed.len() as u64 + 1,
            action: "review-signed".into(),
            outcome: "success".into(),
            kind: "event".into(),
        },
        myelin: Placed { review, prev },
    };
    let mut line = serde_json::to_vec(&signed).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    file.write_all(&line).and_then(|()| file.sync_all()).map_err(failed)?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
    Ok(path)
}

fn whole(file: &File) -> io::Result<String> {
    let mut text = String::new();
    let read = file.take(MOST_BYTES).read_to_string(&mut text)? as u64;
    if read == MOST_BYTES { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::audit::reviews::Account;

    fn review(to: &str) -> Review {
        Review {
            reviewer: "Jane Doe".into(),
            account: Account { uid: 1000, name: Some("jdoe".into()), ..Account::default() },
            from: "2026-10-01T00:00:00Z".into(),
            to: to.into(),
            note: None,
            report: None,
            checkpoint: None,
        }
    }

    fn signed_twice() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        sign(dir.path(), review("2026-11-01T00:00:00Z")).unwrap();
        let path = sign(dir.path(), review("2026-10-15T00:00:00Z")).unwrap();
        (dir, path)
    }

    #[test]
    fn each_names_the_one_before_and_the_latest_end_counts() {
        let (dir, path) = signed_twice();

        let reviews = read(dir.path());

        assert_eq!((reviews.signed.len(), reviews.broken), (2, None));
        let text = fs::read_to_string(path).unwrap();
        let first = hex::encode(digest(&SHA256, text.lines().next().unwrap().as_bytes()));
        assert_eq!(reviews.signed[1].myelin.prev, first);
        assert_eq!(reviews.signed[1].event.sequence, 2);
        let end = read(dir.path()).last_end().unwrap();
        assert_eq!(end.date().to_string(), "2026-11-01");
    }

    #[test]
    fn what_was_changed_is_told_and_nothing_is_added_to_it() {
        for (from, to) in [("Jane", "Joan"), ("\n{", "{"), ("\"sequence\":2", "\"sequence\":3")] {
            let (dir, path) = signed_twice();
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replacen(from, to, 1)).unwrap();

            assert!(read(dir.path()).broken.is_some(), "{from}");
            let refused = sign(dir.path(), review("2026-12-01T00:00:00Z")).unwrap_err();
            assert!(refused.to_string().contains("keep the file aside"), "{refused}");
            assert_eq!(fs::read_to_string(&path).unwrap().len(), text.replacen(from, to, 1).len());
        }
    }

    #[test]
    fn a_line_that_was_cut_off_is_told_with_its_place() {
        let (dir, path) = signed_twice();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.trim_end()).unwrap();

        assert!(read(dir.path()).broken.unwrap().ends_with("reviews.jsonl:2: it is unfinished"));
    }
}
