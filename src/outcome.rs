//! The closed sets of reasons that metrics, audit and tests share.
//!
//! Every label is stable: dashboards and reports are built on them.

mod association;

pub use self::association::AssociationEnding;

/// Why a TLS handshake came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The peer presented no certificate.
    NoCertificate,
    /// No chain from the certificate to the trust bundle, and no pin.
    UnknownIssuer,
    /// A certificate of the chain, or the trust anchor, has expired.
    Expired,
    /// A certificate of the chain is not valid yet.
    NotYetValid,
    /// The certificate is on a revocation list.
    Revoked,
    /// Revocation lists are configured, and none covers the certificate's issuer.
    RevocationUnknown,
    /// The revocation list that covers the issuer is past its next update.
    CrlExpired,
    /// The certificate is not meant for this side of TLS (extended key usage).
    WrongPurpose,
    /// The certificate may sign certificates or is good for any purpose, which the profile refuses.
    UnfitLeaf,
    /// More than one SPIFFE ID, or one beside other URIs.
    SeveralSpiffeIds,
    /// A name in the certificate that breaks its own standard.
    MalformedName,
    /// The certificate, or a list, could not be parsed or its signature does not hold.
    BadCertificate,
    /// The server is not the one that `expect` names.
    UnexpectedServer,
    /// The other side spoke something else than TLS.
    NotTls,
    /// No TLS version in common.
    NoSharedVersion,
    /// No cipher suite or key exchange group in common.
    NoSharedCipher,
    /// No application protocol (ALPN) in common.
    NoSharedProtocol,
    /// The other side refused us: it sent an alert.
    RefusedByPeer,
    /// Not finished within `handshake_timeout`.
    TooSlow,
    /// The source has as many unfinished handshakes as one source may have.
    TooMany,
    /// The connection was lost underneath.
    Lost,
    /// Any other violation of the TLS protocol.
    Protocol,
}

impl Refusal {
    /// All of them, for metrics that start at zero.
    pub const ALL: [Self; 22] = [
        Self::NoCertificate,
        Self::UnknownIssuer,
        Self::Expired,
        Self::NotYetValid,
        Self::Revoked,
        Self::RevocationUnknown,
        Self::CrlExpired,
        Self::WrongPurpose,
        Self::UnfitLeaf,
        Self::SeveralSpiffeIds,
        Self::MalformedName,
        Self::BadCertificate,
        Self::UnexpectedServer,
        Self::NotTls,
        Self::NoSharedVersion,
        Self::NoSharedCipher,
        Self::NoSharedProtocol,
        Self::RefusedByPeer,
        Self::TooSlow,
        Self::TooMany,
        Self::Lost,
        Self::Protocol,
    ];

    /// The stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::RevocationUnknown => "revocation_unknown",
            Self::CrlExpired => "crl_expired",
            Self::WrongPurpose => "wrong_purpose",
            Self::UnfitLeaf => "unfit_leaf",
            Self::SeveralSpiffeIds => "several_spiffe_ids",
            Self::MalformedName => "malformed_name",
            Self::BadCertificate => "bad_certificate",
            Self::UnexpectedServer => "unexpected_server",
            Self::NotTls => "not_tls",
            Self::NoSharedVersion => "no_shared_version",
            Self::NoSharedCipher => "no_shared_cipher",
            Self::NoSharedProtocol => "no_shared_protocol",
            Self::RefusedByPeer => "refused_by_peer",
            Self::TooSlow => "too_slow",
            Self::TooMany => "too_many",
            Self::Lost => "lost",
            Self::Protocol => "protocol",
        }
    }

    /// Whether it comes from what a peer presented, rather than from how its handshake went.
    pub fn is_about_the_certificate(self) -> bool {
        match self {
            Self::UnknownIssuer
            | Self::Expired
            | Self::NotYetValid
            | Self::Revoked
            | Self::RevocationUnknown
            | Self::CrlExpired
            | Self::WrongPurpose
            | Self::UnfitLeaf
            | Self::SeveralSpiffeIds
            | Self::MalformedName
            | Self::BadCertificate => true,
            Self::NoCertificate
            | Self::UnexpectedServer
            | Self::NotTls
            | Self::NoSharedVersion
            | Self::NoSharedCipher
            | Self::NoSharedProtocol
            | Self::RefusedByPeer
            | Self::TooSlow
            | Self::TooMany
            | Self::Lost
            | Self::Protocol => false,
        }
    }
}

