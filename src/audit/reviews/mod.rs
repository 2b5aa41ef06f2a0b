//! Who has reviewed a trail: `reviews.jsonl` beside it.
//!
//! The trail itself has one writer, the sidecar, so sign-offs have a file of their own. Each names the SHA-256 of the line
//! before it and the trail's last checkpoint at that time, so it tells which records there were to review. No key
//! signs them: whoever can write in the directory could write all of them anew.

mod file;
mod last;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use self::file::{Reviews, SignError, read, sign};
pub use self::last::last_checkpoint;

/// That somebody has reviewed a period: `myelin.review`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Who, as they call themselves.
    pub reviewer: String,
    /// Whose process signed.
    pub account: Account,
    /// The period's beginning, RFC 3339.
    pub from: String,
    /// Its end, which is not part of it.
    pub to: String,
    /// What was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The report that was reviewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReviewedReport>,
    /// What there was of the trail. `None`: nothing was sealed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<ReviewedTrail>,
}

/// Whose process it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Account {
    /// The user's number.
    pub uid: u32,
    /// Its name in `/etc/passwd`, if it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As whom it logged in, whatever it has become since (`/proc/self/loginuid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// Who asked for it, as sudo says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sudo: Option<String>,
}

/// A report, by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewedReport {
    /// Its file's name, without the way to it.
    pub file: String,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// A trail, by its last checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewedTrail {
    /// How many records it covers.
    pub size: u64,
    /// The signed note (C2SP `tlog-checkpoint`).
    pub note: String,
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// When: RFC 3339, UTC.
    #[serde(rename = "@timestamp")]
    pub at: String,
    event: Event,
    /// What.
    pub myelin: Placed,
}

/// `event`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Event {
    sequence: u64,
    action: String,
    outcome: String,
    kind: String,
}

/// `myelin`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The review.
    pub review: Review,
    /// SHA-256 of the line before, hexadecimal; of the first one, zeros.
    prev: String,
}

impl Review {
    /// The end of its period.
    pub fn end(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(&self.to, &Rfc3339).ok()
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (uid {})", self.uid)?,
            None => write!(f, "uid {}", self.uid)?,
        }
        for (how, who) in [("logged in as", &self.login), ("by sudo for", &self.sudo)] {
            if let Some(who) = who.as_ref().filter(|who| Some(*who) != self.name.as_ref()) {
                write!(f, ", {how} {who}")?;
            }
        }
        Ok(())
    }
}
