//! Standard output and standard error.

use std::io::{self, Write};

/// Prints `text` to standard output. A reader that went away is no error.
pub(super) fn print(text: &str) {
    bytes(text.as_bytes());
}

/// The same for what is no text.
pub(super) fn bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _reader_gone = out.write_all(bytes).and_then(|()| out.flush());
}

/// Prints `text` and a newline to standard output.
pub(super) fn line(text: &str) {
    print(&format!("{text}\n"));
}

/// Prints `text` and a newline to standard error.
pub(super) fn error(text: &str) {
    let mut out = io::stderr().lock();
    let _reader_gone = writeln!(out, "{text}");
}
