//! What a record says, before it has a place in the trail.
//!
//! Names follow the Elastic Common Schema, nested; `myelin.*` holds what it has no name for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

pub use super::action::Action;

use super::about::About;
use crate::identity::{Fingerprint, ListenerName, PeerCertificate, PeerName};
use crate::outcome::{DenyReason, Differs, Direction, Ending, Refusal};
use crate::protocol::Operation;
use crate::protocol::dicom::Commands;

/// One record, without sequence, time and hash: those are the trail's to give.
#[derive(Debug, Clone)]
pub struct Record {
    /// What happened.
    pub action: Action,
    /// Why, where there is a reason: a label of [`crate::outcome`].
    pub reason: Option<&'static str>,
    /// Why, in words, for whoever reads the trail. Never a peer's text unescaped, never PHI.
    pub message: Option<String>,
    /// The connection that it happened on.
    pub connection: Option<Arc<Connection>>,
    /// The HTTP request that it happened to.
    pub request: Option<Request>,
    /// The HL7 message that it happened to.
    pub hl7: Option<Hl7>,
    /// The DICOM association that it happened to.
    pub dicom: Option<Dicom>,
    /// Which rule decided.
    pub rule: Option<Rule>,
    /// How much moved, and for how long: for endings.
    pub traffic: Option<Traffic>,
    /// It stands for many, of which it shows what they have in common.
    pub flood: Option<Flood>,
    /// What it says about the sidecar itself.
    pub about: Option<Box<About>>,
}

/// What is known of a connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Derived from the TLS exporter, the same on both sides; random before a session exists.
    pub id: ConnectionId,
    /// The listener.
    pub listener: ListenerName,
    /// Which way it faces.
    pub direction: Direction,
    /// `tcp`, `http`, `mllp` or `dicom`.
    pub protocol: &'static str,
    /// Whether the listener is a PHI endpoint.
    pub phi: bool,
    /// Who connected. `None` for a unix socket.
    pub source: Option<SocketAddr>,
    /// To what: for inbound where the peer connected to, for outbound the upstream address.
    pub destination: Option<SocketAddr>,
    /// Outbound: what the workload has asked a forward proxy for, `HOST:PORT`.
    pub asked: Option<Arc<str>>,
    /// Outbound: the endpoint as the configuration names it.
    pub endpoint: Option<String>,
    /// What was negotiated. `None` when there was no session.
    pub tls: Option<Tls>,
    /// Whether the peer came in plaintext, and was let in all the same.
    pub plaintext: bool,
    /// What the peer presented, verified or not.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// SHA-256 of the certificate of the trust bundle in which its chain ended. `None` with a pin.
    pub anchor: Option<Fingerprint>,
    /// Who the peer proved to be. `None` unless it was verified.
    pub identity: Option<String>,
    /// The peer's name in `peers`. `None` unless it was recognized.
    pub peer: Option<PeerName>,
}

impl Connection {
    /// The name of its request `number`, in records and to whom it was denied.
    pub fn request_id(&self, number: u64) -> String {
        format!("{}-{number}", hex::encode(self.id.0))
    }
}

/// A connection's id: 16 bytes, lower-case hexadecimal in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub [u8; 16]);

/// What was negotiated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `1.3` or `1.2`.
    pub version: &'static str,
    /// IANA name.
    pub cipher: String,
    /// Key exchange group, IANA name.
    pub group: Option<String>,
    /// Whether the session was resumed.
    pub resumed: bool,
    /// ALPN.
    pub next_protocol: Option<String>,
    /// SNI, if it is one of our own names.
    pub server_name: Option<String>,
}

/// What is known of an HTTP request. No PHI: a template for the path, no values.
#[derive(Debug, Clone)]
pub struct Request {
    /// Counts requests on their connection from 1.
    pub number: u64,
    /// The method.
    pub method: http::Method,
    /// The route's template; `None` when no route matched or none is configured.
    pub template: Option<Arc<str>>,
    /// HTTP version as the downstream spoke it: `1.0`, `1.1`, `2`.
    pub version: &'static str,
    /// Whether it is an access to PHI: its route may say otherwise than its listener.
    pub phi: bool,
    /// What it is in the words of healthcare, if its route looks at that.
    pub operation: Option<Operation>,
    /// Whose resources it names, and by what it searches, if its route looks at that.
    pub words: Option<Arc<Words>>,
    /// W3C trace id, if a well-formed `traceparent` came along.
    pub trace_id: Option<String>,
    /// The answer's status, once there is one.
    pub status: Option<u16>,
}

/// Whose resources a request of FHIR or DICOMweb names, and by what it searches. No id, and no value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// Pseudonyms of the resources, or of the study; none without a key.
    pub subjects: Vec<String>,
    /// Names of search parameters, as far as they are the standard's.
    pub parameters: Vec<String>,
    /// How many other parameters there were.
    pub other_parameters: usize,
    /// FHIR: types of resources that it gets at beside its own, sorted; `*` where that may be any type.
    pub reaches: Vec<&'static str>,
}

