//! What a running sidecar says of itself on `/status`, as far as the commands look at it.

use std::time::Duration;

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// `/status`
#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Facts {
    pub(in crate::cli) service: String,
    pub(in crate::cli) version: String,
    pub(in crate::cli) started: Moment,
    pub(in crate::cli) config: Configured,
    pub(in crate::cli) certificate: Certificate,
    pub(in crate::cli) trust_bundle: Vec<Anchor>,
    /// When the first revocation list is due.
    pub(in crate::cli) crl_next_update: Option<Moment>,
    pub(in crate::cli) peers: Vec<Peer>,
    pub(in crate::cli) policy: Policy,
    pub(in crate::cli) listeners: Vec<Listener>,
    pub(in crate::cli) fails_open: Vec<String>,
    pub(in crate::cli) last_failure: Option<String>,
    pub(in crate::cli) audit: Trail,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Configured {
    pub(in crate::cli) path: String,
    pub(in crate::cli) generation: u64,
    pub(in crate::cli) policy: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Certificate {
    pub(in crate::cli) spiffe: Option<String>,
    #[serde(default)]
    pub(in crate::cli) alternative_names: Vec<String>,
    pub(in crate::cli) not_after: Moment,
    pub(in crate::cli) source: String,
    pub(in crate::cli) renew_at: Option<Moment>,
    pub(in crate::cli) rejected: Option<Rejected>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Rejected {
    pub(in crate::cli) since: Moment,
    pub(in crate::cli) problems: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Anchor {
    pub(in crate::cli) subject: String,
    pub(in crate::cli) not_after: Moment,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Peer {
    pub(in crate::cli) name: String,
    pub(in crate::cli) last_seen: Option<Moment>,
    #[serde(default)]
    pub(in crate::cli) certificates: Vec<Presented>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Presented {
    pub(in crate::cli) not_after: Moment,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Policy {
    pub(in crate::cli) rules: Vec<Rule>,
    pub(in crate::cli) peers: Vec<KnownPeer>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Rule {
    pub(in crate::cli) name: String,
    pub(in crate::cli) line: u32,
    pub(in crate::cli) hits: u64,
    pub(in crate::cli) expired: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct KnownPeer {
    pub(in crate::cli) name: String,
    pub(in crate::cli) expired: bool,
    pub(in crate::cli) overdue: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Listener {
    pub(in crate::cli) name: String,
    pub(in crate::cli) direction: String,
    pub(in crate::cli) listen: String,
    pub(in crate::cli) protocol: String,
    pub(in crate::cli) phi: bool,
    pub(in crate::cli) upstreams: Option<Vec<Upstream>>,
    /// Inbound: until when it takes plaintext.
    pub(in crate::cli) plaintext: Option<Lenient>,
    /// Inbound: until when it only observes.
    pub(in crate::cli) would_deny: Option<Lenient>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Upstream {
    pub(in crate::cli) endpoint: String,
    pub(in crate::cli) healthy: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Lenient {
    pub(in crate::cli) until: Option<Moment>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Trail {
    pub(in crate::cli) dir: Option<String>,
    pub(in crate::cli) sequence: u64,
    pub(in crate::cli) checkpoint: Option<Checkpoint>,
    pub(in crate::cli) failing: Option<String>,
    pub(in crate::cli) lost: u64,
    pub(in crate::cli) passed_unrecorded: u64,
    #[serde(default)]
    pub(in crate::cli) export: Vec<Export>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Checkpoint {
    pub(in crate::cli) size: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Export {
    pub(in crate::cli) name: String,
    pub(in crate::cli) to: String,
    pub(in crate::cli) lag_records: u64,
    pub(in crate::cli) lag_seconds: f64,
    pub(in crate::cli) failing: Option<Failing>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Failing {
    pub(in crate::cli) why: String,
}

impl Facts {
    /// Who it proves to be.
    pub(in crate::cli) fn identity(&self) -> &str {
        let Certificate { spiffe, alternative_names, .. } = &self.certificate;
        spiffe
            .as_deref()
            .or_else(|| alternative_names.first().map(String::as_str))
            .unwrap_or("without a name")
    }
}

/// A moment, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) struct Moment(pub(in crate::cli) OffsetDateTime);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        OffsetDateTime::parse(&text, &Rfc3339).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A length of time in its two largest units: `3d 4h`, `2m 5s`.
pub(in crate::cli) fn rough(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let (first, second) = match seconds {
        86_400.. => ((days, 'd'), (hours, 'h')),
        3600.. => ((hours, 'h'), (minutes, 'm')),
        60.. => ((minutes, 'm'), (seconds % 60, 's')),
        _ => return format!("{seconds}s"),
    };
    match second {
        (0, _) => format!("{}{}", first.0, first.1),
        (some, unit) => format!("{}{} {some}{unit}", first.0, first.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_told_in_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (125, "2m 5s"),
            (3600, "1h"),
            (90_061, "1d 1h"),
            (864_000, "10d"),
        ] {
            assert_eq!(rough(Duration::from_secs(seconds)), text);
        }
    }
}
