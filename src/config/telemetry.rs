//! What goes out beside the trail, for who looks at how things run.

use std::path::PathBuf;

use http::Uri;

use super::OtlpProtocol;

/// Spans of connections, requests, messages and associations, by OTLP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSettings {
    /// Where they go, with the path of traces. `http` only to a loopback address.
    pub endpoint: Uri,
    /// What the receiver speaks.
    pub protocol: OtlpProtocol,
    /// What is traced.
    pub sample: Sample,
    /// The authorities that its certificate has to come from. `None`: those that peers come from.
    pub trust_bundle: Option<PathBuf>,
    /// Headers that go along, one a line, `name: value`. Secret.
    pub headers_file: Option<PathBuf>,
}

/// What is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// A share of all traces, by their ids: whoever has the same share has the same traces.
    Share(Share),
    /// The requests whose caller says that it is: the sampled flag of W3C Trace Context.
    Parent,
}

/// A share of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// In 2^56ths.
    of: u64,
}

impl Share {
    const WHOLE: u64 = 1 << 56;

    /// From 0 (none) to 1 (all); `None` for what is no share.
    pub fn new(share: f64) -> Option<Self> {
        if !(0.0..=1.0).contains(&share) {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "2^56 is a power of two, and the product is from 0 to that"
        )]
        let of = (share * Self::WHOLE as f64) as u64;
        Some(Self { of })
    }

    /// Whether a number of 56 random bits is in it: the highest are in every share, as OpenTelemetry's consistent
    /// sampling has it.
    pub fn has(self, dice: u64) -> bool {
        dice >= Self::WHOLE - self.of
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_none_of_all_at_0_and_all_at_1() {
        let share = |share| Share::new(share).unwrap();
        let last = (1 << 56) - 1;

        assert!(!share(0.0).has(last) && share(1.0).has(0));
        assert!(share(0.5).has(1 << 55) && !share(0.5).has((1 << 55) - 1));
        assert!([-0.1, 1.1, f64::NAN].into_iter().all(|wrong| Share::new(wrong).is_none()));
    }
}
