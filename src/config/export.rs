//! Where the trail goes out to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::Endpoint;

/// A receiver of the trail's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportSettings {
    /// Unique among exports; names its cursor file and labels its metrics.
    pub name: Arc<str>,
    /// Which records it gets.
    pub feed: ExportFeed,
    /// The authorities that its certificate has to come from. `None`: those that peers come from.
    pub trust_bundle: Option<PathBuf>,
    /// Whether no segment is removed before its records were delivered.
    pub keep_undelivered: bool,
    /// How they get there.
    pub to: ExportTo,
}

/// Which records go out. Checkpoints and what the trail tells of itself always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFeed {
    /// All of them. The default.
    All,
    /// No accesses that succeeded.
    Failures,
}

/// How records get to a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportTo {
    /// Syslog (RFC 5424) over TLS (RFC 5425).
    Syslog(SyslogExport),
    /// FHIR R4 AuditEvents, created in a repository.
    Fhir(FhirExport),
    /// OpenTelemetry logs.
    Otlp(OtlpExport),
}

/// A FHIR repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FhirExport {
    /// Its `AuditEvent`s. `http` only to a loopback address.
    pub url: Uri,
    /// Most events in one request; more than one go as a Bundle.
    pub batch: usize,
}

/// A receiver of OpenTelemetry logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpExport {
    /// Where it is, with the path of its logs. `http` only to a loopback address.
    pub endpoint: Uri,
    /// What it speaks.
    pub protocol: OtlpProtocol,
    /// Headers that go along, one a line, `name: value`. Secret.
    pub headers_file: Option<PathBuf>,
}

/// What a receiver of OpenTelemetry logs speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// OTLP/gRPC. The default.
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

/// A syslog receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogExport {
    /// Where it is.
    pub address: Endpoint,
    /// What a message holds.
    pub format: SyslogFormat,
    /// Without TLS. Loopback only.
    pub plaintext: bool,
    /// What was sent counts as delivered after so long at the latest: then the connection is ended, which proves
    /// it, and another one made.
    pub confirm: Duration,
}

/// What a syslog message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyslogFormat {
    /// A DICOM audit message (PS3.15 A.5), as IHE ATNA sends it (ITI-20).
    Atna,
    /// The line of the trail.
    Json,
}
