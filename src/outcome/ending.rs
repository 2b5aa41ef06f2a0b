//! How connections are over.

/// How a connection was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Both sides finished.
    Finished,
    /// The peer's stream ended without close_notify: what it sent may have been cut short.
    Truncated,
    /// Nothing moved for `idle_timeout`.
    Idle,
    /// The downstream side broke off.
    DownstreamLost,
    /// The upstream side broke off.
    UpstreamLost,
    /// The upstream side could not be reached.
    UpstreamUnreachable,
    /// The upstream side did not answer within `connect_timeout`.
    UpstreamTimeout,
    /// The handshake came to nothing.
    Refused,
    /// The peer was not let in.
    Denied,
    /// The other side broke the rules of the protocol (HTTP, MLLP, DICOM).
    ProtocolError,
    /// Cut at the end of a drain.
    Cut,
    /// Its permit was withdrawn.
    Withdrawn,
}

impl Ending {
    /// All of them, for metrics that start at zero.
    pub const ALL: [Self; 12] = [
        Self::Finished,
        Self::Truncated,
        Self::Idle,
        Self::DownstreamLost,
        Self::UpstreamLost,
        Self::UpstreamUnreachable,
        Self::UpstreamTimeout,
        Self::Refused,
        Self::Denied,
        Self::ProtocolError,
        Self::Cut,
        Self::Withdrawn,
    ];

    /// The stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Truncated => "truncated",
            Self::Idle => "idle",
            Self::DownstreamLost => "downstream_lost",
            Self::UpstreamLost => "upstream_lost",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::ProtocolError => "protocol_error",
            Self::Cut => "cut",
            Self::Withdrawn => "withdrawn",
        }
    }
}
