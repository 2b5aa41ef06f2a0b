//! Finds further headers in the content of a frame: what a receiver may take for another message, or for the
//! header of a batch, must not pass unjudged behind the first.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::{breaks, is_blank};

/// The name of a message's header.
const MESSAGE: &[u8] = b"MSH";
/// The names of the headers of batches and files.
const ENVELOPES: [&[u8]; 2] = [b"BHS", b"FHS"];
/// Bytes of a name.
const NAME: usize = 3;
/// Bytes that are searched for one name and then for the others: where headers stand close together, a search
/// for one that is not there must not go on to the end for each of them.
const BLOCK: usize = 4096;

/// Bytes that are looked at as a whole, without a search.
const GLANCE: usize = 512;

static FIND_MESSAGE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(MESSAGE));
/// What the names of both envelopes end with.
static FIND_ENVELOPE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"HS"));

/// Line ends beyond ASCII, in UTF-8: U+0085, U+2028 and U+2029.
const LINE_ENDS: [&[u8]; 3] = [b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9"];
/// U+0085 where a letter is a byte.
const NEXT_LINE: u8 = 0x85;

/// Where in a frame's content one stands.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Segments {
    /// Only what some receiver strips has come since a segment began.
    at_start: bool,
    /// The last bytes that have passed.
    last: [u8; 2],
}

impl Segments {
    /// Where in `content` a header begins, or may begin: its end may be missing. Whether it can be read is
    /// not asked here, for receivers read what we cannot. Those of files and batches only with `envelopes`.
    ///
    /// Names are looked for first, and segments' beginnings before them: in content of many short segments
    /// the other way round would be many times slower.
    pub(super) fn next(self, content: &[u8], envelopes: bool) -> Option<usize> {
        let whole = (0..content.len()).step_by(BLOCK).find_map(|from| {
            let block = from..content.len().min(from + BLOCK + NAME - 1);
            let message = self.first(content, block.clone(), &FIND_MESSAGE, 0);
            let end = message.map_or(block.end, |at| at + NAME - 1);
            let envelope = || self.first(content, from..end, &FIND_ENVELOPE, 1);
            envelopes.then(envelope).flatten().or(message)
        });
        whole.or_else(|| self.torn(content, envelopes))
    }

    /// The first header in a block whose name `finder` finds, or the rest of its name behind so many bytes.
    fn first(
        self,
        content: &[u8],
        block: Range<usize>,
        finder: &Finder<'_>,
        behind: usize,
    ) -> Option<usize> {
        let begin = block.start;
        let found = finder.find_iter(content.get(block)?);
        let mut names = found.filter_map(|at| (begin + at).checked_sub(behind));
        names.find(|at| self.has_header(content, *at, true))
    }

    /// How many bytes `content` begins with, in whole blocks or to its end, that are printable ASCII behind text of
    /// the same segment: no frame and no segment begins or ends among them. One look that needs no search, for
    /// documents in one long segment.
    pub(super) fn plain(self, content: &[u8]) -> usize {
        let [_, before] = self.last;
        if self.at_start || !is_printable(before) {
            return 0;
        }
        let is_plain = |block: &&[u8]| {
            let (least, most) = block
                .iter()
                .fold((u8::MAX, 0), |(least, most), byte| (least.min(*byte), most.max(*byte)));
            is_printable(least) && is_printable(most)
        };
        content.chunks(GLANCE).take_while(is_plain).map(<[u8]>::len).sum()
    }

    /// A header at the end of `content`, in the middle of its name.
    fn torn(self, content: &[u8], envelopes: bool) -> Option<usize> {
        let mut last = content.len().saturating_sub(NAME - 1)..content.len();
        last.find(|at| self.has_header(content, *at, envelopes))
    }

    /// Whether a segment with the name of a header begins at `at`, as far as it has come.
    fn has_header(self, content: &[u8], at: usize, envelopes: bool) -> bool {
        let Some((before, segment)) = content.split_at_checked(at) else { return false };
        let is_name = |name: &[u8]| match segment.get(..NAME) {
            Some(found) => found == name,
            None => name.starts_with(segment),
        };
        let is_envelope = || envelopes && ENVELOPES.into_iter().any(is_name);
        (is_name(MESSAGE) || is_envelope()) && self.begins_behind(before)
    }

    /// These bytes have passed.
    pub(super) fn passed(&mut self, content: &[u8]) {
        self.at_start = self.stands_at_start(content);
        let [_, before] = self.last;
        self.last = match content {
            [.., first, second] => [*first, *second],
            [only] => [before, *only],
            [] => self.last,
        };
    }

    /// Whether for some receiver what comes behind these bytes begins a segment.
    ///
    /// A lone 0x85 ends a line in the character sets of a byte for each letter, and is the end of a letter in
    /// UTF-8, and three dots in Windows-1252: it counts where the name follows at once, which no text has.
    fn begins_behind(self, content: &[u8]) -> bool {
        let [_, before] = self.last;
        *content.last().unwrap_or(&before) == NEXT_LINE || self.stands_at_start(content)
    }

    /// Whether behind these bytes nothing has come since a segment began that is not stripped by some receiver.
    fn stands_at_start(self, content: &[u8]) -> bool {
        let text = content.iter().rposition(|byte| !is_stripped(*byte));
        let stripped = content.get(text.map_or(0, |at| at + 1)..).unwrap_or_default();
        match text.and_then(|at| content.get(at)) {
            Some(byte) => breaks(*byte) || ends_line(stripped),
            None => {
                let [first, second] = self.last;
                let [third, fourth] = [0, 1].map(|at| stripped.get(at).copied().unwrap_or(b' '));
                let torn = [first, second, third, fourth];
                self.at_start || ends_line(&torn) || ends_line(stripped)
            }
        }
    }
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// Whether some receiver ends a line in these bytes, all of which are blanks or beyond ASCII.
fn ends_line(stripped: &[u8]) -> bool {
    let ends = |bytes: &[u8]| LINE_ENDS.iter().any(|end| bytes.starts_with(end));
    memchr::memchr2_iter(0xc2, 0xe2, stripped)
        .any(|at| ends(stripped.get(at..).unwrap_or_default()))
}

/// Whether the header of a file or a batch has another header in it for a receiver that ends lines where we do not.
pub(super) fn hides_header(envelope: &[u8]) -> bool {
    let behind_name = envelope.get(NAME..).unwrap_or_default();
    Segments::default().next(behind_name, true).is_some_and(|at| at + NAME <= behind_name.len())
}

/// Whether some receiver strips the byte from the beginning of a segment. What counts as a blank depends on
/// the character set (U+0085, U+00A0, U+3000), so everything beyond ASCII may be one.
fn is_stripped(byte: u8) -> bool {
    is_blank(byte) || !byte.is_ascii()
}