/// What is known of an HL7 v2 message: its header, as the sender wrote it, and its acknowledgement. What is
/// somebody's text is bounded and escaped when it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hl7 {
    /// Counts messages on their connection and way from 1.
    pub number: u64,
    /// Who sent it.
    pub from: Hl7From,
    /// MSH-9 as `ADT^A01`; `other` for what is no code of the standard's form.
    pub kind: String,
    /// MSH-3.
    pub sending_application: String,
    /// MSH-4.
    pub sending_facility: String,
    /// MSH-5.
    pub receiving_application: String,
    /// MSH-6.
    pub receiving_facility: String,
    /// Pseudonym of MSH-10, for some senders put a patient's number into it; none without a key.
    pub control_id: Option<String>,
    /// MSH-11.
    pub processing_id: String,
    /// MSH-12.
    pub version: String,
    /// It is a file or a batch: of how many messages is not known.
    pub is_batch: bool,
    /// How many messages of a file or a batch it stands for, once that is known: those of one type and sender.
    pub messages: Option<u32>,
    /// MSA-1 of the acknowledgement: `AA`, `AE`, `AR`, `CA`, `CE`, `CR`. Of several, the worst.
    pub acknowledgement: Option<&'static str>,
    /// The accept acknowledgement that came before it, and after how long.
    pub accepted: Option<(&'static str, Duration)>,
    /// How many of each code, where the messages of a batch were answered one by one.
    pub acknowledgements: Vec<(&'static str, u32)>,
    /// Whether it is an access to PHI.
    pub phi: bool,
}

/// Which side of a connection an HL7 v2 message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hl7From {
    /// The peer, for whom the rules are.
    #[default]
    Peer,
    /// The workload by itself. The rules are not asked.
    Workload,
}

impl Hl7From {
    /// As records have it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Workload => "workload",
        }
    }
}

/// What is known of a DICOM association. Never an instance's UID, never who the user is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dicom {
    /// The calling AE title.
    pub calling_ae: String,
    /// The called AE title.
    pub called_ae: String,
    /// What was proposed, each with what became of it.
    pub contexts: Vec<DicomContext>,
    /// Implementation class UID and version name of who asked.
    pub implementation: Option<String>,
    /// How many P-DATA-TF went up and down.
    pub data_units: (u64, u64),
    /// How often each service was asked for, up and down; `None` while that is not known. Apart, for records are
    /// moved about a lot.
    pub commands: Option<Box<(Commands, Commands)>>,
    /// How it ended: `released`, `aborted`, `rejected`, …
    pub result: Option<&'static str>,
    /// Whether it is an access to PHI.
    pub phi: bool,
}

/// A presentation context on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DicomContext {
    /// UID of its abstract syntax.
    pub abstract_syntax: String,
    /// Whether the called side accepted it; `None` while that is not known.
    pub accepted: Option<bool>,
}

/// Which rule decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name: `listener`, or `listener/rule`.
    pub name: Arc<str>,
    /// Its line in the configuration file; 0 when there is none.
    pub line: u32,
    /// The policy's version: the configuration's digest.
    pub version: Fingerprint,
    /// For denials, and for what would be denied: how the rule that came nearest differs.
    pub nearest: Option<Nearest>,
}

/// How the rule that came nearest differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearest {
    /// In what.
    pub differs: Option<Differs>,
    /// In words.
    pub text: String,
    /// It was let through all the same, for policy is only observed; and this would have been the reason.
    pub would_deny: Option<DenyReason>,
}

/// How much moved, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// From downstream to upstream, plaintext bytes.
    pub sent_up: u64,
    /// From upstream to downstream, plaintext bytes.
    pub sent_down: u64,
    /// From accept to end, or from request to end of response.
    pub duration: Duration,
}

/// Denials that got no line of their own, because there were so many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flood {
    /// How many.
    pub count: u64,
    /// How many of each reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// When the first of them was.
    pub first: OffsetDateTime,
    /// When the last.
    pub last: OffsetDateTime,
}

impl Flood {
    /// `event.reason` of what a stranger's denials are told of with.
    pub const REASON: &str = "flood";
}

impl Record {
    /// A record of `action` about nothing yet.
    pub fn new(action: Action) -> Self {
        Self {
            action,
            reason: None,
            message: None,
            connection: None,
            request: None,
            hl7: None,
            dicom: None,
            rule: None,
            traffic: None,
            flood: None,
            about: None,
        }
    }

    /// Whether what was asked for is an access to PHI, where something was.
    pub(super) fn phi(&self) -> Option<bool> {
        let request = self.request.as_ref().map(|request| request.phi);
        let message = || self.hl7.as_ref().map(|hl7| hl7.phi);
        let association = || self.dicom.as_ref().map(|dicom| dicom.phi);
        request.or_else(message).or_else(association)
    }

    /// A refused handshake.
    pub fn refused(connection: Arc<Connection>, refusal: Refusal, message: String) -> Self {
        Self {
            reason: Some(refusal.label()),
            message: Some(message),
            connection: Some(connection),
            ..Self::new(Action::ConnectionRefused)
        }
    }

    /// A peer that was not let in.
    pub fn denied(connection: Arc<Connection>, reason: DenyReason, rule: Option<Rule>) -> Self {
        Self {
            reason: Some(reason.label()),
            connection: Some(connection),
            rule,
            ..Self::new(Action::ConnectionDenied)
        }
    }

    /// The end of a connection.
    pub fn closed(connection: Arc<Connection>, ending: Ending, traffic: Traffic) -> Self {
        Self {
            reason: Some(ending.label()),
            connection: Some(connection),
            traffic: Some(traffic),
            ..Self::new(Action::ConnectionClosed)
        }
    }
}
