//! Cases of a policy: who asks for what, and what is expected to be decided.

use std::path::Path;

use time::OffsetDateTime;

use super::check::case;
use super::parse::{self, checked};
use super::{Config, Problems, Question};
use crate::identity::{DnsName, PeerName, SpiffeId};

/// Decides, in place of a rule, about those who come without TLS where it is demanded.
pub const TLS_HANDSHAKE: &str = "TLS handshake";

/// A question to policy with the answer that is expected.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// Its line in the file of cases.
    pub line: u32,
    /// The listener that is asked.
    pub listener: String,
    /// Who asks.
    pub who: CaseWho,
    /// For what.
    pub question: Question,
    /// When; `None`: now.
    pub at: Option<OffsetDateTime>,
    /// Whether it is to be let through.
    pub allowed: bool,
    /// The rule that is to decide, or to come nearest: `listener/rule`, or the rule alone.
    pub rule: Option<String>,
    /// Why it is to be denied.
    pub reason: Option<String>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaseWho {
    /// An entry of `peers`.
    Peer(PeerName),
    /// Somebody with this SPIFFE ID.
    Spiffe(SpiffeId),
    /// Somebody with this DNS name.
    Dns(DnsName),
    /// Somebody without TLS.
    Plaintext,
}

/// Reads the cases in the file at `path` that are to be put to `config`. `reasons`: those of denials.
///
/// # Errors
///
/// Everything that is wrong, each with its place and, where one is known, the mend.
pub fn cases(path: &Path, config: &Config, reasons: &[&str]) -> Result<Vec<Case>, Problems> {
    let text = parse::text(path, "the file of cases cannot be read", "name another file")?;
    let (cases, problems) =
        checked(path, &text, &|_| None, |reader, root| case::all(reader, root, config, reasons));
    cases.ok_or(problems)
}
