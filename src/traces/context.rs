//! Which trace a request belongs to, as its headers say it (W3C Trace Context, Level 1).

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::span::Kind;

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");
/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// The flag of a caller that may have recorded the trace.
const SAMPLED: u8 = 1;
/// The flag of a trace id whose last 56 bits are random (Level 2); passed on.
const RANDOM: u8 = 2;

/// A trace; never all zeros, but for a machine without randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub [u8; 16]);

/// A span of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(pub [u8; 8]);

/// What a `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The caller's span.
    pub parent: SpanId,
    flags: u8,
}

impl TraceId {
    pub(super) fn random() -> Self {
        Self(random())
    }

    /// Its last 56 bits: those are random, wherever it was made (Level 2, "Random trace-id flag").
    pub(super) fn dice(self) -> u64 {
        let [.., a, b, c, d, e, f, g] = self.0;
        u64::from_be_bytes([0, a, b, c, d, e, f, g])
    }
}

impl SpanId {
    pub(super) fn random() -> Self {
        Self(random())
    }

    /// The span of a connection on its side of this `kind`.
    pub(super) fn of_connection(TraceId(trace): TraceId, kind: Kind) -> Self {
        let mut named = trace.to_vec();
        named.push(match kind {
            Kind::Server => 1,
            Kind::Client => 2,
        });
        let mut id = [0; 8];
        id.iter_mut().zip(digest(&SHA256, &named).as_ref()).for_each(|(to, from)| *to = *from);
        Self(id)
    }
}

impl TraceContext {
    /// The context of a request with these headers; `None` where there is none, or none that is well-formed.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(PARENT).iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        let text = value.to_str().ok()?;
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let mut parts = known.split('-');
        let mut next = || parts.next();
        let [version] = bytes(next()?)?;
        let context = Self {
            trace: TraceId(bytes(next()?)?),
            parent: SpanId(bytes(next()?)?),
            flags: u8::from_be_bytes(bytes(next()?)?),
        };
        let ends = match version {
            0 => rest.is_empty(),
            0xff => false,
            _later => rest.is_empty() || rest.starts_with('-'),
        };
        let is_named = context.trace.0 != [0; 16] && context.parent.0 != [0; 8];
        (ends && is_named).then_some(context)
    }

    pub(super) fn new(trace: TraceId, parent: SpanId, flags: u8) -> Self {
        Self { trace, parent, flags }
    }

    /// Whether the caller may have recorded it.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    pub(super) fn flags(&self) -> u8 {
        self.flags
    }

    /// Says it in these headers, as sampled. `goes_on`: it is the trace that they had, with a state of its own.
    pub(super) fn say(&self, headers: &mut HeaderMap, goes_on: bool) {
        let flags = self.flags & RANDOM | SAMPLED;
        let text = format!("00-{}-{}-{flags:02x}", self.trace, self.parent);
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(PARENT, value);
        }
        if !goes_on {
            headers.remove(STATE);
        }
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Lower-case hexadecimal of so many bytes.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_lower = text.bytes().all(|b| !b.is_ascii_uppercase());
    let mut bytes = [0; N];
    (is_lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

/// Random bytes. Without randomness there is no TLS either; zeros then say so.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let _unavailable = rand::fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn of(values: &[&str]) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PARENT, HeaderValue::from_str(value).unwrap());
        }
        TraceContext::of(&headers)
    }

    #[test]
    fn a_well_formed_context_is_taken() {
        for text in [
            format!("00-{TRACE}-{SPAN}-01"),
            format!("01-{TRACE}-{SPAN}-01"),
            format!("cc-{TRACE}-{SPAN}-01-what-later-ones-have"),
        ] {
            let context = of(&[&text]).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(
                (context.trace.to_string(), context.parent.to_string()),
                (TRACE.into(), SPAN.into())
            );
            assert!(context.is_sampled());
        }
        assert!(!of(&[&format!("00-{TRACE}-{SPAN}-00")]).unwrap().is_sampled());
        assert!(of(&[&format!("00-{TRACE}-{SPAN}-ff")]).unwrap().is_sampled());
    }

    #[test]
    fn nothing_else_is() {
        let zeros = "0".repeat(32);
        let upper = TRACE.to_uppercase();
        for text in [
            "",
            "nonsense",
            &format!("00-{TRACE}-{SPAN}"),
            &format!("00-{TRACE}-{SPAN}-1"),
            &format!("00-{TRACE}-{SPAN}-01-"),
            &format!("00-{TRACE}-{SPAN}-01-x"),
            &format!("00-{TRACE}-{SPAN}-0x"),
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("cc-{TRACE}-{SPAN}-01x"),
            &format!("0-{TRACE}-{SPAN}-011"),
            &format!("00-{zeros}-{SPAN}-01"),
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{upper}-{SPAN}-01"),
            &format!("00_{TRACE}_{SPAN}_01"),
            &format!("00-patient=4711{}-{SPAN}-01", "0".repeat(20)),
            &format!(" 00-{TRACE}-{SPAN}-01"),
        ] {
            assert_eq!(of(&[text]), None, "{text}");
        }
        let good = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(of(&[&good, &good]), None, "two are none");
    }
}
