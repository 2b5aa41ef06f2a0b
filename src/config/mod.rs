//! The checked configuration. Every value already holds what its comment promises.
//!
//! Built only by [`load`] and [`parse()`], which look at everything before they give up.

mod address;
mod broken;
mod cases;
mod check;
mod export;
mod forward_proxy;
mod identity;
mod keys;
mod listener;
mod nearest;
mod outline;
mod parse;
mod peer;
mod problem;
mod question;
mod read;
mod redirect;
mod rules;
mod scalar;
mod settings;
mod stand_in;
mod substitute;
mod switches;
mod telemetry;
mod template;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

pub use address::{Endpoint, ListenAddr, MAX_CONTROL, SUCCESSOR, Target};
pub use cases::{Case, CaseWho, TLS_HANDSHAKE, cases};
pub use check::read_sop_class;
pub use export::{
    ExportFeed, ExportSettings, ExportTo, FhirExport, OtlpExport, OtlpProtocol, SyslogExport,
    SyslogFormat,
};
pub use forward_proxy::Led;
pub use identity::{
    Embedded, Est, EstTrust, Files, IdentitySource, KeyType, PairFiles, PairForm, Spiffe, Vault,
    VaultAuth,
};
pub use listener::Listener;
pub use nearest::nearest;
pub use outline::{Change, Changes, Outline};
pub use parse::{load, parse};
pub use peer::{Peer, PeerMatcher};
pub use problem::{Problem, Problems, Severity};
pub use question::{Question, Unaskable};
pub use redirect::{Destination, Network, Place, Redirect};
pub use rules::{
    AssociationRule, MessageRule, MessageType, Mllp, OnDenied, Quota, Rate, Route, RouteKind, Rule,
    SenderRule, SoapAction,
};
pub use scalar::{TextError, check_name, read_moment};
pub use settings::{
    AdminSettings, AuditSettings, Checkpoints, Keeping, KeyAlgorithm, LegalHold, OnFailure,
    ProbeCheck, Pseudonyms, RegoFile, RegoSettings, WorkloadProbe,
};
pub use telemetry::{Sample, Share, TraceSettings};
pub use template::PathTemplateError;

use crate::identity::{Fingerprint, ListenerName, PeerName, SpiffeId, TrustDomain};

/// Everything that a configuration file says.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from, as it was named.
    pub path: PathBuf,
    /// The version of the policy in every record: SHA-256 of the file's bytes or, with `policy`, of its digest
    /// and those of the files that `policy` names, in hexadecimal and in their order, one a line.
    pub digest: Fingerprint,
    /// The service that this sidecar stands beside.
    pub service: Arc<str>,
    /// The trust domain of that service.
    pub trust_domain: TrustDomain,
    /// Where key material comes from.
    pub identity: IdentitySource,
    /// What is negotiated in TLS.
    pub tls: TlsSettings,
    /// Whom we know, by name.
    pub peers: BTreeMap<PeerName, Peer>,
    /// Names for several of them. Wherever a rule named a group, it lists the members.
    pub groups: BTreeMap<PeerName, Vec<PeerName>>,
    /// Mutual TLS in, plaintext to the workload.
    pub inbound: Vec<Inbound>,
    /// Plaintext in, mutual TLS out.
    pub outbound: Vec<Outbound>,
    /// What the kernel sends to the sidecar although it was to go elsewhere.
    pub redirect: Option<Redirect>,
    /// Where the workload may ask for whatever the `destinations` of listeners name, as `http_proxy` has it.
    pub forward_proxy: Option<SocketAddr>,
    /// The trail. Always there when a listener has `phi: true`.
    pub audit: Option<AuditSettings>,
    /// Spans, and where they go. `None`: nothing is traced.
    pub traces: Option<TraceSettings>,
    /// The administrative listeners.
    pub admin: AdminSettings,
    /// What stands where in the file, and the digests of those that `policy` names.
    pub outline: Outline,
    /// What is asked after the allowlist, and can only narrow it.
    pub rego: Option<RegoSettings>,
    /// Data threads. At least 1.
    pub workers: usize,
    /// What holds the process that serves.
    pub sandbox: SandboxMode,
    /// The files that it names to be read, as they are to be opened: key material, secrets, policy.
    pub files: BTreeSet<PathBuf>,
    /// Bounds on everything that waits or grows.
    pub limits: Limits,
    /// What is allowed and yet deserves a look, as `check` prints it.
    pub warnings: Problems,
}

impl Config {
    /// The SPIFFE ID under which this sidecar stands: `spiffe://trust_domain/service`.
    ///
    /// # Errors
    ///
    /// Never for a checked configuration: its service is one SPIFFE path segment.
    pub fn spiffe_id(&self) -> Result<SpiffeId, crate::identity::SpiffeIdError> {
        SpiffeId::of(&self.trust_domain, &self.service)
    }
}

/// How much the process that serves gives up before it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SandboxMode {
    /// All that the kernel lets it; what is missing is told.
    #[default]
    Auto,
    /// All of it: where something is missing, it does not start.
    Required,
    /// Nothing.
    Off,
}

impl SandboxMode {
    /// As the configuration names it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Required => "required",
            Self::Off => "off",
        }
    }
}

/// What is negotiated in TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The named set of versions, suites, groups and certificate rules.
    pub profile: Profile,
    /// Narrows the profile's cipher suites, by IANA or rustls names. Empty: all of the profile's.
    pub cipher_suites: Vec<String>,
    /// What a revocation list past its next update does to the peers that it covers.
    pub crl_expired: CrlExpired,
}

