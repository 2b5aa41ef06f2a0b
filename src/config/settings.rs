//! Settings of what stands beside the listeners: the trail, administration, and policy in Rego.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::ExportSettings;

/// The trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    /// Where it is kept. Made with mode 0700 if it is not there.
    pub dir: PathBuf,
    /// What PHI listeners do when a record cannot be made durable.
    pub on_failure: OnFailure,
    /// A segment is full at this length, in bytes. Default 64 MiB.
    pub segment_size: u64,
    /// What becomes of segments that are full.
    pub keeping: Keeping,
    /// Pseudonyms of the ids in paths, for whoever has the key. `None`: ids are masked and leave nothing.
    pub pseudonyms: Option<Pseudonyms>,
    /// What seals it.
    pub checkpoints: Checkpoints,
    /// Where its records go out to.
    pub export: Vec<ExportSettings>,
}

/// What becomes of segments that nothing is written to any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeping {
    /// Whether they are compressed (zstd). Default yes.
    pub compress: bool,
    /// Those older than this are removed. Default 6 years.
    pub retention: Duration,
    /// While there is one, none is removed.
    pub legal_hold: Option<LegalHold>,
}

/// Why nothing of the trail may be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegalHold {
    /// The case, or whoever asked for it.
    pub reason: Arc<str>,
    /// Since when.
    pub since: Option<OffsetDateTime>,
}

/// What seals a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoints {
    /// A record is sealed after this long at the latest. Default one second.
    pub interval: Duration,
    /// Where the key is kept; made with mode 0600 if it is not there. `None`: in the trail's directory.
    pub key_file: Option<PathBuf>,
    /// How it signs. Default Ed25519.
    pub algorithm: KeyAlgorithm,
    /// After that the next key takes its place. Default one day.
    pub key_lifetime: Duration,
}

/// How a checkpoint key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA with P-256 and SHA-256 (FIPS 186-5), signatures in DER.
    EcdsaP256,
}

/// What pseudonyms are made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pseudonyms {
    /// The file that holds the key. Read, and its mode checked, by whoever uses it.
    pub key_file: PathBuf,
}

/// What PHI listeners do when a record cannot be made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Nothing passes. The default.
    Block,
    /// Traffic passes, and the failure is counted and logged. Fails open.
    Allow,
}

/// The administrative listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// Everything: `/live /ready /metrics /status /denials`. Loopback only. Default 127.0.0.1:9901;
    /// `None` when the file says `listen: off`.
    pub listen: Option<SocketAddr>,
    /// `/live /ready /metrics` and `probes` alone, for probes and scrapers from outside.
    pub probe_listen: Option<SocketAddr>,
    /// Paths that say whether the workload answers, so that nobody needs a way through to it for that.
    pub probes: Vec<WorkloadProbe>,
    /// The control socket: all pages, and what changes the running process (reload, drain, the log's level). For this
    /// process's user and root alone. `None`: there is no such socket.
    pub socket: Option<PathBuf>,
}

/// A path on which the administrative listeners say whether the workload answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadProbe {
    /// The path, below `/health/`. Unique.
    pub path: Arc<str>,
    /// How it is found out.
    pub check: ProbeCheck,
}

/// How it is found out whether the workload answers. Loopback only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeCheck {
    /// A `GET` of `path` is answered with a status of 200 to 399.
    Http {
        /// Where the workload listens.
        address: SocketAddr,
        /// Path and query, as they are sent.
        path: Arc<str>,
    },
    /// A connection can be made.
    Tcp(SocketAddr),
}

/// Policy in Rego, asked after the allowlist. Whether the files are good finds whoever compiles them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegoSettings {
    /// Modules. Never empty.
    pub files: Vec<RegoFile>,
    /// JSON or YAML documents that become `data`.
    pub data: Vec<RegoFile>,
    /// The rule that is asked for, like `data.myelin.allow`.
    pub query: Arc<str>,
    /// Longest evaluation; what takes longer is denied.
    pub timeout: Duration,
}

/// A file that policy is made of, as it was when the configuration was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegoFile {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub text: Arc<str>,
}
