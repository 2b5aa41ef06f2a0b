//! A file, or its text, to a checked configuration.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::problem::{Fault, Place, Problem, Problems, Severity};
use super::read::Reader;
use super::substitute::Sources;
use super::{Config, check, yaml};
use crate::identity::Fingerprint;

/// Largest configuration file: some thousand peers with their routes fit.
const MAX_BYTES: usize = 4 << 20;

/// Reads and checks the configuration file at `path`.
///
/// `env` looks up environment variables for `${NAME}`. Relative paths in the file begin at the
/// file's own directory.
///
/// # Errors
///
/// Everything that is wrong, each with its place and, where one is known, the mend; warnings too.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
    let refuse =
        |fault: Fault, place| Problems::new(path, "", vec![fault.at(place, "", Severity::Error)]);
    let bytes = read(path).map_err(|error| {
        let fault = Fault::new(format!("the configuration cannot be read: {error}"));
        refuse(fault.hint("name another file with --config or MYELIN_CONFIG"), Place::FILE)
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let fault = Fault::new("this line is not UTF-8").hint("save the file as UTF-8");
        refuse(fault, Place { line, column: 1, length: 1 })
    })?;
    parse(path, text, env)
}

/// The file's bytes, one more than is accepted at most.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Checks `text`, the text of the file at `path`; otherwise like [`load`].
///
/// # Errors
///
/// Everything that is wrong, each with its place and, where one is known, the mend; warnings too.
pub fn parse(
    path: &Path,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Problems> {
    if text.len() > MAX_BYTES {
        let fault = Fault::new(format!("the file is larger than {MAX_BYTES} bytes"));
        return Err(Problems::new(path, "", vec![fault.at(Place::FILE, "", Severity::Error)]));
    }
    let digest = Fingerprint::of(text.as_bytes());
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let base = path.parent().unwrap_or_else(|| Path::new(""));

    let (root, found) = yaml::read(text);
    let reader = Reader::new(Sources { env, base }, found);
    let config = root.and_then(|root| check::file(&reader, &root, path, digest));
    let found = reader.into_problems();
    let wrong = found.iter().any(|problem: &Problem| problem.severity == Severity::Error);
    let problems = Problems::new(path, text, found);
    match config {
        Some(config) if !wrong => Ok(Config { warnings: problems, ..config }),
        _ => Err(problems),
    }
}
