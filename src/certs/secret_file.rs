//! A secret of one line in a file: a token, a password.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::enrol::{EnrolError, EnrolFailure};

/// No secret is longer, in bytes: tokens of Kubernetes have some kilobytes.
const LONGEST: usize = 64 * 1024;

/// The line in the file `path`, which is to hold `wanted`, without the white space around it; `None` when
/// there is no such file.
///
/// # Errors
///
/// It cannot be read, or does not hold one line of text, which is not quoted.
pub(super) fn read(path: &Path, wanted: &str) -> Result<Option<Zeroizing<String>>, EnrolError> {
    let error = |problem: &str| error(path, problem, wanted);
    let unreadable = |failed: io::Error| error(&format!("cannot be read: {failed}"));
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        // Reading a pipe might wait for ever.
        Ok(_) => return Err(error("is no regular file")),
        Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(None),
        Err(failed) => return Err(unreadable(failed)),
    }
    let file = File::open(path).map_err(unreadable)?;
    // Never grows: a buffer that moves leaves the secret behind.
    let mut text = Zeroizing::new(String::with_capacity(LONGEST + 1));
    match file.take(LONGEST as u64 + 1).read_to_string(&mut text) {
        Ok(length) if length > LONGEST => {
            return Err(error(&format!("is longer than {LONGEST} bytes")));
        }
        Ok(_) => {}
        Err(failed) if failed.kind() == ErrorKind::InvalidData => return Err(error("is not text")),
        Err(failed) => return Err(unreadable(failed)),
    }
    let line = text.trim();
    if line.is_empty() {
        return Err(error("is empty"));
    }
    if line.contains(char::is_control) {
        return Err(error("has more than one line"));
    }
    Ok(Some(Zeroizing::new(line.to_owned())))
}

/// That the file `path` does not hold what is wanted, because of `problem`.
pub(super) fn error(path: &Path, problem: &str, wanted: &str) -> EnrolError {
    EnrolError {
        at: path.display().to_string(),
        kind: EnrolFailure::Unprepared,
        what: format!("{problem}; wanted: {wanted}"),
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
        assert!(read(&path, "a token").unwrap().is_none());
        fs::write(&path, " s3cret:of ehr\r\n").unwrap();

        assert_eq!(read(&path, "a token").unwrap().unwrap().as_str(), "s3cret:of ehr");
    }

    #[test]
    fn what_is_no_secret_is_told_and_not_quoted() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("token");
        let long = "s3cret".repeat(LONGEST);

        for (content, problem) in [
            (b" \n".as_slice(), "is empty"),
            (b"s3cret\ns3cret", "has more than one line"),
            (b"s3cret\xff", "is not text"),
            (long.as_bytes(), "is longer than 65536 bytes"),
        ] {
            fs::write(&path, content).unwrap();
            let error = read(&path, "a token").unwrap_err().to_string();
            assert_eq!(error, format!("{}: {problem}; wanted: a token", path.display()));
        }
        let directory = read(dir.path(), "a token").unwrap_err().to_string();
        assert!(directory.ends_with("is no regular file; wanted: a token"), "{directory}");
    }
}
