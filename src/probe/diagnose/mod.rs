//! From what was seen to its likely cause and how to mend it. Pure: no I/O, no clock.

mod alert;
mod server;
mod way;

#[cfg(test)]
mod tests;

use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::anatomy::Outdated;
use super::chain::NoChain;
use super::seen::{Answer, Named, Ours, Outcome, Seen, Shaken};

pub use alert::name as alert_name;

/// What is wrong, why that may be, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// A stable name for it.
    pub code: &'static str,
    /// Whether the probe has failed for it.
    pub level: Level,
    /// What is wrong, and its likely cause.
    pub cause: String,
    /// How to mend it.
    pub mend: String,
}

/// How much a [`Diagnosis`] weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// An outbound listener would not get through.
    Failure,
    /// It would, and this deserves a look.
    Warning,
}

impl Diagnosis {
    fn failure(code: &'static str, cause: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { code, level: Level::Failure, cause: cause.into(), mend: mend.into() }
    }

    fn warning(code: &'static str, cause: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::failure(code, cause, mend) }
    }
}

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A name in it, or its form, breaks a standard.
    Names(String),
    /// Its version is not 3.
    Version {
        /// Whose.
        of: String,
        /// Its version.
        number: u32,
    },
    /// A key is too short.
    Key {
        /// Whose.
        of: String,
        /// Its kind and size.
        key: String,
    },
    /// A signature uses a broken hash.
    Signature {
        /// Whose.
        of: String,
        /// What it uses.
        algorithm: String,
    },
    /// It has expired.
    Expired {
        /// Which certificate.
        whose: Whose,
        /// When.
        at: OffsetDateTime,
        /// So long ago.
        ago: Duration,
    },
    /// The authority of ours that its chain ends in has expired.
    ExpiredAnchor {
        /// Its name.
        authority: String,
        /// What the verifier says.
        what: String,
    },
    /// It is not valid yet.
    NotYet {
        /// Which certificate.
        whose: Whose,
        /// When it will be.
        at: OffsetDateTime,
        /// So long from now.
        ahead: Duration,
    },
    /// No chain leads to the trust bundle.
    NoChain(NoChain),
    /// A chain leads to an authority of ours that may not vouch for its SPIFFE ID.
    Foreign(String),
    /// It is not for servers.
    Purpose {
        /// It is for clients.
        clients: bool,
    },
    /// The profile refuses it.
    Unfit(&'static str),
    /// It is on a revocation list.
    Revoked,
    /// No list of ours covers its issuer.
    RevocationUnknown,
    /// The list that covers it is past its next update.
    CrlExpired(Option<OffsetDateTime>),
    /// It proves to be somebody else.
    Unexpected {
        /// Who it is.
        who: String,
        /// The expected peer that came nearest.
        nearest: String,
    },
    /// Anything else, in words.
    Other(String),
}

impl Fault {
    pub(super) fn of(outdated: &Outdated, subject: &str) -> Self {
        let of = subject.to_owned();
        match outdated {
            Outdated::Version(number) => Self::Version { of, number: *number },
            Outdated::Key(key) => Self::Key { of, key: key.clone() },
            Outdated::Signature(algorithm) => Self::Signature { of, algorithm: algorithm.clone() },
        }
    }
}

/// Which certificate of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The server's own.
    Leaf,
    /// One between it and its authority.
    Intermediate,
}

/// Everything that is wrong, what to mend first before the rest. Empty: nothing is.
pub fn diagnose(seen: &Seen) -> Vec<Diagnosis> {
    let Some(shaken) = &seen.handshake else { return vec![way::unreached(seen)] };
    let mut found: Vec<Diagnosis> = Vec::new();
    if let Some(server) = &seen.server {
        found.extend(server.faults.iter().map(|fault| server::fault(fault, seen)));
    }
    found.extend(way::outcome(shaken, seen));
    if let (Outcome::Established, Some(answer)) = (&shaken.outcome, &shaken.answer) {
        found.extend(refused(answer, seen));
    }
    if let Some(ours) = &seen.ours {
        found.extend(own(ours, found.iter().any(|one| one.level == Level::Failure)));
    }
    found.extend(unasked(shaken));
    found
}

/// What the server's answer to our certificate means.
fn refused(answer: &Answer, seen: &Seen) -> Option<Diagnosis> {
    match answer {
        Answer::Waits | Answer::Speaks { .. } => None,
        Answer::Alert { alert } => Some(alert::of_certificate(*alert, seen)),
        Answer::Closed | Answer::Reset => Some(Diagnosis::failure(
            "closed_after_handshake",
            format!(
                "{} took part in the handshake and then ended the connection without a word: most \
                 likely our certificate is good and we are not on its list of those who may connect",
                seen.target
            ),
            "ask for this service to be let in there, by the names that our certificate has; a Myelin \
             at the other side shows the refusal under /denials, with the rule that came nearest",
        )),
    }
}

/// What about our own certificate a server may dislike.
fn own(ours: &Ours, failed: bool) -> Vec<Diagnosis> {
    let Some(certificate) = &ours.certificate else {
        return vec![Diagnosis::warning(
            "no_own_certificate",
            "the server asks for a certificate, and we have none yet",
            "let the configured identity issue one first: `myelin check` tells what it waits for",
        )];
    };
    let mut found = Vec::new();
    if ours.named == Named::Others {
        found.push(Diagnosis::warning(
            "authority_not_named",
            format!(
                "the authorities from which the server accepts certificates do not include ours, {}",
                certificate.issuer
            ),
            "have our authority added to the server's list of client authorities, or send the \
             intermediate that leads to one of those it names",
        ));
    }
    if !ours.for_clients {
        found.push(Diagnosis::warning(
            "own_purpose",
            "our certificate is not for clients (extended key usage without clientAuth): most servers \
             refuse it",
            "have it issued anew with both clientAuth and serverAuth",
        ));
    }
    if !ours.verifiable {
        let level = if failed { Level::Warning } else { Level::Failure };
        found.push(Diagnosis {
            level,
            ..Diagnosis::failure(
                "own_key_type",
                format!("the server verifies no signature by our key ({})", certificate.key),
                "give this service a certificate of another kind beside it: `key_types`, or `others` \
                 of `identity.files`; RSA is the one that old servers know",
            )
        });
    }
    found
}

/// A server that never asks who we are.
fn unasked(shaken: &Shaken) -> Option<Diagnosis> {
    let unasked = shaken.outcome == Outcome::Established && shaken.asked.is_none();
    unasked.then(|| {
        Diagnosis::warning(
            "not_mutual",
            "the server asks for no certificate: this is TLS, and not mutual TLS; anybody may be a \
             client there",
            "turn on client authentication at the server (nginx: ssl_verify_client on, HAProxy: verify \
             required, Apache: SSLVerifyClient require)",
        )
    })
}
