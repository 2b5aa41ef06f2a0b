//! An exact watcher of HTTP/1 request framing, in front of hyper.
//!
//! hyper repairs what a proxy between two parsers must refuse: it drops `content-length` beside
//! `transfer-encoding`, collapses repeated lengths, takes bare line feeds. None of that shows in its
//! header map, so the raw bytes are judged here as they pass: heads line by line, bodies skipped by
//! count. Nothing is held back or copied except a line that spans two reads.
//!
//! The watcher approves heads; the service answers only requests that were approved. Both count from
//! one, so whatever the watcher does not understand is refused (RFC 9112, sections 2.2, 3, 5 and 6).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::malformed::Malformed;

/// Longest line that gives the size of a chunk, extensions included.
const CHUNK_LINE_BYTES: usize = 4096;
/// Most header lines of a head; hyper takes no more, and answers more by itself.
const HEADER_LINES: usize = 100;

/// What the watcher tells the service, and the service the watcher.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    approved: AtomicU64,
    refused: OnceLock<Refused>,
    /// Whether a request line has passed of which the head has not ended.
    in_headers: AtomicBool,
    upgrade: AtomicU8,
}

/// Where the watcher gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    /// Why.
    pub(super) why: Malformed,
    /// In the body of a request that was approved; else in a head.
    pub(super) in_body: bool,
}

const UPGRADE_UNDECIDED: u8 = 0;
const UPGRADE_GRANTED: u8 = 1;
const UPGRADE_DECLINED: u8 = 2;

impl Verdicts {
    /// Whether the head of request `number`, counted from 1, may be believed.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(super) fn check(&self, number: u64) -> Result<(), Malformed> {
        if number <= self.approved.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(self.refused().map_or(Malformed::RequestLine, |refused| refused.why))
    }

    /// Number of the request at which the watcher gave up, if it did.
    pub(super) fn refused_number(&self) -> Option<u64> {
        let in_body = self.refused()?.in_body;
        Some(self.approved.load(Ordering::Acquire) + u64::from(!in_body))
    }

    /// Where the watcher gave up on this connection, if it did.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused.get().copied()
    }

    /// hyper has turned a head away by itself, maybe before its line was whole: then it is refused here.
    pub(super) fn turned_away(&self, too_large: bool) {
        let why = match self.in_headers.load(Ordering::Acquire) {
            _ if too_large => Malformed::TooLarge,
            true => Malformed::HeaderSyntax,
            false => Malformed::RequestLine,
        };
        let _ = self.refused.set(Refused { why, in_body: false });
    }

    /// Tells whether the upgrade that the last request asked for was granted.
    pub(super) fn decide_upgrade(&self, granted: bool) {
        let decision = if granted { UPGRADE_GRANTED } else { UPGRADE_DECLINED };
        self.upgrade.store(decision, Ordering::Release);
    }
}

/// Follows the requests of one connection through its bytes.
#[derive(Debug)]
pub(super) struct Watcher {
    state: State,
    head: Head,
    /// Beginning of a line of which the end has not come yet.
    partial: Vec<u8>,
    /// Bytes of the current head or trailer section.
    seen: usize,
    /// Most bytes of a head or trailer section.
    limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a request line.
    Start,
    Headers,
    /// This many bytes of a body are still to come.
    Body(u64),
    ChunkSize,
    /// This many bytes of a chunk are still to come.
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// An upgrade was asked for: nothing may follow before it is decided.
    Upgrading,
    /// Not HTTP any more.
    Through,
    /// Given up. What still passes will not be answered.
    Refused,
}

/// What a head says about its body.
#[derive(Debug, Default)]
struct Head {
    http11: bool,
    lines: usize,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

impl Watcher {
    /// A watcher of a connection on which nothing has passed; `limit` bounds each head.
    pub(super) fn new(limit: usize) -> Self {
        Self { state: State::Start, head: Head::default(), partial: Vec::new(), seen: 0, limit }
    }