/// What becomes of peers whose revocation list is past its next update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CrlExpired {
    /// They are refused, and those who are connected lose their permits.
    #[default]
    Refuse,
    /// The old list goes on to be used, and its age is warned of.
    Warn,
}

/// A named set of versions, suites, groups and certificate rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// NIST SP 800-52r2: TLS 1.3 and 1.2 (with extended master secret), AES-GCM, P-256, P-384 and
    /// X25519MLKEM768; leaves must name their purpose.
    Nist,
    /// TLS 1.3 only, everything that is good today.
    Modern,
    /// TLS 1.3 and 1.2 with all that rustls has, and leaves that name no purpose.
    Compatible,
}

/// What a listener carries. Declared, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Any byte stream.
    Tcp,
    /// HTTP/1.1 and HTTP/2.
    Http,
    /// HL7 v2 messages in MLLP frames.
    Mllp,
    /// DICOM associations.
    Dicom,
}

impl Protocol {
    /// As the configuration and records name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Mllp => "mllp",
            Self::Dicom => "dicom",
        }
    }
}

/// The HTTP version to speak with the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkloadHttp {
    /// HTTP/2 with prior knowledge for gRPC, HTTP/1.1 for all else. The default.
    Auto,
    /// HTTP/1.1 always.
    Http1,
    /// HTTP/2 with prior knowledge always.
    H2c,
}

/// Mutual TLS in, plaintext to the workload.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// Unique among all listeners.
    pub name: ListenerName,
    /// Where peers connect.
    pub listen: SocketAddr,
    /// Where peers connected before: the kernel sends what comes to these ports of this machine to `listen`.
    pub redirect_ports: Vec<u16>,
    /// The workload. Loopback or a unix socket, unless `forward_anywhere` was set.
    pub forward: Target,
    /// What it carries.
    pub protocol: Protocol,
    /// HTTP only: what the workload speaks.
    pub forward_protocol: WorkloadHttp,
    /// Whether every access is on record before the first byte goes through.
    pub phi: bool,
    /// Until when plaintext is taken, too (`mode: permissive`).
    pub permissive_until: Option<OffsetDateTime>,
    /// Until when policy is told and not enforced (`enforce: false`).
    pub observe_until: Option<OffsetDateTime>,
    /// HTTP only: whether the shapes of paths go on record while policy is not enforced.
    pub observe_paths: bool,
    /// Its line in the configuration file.
    pub line: u32,
    /// Who may connect, groups replaced by their members. Empty: nobody.
    pub allow: Vec<PeerName>,
    /// HTTP only; `None` when the file gives none: whoever may connect may ask for anything.
    pub routes: Option<Vec<Route>>,
    /// MLLP only.
    pub mllp: Mllp,
    /// DICOM only; `None`: whoever may connect may have any association.
    pub associations: Option<Vec<AssociationRule>>,
    /// Bounds, the listener's own over the file's.
    pub limits: Limits,
}

/// A path in which `{name}` stands for one segment and a last `{name...}` for any number of them.
///
/// Matched against the path as the gate has decoded it, segment by segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    /// As it was written; what records show instead of the path.
    pub text: Arc<str>,
    /// Its parts between slashes.
    pub segments: Vec<Segment>,
}

/// One part of a [`PathTemplate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// This text.
    Literal(String),
    /// Any one segment that is not empty.
    Any,
    /// All that is left, nothing included. Only at the end.
    Rest,
}

/// Plaintext in, mutual TLS out.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// Unique among all listeners.
    pub name: ListenerName,
    /// Where the workload connects. Loopback or a unix socket, unless `listen_anywhere` was set.
    pub listen: ListenAddr,
    /// Its line in the configuration file.
    pub line: u32,
    /// Where the peer may be. With `redirect: forward_proxy` these are its destinations that have a name, each a place of its own;
    /// with `redirect: transparent` there are none.
    pub to: Vec<Endpoint>,
    /// With `redirect`, and only then: which of what is redirected, or asked for, it takes.
    pub destinations: Vec<Destination>,
    /// Whom the server must prove to be. Never empty.
    pub expect: Vec<PeerName>,
    /// What it carries.
    pub protocol: Protocol,
    /// Whether every access is on record before the first byte goes through.
    pub phi: bool,
    /// Bounds, the listener's own over the file's.
    pub limits: Limits,
}

/// Bounds on everything that waits or grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open connections of one listener; more wait in the kernel's backlog. Default 10,000.
    pub connections: usize,
    /// From accepted socket to finished handshake, one budget. At least 100 ms. Default 10 s.
    pub handshake_timeout: Duration,
    /// To connect upstream: resolution, TCP and TLS together. Default 5 s.
    pub connect_timeout: Duration,
    /// A connection on which nothing moves for this long is closed. Default 1 h.
    pub idle_timeout: Duration,
    /// From the beginning of a drain to the cut. Default 30 s.
    pub drain_timeout: Duration,
    /// HTTP: from the first byte of a request's head to its last. Default 30 s.
    pub header_timeout: Duration,
    /// HTTP: from the whole request sent to the response's head; then 504. Default 5 min.
    pub response_timeout: Duration,
    /// HTTP: size of a request's or response's head. Default 64 KiB.
    pub header_bytes: usize,
    /// HTTP/2: streams that one peer may have open on one connection. Default 100.
    pub streams: u32,
    /// MLLP: messages, and headers of files and batches, that a peer may put into one frame: each is judged by
    /// itself. Default 10,000.
    pub batch_messages: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(3600),
            drain_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(30),
            response_timeout: Duration::from_secs(300),
            header_bytes: 64 * 1024,
            streams: 100,
            batch_messages: 10_000,
        }
    }
}
