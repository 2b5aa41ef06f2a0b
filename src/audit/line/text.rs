//! Text and time as they may stand in a line.

use std::fmt::{self, Write as _};

use serde::ser::{Serialize, SerializeSeq, Serializer};
use time::{OffsetDateTime, UtcOffset};

use crate::report::steers;

/// Most characters of a text that a stranger may have chosen.
const SHORT: usize = 256;
/// Most characters of a text in words.
const LONG: usize = 1024;
/// Most characters of an identity: a SPIFFE ID has at most 2048 bytes and must not be cut.
const IDENTITY: usize = 2048;
/// Most entries of a list that a stranger may have filled.
const ENTRIES: usize = 32;

/// A text of at most so many characters, in which none can steer a terminal or reorder a line.
pub(in crate::audit) struct Text<'a> {
    text: &'a str,
    limit: usize,
}

impl<'a> Text<'a> {
    /// A name or a number.
    pub(in crate::audit) fn short(text: &'a str) -> Self {
        Self { text, limit: SHORT }
    }

    /// A sentence.
    pub(in crate::audit) fn long(text: &'a str) -> Self {
        Self { text, limit: LONG }
    }

    /// Whom a peer proved to be.
    pub(in crate::audit) fn identity(text: &'a str) -> Self {
        Self { text, limit: IDENTITY }
    }

    fn is_clean(&self) -> bool {
        self.text.len() <= self.limit && self.text.bytes().all(|b| (b' '..=b'~').contains(&b))
    }

    fn cleaned(&self) -> String {
        let shown = |c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c };
        if self.text.chars().nth(self.limit).is_none() {
            return self.text.chars().map(shown).collect();
        }
        let mut text: String = self.text.chars().take(self.limit - 1).map(shown).collect();
        text.push('…');
        text
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.is_clean() {
            to.serialize_str(self.text)
        } else {
            to.serialize_str(&self.cleaned())
        }
    }
}

/// A list of names that a stranger may have chosen; it says how many it leaves out.
pub(in crate::audit) struct List<'a>(pub(in crate::audit) &'a [String]);

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let more = self.0.len().saturating_sub(ENTRIES);
        let mut list = to.serialize_seq(None)?;
        for name in self.0.iter().take(ENTRIES) {
            list.serialize_element(&Text::short(name))?;
        }
        if more > 0 {
            list.serialize_element(&format!("… and {more} more"))?;
        }
        list.end()
    }
}

/// UTC with milliseconds, always 24 characters: `2026-11-22T06:12:01.123Z`.
pub(in crate::audit) struct Timestamp(pub(in crate::audit) OffsetDateTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = self.0.to_offset(UtcOffset::UTC);
        let (date, time) = (utc.date(), utc.time());
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        let (hour, minute, second, ms) = time.as_hms_milli();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(24);
        write!(text, "{self}").map_err(serde::ser::Error::custom)?;
        to.serialize_str(&text)
    }
}
