//! Standard output and standard error.

use std::io::{self, IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::Instant;

use crate::report::steers;

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
    let _reader_gone = writeln!(out, "{}", harmless(text, "\n\t"));
}

/// `text` without what could steer a terminal, or change the order in which a line is read (Unicode TR 36, 2.5), but for
/// characters of `but`. Names of files and values of records may be anything.
pub(super) fn harmless(text: &str, but: &str) -> String {
    text.chars().map(|c| if steers(c) && !but.contains(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether standard output is a terminal.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether standard error, where the log goes, is a terminal.
pub(super) fn is_log_seen() -> bool {
    io::stderr().is_terminal()
}

/// How many columns the terminal has that standard output is; `None` if it is none.
pub(super) fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Whether somebody still reads standard output: a pipe or a terminal whose other end is closed tells so without a
/// write.
pub(super) fn is_read() -> bool {
    let out = io::stdout();
    let mut watched = [PollFd::new(&out, PollFlags::empty())];
    let polled = poll(&mut watched, Some(&Timespec::default()));
    let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
    polled.is_err() || watched.iter().all(|one| !one.revents().intersects(gone))
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

    /// Prints what is still held back.
    pub(super) fn flush(&mut self) -> ControlFlow<()> {
        match self.0.flush() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_reader_gone) => ControlFlow::Break(()),
        }
    }
}

/// A line on a terminal that says how far long work is. Nothing of it stays, and where standard error is no terminal
/// there is none.
pub(super) struct Progress {
    shown: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// A new line is shown after this long at the soonest.
    const PAUSE: Duration = Duration::from_millis(100);

    pub(super) fn new() -> Self {
        Self { shown: None, is_terminal: io::stderr().is_terminal() }
    }

    /// Shows what `text` says, if it is time to.
    pub(super) fn show(&mut self, text: impl FnOnce() -> String) {
        if !self.is_terminal || self.shown.is_some_and(|shown| shown.elapsed() < Self::PAUSE) {
            return;
        }
        self.shown = Some(Instant::now());
        let mut out = io::stderr().lock();
        let _terminal_gone = write!(out, "\r\x1b[K{}", text()).and_then(|()| out.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let mut out = io::stderr().lock();
            let _terminal_gone = write!(out, "\r\x1b[K").and_then(|()| out.flush());
        }
    }
}
