//! `event`: what happened, and what kind of thing that is.

use serde::Serialize;

use crate::audit::record::{Action, Record};
use crate::outcome::{AssociationEnding, Ending};
use crate::protocol::mllp::AckCode;

/// What happened, in ECS's words.
#[derive(Serialize)]
pub(in crate::audit) struct Event {
    action: &'static str,
    outcome: &'static str,
    kind: &'static str,
    category: &'static [&'static str],
    #[serde(rename = "type")]
    kinds: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u128>,
}

impl Event {
    /// Of `record`.
    pub(in crate::audit) fn of(record: &Record) -> Self {
        let (category, kinds) = categories(record.action);
        Self {
            action: record.action.label(),
            outcome: if failed(record) { "failure" } else { "success" },
            kind: if record.action.is_denial() { "alert" } else { "event" },
            category,
            kinds,
            reason: record.reason,
            duration: record.traffic.map(|traffic| traffic.duration.as_nanos()),
        }
    }
}

impl Action {
    /// All.
    pub const ALL: [Self; 31] = [
        Self::ConnectionAllowed,
        Self::ConnectionRefused,
        Self::ConnectionDenied,
        Self::ConnectionWithdrawn,
        Self::ConnectionClosed,
        Self::RequestAllowed,
        Self::RequestDenied,
        Self::RequestCompleted,
        Self::MessageAllowed,
        Self::MessageDenied,
        Self::MessageCompleted,
        Self::AssociationAllowed,
        Self::AssociationDenied,
        Self::AssociationCompleted,
        Self::SidecarStarted,
        Self::SidecarStopped,
        Self::RecordingStarted,
        Self::RecordingStopped,
        Self::TrailTruncated,
        Self::SegmentsRemoved,
        Self::Checkpoint,
        Self::ClockChanged,
        Self::ClockStepped,
        Self::LogRead,
        Self::ReviewSigned,
        Self::BreakGlassStarted,
        Self::BreakGlassEnded,
        Self::ConfigLoaded,
        Self::ConfigRejected,
        Self::CertificateRotated,
        Self::CertificateRejected,
    ];

    /// The stable `event.action`.
    pub fn label(self) -> &'static str {
        match self {
            Self::ConnectionAllowed => "connection-allowed",
            Self::ConnectionRefused => "connection-refused",
            Self::ConnectionDenied => "connection-denied",
            Self::ConnectionWithdrawn => "connection-withdrawn",
            Self::ConnectionClosed => "connection-closed",
            Self::RequestAllowed => "request-allowed",
            Self::RequestDenied => "request-denied",
            Self::RequestCompleted => "request-completed",
            Self::MessageAllowed => "message-allowed",
            Self::MessageDenied => "message-denied",
            Self::MessageCompleted => "message-completed",
            Self::AssociationAllowed => "association-allowed",
            Self::AssociationDenied => "association-denied",
            Self::AssociationCompleted => "association-completed",
            Self::SidecarStarted => "sidecar-started",
            Self::SidecarStopped => "sidecar-stopped",
            Self::RecordingStarted => "recording-started",
            Self::RecordingStopped => "recording-stopped",
            Self::TrailTruncated => "trail-truncated",
            Self::SegmentsRemoved => "segments-removed",
            Self::Checkpoint => "checkpoint",
            Self::ClockChanged => "clock-changed",
            Self::ClockStepped => "clock-stepped",
            Self::LogRead => "log-read",
            Self::ReviewSigned => "review-signed",
            Self::BreakGlassStarted => "break-glass-started",
            Self::BreakGlassEnded => "break-glass-ended",
            Self::ConfigLoaded => "config-loaded",
            Self::ConfigRejected => "config-rejected",
            Self::CertificateRotated => "certificate-rotated",
            Self::CertificateRejected => "certificate-rejected",
        }
    }

    /// Whether something was let through.
    pub(in crate::audit) fn is_permit(self) -> bool {
        matches!(
            self,
            Self::ConnectionAllowed
                | Self::RequestAllowed
                | Self::MessageAllowed
                | Self::AssociationAllowed
        )
    }

    /// Whether somebody else decides how often it happens, and nothing came of it: then it may be told of
    /// with others of its kind.
    pub(in crate::audit) fn may_flood(self) -> bool {
        self.is_denial() && self != Self::ConnectionWithdrawn
    }

    /// Whether somebody was kept out.
    pub fn is_denial(self) -> bool {
        matches!(
            self,
            Self::ConnectionRefused
                | Self::ConnectionDenied
                | Self::ConnectionWithdrawn
                | Self::RequestDenied
                | Self::MessageDenied
                | Self::AssociationDenied
        )
    }
}

