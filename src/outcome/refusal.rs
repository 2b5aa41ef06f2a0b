//! Why handshakes come to nothing.

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
