//! The closed sets of reasons that metrics, audit and tests share.
//!
//! Every label is stable: dashboards and reports are built on them.

mod association;
mod denial;
mod ending;
mod refusal;
mod rejection;
mod undelivered;
mod withdrawal;

pub use self::association::AssociationEnding;
pub use self::denial::{DenyReason, Differs};
pub use self::ending::Ending;
pub use self::refusal::Refusal;
pub use self::rejection::Rejection;
pub use self::undelivered::Undelivered;
pub use self::withdrawal::Withdrawal;

/// Which way a listener faces, as the workload sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Peers come in over mutual TLS.
    Inbound,
    /// The workload goes out over mutual TLS.
    Outbound,
}

impl Direction {
    /// The stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}
