//! What an acknowledgement says: MSA-1 and MSA-2. MSA-3 and ERR are free text, and are not read.

use super::header::Found;
use super::segment_end;

/// An acknowledgement code (HL7 table 0008).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AckCode {
    /// Application accept.
    Aa,
    /// Application error.
    Ae,
    /// Application reject.
    Ar,
    /// Commit accept.
    Ca,
    /// Commit error.
    Ce,
    /// Commit reject.
    Cr,
}

impl AckCode {
    /// All of them, for metrics that start at zero.
    pub const ALL: [Self; 6] = [Self::Aa, Self::Ae, Self::Ar, Self::Ca, Self::Ce, Self::Cr];

    /// The code.
    pub fn label(self) -> &'static str {
        match self {
            Self::Aa => "AA",
            Self::Ae => "AE",
            Self::Ar => "AR",
            Self::Ca => "CA",
            Self::Ce => "CE",
            Self::Cr => "CR",
        }
    }

    /// Whether the receiver did not accept the message.
    pub fn is_failure(self) -> bool {
        match self {
            Self::Aa | Self::Ca => false,
            Self::Ae | Self::Ar | Self::Ce | Self::Cr => true,
        }
    }

    /// Upper or lower case: some workloads answer in the latter.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        Self::ALL.into_iter().find(|code| code.label().as_bytes().eq_ignore_ascii_case(text))
    }
}

/// What an acknowledgement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack<'a> {
    /// MSA-1; `None` if it is none of the standard's.
    pub code: Option<AckCode>,
    /// MSA-2: MSH-10 of the message that it is for.
    pub control_id: &'a [u8],
}

impl<'a> Ack<'a> {
    /// Looks for MSA in what follows an MSH: software and credential segments may come before it.
    pub(super) fn find(after: &'a [u8], separator: u8, more: bool) -> Found<Self> {
        let mut rest = after;
        loop {
            let Some(end) = segment_end(rest) else {
                return if more { Found::More } else { Found::Not };
            };
            rest = rest.get(end..).unwrap_or_default().trim_ascii_start();
            let Some(name) = rest.get(..3) else {
                return if more { Found::More } else { Found::Not };
            };
            match name {
                b"MSA" => return Self::read(rest, separator, more),
                b"SFT" | b"UAC" => {}
                _ => return Found::Not,
            }
        }
    }

    fn read(segment: &'a [u8], separator: u8, more: bool) -> Found<Self> {
        let end = segment_end(segment);
        let text = segment.get(..end.unwrap_or(segment.len())).unwrap_or_default();
        let mut tokens = text.split(|byte| *byte == separator).skip(1);
        let (code, control_id) = (tokens.next(), tokens.next());
        if end.is_none() && more && tokens.next().is_none() {
            return Found::More;
        }
        let code = code.and_then(AckCode::parse);
        Found::It(Self { code, control_id: control_id.unwrap_or_default().trim_ascii() })
    }
}
