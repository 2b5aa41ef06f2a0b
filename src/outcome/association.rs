//! How DICOM associations are over.

/// How an association that went on was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AssociationEnding {
    /// Both sides agreed that it is over.
    Released,
    /// The called side did not want it.
    Rejected,
    /// The calling side aborted it.
    AbortedByCalling,
    /// The called side aborted it.
    AbortedByCalled,
    /// It was aborted here: cut, idle, or against the protocol.
    Aborted,
    /// A connection ended without a word.
    BrokenOff,
    /// The called side could not be reached.
    Unreachable,
}

impl AssociationEnding {
    /// All of them, for metrics that start at zero.
    pub const ALL: [Self; 7] = [
        Self::Released,
        Self::Rejected,
        Self::AbortedByCalling,
        Self::AbortedByCalled,
        Self::Aborted,
        Self::BrokenOff,
        Self::Unreachable,
    ];

    /// The stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Rejected => "rejected",
            Self::AbortedByCalling => "aborted_by_calling",
            Self::AbortedByCalled => "aborted_by_called",
            Self::Aborted => "aborted",
            Self::BrokenOff => "broken_off",
            Self::Unreachable => "unreachable",
        }
    }
}
