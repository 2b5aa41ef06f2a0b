//! Lines of a file whoever wrote it: bounded memory, whatever their length.

use std::io::{self, BufRead, Read as _};

/// Longer than any line that the trail writes.
pub(in crate::audit) const LONGEST: usize = 1024 * 1024;

/// Lines, one after the other.
pub(in crate::audit) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    number: u64,
    offset: u64,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::audit) enum Next<'a> {
    /// A line without its newline.
    Line(&'a [u8]),
    /// A line that is longer than any that the trail writes; it was passed over.
    TooLong,
    /// So many bytes at the end that no newline ends: they are being written, or were when the power failed.
    Unfinished(u64),
    /// Nothing.
    End,
}

impl<R: BufRead> Lines<R> {
    pub(in crate::audit) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), number: 0, offset: 0 }
    }

    /// Which line the last one was, from 1.
    pub(in crate::audit) fn number(&self) -> u64 {
        self.number
    }

    /// Where the next line begins, in bytes; an unfinished one is still to come.
    pub(in crate::audit) fn offset(&self) -> u64 {
        self.offset
    }

    /// The last line.
    pub(in crate::audit) fn last(&self) -> &[u8] {
        &self.buffer
    }

    /// Counts the last line as still to come: for a reader that begins anew at [`Self::offset`].
    pub(in crate::audit) fn put_back(&mut self) {
        self.number -= 1;
        self.offset -= self.buffer.len() as u64 + 1;
    }

    /// The next line.
    pub(in crate::audit) fn next(&mut self) -> io::Result<Next<'_>> {
        self.buffer.clear();
        let read = self.reader.by_ref().take(LONGEST as u64).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(Next::End);
        }
        if self.buffer.last() != Some(&b'\n') && read < LONGEST {
            return Ok(Next::Unfinished(read as u64));
        }
        self.number += 1;
        self.offset += read as u64;
        if self.buffer.pop_if(|last| *last == b'\n').is_some() {
            return Ok(Next::Line(&self.buffer));
        }
        self.offset += self.reader.skip_until(b'\n')? as u64;
        Ok(Next::TooLong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one_and_what_is_too_long_or_unfinished_is_told() {
        let long = "x".repeat(3 * LONGEST);
        let text = format!("a\n\n{long}\nb\nun");
        let mut lines = Lines::new(text.as_bytes());

        assert_eq!(lines.next().unwrap(), Next::Line(b"a"));
        assert_eq!(lines.next().unwrap(), Next::Line(b""));
        assert_eq!(lines.next().unwrap(), Next::TooLong);
        assert_eq!(lines.next().unwrap(), Next::Line(b"b"));
        assert_eq!((lines.number(), lines.offset()), (4, 3 + 3 * LONGEST as u64 + 3));
        assert_eq!(lines.next().unwrap(), Next::Unfinished(2));
        assert_eq!((lines.number(), lines.offset()), (4, 3 + 3 * LONGEST as u64 + 3));
        assert_eq!(lines.next().unwrap(), Next::End);
    }
}