    /// Judges the bytes that pass next.
    ///
    /// # Errors
    ///
    /// The body of a request that was approved is broken, behind so many of the bytes: it may not reach
    /// the upstream as complete.
    pub(super) fn feed(&mut self, bytes: &[u8], verdicts: &Verdicts) -> Result<(), usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let in_body = self.is_in_body();
            let good = bytes.len() - rest.len();
            if let Err(why) = self.step(&mut rest, verdicts) {
                self.refuse(Refused { why, in_body }, verdicts);
                return if in_body { Err(good) } else { Ok(()) };
            }
        }
        // As hyper does: what is full and not complete will be too large.
        if self.is_in_head() && self.seen >= self.limit {
            self.refuse(Refused { why: Malformed::TooLarge, in_body: false }, verdicts);
        }
        Ok(())
    }

    fn refuse(&mut self, refused: Refused, verdicts: &Verdicts) {
        self.state = State::Refused;
        self.partial = Vec::new();
        let _ = verdicts.refused.set(refused);
    }

    /// Whether a head has begun and not ended.
    pub(super) fn is_in_head(&self) -> bool {
        self.state == State::Headers || (self.state == State::Start && self.seen > 0)
    }

    /// Whether all that came in was whole requests: nothing half-read is lost by closing.
    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self.state, State::Start | State::Upgrading | State::Through) && self.seen == 0
    }

    fn is_in_body(&self) -> bool {
        matches!(
            self.state,
            State::Body(_) | State::ChunkSize | State::Chunk(_) | State::ChunkEnd | State::Trailers
        )
    }

    /// Takes as much of `rest` as one step of the grammar needs. Always takes something, or ends.
    fn step(&mut self, rest: &mut &[u8], verdicts: &Verdicts) -> Result<(), Malformed> {
        match self.state {
            State::Body(left) => {
                self.state = match skip(rest, left) {
                    0 => self.after_body(),
                    left => State::Body(left),
                };
                return Ok(());
            }
            State::Chunk(left) => {
                self.state = match skip(rest, left) {
                    0 => State::ChunkEnd,
                    left => State::Chunk(left),
                };
                return Ok(());
            }
            State::Upgrading => return self.behind_upgrade(verdicts),
            State::Through | State::Refused => {
                *rest = &[];
                return Ok(());
            }
            State::Start
            | State::Headers
            | State::ChunkSize
            | State::ChunkEnd
            | State::Trailers => {}
        }
        let in_chunk_line = matches!(self.state, State::ChunkSize | State::ChunkEnd);
        let limit = if in_chunk_line { CHUNK_LINE_BYTES } else { self.limit };
        let Some((taken, left)) = split_line(rest) else {
            self.seen += rest.len();
            self.partial.extend_from_slice(rest);
            *rest = &[];
            return within(self.seen, limit);
        };
        *rest = left;
        self.seen += taken.len();
        within(self.seen, limit)?;
        if self.partial.is_empty() {
            return self.line(taken, verdicts);
        }
        let mut line = std::mem::take(&mut self.partial);
        line.extend_from_slice(taken);
        self.line(&line, verdicts)
    }

    /// Judges one line, its end included.
    fn line(&mut self, line: &[u8], verdicts: &Verdicts) -> Result<(), Malformed> {
        let line = line.strip_suffix(b"\r\n").ok_or(Malformed::LineEnding)?;
        match self.state {
            // RFC 9112, 2.2: empty lines before a request line are ignored.
            State::Start if line.is_empty() => {}
            State::Start => {
                self.head = Head { http11: request_line(line)?, ..Head::default() };
                self.state = State::Headers;
                verdicts.in_headers.store(true, Ordering::Release);
            }
            State::Headers if line.is_empty() => self.head_ends(verdicts)?,
            State::Headers => self.head.header(line)?,
            State::ChunkSize => {
                self.seen = 0;
                self.state = match chunk_size(line)? {
                    0 => State::Trailers,
                    size => State::Chunk(size),
                };
            }
            State::ChunkEnd if line.is_empty() => {
                self.seen = 0;
                self.state = State::ChunkSize;
            }
            State::ChunkEnd => return Err(Malformed::Chunk),
            State::Trailers if line.is_empty() => self.state = self.after_body(),
            State::Trailers => drop(header_line(line)?),
            State::Body(_) | State::Chunk(_) => {}
            State::Upgrading | State::Through | State::Refused => {}
        }
        Ok(())
    }

    fn head_ends(&mut self, verdicts: &Verdicts) -> Result<(), Malformed> {
        self.seen = 0;
        self.state = match (self.head.length, self.head.chunked) {
            (Some(_), true) => return Err(Malformed::TwoLengths),
            (None, true) if !self.head.http11 => return Err(Malformed::TransferEncoding),
            (None, true) => State::ChunkSize,
            (Some(length @ 1..), false) => State::Body(length),
            (Some(0) | None, false) => self.after_body(),
        };
        verdicts.upgrade.store(UPGRADE_UNDECIDED, Ordering::Release);
        verdicts.in_headers.store(false, Ordering::Release);
        verdicts.approved.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    fn after_body(&mut self) -> State {
        self.seen = 0;
        if self.head.upgrade { State::Upgrading } else { State::Start }
    }

    fn behind_upgrade(&mut self, verdicts: &Verdicts) -> Result<(), Malformed> {
        self.state = match verdicts.upgrade.load(Ordering::Acquire) {
            UPGRADE_GRANTED => State::Through,
            UPGRADE_DECLINED => State::Start,
            _undecided => return Err(Malformed::BehindUpgrade),
        };
        Ok(())
    }
}

