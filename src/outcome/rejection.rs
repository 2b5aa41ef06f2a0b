//! Why new key material does not take effect.

/// Why new key material did not take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// Whoever issues it did not answer.
    Unreachable,
    /// Whoever answered did not prove to be the one who issues it.
    Untrusted,
    /// Whoever issues it said no.
    Refused,
    /// The answer cannot be understood.
    BadAnswer,
    /// A file cannot be read, or holds something else.
    Unreadable,
    /// The key is another certificate's.
    KeyMismatch,
    /// The certificate is over.
    Expired,
    /// The certificate has not begun.
    NotYetValid,
    /// The certificate is not meant for what the listeners need it for.
    Purpose,
    /// The certificate no longer has a name by which peers know us.
    Names,
    /// There is no chain to the trust bundle.
    Chain,
    /// A revocation list revokes it.
    Revoked,
    /// A handshake with itself came to nothing.
    Handshake,
    /// It comes from another authority than the one in use.
    OtherAuthority,
    /// There was no answer in time.
    TooSlow,
    /// Anything else.
    Other,
}

impl Rejection {
    /// All of them, for metrics that start at zero.
    pub const ALL: [Self; 16] = [
        Self::Unreachable,
        Self::Untrusted,
        Self::Refused,
        Self::BadAnswer,
        Self::Unreadable,
        Self::KeyMismatch,
        Self::Expired,
        Self::NotYetValid,
        Self::Purpose,
        Self::Names,
        Self::Chain,
        Self::Revoked,
        Self::Handshake,
        Self::OtherAuthority,
        Self::TooSlow,
        Self::Other,
    ];

    /// The stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Untrusted => "untrusted",
            Self::Refused => "refused",
            Self::BadAnswer => "bad_answer",
            Self::Unreadable => "unreadable",
            Self::KeyMismatch => "key_mismatch",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Purpose => "purpose",
            Self::Names => "names",
            Self::Chain => "chain",
            Self::Revoked => "revoked",
            Self::Handshake => "handshake",
            Self::OtherAuthority => "other_authority",
            Self::TooSlow => "too_slow",
            Self::Other => "other",
        }
    }
}
