//! What can happen.

/// What happened: the closed set of `event.action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A peer was let in.
    ConnectionAllowed,
    /// A handshake came to nothing.
    ConnectionRefused,
    /// An authenticated peer was not let in.
    ConnectionDenied,
    /// A connection that was allowed would not be any more, and is about to end.
    ConnectionWithdrawn,
    /// A connection that was allowed is over.
    ConnectionClosed,
    /// An HTTP request was let through.
    RequestAllowed,
    /// An HTTP request was not let through.
    RequestDenied,
    /// An HTTP request that was let through is over.
    RequestCompleted,
    /// An HL7 message was let through.
    MessageAllowed,
    /// An HL7 message was not let through.
    MessageDenied,
    /// An HL7 message that was let through has been acknowledged, or will not be.
    MessageCompleted,
    /// A DICOM association was let through.
    AssociationAllowed,
    /// A DICOM association was not let through.
    AssociationDenied,
    /// A DICOM association that was let through is over.
    AssociationCompleted,
    /// The sidecar has all that it needs, and begins to serve.
    SidecarStarted,
    /// It has drained, and ends.
    SidecarStopped,
    /// The trail begins, or goes on after a stop or a failure.
    RecordingStarted,
    /// The trail ends as it should.
    RecordingStopped,
    /// A torn last line was found and cut off when the trail was opened.
    TrailTruncated,
    /// The oldest segments are removed: their retention is over.
    SegmentsRemoved,
    /// All records so far are sealed.
    Checkpoint,
    /// Somebody began to keep the wall clock right, or does not any more.
    ClockChanged,
    /// The wall clock was set.
    ClockStepped,
    /// Somebody has read the trail.
    LogRead,
    /// Somebody has reviewed a period of the trail.
    ReviewSigned,
    /// A listener lets in what its policy would not, until a date.
    BreakGlassStarted,
    /// It does not any more.
    BreakGlassEnded,
    /// A configuration took effect.
    ConfigLoaded,
    /// A configuration was refused; the old one stays.
    ConfigRejected,
    /// New key material took effect.
    CertificateRotated,
    /// New key material was refused; the old one stays.
    CertificateRejected,
}
