//! Why records of the trail do not get to an export's receiver.

/// Why records of the trail did not get to an export's receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Undelivered {
    /// It cannot be connected to.
    Unreachable,
    /// Whoever answered did not prove to be the receiver.
    Untrusted,
    /// It does not take our certificate, or has no place for records where we want to put them.
    Refused,
    /// It did not take records, or answer, in time.
    TooSlow,
    /// The connection broke off.
    Lost,
    /// What was sent was not proven to be delivered.
    Unconfirmed,
    /// It says that it cannot take records now.
    Busy,
    /// It has failed by its own account.
    ServerError,
    /// It does not take a record, whatever the attempt.
    Rejected,
    /// What it says cannot be understood.
    BadAnswer,
    /// What is configured here, or the file that it names, cannot be used.
    Unprepared,
    /// The trail cannot be read, or has lines that are no records.
    Trail,
    /// The trail is not the one of which records were delivered before.
    OtherTrail,
}

impl Undelivered {
    /// All of them, for metrics that start at zero.
    pub const ALL: [Self; 13] = [
        Self::Unreachable,
        Self::Untrusted,
        Self::Refused,
        Self::TooSlow,
        Self::Lost,
        Self::Unconfirmed,
        Self::Busy,
        Self::ServerError,
        Self::Rejected,
        Self::BadAnswer,
        Self::Unprepared,
        Self::Trail,
        Self::OtherTrail,
    ];

    /// The stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Untrusted => "untrusted",
            Self::Refused => "refused",
            Self::TooSlow => "too_slow",
            Self::Lost => "lost",
            Self::Unconfirmed => "unconfirmed",
            Self::Busy => "busy",
            Self::ServerError => "server_error",
            Self::Rejected => "rejected",
            Self::BadAnswer => "bad_answer",
            Self::Unprepared => "unprepared",
            Self::Trail => "trail",
            Self::OtherTrail => "other_trail",
        }
    }
}
