//! The beginning of a frame: as much of it as has to be read before anything of it may pass.

use super::ack::Ack;
use super::header::{Found, Header};
use super::segments::hides_header;
use super::{breaks, is_blank};

/// Most bytes of a frame that are held back to be read.
pub const LEAD_MAX: usize = 16 * 1024;

/// The byte order mark that some senders put first.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// What a frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lead<'a> {
    /// The header that it is judged by.
    pub header: Header<'a>,
    /// Its MSA, where it was looked for.
    pub ack: Option<Ack<'a>>,
    /// The headers of file and batch before it.
    pub(super) envelopes: &'a [u8],
}

impl<'a> Lead<'a> {
    /// Reads the beginning of a frame's content; the number says where its header begins. With `answers`
    /// every message is looked at for an MSA, else only those that say they are acknowledgements.
    pub(super) fn read(content: &'a [u8], more: bool, answers: bool) -> Found<(Self, usize)> {
        if more && MARK.starts_with(content) {
            return Found::More;
        }
        let at = skip_blanks(content);
        let text = content.get(at..).unwrap_or_default();
        match text.first() {
            None if more => Found::More,
            Some(b'F' | b'B') => Self::read_batch(text, more, answers).moved(at),
            _ => Self::read_message(text, more, answers).moved(at),
        }
    }

    /// Reads an MSH where a segment begins, and what follows it.
    pub(super) fn read_message(text: &'a [u8], more: bool, answers: bool) -> Found<(Self, usize)> {
        let header = match Header::message(text, more) {
            Found::It(header) => header,
            Found::More => return Found::More,
            Found::Not => return Found::Not,
        };
        if !answers && header.code != b"ACK" {
            return Found::It((Self { header, ack: None, envelopes: &[] }, 0));
        }
        match Ack::find(text, header.separator, more && text.len() < LEAD_MAX) {
            Found::It(ack) => Found::It((Self { header, ack: Some(ack), envelopes: &[] }, 0)),
            Found::Not => Found::It((Self { header, ack: None, envelopes: &[] }, 0)),
            Found::More => Found::More,
        }
    }

    /// The headers of file and batch that the message comes in: who sends, once more.
    pub fn envelopes(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let mut rest = self.envelopes;
        std::iter::from_fn(move || {
            let segment = rest.get(skip_blanks(rest)..)?;
            let end = segment.iter().position(|byte| breaks(*byte)).unwrap_or(segment.len());
            rest = segment.get(end..).unwrap_or_default();
            match Header::batch(segment, false) {
                Found::It(header) => Some(header),
                Found::More | Found::Not => None,
            }
        })
    }

    /// FHS and BHS, and the first message behind them: what is in a batch is judged by its messages. A batch
    /// of none is judged by its own header.
    fn read_batch(text: &'a [u8], more: bool, answers: bool) -> Found<(Self, usize)> {
        let first = match Header::batch(text, more) {
            Found::It(header) => header,
            Found::More => return Found::More,
            Found::Not => return Found::Not,
        };
        let (mut at, mut last) = (0, 0);
        loop {
            let rest = text.get(at..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| breaks(*byte)) else {
                return if more { Found::More } else { batch_only(first, text, last) };
            };
            if hides_header(rest.get(..end).unwrap_or_default()) {
                return Found::Not;
            }
            at += end;
            at += skip_blanks(text.get(at..).unwrap_or_default());
            let segment = text.get(at..).unwrap_or_default();
            match segment.get(..3) {
                Some(b"FHS" | b"BHS") => match Header::batch(segment, more) {
                    Found::It(_) => last = at,
                    Found::More => return Found::More,
                    Found::Not => return Found::Not,
                },
                Some(b"MSH") => {
                    let found = match Self::read_message(segment, more, answers) {
                        Found::It((lead, _)) => lead,
                        Found::More => return Found::More,
                        Found::Not => return Found::Not,
                    };
                    let header = Header { is_batch: true, ..found.header };
                    let envelopes = text.get(..at).unwrap_or_default();
                    return Found::It((Self { header, envelopes, ..found }, at));
                }
                None if more => return Found::More,
                Some(_) | None => {
                    return batch_only(first, text.get(..at).unwrap_or_default(), last);
                }
            }
        }
    }
}

/// Headers alone, the last of which begins at `last`.
fn batch_only<'a>(
    header: Header<'a>,
    envelopes: &'a [u8],
    last: usize,
) -> Found<(Lead<'a>, usize)> {
    Found::It((Lead { header, ack: None, envelopes }, last))
}

/// How many bytes come before the first segment: some senders begin with line feeds or a byte order mark.
fn skip_blanks(content: &[u8]) -> usize {
    let is_text = |byte: &u8| !breaks(*byte) && !is_blank(*byte);
    let text = |bytes: &[u8]| bytes.iter().position(is_text).unwrap_or(bytes.len());
    match content.strip_prefix(MARK) {
        Some(rest) => MARK.len() + text(rest),
        None => text(content),
    }
}

impl<T> Found<(T, usize)> {
    fn moved(self, by: usize) -> Self {
        match self {
            Self::It((found, at)) => Self::It((found, at + by)),
            other => other,
        }
    }
}
