//! A record as it is read back. What a record may leave out, or another version of Myelin does not have, is
//! `None` or empty; what is not known here is passed over.

mod asked;
mod own;
mod sides;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use self::asked::*;
pub use self::own::*;
use crate::audit::reads::{Read, Reader};
use crate::audit::reviews::Review;

/// A line of the trail, in part. Names are the record's own.
#[derive(Debug, Clone, Deserialize)]
pub struct Recorded {
    /// When.
    #[serde(rename = "@timestamp", deserialize_with = "moment")]
    pub at: OffsetDateTime,
    /// What happened.
    pub event: RecordedEvent,
    /// Why, in words.
    pub message: Option<String>,
    /// Beside which service it was recorded.
    #[serde(default)]
    pub service: RecordedName,
    /// By which version of Myelin.
    #[serde(default)]
    pub observer: RecordedObserver,
    /// Who connected, and what they sent.
    pub source: Option<RecordedSide>,
    /// To whom it was addressed, and what they sent.
    pub destination: Option<RecordedSide>,
    /// Which way, and over what.
    #[serde(default)]
    pub network: RecordedNetwork,
    /// What the peer presented.
    #[serde(default)]
    pub tls: RecordedTls,
    /// Who the peer proved to be.
    pub user: Option<RecordedId>,
    /// Which rule decided.
    pub rule: Option<RecordedRule>,
    /// The HTTP request.
    pub http: Option<RecordedHttp>,
    /// Its path, as a template.
    pub url: Option<RecordedUrl>,
    /// W3C trace id.
    pub trace: Option<RecordedId>,
    /// What ECS has no name for.
    #[serde(default)]
    pub myelin: RecordedMyelin,
}

/// `event`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedEvent {
    /// A label of [`Action`](crate::audit::Action).
    pub action: String,
    /// Counts records from 1; 0 for one that is not in a trail.
    #[serde(default)]
    pub sequence: u64,
    /// `success` or `failure`.
    #[serde(default)]
    pub outcome: String,
    /// `event` or `alert`.
    #[serde(default)]
    pub kind: String,
    /// ECS's categories.
    #[serde(default)]
    pub category: Vec<String>,
    /// ECS's types.
    #[serde(rename = "type", default)]
    pub kinds: Vec<String>,
    /// Why.
    pub reason: Option<String>,
    /// Nanoseconds, for endings.
    pub duration: Option<u64>,
}

/// `service`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RecordedName {
    /// Its name.
    #[serde(default)]
    pub name: String,
}

/// `observer`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RecordedObserver {
    /// The version.
    #[serde(default)]
    pub version: String,
    /// On which machine, at a start and an end.
    pub hostname: Option<String>,
}

/// `user`, `trace`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedId {
    /// The id.
    pub id: String,
}

/// `rule`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedRule {
    /// `listener`, or `listener/rule`.
    pub name: String,
    /// The version of the policy, `sha256:…`.
    #[serde(default)]
    pub version: String,
    /// Its line in the configuration file.
    pub line: Option<u32>,
    /// `FILE:LINE`, for denials.
    pub reference: Option<String>,
}

/// `source`, `destination`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedSide {
    /// The address.
    pub ip: Option<IpAddr>,
    /// The port.
    pub port: Option<u16>,
    /// What it sent, in plaintext bytes, for endings.
    pub bytes: Option<u64>,
}

/// `network`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RecordedNetwork {
    /// `ingress` or `egress`.
    pub direction: Option<String>,
    /// `http`, `mllp` or `dicom`; `None` for tcp.
    pub protocol: Option<String>,
}

/// `tls`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RecordedTls {
    /// `1.3` or `1.2`.
    pub version: Option<String>,
    /// IANA name.
    pub cipher: Option<String>,
    /// Key exchange group, IANA name.
    pub curve: Option<String>,
    /// Whether the session was resumed.
    #[serde(default)]
    pub resumed: bool,
    /// Whether the handshake came to its end.
    #[serde(default)]
    pub established: bool,
    /// ALPN.
    pub next_protocol: Option<String>,
    /// What a client presented.
    pub client: Option<RecordedCertificate>,
    /// What a server presented.
    pub server: Option<RecordedCertificate>,
}

/// A certificate, or no more than the name that a client asked for.
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedCertificate {
    /// SNI.
    pub server_name: Option<String>,
    /// Its subject in the form of RFC 4514.
    #[serde(default)]
    pub subject: String,
    /// Its issuer, likewise.
    #[serde(default)]
    pub issuer: String,
    /// When its validity begins.
    #[serde(default, deserialize_with = "perhaps")]
    pub not_before: Option<OffsetDateTime>,
    /// When its validity ends.
    #[serde(default, deserialize_with = "perhaps")]
    pub not_after: Option<OffsetDateTime>,
    /// `hash.sha256`
    #[serde(default)]
    pub hash: RecordedHash,
    /// Its names.
    #[serde(default)]
    pub x509: RecordedNames,
}

