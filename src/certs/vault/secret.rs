//! Tokens and the like: in files, in memory, in answers.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::certs::enrol::{EnrolError, EnrolFailure};

/// Larger than any token: those of Kubernetes have some kilobytes.
const LARGEST: u64 = 64 << 10;

/// A text that nobody may see. Its memory is cleared when it is dropped.
pub(super) struct Secret(Zeroizing<String>);

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Reads the file `path`, which holds `what`.
    ///
    /// # Errors
    ///
    /// It cannot be read, or does not hold one line of text.
    pub(super) fn read(path: &Path, what: &str) -> Result<Self, EnrolError> {
        let error = |problem: String| EnrolError {
            at: path.display().to_string(),
            kind: EnrolFailure::Unprepared,
            what: problem,
        };
        let unreadable =
            |io: std::io::Error| error(format!("cannot be read: {io}; wanted: {what}"));
        // Reading a pipe might wait for ever.
        if !fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(error(format!("is no regular file; wanted: {what}")));
        }
        let largest = usize::try_from(LARGEST).unwrap_or(usize::MAX);
        // Never grows: a buffer that moves leaves the secret behind.
        let mut text = Zeroizing::new(String::with_capacity(largest + 1));
        let file = File::open(path).map_err(unreadable)?;
        file.take(LARGEST + 1).read_to_string(&mut text).map_err(unreadable)?;
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(error(format!("is empty; wanted: {what}")));
        }
        if text.len() > largest || trimmed.contains(|c: char| c.is_control() || !c.is_ascii()) {
            return Err(error(format!("holds more than one line of plain text; wanted: {what}")));
        }
        Ok(Self::new(trimmed.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_secret_is_read_without_the_white_space_around_it() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "  s.secret \r\n").unwrap();

        assert_eq!(Secret::read(&path, "a token").unwrap().text(), "s.secret");
    }

    #[test]
    fn a_secret_is_not_in_what_a_log_may_hold() {
        assert_eq!(format!("{:?}", Some(Secret::new("s3cret".to_owned()))), "Some(Secret)");
    }

    #[test]
    fn what_is_no_secret_is_told_and_not_quoted() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("token");
        let long = "s3cret".repeat(20_000);

        for (content, problem) in [
            (b" \n".as_slice(), "is empty"),
            (b"s3cret\ns3cret", "more than one line"),
            (b"s3cret\xc3\xa4", "more than one line"),
            (b"s3cret\xff", "cannot be read"),
            (long.as_bytes(), "more than one line"),
        ] {
            fs::write(&path, content).unwrap();
            let error = Secret::read(&path, "a token").unwrap_err().to_string();
            assert!(error.contains(problem) && error.ends_with("wanted: a token"), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert!(Secret::read(dir.path(), "a token").unwrap_err().to_string().contains("regular"));
    }
}
