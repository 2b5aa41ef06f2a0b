//! The token for the first certificate.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use zeroize::Zeroizing;

use crate::certs::enrol::{EnrolError, EnrolFailure};

/// No token is longer, in bytes.
const LONGEST: usize = 16 * 1024;

/// The token in the file `path`, without the white space around it; `None` when there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, EnrolError> {
    let error = |what: String| EnrolError {
        at: path.display().to_string(),
        kind: EnrolFailure::Unprepared,
        what,
    };
    let unreadable = |failed: io::Error| error(format!("the token cannot be read: {failed}"));
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        // Reading a pipe might wait for ever.
        Ok(_) => return Err(error("the token cannot be read: it is no regular file".to_owned())),
        Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(None),
        Err(failed) => return Err(unreadable(failed)),
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut text = Zeroizing::new(String::with_capacity(LONGEST + 1));
    match file.take(LONGEST as u64 + 1).read_to_string(&mut text) {
        Ok(length) if length > LONGEST => {
            return Err(error(format!("is no token: it is longer than {LONGEST} bytes")));
        }
        Ok(_) => {}
        Err(failed) if failed.kind() == ErrorKind::InvalidData => {
            return Err(error("is no token: it is not text".to_owned()));
        }
        Err(failed) => return Err(unreadable(failed)),
    }
    let token = text.trim();
    if token.is_empty() {
        return Err(error("is empty: put a token into it".to_owned()));
    }
    if token.contains(|character: char| character.is_control()) {
        return Err(error("is no token: it has more than one line".to_owned()));
    }
    Ok(Some(Zeroizing::new(token.to_owned())))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_token_is_read_without_the_white_space_around_it() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("token");
        assert!(read(&path).unwrap().is_none());
        fs::write(&path, " s3cret:of ehr\r\n").unwrap();

        assert_eq!(read(&path).unwrap().unwrap().as_str(), "s3cret:of ehr");
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_quoted() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("token");
        let long = "s3cret".repeat(LONGEST);

        for (content, problem) in [
            (b" \n".as_slice(), "is empty"),
            (b"s3cret\ns3cret", "more than one line"),
            (b"s3cret\xff", "not text"),
            (long.as_bytes(), "longer than 16384 bytes"),
        ] {
            fs::write(&path, content).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains("token"), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert!(read(dir.path()).unwrap_err().to_string().contains("cannot be read"));
    }
}
