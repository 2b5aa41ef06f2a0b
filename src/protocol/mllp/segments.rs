//! Finds further headers in the content of a frame: what a receiver may take for another message must not pass
//! unjudged behind the first.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::{breaks, is_blank};

/// Finds `MSH` at the speed of memory, not of segments.
static MSH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"MSH"));

/// Where in a frame's content one stands.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Segments {
    /// Only what some receiver strips has come since a segment began.
    at_start: bool,
}

impl Segments {
    /// Where in `content` a header begins, or may begin: its end may be missing. Whether it can be read is
    /// not asked here, for receivers read what we cannot.
    pub(super) fn next(self, content: &[u8]) -> Option<usize> {
        let whole = MSH.find_iter(content).find(|at| self.begins(content, *at));
        whole.or_else(|| {
            let part =
                if content.ends_with(b"MS") { 2 } else { usize::from(content.ends_with(b"M")) };
            let at = content.len() - part;
            (part > 0 && self.begins(content, at)).then_some(at)
        })
    }

    /// Whether a segment begins at `at`.
    fn begins(self, content: &[u8], at: usize) -> bool {
        let before = content.get(..at).unwrap_or_default();
        before
            .iter()
            .rev()
            .find(|byte| !is_stripped(**byte))
            .map_or(self.at_start, |byte| breaks(*byte))
    }

    /// These bytes have passed.
    pub(super) fn passed(&mut self, content: &[u8]) {
        self.at_start = self.begins(content, content.len());
    }
}

/// Whether some receiver strips the byte from the beginning of a segment. What counts as a blank depends on
/// the character set (U+0085, U+00A0, U+3000), so everything beyond ASCII may be one.
fn is_stripped(byte: u8) -> bool {
    is_blank(byte) || !byte.is_ascii()
}
