//! A file, or its text, to a checked configuration.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::problem::{Fault, Place, Problem, Problems, Severity};
use super::read::Reader;
use super::substitute::Sources;
use super::yaml::Node;
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
    let hint = "name another file with --config or MYELIN_CONFIG";
    parse(path, &text(path, "the configuration cannot be read", hint)?, env)
}

/// The text of the file at `path`; `wrong` and `mend` tell of one that cannot be read.
pub(super) fn text(path: &Path, wrong: &str, mend: &str) -> Result<String, Problems> {
    let refuse =
        |fault: Fault, place| Problems::new(path, "", vec![fault.at(place, "", Severity::Error)]);
    let bytes = read(path)
        .map_err(|error| refuse(Fault::new(format!("{wrong}: {error}")).hint(mend), Place::FILE))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..valid).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let fault = Fault::new("this line is not UTF-8").hint("save the file as UTF-8");
        refuse(fault, Place { line, column: 1, length: 1 })
    })
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
    let digest = Fingerprint::of(text.as_bytes());
    let check = |reader: &Reader<'_>, root: &Node| check::file(reader, root, path, digest);
    match checked(path, text, env, check) {
        (Some(config), warnings) => Ok(Config { warnings, ..config }),
        (None, problems) => Err(problems),
    }
}

/// What `check` makes of a text, if nothing in it is wrong, and all that is to be said of it.
pub(super) fn checked<T>(
    path: &Path,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    check: impl FnOnce(&Reader<'_>, &Node) -> Option<T>,
) -> (Option<T>, Problems) {
    if text.len() > MAX_BYTES {
        let fault = Fault::new(format!("the file is larger than {MAX_BYTES} bytes"));
        let fault = fault.at(Place::FILE, "", Severity::Error);
        return (None, Problems::new(path, "", vec![fault]));
    }
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let base = path.parent().unwrap_or_else(|| Path::new(""));

    let (root, found) = yaml::read(text);
    let reader = Reader::new(Sources { env, base }, found);
    let value = root.and_then(|root| check(&reader, &root));
    let found = reader.into_problems();
    let wrong = found.iter().any(|problem: &Problem| problem.severity == Severity::Error);
    (value.filter(|_| !wrong), Problems::new(path, text, found))
}