/// Why an authenticated peer, or one of its requests, was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DenyReason {
    /// The peer is none of those whom `peers` names.
    UnknownPeer,
    /// The peer is known, and not on this listener's `allow`.
    NotListed,
    /// The peer's entry in `peers` has expired.
    ListingExpired,
    /// The peer's certificate has expired since its handshake.
    CertificateExpired,
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
    /// No rule is for this pair of AE titles.
    NoAssociationRule,
    /// The rule for the AE titles does not allow the peer.
    NotListedForAssociation,
    /// A SOP class was proposed that the rule does not have.
    SopClass,
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
    /// The connection's permit has been withdrawn; it may finish what it had begun.
    PermitWithdrawn,
}

impl DenyReason {
    /// All of them, for metrics that start at zero.
    pub const ALL: [Self; 20] = [
        Self::UnknownPeer,
        Self::NotListed,
        Self::ListingExpired,
        Self::CertificateExpired,
        Self::NoRoute,
        Self::NotListedForRoute,
        Self::RuleExpired,
        Self::SoapMismatch,
        Self::NoMessageRule,
        Self::NotListedForMessage,
        Self::UnknownSender,
        Self::NoAssociationRule,
        Self::NotListedForAssociation,
        Self::SopClass,
        Self::RateLimit,
        Self::ConcurrencyLimit,
        Self::Rego,
        Self::MalformedRequest,
        Self::NotAudited,
        Self::PermitWithdrawn,
    ];

    /// The stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::UnknownPeer => "unknown_peer",
            Self::NotListed => "not_listed",
            Self::ListingExpired => "listing_expired",
            Self::CertificateExpired => "certificate_expired",
            Self::NoRoute => "no_route",
            Self::NotListedForRoute => "not_listed_for_route",
            Self::RuleExpired => "rule_expired",
            Self::SoapMismatch => "soap_mismatch",
            Self::NoMessageRule => "no_message_rule",
            Self::NotListedForMessage => "not_listed_for_message",
            Self::UnknownSender => "unknown_sender",
            Self::NoAssociationRule => "no_association_rule",
            Self::NotListedForAssociation => "not_listed_for_association",
            Self::SopClass => "sop_class",
            Self::RateLimit => "rate_limit",
            Self::ConcurrencyLimit => "concurrency_limit",
            Self::Rego => "rego",
            Self::MalformedRequest => "malformed_request",
            Self::NotAudited => "not_audited",
            Self::PermitWithdrawn => "permit_withdrawn",
        }
    }

    /// Whether it comes from who the peer is, rather than from what it asks for.
    pub fn is_about_the_peer(self) -> bool {
        match self {
            Self::UnknownPeer
            | Self::NotListed
            | Self::ListingExpired
            | Self::CertificateExpired => true,
            Self::NoRoute
            | Self::NotListedForRoute
            | Self::RuleExpired
            | Self::SoapMismatch
            | Self::NoMessageRule
            | Self::NotListedForMessage
            | Self::UnknownSender
            | Self::NoAssociationRule
            | Self::NotListedForAssociation
            | Self::SopClass
            | Self::RateLimit
            | Self::ConcurrencyLimit
            | Self::Rego
            | Self::MalformedRequest
            | Self::NotAudited
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

/// Why a permit was withdrawn from an open connection: the same connection would not be let in now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Withdrawal {
    /// Its handshake would come to nothing.
    Refused(Refusal),
    /// Its peer would not be let in.
    Denied(DenyReason),
}

impl Withdrawal {
    /// All of them, for metrics that start at zero.
    pub fn all() -> impl Iterator<Item = Self> {
        let refused = Refusal::ALL.into_iter().filter(|refusal| refusal.is_about_the_certificate());
        let denied = DenyReason::ALL.into_iter().filter(|reason| reason.is_about_the_peer());
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
    /// The other side broke the rules of the protocol (HTTP).
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
