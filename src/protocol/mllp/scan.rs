//! What may pass of a stream of frames, and where somebody has to be asked first.

use memchr::{memchr, memchr2};

use super::header::Found;
use super::lead::{LEAD_MAX, Lead};
use super::segments::Segments;
use super::{END, Header, START, breaks, is_blank};

/// Bytes between two frames that belong to none and are no filler either. They are dropped, up to here: any
/// real message is longer.
const JUNK_MAX: usize = 64;

/// Which way a stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Messages that are judged: whatever could be taken for a message is one, and what is no frame does not
    /// pass.
    Messages,
    /// Answers, and what a workload has to say: it passes as it is, and what is a message is told of.
    Answers,
}

/// What to do with the bytes that come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// So many may pass.
    Pass(usize),
    /// So many belong to no frame, and are not passed on.
    Drop(usize),
    /// A message begins, and may pass if whoever judges says so; then so many bytes pass. `further`: it is
    /// in the frame of an earlier one.
    Message(Lead<'a>, usize, bool),
    /// In a frame another header of a file or a batch begins, and may pass if whoever judges says so; then so
    /// many bytes pass. `None`: we cannot read it, somebody's receiver may.
    Envelope(Option<Header<'a>>, usize),
    /// A frame begins that has no message: nothing at all, or a reply of MLLP's release 2 (`06`, `15`).
    Other(Option<bool>, usize),
    /// So many may pass, and end the frame.
    End(usize),
    /// More has to come before anything can be said. Hold these bytes.
    More,
}

/// What is no HL7 message in a frame of MLLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// Bytes where a frame should begin.
    #[error("no start of a frame (0x0B) where one should be")]
    NoStart,
    /// Content goes on after its end.
    #[error("content goes on after the end of its frame (0x1C)")]
    AfterEnd,
    /// A frame begins inside of another: some receivers take the byte out and join what is around it.
    #[error("the start of a frame (0x0B) inside of another")]
    StartInside,
    /// The content does not begin with a header that can be read.
    #[error(
        "a frame that does not begin with a readable MSH, FHS or BHS, or has another that is not"
    )]
    NoHeader,
    /// The header does not come to its end.
    #[error("a header that is longer than headers are read")]
    HeaderTooLong,
}

/// Reads a stream as it comes. Given are all bytes that no earlier step has disposed of.
#[derive(Debug, Clone)]
pub struct Scanner {
    reading: Reading,
    place: Place,
    /// The frame began as a file or a batch.
    in_batch: bool,
    /// Headers of files and batches further below in a frame are told of.
    heeds_envelopes: bool,
}

/// Where in the stream one stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Between frames, with so much junk since the last.
    Between(usize),
    /// Behind 0x1C: the carriage return is still to come, if it does.
    Ended,
    /// In a frame's content, of which so many bytes that come next are known to have no end in them.
    Inside(Segments, usize),
}

impl Scanner {
    /// At the beginning of a stream.
    pub fn new(reading: Reading) -> Self {
        let heeds_envelopes = reading == Reading::Messages;
        Self { reading, place: Place::Between(0), in_batch: false, heeds_envelopes }
    }

    /// Whether headers of files and batches further below in a frame are told of. Where nobody asks who sends,
    /// they are text like any other, and need not be looked for.
    pub fn heed_envelopes(&mut self, heeded: bool) {
        self.heeds_envelopes = heeded;
    }

    /// Whether a frame has begun and not ended.
    pub fn is_inside(&self) -> bool {
        matches!(self.place, Place::Inside(..))
    }