impl Head {
    fn header(&mut self, line: &[u8]) -> Result<(), Malformed> {
        self.lines += 1;
        within(self.lines, HEADER_LINES)?;
        let (name, value) = header_line(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = content_length(value).ok_or(Malformed::ContentLength)?;
            if self.length.replace(length).is_some() {
                return Err(Malformed::ContentLength);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed::TransferEncoding);
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = self.http11;
        }
        Ok(())
    }
}

/// `METHOD SP target SP HTTP/1.x`; whether `x` is 1.
fn request_line(line: &[u8]) -> Result<bool, Malformed> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Malformed::RequestLine);
    };
    // A fragment would be cut off without a word by the URI parser.
    let target_fits = |byte: &u8| matches!(byte, 0x21..=0x7e | 0x80..) && *byte != b'#';
    if !is_token(method) || target.is_empty() || !target.iter().all(target_fits) {
        return Err(Malformed::RequestLine);
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        _ => Err(Malformed::RequestLine),
    }
}

/// Name and value of a header line, white space around the value taken off.
pub(super) fn header_line(line: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Malformed::HeaderSyntax)?;
    let (name, value) = line.split_at(colon);
    if !is_token(name) {
        return Err(Malformed::HeaderSyntax);
    }
    let value = value.strip_prefix(b":").unwrap_or(value);
    // No early way out: this form is turned into vector instructions.
    let is_control = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f;
    if value.iter().fold(false, |found, byte| found | is_control(byte)) {
        return Err(Malformed::ControlCharacter);
    }
    Ok((name, trim(value)))
}

/// `1*HEXDIG [ ";" anything ]`.
fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (size, extensions) = line.split_at(end);
    let fits = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
    let extensions_fit =
        extensions.iter().all(fits) && matches!(trim(extensions).first(), None | Some(b';'));
    digits(size, 16).filter(|_| extensions_fit).ok_or(Malformed::Chunk)
}

/// `0`, or digits that begin with another: every server reads the same number.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    let has_leading_zero = value.len() > 1 && value.starts_with(b"0");
    digits(value, 10).filter(|_| !has_leading_zero)
}

fn digits(text: &[u8], radix: u32) -> Option<u64> {
    let first = text.first()?;
    if !first.is_ascii_hexdigit() {
        return None; // from_str_radix takes a sign
    }
    u64::from_str_radix(std::str::from_utf8(text).ok()?, radix).ok()
}

fn is_token(text: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(fits)
}

fn trim(text: &[u8]) -> &[u8] {
    let mut text = text;
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn split_line<'a>(bytes: &&'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let feed = bytes.iter().position(|byte| *byte == b'\n')?;
    bytes.split_at_checked(feed + 1)
}

/// Takes at most `count` bytes off `rest`; how many of `count` are left.
fn skip(rest: &mut &[u8], count: u64) -> u64 {
    let here = usize::try_from(count).unwrap_or(usize::MAX).min(rest.len());
    *rest = rest.get(here..).unwrap_or_default();
    count - here as u64
}

fn within(seen: usize, limit: usize) -> Result<(), Malformed> {
    if seen > limit { Err(Malformed::TooLarge) } else { Ok(()) }
}
