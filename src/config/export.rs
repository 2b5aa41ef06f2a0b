//! Where the trail goes out to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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
