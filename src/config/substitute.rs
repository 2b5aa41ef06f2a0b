//! `${NAME}` and `${file:PATH}` in scalars.
//!
//! What is put in is not looked at again, and never shown: it may be a secret.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::problem::{Fault, quoted};
use crate::sandbox;

/// Largest file that may stand for a scalar.
const MAX_FILE: u64 = 64 * 1024;

/// Where substitutions come from.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    /// The environment.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// The directory that relative paths begin at: the configuration file's.
    pub(super) base: &'a Path,
}

/// `written` with everything put in; `None` when there was nothing to put in.
///
/// `$${` stands for `${` itself.
pub(super) fn substitute(written: &str, sources: Sources<'_>) -> Result<Option<String>, Fault> {
    if !written.contains("${") {
        return Ok(None);
    }
    let mut value = String::new();
    let mut rest = written;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(literal) = before.strip_suffix('$') {
            value.push_str(literal);
            value.push_str("${");
            rest = after;
            continue;
        }
        let Some((name, after)) = after.split_once('}') else {
            return Err(Fault::new(format!("{} has a `${{` without its `}}`", quoted(written)))
                .hint("write `$${` for a `${` that is meant as it stands"));
        };
        value.push_str(before);
        value.push_str(&one(name, sources)?);
        rest = after;
    }
    value.push_str(rest);
    Ok(Some(value))
}

/// The paths in `written` whose files are to be put in.
pub(super) fn files(written: &str) -> impl Iterator<Item = &str> {
    written.split("${file:").skip(1).filter_map(|after| Some(after.split_once('}')?.0))
}

fn one(name: &str, sources: Sources<'_>) -> Result<String, Fault> {
    if let Some(path) = name.strip_prefix("file:") {
        return file(&sources.base.join(path)).map_err(|why| {
            Fault::new(format!("{} cannot be put in: {why}", quoted(&format!("${{{name}}}"))))
                .hint("relative paths begin at the directory of the configuration file")
        });
    }
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !begins || !characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let fault = Fault::new(format!("{} is no substitution", quoted(&format!("${{{name}}}"))));
        return Err(fault.hint("`${NAME}` is an environment variable, `${file:PATH}` a file"));
    }
    (sources.env)(name).ok_or_else(|| {
        Fault::new(format!("environment variable `{name}` is not set"))
            .hint("set it, or write the value here")
    })
}

/// The file's text without one final newline.
fn file(path: &Path) -> Result<String, String> {
    let mut text = read_text(path, MAX_FILE)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// The text of the file at `path`, which the configuration names; or why there is none.
pub(super) fn read_text(path: &Path, max: u64) -> Result<String, String> {
    let unreadable = |error: std::io::Error| error.to_string();
    // Asked before it is opened: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("it is not a regular file".into());
    }
    let mut bytes = Vec::new();
    let opened = File::open(path).map_err(|error| sandbox::explain(path, &error))?;
    opened.take(max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > max {
        return Err(format!("it is larger than {max} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| error.utf8_error().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_in(written: &str, base: &Path) -> Result<Option<String>, String> {
        let env = |name: &str| (name == "PORT").then(|| "84${X}43".to_owned());
        substitute(written, Sources { env: &env, base }).map_err(|fault| fault.text)
    }

    #[test]
    fn variables_are_put_in_once_and_anywhere() {
        let put_in = |written| put_in(written, Path::new(""));

        assert_eq!(put_in("no ${PORT").unwrap_err(), "`no ${PORT` has a `${` without its `}`");
        assert_eq!(put_in("0.0.0.0:8443"), Ok(None));
        assert_eq!(put_in("ip:${PORT}/$").unwrap().unwrap(), "ip:84${X}43/$");
        assert_eq!(put_in("$${PORT}").unwrap().unwrap(), "${PORT}");
        assert_eq!(put_in("${NOPE}").unwrap_err(), "environment variable `NOPE` is not set");
        assert_eq!(put_in("${A:-b}").unwrap_err(), "`${A:-b}` is no substitution");
        assert_eq!(put_in("${}").unwrap_err(), "`${}` is no substitution");
    }

    #[test]
    fn the_files_that_are_put_in_are_known() {
        let found: Vec<_> = files("${file:a}:${PORT}/${file:/b} ${file:c").collect();

        assert_eq!(found, ["a", "/b"]);
    }

    #[test]
    fn a_file_is_put_in_without_its_last_newline() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("one"), "a\n\n").unwrap();
        std::fs::write(dir.path().join("big"), vec![b'a'; 70_000]).unwrap();
        std::fs::write(dir.path().join("binary"), [0xff, 0xfe]).unwrap();
        let put_in = |written| put_in(written, dir.path());

        assert_eq!(put_in("x${file:one}y").unwrap().unwrap(), "xa\ny");
        assert!(put_in("${file:none}").unwrap_err().contains("No such file"));
        assert!(put_in("${file:.}").unwrap_err().contains("not a regular file"));
        assert!(put_in("${file:/dev/zero}").unwrap_err().contains("not a regular file"));
        assert!(put_in("${file:big}").unwrap_err().contains("larger than"));
        assert!(put_in("${file:binary}").unwrap_err().contains("utf-8"));
    }
}