/// `hash`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RecordedHash {
    /// Upper-case hexadecimal.
    #[serde(default)]
    pub sha256: String,
}

/// `x509`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RecordedNames {
    /// Hexadecimal.
    #[serde(default)]
    pub serial_number: String,
    /// `URI:…`, `DNS:…`
    #[serde(default)]
    pub alternative_names: Vec<String>,
}

/// `http`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedHttp {
    /// `1.0`, `1.1`, `2`.
    #[serde(default)]
    pub version: String,
    /// `http.request`
    pub request: RecordedRequest,
    /// `http.response`
    pub response: Option<RecordedResponse>,
}

/// `http.request`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedRequest {
    /// The method.
    pub method: String,
    /// Its name to whom it was denied.
    pub id: Option<String>,
}

/// `http.response`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedResponse {
    /// The status.
    pub status_code: u16,
}

/// `url`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedUrl {
    /// A template.
    pub path: String,
}

/// `myelin`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RecordedMyelin {
    /// The listener.
    pub listener: Option<String>,
    /// The connection's id, the same on both sides.
    pub connection: Option<String>,
    /// The hash of the line before, in hexadecimal.
    #[serde(default)]
    pub prev: String,
    /// Who the peer proved to be.
    pub identity: Option<String>,
    /// Where its chain ended.
    pub anchor: Option<String>,
    /// Its name in `peers`.
    pub peer: Option<String>,
    /// It came without TLS.
    #[serde(default)]
    pub plaintext: bool,
    /// Whether it was an access to PHI.
    #[serde(default)]
    pub phi: bool,
    /// Outbound: the endpoint as the configuration names it.
    pub endpoint: Option<String>,
    /// Counts requests on their connection from 1.
    pub request: Option<u64>,
    /// How the rule that came nearest differs, in words.
    pub nearest: Option<String>,
    /// In what it differed from the rule that came nearest.
    pub differs: Option<String>,
    /// Why it would have been denied, were policy enforced.
    pub would_deny: Option<String>,
    /// It stands for many denials.
    pub flood: Option<RecordedFlood>,
    /// The FHIR interaction.
    pub fhir: Option<RecordedFhir>,
    /// The DICOMweb transaction.
    pub dicomweb: Option<RecordedDicomWeb>,
    /// The SOAP action.
    pub soap: Option<RecordedSoap>,
    /// The HL7 v2 message.
    pub hl7: Option<RecordedHl7>,
    /// The DICOM association.
    pub dicom: Option<RecordedDicom>,
    /// A segment begins.
    pub segment: Option<RecordedSegment>,
    /// All records before this one are sealed.
    pub checkpoint: Option<RecordedCheckpoint>,
    /// Who had it done, over the control socket.
    pub asked_by: Option<Reader>,
    /// Who read the trail.
    pub read: Option<Read>,
    /// Who has reviewed it.
    pub review: Option<Review>,
    /// Which process began, or ended.
    pub sidecar: Option<RecordedSidecar>,
    /// How the wall clock is kept.
    pub clock: Option<RecordedClock>,
    /// Which configuration, and what is new in it.
    pub configuration: Option<RecordedConfiguration>,
    /// How many records before this one were never written.
    pub lost: Option<u64>,
    /// Segments that were removed because their retention was over.
    #[serde(default)]
    pub removed: Vec<RecordedRemoval>,
}

/// `myelin.flood`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedFlood {
    /// How many.
    pub count: u64,
    /// How many of each reason.
    pub reasons: BTreeMap<String, u64>,
    /// When the first of them was.
    #[serde(deserialize_with = "moment")]
    pub first: OffsetDateTime,
    /// When the last.
    #[serde(deserialize_with = "moment")]
    pub last: OffsetDateTime,
}

/// `myelin.segment`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedSegment {
    /// The file before it.
    pub previous: Option<String>,
}

/// `myelin.checkpoint`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedCheckpoint {
    /// How many records it covers.
    #[serde(default)]
    pub size: u64,
    /// The signed note (C2SP `tlog-checkpoint`).
    pub note: String,
}

/// An item of `myelin.removed`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedRemoval {
    /// Its file.
    pub file: String,
    /// Its last record.
    pub last_sequence: u64,
    /// The hash of its last line.
    pub last_hash: String,
}

fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<OffsetDateTime, D::Error> {
    let text = String::deserialize(from)?;
    OffsetDateTime::parse(&text, &Rfc3339).map_err(D::Error::custom)
}

fn perhaps<'de, D: Deserializer<'de>>(from: D) -> Result<Option<OffsetDateTime>, D::Error> {
    moment(from).map(Some)
}
