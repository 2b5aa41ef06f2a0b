//! A record as it is read back: who attempted what, and what became of it. The rest is passed over.

use std::net::IpAddr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A line of the trail, in part. Names are the record's own.
#[derive(Debug, Clone, Deserialize)]
pub struct Recorded {
    /// When.
    #[serde(rename = "@timestamp", deserialize_with = "moment")]
    pub at: OffsetDateTime,
    /// What happened.
    pub event: RecordedEvent,
    /// To whom it was addressed.
    pub destination: Option<RecordedSide>,
    /// Which way, and over what.
    #[serde(default)]
    pub network: RecordedNetwork,
    /// What the peer presented.
    #[serde(default)]
    pub tls: RecordedTls,
    /// The HTTP request.
    pub http: Option<RecordedHttp>,
    /// Its path, as a template.
    pub url: Option<RecordedUrl>,
    /// What ECS has no name for.
    #[serde(default)]
    pub myelin: RecordedMyelin,
}

/// `event`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedEvent {
    /// A label of [`Action`](super::Action).
    pub action: String,
    /// Why.
    pub reason: Option<String>,
}

/// `destination`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedSide {
    /// The address.
    pub ip: Option<IpAddr>,
    /// The port.
    pub port: Option<u16>,
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
    /// What a client presented.
    pub client: Option<RecordedCertificate>,
    /// What a server presented.
    pub server: Option<RecordedCertificate>,
}

/// A certificate.
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedCertificate {
    /// Its subject in the form of RFC 4514.
    #[serde(default)]
    pub subject: String,
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
    /// `URI:…`, `DNS:…`
    #[serde(default)]
    pub alternative_names: Vec<String>,
}

/// `http`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedHttp {
    /// `http.request`
    pub request: RecordedRequest,
}

/// `http.request`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedRequest {
    /// The method.
    pub method: String,
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
    /// In what it differed from the rule that came nearest.
    pub differs: Option<String>,
    /// Why it would have been denied, were policy enforced.
    pub would_deny: Option<String>,
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
}

/// `myelin.fhir`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedFhir {
    /// Its code.
    pub interaction: String,
    /// A type of resources.
    pub resource: Option<String>,
}

/// `myelin.dicomweb`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedDicomWeb {
    /// Its name.
    pub transaction: String,
}

/// `myelin.soap`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedSoap {
    /// Its URI.
    pub action: String,
}

/// `myelin.hl7`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedHl7 {
    /// `peer` or `workload`.
    #[serde(default)]
    pub from: String,
    /// MSH-9 as `ADT^A01`.
    #[serde(rename = "type")]
    pub kind: String,
    /// MSH-3 and MSH-4.
    pub sending: RecordedEnds,
}

/// `myelin.hl7.sending`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedEnds {
    /// MSH-3
    pub application: String,
    /// MSH-4
    pub facility: String,
}

/// `myelin.dicom`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedDicom {
    /// The calling AE title.
    pub calling_ae: String,
    /// The called AE title.
    pub called_ae: String,
    /// What was proposed.
    #[serde(default)]
    pub contexts: Vec<RecordedContext>,
}

/// An item of `myelin.dicom.contexts`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedContext {
    /// UID of its abstract syntax.
    pub abstract_syntax: String,
}

fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<OffsetDateTime, D::Error> {
    let text = String::deserialize(from)?;
    OffsetDateTime::parse(&text, &Rfc3339).map_err(D::Error::custom)
}
