//! `event.action` in its parts: what it is about, and what became of that.

use crate::audit::read::Recorded;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::audit) enum Of {
    Connection,
    Request,
    Message,
    Association,
    /// The trail: that it begins, ends, was cut, is sealed or was read.
    Trail,
    Configuration,
    Certificate,
    /// The process itself: that it begins, and ends.
    Sidecar,
    /// What this version does not know.
    Other,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::audit) enum How {
    Allowed,
    /// Policy, or the lack of it, kept it out.
    Denied,
    /// The handshake came to nothing.
    Refused,
    /// It was allowed, and is not any more.
    Withdrawn,
    /// It is over.
    Ended,
    /// Everything that is not about access.
    Done,
}

/// What a record is about, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::audit) struct Happened {
    pub(in crate::audit) of: Of,
    pub(in crate::audit) how: How,
}

impl Happened {
    pub(in crate::audit) fn of(recorded: &Recorded) -> Self {
        let (of, how) =
            recorded.event.action.split_once('-').unwrap_or((&recorded.event.action, ""));
        let of = match of {
            "connection" => Of::Connection,
            "request" => Of::Request,
            "message" => Of::Message,
            "association" => Of::Association,
            "recording" | "trail" | "segments" | "checkpoint" | "log" | "review" => Of::Trail,
            "config" | "break" => Of::Configuration,
            "certificate" => Of::Certificate,
            "sidecar" => Of::Sidecar,
            _ => Of::Other,
        };
        let how = match how {
            "allowed" => How::Allowed,
            "denied" => How::Denied,
            "refused" => How::Refused,
            "withdrawn" => How::Withdrawn,
            "closed" | "completed" => How::Ended,
            _ => How::Done,
        };
        Self { of, how }
    }

    /// Whether somebody was kept out.
    pub(in crate::audit) fn is_denial(self) -> bool {
        matches!(self.how, How::Denied | How::Refused | How::Withdrawn)
    }
}

/// Whether it came to nothing, or to a bad end.
pub(super) fn is_failure(recorded: &Recorded) -> bool {
    recorded.event.outcome == "failure"
}