/// `event.category` and `event.type`, in combinations that ECS expects.
fn categories(action: Action) -> (&'static [&'static str], &'static [&'static str]) {
    match action {
        Action::ConnectionAllowed => (&["network"], &["connection", "start", "allowed"]),
        Action::ConnectionRefused => (&["network", "authentication"], &["connection", "denied"]),
        Action::ConnectionDenied => (&["network"], &["connection", "denied"]),
        Action::ConnectionWithdrawn => (&["network"], &["connection", "end", "denied"]),
        Action::ConnectionClosed => (&["network"], &["connection", "end"]),
        Action::RequestAllowed => (&["network", "web"], &["access", "allowed"]),
        Action::RequestDenied => (&["network", "web"], &["access", "denied"]),
        Action::RequestCompleted => (&["network", "web"], &["access", "end"]),
        Action::MessageAllowed | Action::AssociationAllowed => {
            (&["network"], &["access", "allowed"])
        }
        Action::MessageDenied | Action::AssociationDenied => (&["network"], &["access", "denied"]),
        Action::MessageCompleted | Action::AssociationCompleted => {
            (&["network"], &["access", "end"])
        }
        Action::SidecarStarted | Action::RecordingStarted => (&["process"], &["start"]),
        Action::SidecarStopped | Action::RecordingStopped => (&["process"], &["end"]),
        Action::TrailTruncated => (&["file"], &["change"]),
        Action::SegmentsRemoved => (&["file"], &["deletion"]),
        Action::Checkpoint => (&["file"], &["info"]),
        Action::ClockChanged | Action::ClockStepped => (&["host"], &["change"]),
        Action::LogRead | Action::ReviewSigned => (&["file"], &["access"]),
        Action::BreakGlassStarted
        | Action::BreakGlassEnded
        | Action::ConfigLoaded
        | Action::CertificateRotated => (&["configuration"], &["change"]),
        Action::ConfigRejected | Action::CertificateRejected => (&["configuration"], &["info"]),
    }
}

fn failed(record: &Record) -> bool {
    match record.action {
        Action::ConnectionRefused
        | Action::ConnectionDenied
        | Action::ConnectionWithdrawn
        | Action::RequestDenied
        | Action::MessageDenied
        | Action::AssociationDenied
        | Action::TrailTruncated
        | Action::ConfigRejected
        | Action::CertificateRejected => true,
        Action::AssociationCompleted => {
            let result = record.dicom.as_ref().and_then(|dicom| dicom.result);
            result != Some(AssociationEnding::Released.label())
        }
        Action::ConnectionClosed | Action::RequestCompleted | Action::MessageCompleted => {
            let status = record.request.as_ref().and_then(|request| request.status);
            let ending = Ending::ALL.into_iter().find(|e| Some(e.label()) == record.reason);
            status.is_some_and(|status| status >= 500)
                || is_unaccepted(record)
                || !matches!(ending, None | Some(Ending::Finished | Ending::Idle))
        }
        Action::ConnectionAllowed
        | Action::RequestAllowed
        | Action::MessageAllowed
        | Action::AssociationAllowed
        | Action::SidecarStarted
        | Action::SidecarStopped
        | Action::RecordingStarted
        | Action::RecordingStopped
        | Action::SegmentsRemoved
        | Action::Checkpoint
        | Action::ClockChanged
        | Action::ClockStepped
        | Action::LogRead
        | Action::ReviewSigned
        | Action::BreakGlassStarted
        | Action::BreakGlassEnded
        | Action::ConfigLoaded
        | Action::CertificateRotated => false,
    }
}

/// Whether the receiver of an HL7 v2 message did not accept it.
fn is_unaccepted(record: &Record) -> bool {
    let said = record.hl7.as_ref().and_then(|hl7| hl7.acknowledgement);
    let code = AckCode::ALL.into_iter().find(|code| Some(code.label()) == said);
    code.is_some_and(AckCode::is_failure)
}