    /// What to do with `bytes`, which are not empty.
    ///
    /// # Errors
    ///
    /// What comes is not MLLP, or no HL7 message. Never for [`Reading::Answers`].
    pub fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<Step<'a>, Malformed> {
        match (self.place, self.reading) {
            (Place::Inside(segments, clear), _) => self.inside(segments, clear, bytes),
            (_, _) if bytes.first() == Some(&START) => self.begin(bytes),
            (_, Reading::Answers) => Ok(Step::Pass(memchr(START, bytes).unwrap_or(bytes.len()))),
            (Place::Between(junk), Reading::Messages) => self.between(junk, bytes),
            (Place::Ended, Reading::Messages) => self.after_end(bytes),
        }
    }

    /// Filler passes, for it keeps connections alive; a little junk is dropped.
    fn between<'a>(&mut self, junk: usize, bytes: &[u8]) -> Result<Step<'a>, Malformed> {
        let filler = bytes.iter().take_while(|byte| is_filler(**byte)).count();
        if filler > 0 {
            return Ok(if junk == 0 { Step::Pass(filler) } else { Step::Drop(filler) });
        }
        let found = bytes.iter().take_while(|byte| !is_filler(**byte) && **byte != START).count();
        if junk + found > JUNK_MAX {
            return Err(Malformed::NoStart);
        }
        self.place = Place::Between(junk + found);
        Ok(Step::Drop(found))
    }

    /// A carriage return makes the end whole. To receivers that insist on it anything else is content, so
    /// only what cannot be a message may follow without one.
    fn after_end<'a>(&mut self, bytes: &[u8]) -> Result<Step<'a>, Malformed> {
        if bytes.first() == Some(&b'\r') {
            self.place = Place::Between(0);
            return Ok(Step::Pass(1));
        }
        match bytes.iter().take_while(|byte| is_filler(**byte) && **byte != b'\r').count() {
            0 => Err(Malformed::AfterEnd),
            filler => Ok(Step::Pass(filler)),
        }
    }

    /// A frame's beginning, from its 0x0B.
    fn begin<'a>(&mut self, bytes: &'a [u8]) -> Result<Step<'a>, Malformed> {
        let bounded = bytes.get(1..).unwrap_or_default();
        let bounded = bounded.get(..LEAD_MAX).unwrap_or(bounded);
        // Some senders frame a line end and a frame anew; nothing is hidden before the header.
        let is_before = |byte: &&u8| **byte != END && (breaks(**byte) || is_blank(**byte));
        let before = bounded.iter().take_while(is_before).count();
        let end = self.end(bounded.get(before..).unwrap_or_default()).map(|at| before + at);
        let content = bounded.get(..end.unwrap_or(bounded.len())).unwrap_or_default();
        let is_torn = end.is_some_and(|end| bounded.get(end) == Some(&START));
        let is_whole = end.is_some() && !is_torn;
        let is_full = bounded.len() == LEAD_MAX;
        match self.lead(content, is_whole, is_full) {
            Ok(Step::More) | Err(Malformed::HeaderTooLong) if is_torn => {
                Err(Malformed::StartInside)
            }
            step => step,
        }
    }

    /// Where the content ends that `bytes` begin with, by 0x1C or by what may not be in it.
    fn end(&self, bytes: &[u8]) -> Option<usize> {
        match self.reading {
            Reading::Messages => memchr2(END, START, bytes),
            Reading::Answers => memchr(END, bytes),
        }
    }

    /// The beginning of a frame's content.
    fn lead<'a>(
        &mut self,
        content: &'a [u8],
        is_whole: bool,
        is_full: bool,
    ) -> Result<Step<'a>, Malformed> {
        if let Some(step) = self.without_message(content, is_whole) {
            return Ok(step);
        }
        match Lead::read(content, !is_whole, self.reading == Reading::Answers) {
            Found::It((lead, at)) => {
                self.place = Place::Inside(Segments::default(), 0);
                self.in_batch = lead.header.is_batch;
                Ok(Step::Message(lead, 1 + at + 3, false))
            }
            Found::More if !is_full => Ok(Step::More),
            Found::More | Found::Not if self.reading == Reading::Answers => Ok(self.other(None)),
            Found::More => Err(Malformed::HeaderTooLong),
            Found::Not => Err(Malformed::NoHeader),
        }
    }

    /// Frames that have no message: empty ones, and release 2's replies.
    fn without_message<'a>(&mut self, content: &[u8], is_whole: bool) -> Option<Step<'a>> {
        match content {
            [0x06] if is_whole => Some(self.other(Some(true))),
            [0x15] if is_whole => Some(self.other(Some(false))),
            [0x06] | [0x15] => Some(Step::More),
            _ if is_whole && content.iter().all(|byte| breaks(*byte) || is_blank(*byte)) => {
                Some(self.other(None))
            }
            _ => None,
        }
    }

    fn other<'a>(&mut self, reply: Option<bool>) -> Step<'a> {
        self.in_batch = false;
        self.place = Place::Inside(Segments::default(), 0);
        Step::Other(reply, 1)
    }

    fn inside<'a>(
        &mut self,
        segments: Segments,
        clear: usize,
        bytes: &'a [u8],
    ) -> Result<Step<'a>, Malformed> {
        let plain = segments.plain(bytes);
        if plain > 0 {
            return Ok(self.pass(segments, bytes.get(..plain).unwrap_or_default(), plain));
        }
        let unseen = bytes.get(clear..).unwrap_or_default();
        let end = self.end(unseen).map(|at| clear + at);
        let content = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let header = match self.reading {
            Reading::Messages => segments.next(content, self.heeds_envelopes),
            Reading::Answers if self.in_batch => segments.next(content, self.heeds_envelopes),
            Reading::Answers => None,
        };
        match (header, end) {
            (Some(0), _) => self.further(segments, content, end.is_none()),
            (Some(at), _) => Ok(self.pass(segments, content, at)),
            (None, Some(end)) if bytes.get(end) == Some(&START) => match end {
                0 => Err(Malformed::StartInside),
                _ => Ok(self.pass(segments, content, end)),
            },
            (None, Some(end)) if bytes.get(end + 1) == Some(&b'\r') => {
                self.place = Place::Between(0);
                Ok(Step::End(end + 2))
            }
            (None, Some(end)) => {
                self.place = Place::Ended;
                Ok(Step::End(end + 1))
            }
            (None, None) => Ok(self.pass(segments, content, content.len())),
        }
    }

    /// The first `count` bytes of `content` pass.
    fn pass<'a>(&mut self, mut segments: Segments, content: &[u8], count: usize) -> Step<'a> {
        segments.passed(content.get(..count).unwrap_or_default());
        self.place = Place::Inside(segments, content.len() - count);
        Step::Pass(count)
    }

    /// What may be another header in the same frame.
    fn further<'a>(
        &mut self,
        segments: Segments,
        content: &'a [u8],
        more: bool,
    ) -> Result<Step<'a>, Malformed> {
        let bounded = content.get(..LEAD_MAX).unwrap_or(content);
        let more = more && bounded.len() < LEAD_MAX;
        let answers = self.reading == Reading::Answers;
        match content.first() {
            Some(b'F' | b'B') => match Header::batch(bounded, more) {
                Found::It(header) => {
                    self.pass(segments, content, 3);
                    Ok(Step::Envelope(Some(header), 3))
                }
                Found::More => Ok(Step::More),
                Found::Not if content.len() >= 3 => {
                    self.pass(segments, content, 3);
                    Ok(Step::Envelope(None, 3))
                }
                Found::Not => Ok(self.pass(segments, content, content.len().min(3))),
            },
            _ => match Lead::read_message(bounded, more, answers) {
                Found::It((lead, _)) => {
                    self.pass(segments, content, 3);
                    let lead = Lead { header: Header { is_batch: true, ..lead.header }, ..lead };
                    Ok(Step::Message(lead, 3, true))
                }
                Found::More => Ok(Step::More),
                // Whatever its fourth byte is: what we cannot read, somebody's receiver may.
                Found::Not if content.len() >= 3 && !answers => Err(Malformed::NoHeader),
                Found::Not => Ok(self.pass(segments, content, content.len().min(3))),
            },
        }
    }
}

/// What senders put between frames: line ends, blanks, NUL, and telnet's "no operation".
fn is_filler(byte: u8) -> bool {
    matches!(byte, 0 | b'\t' | b'\n' | b'\r' | b' ' | 0xf1 | 0xff)
}
