//! Why a peer would refuse key material.

use time::OffsetDateTime;

use crate::clock::rfc3339;
use crate::identity::CertificateError;
use crate::outcome::Rejection;
use crate::report::Report;

/// Why a peer would refuse key material. `at` says where it came from.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Its names cannot be taken for anybody's.
    #[error("{at}: cannot be used as an identity")]
    Identity {
        /// Where the certificate came from.
        at: String,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The key is another certificate's.
    #[error("{at}: the key does not fit the certificate in {certificate}")]
    KeyMismatch {
        /// Where the key came from.
        at: String,
        /// Where the certificate came from.
        certificate: String,
    },
    /// The key fits a certificate of the chain that is not the first.
    #[error("{at}: the key fits certificate {number}, not the first: put the leaf first")]
    LeafNotFirst {
        /// Where the chain came from.
        at: String,
        /// Which certificate the key fits, from 1.
        number: usize,
    },
    /// It is over.
    #[error("{at}: expired at {}; it is {} now", rfc3339(*not_after), rfc3339(*now))]
    Expired {
        /// Where the certificate came from.
        at: String,
        /// The end of its validity.
        not_after: OffsetDateTime,
        /// The time by our clock.
        now: OffsetDateTime,
    },
    /// It has not begun.
    #[error(
        "{at}: not valid before {}; it is {} now: is the clock right?",
        rfc3339(*not_before), rfc3339(*now)
    )]
    NotYetValid {
        /// Where the certificate came from.
        at: String,
        /// The beginning of its validity.
        not_before: OffsetDateTime,
        /// The time by our clock.
        now: OffsetDateTime,
    },
    /// It is not meant for what we need it for.
    #[error("{at}: {what}")]
    Purpose {
        /// Where the certificate came from.
        at: String,
        /// What it says of its purpose, and what is wanted.
        what: &'static str,
    },
    /// Its chain is longer than peers read.
    #[error(
        "{at}: its {certificates} certificates have {bytes} bytes, and peers read 60 KiB at most: \
         leave out what is not needed"
    )]
    TooLong {
        /// Where the chain came from.
        at: String,
        /// How many certificates there are.
        certificates: usize,
        /// How many bytes they have in DER.
        bytes: usize,
    },
    /// It does not name what the first of our certificates names.
    #[error(
        "{at}: does not name {missing}, as {first} does: peers that get this one instead would not \
         know us"
    )]
    NamesMissing {
        /// Where the certificate came from.
        at: String,
        /// Where the first one came from.
        first: String,
        /// The names that it lacks.
        missing: String,
    },
    /// There is no chain from it to the trust bundle that a peer would accept.
    #[error("{at}: no chain to {trust_bundle}: {what}")]
    Chain {
        /// Where the certificate came from.
        at: String,
        /// Where the trust bundle came from.
        trust_bundle: String,
        /// Why not.
        what: String,
    },
    /// A certificate of the trust bundle cannot be one.
    #[error("{at}: certificate {number} cannot be used: {what}")]
    Authority {
        /// Where the trust bundle came from.
        at: String,
        /// Which certificate, from 1.
        number: usize,
        /// Why not.
        what: String,
    },
    /// A revocation list revokes it.
    #[error("{at}: is revoked by a list of {issuer}")]
    Revoked {
        /// Where the certificate came from.
        at: String,
        /// Who issued, and revoked, it.
        issuer: String,
    },
    /// A revocation list that cannot be used.
    #[error("{at}: revocation list {what}")]
    List {
        /// Where the list came from.
        at: String,
        /// What is wrong with it.
        what: String,
    },
}

impl Unfit {
    /// What kind of failure it is.
    pub(in crate::certs) fn reason(&self) -> Rejection {
        match self {
            Self::Identity { .. } | Self::NamesMissing { .. } => Rejection::Names,
            Self::KeyMismatch { .. } | Self::LeafNotFirst { .. } => Rejection::KeyMismatch,
            Self::Expired { .. } => Rejection::Expired,
            Self::NotYetValid { .. } => Rejection::NotYetValid,
            Self::Purpose { .. } => Rejection::Purpose,
            Self::TooLong { .. } | Self::Chain { .. } | Self::Authority { .. } => Rejection::Chain,
            Self::Revoked { .. } => Rejection::Revoked,
            Self::List { .. } => Rejection::Unreadable,
        }
    }

    /// Whether it was good once, and has nothing amiss but that this is over.
    pub(super) fn is_of_its_end(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::Revoked { .. })
    }

    /// The same whenever it is found: without the time by our clock.
    pub(in crate::certs) fn gist(&self) -> String {
        match self {
            Self::Expired { at, not_after, .. } => format!("{at}: expired at {not_after}"),
            Self::NotYetValid { at, not_before, .. } => {
                format!("{at}: not valid before {not_before}")
            }
            _ => Report(self).to_string(),
        }
    }
}
