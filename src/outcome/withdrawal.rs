//! Why permits are withdrawn.

use super::{DenyReason, Refusal};

/// Why a permit was withdrawn from an open connection: the same connection would not be let in now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Withdrawal {
    /// Its handshake would come to nothing.
    Refused(Refusal),
    /// Its peer would not be let in, or what goes on over it would not be let through.
    Denied(DenyReason),
}

impl Withdrawal {
    /// All of them, for metrics that start at zero.
    pub fn all() -> impl Iterator<Item = Self> {
        let refused = Refusal::ALL.into_iter().filter(|refusal| refusal.is_about_the_certificate());
        let denied = DenyReason::ALL.into_iter().filter(|reason| reason.may_withdraw());
        let plaintext = std::iter::once(Refusal::NotTls); // when it is not taken any more
        refused.chain(plaintext).map(Self::Refused).chain(denied.map(Self::Denied))
    }

    /// The stable label: that of the refusal or of the denial.
    pub fn label(self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.label(),
            Self::Denied(reason) => reason.label(),
        }
    }
}
