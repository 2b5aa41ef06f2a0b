//! What a line says of TLS: the session, and whose certificate it was.

use serde::Serialize;

use super::text::{List, Text, Timestamp};
use crate::audit::record::{Action, Connection, Tls};
use crate::identity::PeerCertificate;
use crate::outcome::Direction;

/// `tls`, of one connection.
#[derive(Serialize)]
pub(super) struct TlsFields<'a> {
    #[serde(flatten)]
    session: Option<Session<'a>>,
    established: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<End<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<End<'a>>,
}

#[derive(Serialize)]
struct Session<'a> {
    version: &'a str,
    version_protocol: &'static str,
    cipher: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    curve: Option<&'a str>,
    resumed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_protocol: Option<Text<'a>>,
}

#[derive(Serialize)]
struct End<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<Text<'a>>,
    #[serde(flatten)]
    certificate: Option<Certificate<'a>>,
}

#[derive(Serialize)]
struct Certificate<'a> {
    subject: Text<'a>,
    issuer: Text<'a>,
    hash: Digests,
    not_before: Timestamp,
    not_after: Timestamp,
    x509: X509<'a>,
}

#[derive(Serialize)]
struct Digests {
    sha256: String,
}

#[derive(Serialize)]
struct X509<'a> {
    serial_number: Text<'a>,
    alternative_names: List<'a>,
    subject: CommonNames<'a>,
    issuer: DistinguishedName<'a>,
}

#[derive(Serialize)]
struct CommonNames<'a> {
    common_name: List<'a>,
}

#[derive(Serialize)]
struct DistinguishedName<'a> {
    distinguished_name: Text<'a>,
}

impl<'a> TlsFields<'a> {
    /// Of a connection, if there is something to say.
    pub(super) fn of(connection: &'a Connection, action: Action) -> Option<Self> {
        let refused = action == Action::ConnectionRefused;
        let session = connection.tls.as_ref();
        let is_worth_saying = refused || connection.plaintext;
        if session.is_none() && connection.certificate.is_none() && !is_worth_saying {
            return None;
        }
        let certificate = connection.certificate.as_deref().map(Certificate::of);
        let (of_client, of_server) = match connection.direction {
            Direction::Inbound => (certificate, None),
            Direction::Outbound => (None, certificate),
        };
        let server_name = session.and_then(|tls| tls.server_name.as_deref()).map(Text::short);
        Some(Self {
            established: session.is_some() && !refused,
            session: session.map(Session::of),
            client: (server_name.is_some() || of_client.is_some())
                .then_some(End { server_name, certificate: of_client }),
            server: of_server
                .map(|certificate| End { server_name: None, certificate: Some(certificate) }),
        })
    }
}

impl<'a> Session<'a> {
    fn of(tls: &'a Tls) -> Self {
        Self {
            version: tls.version,
            version_protocol: "tls",
            cipher: &tls.cipher,
            curve: tls.group.as_deref(),
            resumed: tls.resumed,
            next_protocol: tls.next_protocol.as_deref().map(Text::short),
        }
    }
}

impl<'a> Certificate<'a> {
    fn of(certificate: &'a PeerCertificate) -> Self {
        Self {
            subject: Text::short(&certificate.subject.text),
            issuer: Text::short(&certificate.issuer),
            hash: Digests { sha256: hex::encode_upper(certificate.sha256.0) },
            not_before: Timestamp(certificate.not_before),
            not_after: Timestamp(certificate.not_after),
            x509: X509 {
                serial_number: Text::short(&certificate.serial),
                alternative_names: List(&certificate.alternative_names),
                subject: CommonNames { common_name: List(&certificate.subject.common_names) },
                issuer: DistinguishedName { distinguished_name: Text::short(&certificate.issuer) },
            },
        }
    }
}
