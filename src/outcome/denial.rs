//! Why policy lets nobody in, and what differed.

/// Why an authenticated peer, or one of its requests, was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DenyReason {
    /// The peer is none of those whom `peers` names.
    UnknownPeer,
    /// The peer is known, and not on this listener's `allow`.
    NotListed,
    /// The peer's entry in `peers` has expired.
    ListingExpired,
    /// The peer's certificate has expired since its handshake, or had before the clock was set back.
    CertificateExpired,
    /// The peer's certificate is another entry's in `peers` by now than when the connection was put on record.
    PeerChanged,
    /// No route matches the request.
    NoRoute,
    /// A route matches, and does not allow the peer.
    NotListedForRoute,
    /// The rule that matches has expired.
    RuleExpired,
    /// The body of a SOAP request is another action's than its header says.
    SoapMismatch,
    /// No rule is for messages of this type.
    NoMessageRule,
    /// The rule for the type of message does not allow the peer.
    NotListedForMessage,
    /// The peer may not send as the application and facility that the message names.
    UnknownSender,
    /// A frame has more messages than one may have.
    BatchTooLarge,
    /// No rule is for this pair of AE titles.
    NoAssociationRule,
    /// The rule for the AE titles does not allow the peer.
    NotListedForAssociation,
    /// A SOP class was proposed that the rule does not have.
    SopClass,
    /// A command came on a presentation context that is not for it.
    SopClassMismatch,
    /// More than the peer's rate.
    RateLimit,
    /// More at once than the peer may have.
    ConcurrencyLimit,
    /// The Rego policy said no, or could not be asked.
    Rego,
    /// The request is ambiguous or malformed: framing, host or path.
    MalformedRequest,
    /// The record could not be made durable, and the listener's PHI may not pass without one.
    NotAudited,
    /// The workload wanted to go where no listener leads.
    UnknownDestination,
    /// The connection's permit has been withdrawn; it may finish what it had begun.
    PermitWithdrawn,
}

impl DenyReason {
    /// All of them, for metrics that start at zero.
    pub const ALL: [Self; 24] = [
        Self::UnknownPeer,
        Self::NotListed,
        Self::ListingExpired,
        Self::CertificateExpired,
        Self::PeerChanged,
        Self::NoRoute,
        Self::NotListedForRoute,
        Self::RuleExpired,
        Self::SoapMismatch,
        Self::NoMessageRule,
        Self::NotListedForMessage,
        Self::UnknownSender,
        Self::BatchTooLarge,
        Self::NoAssociationRule,
        Self::NotListedForAssociation,
        Self::SopClass,
        Self::SopClassMismatch,
        Self::RateLimit,
        Self::ConcurrencyLimit,
        Self::Rego,
        Self::MalformedRequest,
        Self::NotAudited,
        Self::UnknownDestination,
        Self::PermitWithdrawn,
    ];

    /// The stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::UnknownPeer => "unknown_peer",
            Self::NotListed => "not_listed",
            Self::ListingExpired => "listing_expired",
            Self::CertificateExpired => "certificate_expired",
            Self::PeerChanged => "peer_changed",
            Self::NoRoute => "no_route",
            Self::NotListedForRoute => "not_listed_for_route",
            Self::RuleExpired => "rule_expired",
            Self::SoapMismatch => "soap_mismatch",
            Self::NoMessageRule => "no_message_rule",
            Self::NotListedForMessage => "not_listed_for_message",
            Self::UnknownSender => "unknown_sender",
            Self::BatchTooLarge => "batch_too_large",
            Self::NoAssociationRule => "no_association_rule",
            Self::NotListedForAssociation => "not_listed_for_association",
            Self::SopClass => "sop_class",
            Self::SopClassMismatch => "sop_class_mismatch",
            Self::RateLimit => "rate_limit",
            Self::ConcurrencyLimit => "concurrency_limit",
            Self::Rego => "rego",
            Self::MalformedRequest => "malformed_request",
            Self::NotAudited => "not_audited",
            Self::UnknownDestination => "unknown_destination",
            Self::PermitWithdrawn => "permit_withdrawn",
        }
    }

    /// Whether an open connection may lose its permit for it: who the peer is has changed, or the association
    /// or tunnel that it carries would not be let through any more.
    pub fn may_withdraw(self) -> bool {
        match self {
            Self::UnknownPeer
            | Self::NotListed
            | Self::ListingExpired
            | Self::CertificateExpired
            | Self::PeerChanged
            | Self::NoRoute
            | Self::NotListedForRoute
            | Self::RuleExpired
            | Self::SoapMismatch
            | Self::NoAssociationRule
            | Self::NotListedForAssociation
            | Self::SopClass
            | Self::Rego
            | Self::NotAudited => true,
            Self::NoMessageRule
            | Self::NotListedForMessage
            | Self::UnknownSender
            | Self::BatchTooLarge
            | Self::SopClassMismatch
            | Self::RateLimit
            | Self::ConcurrencyLimit
            | Self::MalformedRequest
            | Self::UnknownDestination
            | Self::PermitWithdrawn => false,
        }
    }
}

/// What of an attempt differed from the rule that came nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Differs {
    /// Who the peer is.
    Peer,
    /// The moment: an entry or a rule has expired.
    Expires,
    /// The host of the request.
    Host,
    /// Its method.
    Method,
    /// Its path.
    Path,
    /// Its SOAP action.
    SoapAction,
    /// What the SOAP body begins with.
    SoapBody,
    /// Its FHIR interaction.
    Interaction,
    /// The type of its FHIR resource.
    Resource,
    /// Its DICOMweb transaction.
    Transaction,
    /// The type of the message (MSH-9).
    MessageType,
    /// Who sends the message (MSH-3, MSH-4).
    Sender,
    /// The calling AE title.
    CallingAe,
    /// The called AE title.
    CalledAe,
    /// A SOP class.
    SopClass,
    /// How often.
    Rate,
    /// How many at once.
    Concurrency,
}

impl Differs {
    /// The stable label: the configuration's key, where it has one.
    pub fn label(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Expires => "expires",
            Self::Host => "host",
            Self::Method => "method",
            Self::Path => "path",
            Self::SoapAction => "soap_action",
            Self::SoapBody => "soap_body",
            Self::Interaction => "interaction",
            Self::Resource => "resource",
            Self::Transaction => "transaction",
            Self::MessageType => "message_type",
            Self::Sender => "sender",
            Self::CallingAe => "calling_ae",
            Self::CalledAe => "called_ae",
            Self::SopClass => "sop_class",
            Self::Rate => "rate",
            Self::Concurrency => "concurrency",
        }
    }
}
