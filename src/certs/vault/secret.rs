//! Tokens and the like: in files, in memory, in answers.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::certs::enrol::EnrolError;
use crate::certs::secret_file;

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
    /// There is none, it cannot be read, or does not hold one line of plain text.
    pub(super) fn read(path: &Path, what: &str) -> Result<Self, EnrolError> {
        let error = |problem| secret_file::error(path, problem, what);
        let text = secret_file::read(path, what)?.ok_or_else(|| error("no such file"))?;
        if !text.is_ascii() {
            return Err(error("is not plain ASCII"));
        }
        Ok(Self(text))
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
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_secret_is_not_in_what_a_log_may_hold() {
        assert_eq!(format!("{:?}", Some(Secret::new("s3cret".to_owned()))), "Some(Secret)");
    }

    #[test]
    fn what_no_header_may_hold_and_what_is_not_there_are_told() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("token");
        let told = || Secret::read(&path, "a token").unwrap_err().to_string();
        assert!(told().ends_with("no such file; wanted: a token"), "{}", told());
        fs::write(&path, "s3cret\u{e4}").unwrap();

        assert!(told().ends_with("is not plain ASCII; wanted: a token"), "{}", told());
        fs::write(&path, "  s.secret \r\n").unwrap();
        assert_eq!(Secret::read(&path, "a token").unwrap().text(), "s.secret");
    }
}
