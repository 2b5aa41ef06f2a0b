//! Standard output and standard error.

use std::io::{self, Write};
use std::ops::ControlFlow;

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

/// Standard output for much at once.
pub(super) struct Stream(io::BufWriter<io::StdoutLock<'static>>);

impl Stream {
    pub(super) fn new() -> Self {
        Self(io::BufWriter::with_capacity(64 * 1024, io::stdout().lock()))
    }

    /// Prints `bytes`; there is no use in more when the reader went away.
    pub(super) fn write(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        match self.0.write_all(bytes) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_reader_gone) => ControlFlow::Break(()),
        }
    }
}
