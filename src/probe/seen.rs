//! What a probe has seen, in the form in which programs read it.

use std::net::SocketAddr;

use rustls::AlertDescription;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;

use super::plain::Spoken;
use crate::clock::rfc3339;
use crate::config::Endpoint;
use crate::outcome::Refusal;

/// Everything that one probe has seen.
#[derive(Debug, Clone, Serialize)]
pub struct Seen {
    /// Where the server was to be, `HOST:PORT`.
    pub target: String,
    /// The host alone.
    #[serde(skip)]
    pub host: String,
    /// The port alone.
    #[serde(skip)]
    pub port: u16,
    /// When the probe began, by this machine's clock.
    #[serde(serialize_with = "moment")]
    pub at: OffsetDateTime,
    /// What the name stands for.
    pub resolved: Resolved,
    /// The addresses that were tried, in this order.
    pub attempts: Vec<Attempt>,
    /// The handshake; `None`: no address could be reached.
    pub handshake: Option<Shaken>,
    /// The server's certificate; `None`: it showed none.
    pub server: Option<Judged>,
    /// Our own certificate as the server sees it; `None`: it was not asked for.
    pub ours: Option<Ours>,
    /// Why this machine's clock may be wrong.
    pub clock: Option<String>,
}

impl Seen {
    pub(super) fn of(to: &Endpoint, at: OffsetDateTime) -> Self {
        let host = to.host.to_string();
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        Self {
            target: format!("{bracketed}:{}", to.port),
            host,
            port: to.port,
            at,
            resolved: Resolved::default(),
            attempts: Vec::new(),
            handshake: None,
            server: None,
            ours: None,
            clock: None,
        }
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Resolved {
    /// Every address, in the resolver's order; at most 16.
    pub addresses: Vec<SocketAddr>,
    /// Why there is none.
    pub error: Option<String>,
}

/// An attempt to connect to one address.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    /// The address.
    pub address: SocketAddr,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
    /// Why it came to nothing; `None`: it was connected to.
    pub failed: Option<Unreached>,
    /// What the system said.
    pub error: Option<String>,
}

/// Why an address could not be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreached {
    /// Nobody listens there, or a firewall says so.
    Refused,
    /// No answer came.
    TimedOut,
    /// There is no way there.
    NoRoute,
    /// The connection was broken off while it was made.
    Reset,
    /// This machine does not let us.
    Forbidden,
    /// Anything else.
    Other,
}

/// A handshake, as far as it came.
#[derive(Debug, Clone, Serialize)]
pub struct Shaken {
    /// How it ended.
    pub outcome: Outcome,
    /// What was agreed on; each part as far as it came.
    pub negotiated: Negotiated,
    /// The server asks for a client's certificate; `None`: it does not, or did not come to it.
    pub asked: Option<CertificateRequest>,
    /// What the server did after the handshake; `None`: it did not come to that.
    pub answer: Option<Answer>,
    /// How long the handshake took, in milliseconds.
    pub milliseconds: u64,
}

/// What both sides agreed on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Negotiated {
    /// `1.3` or `1.2`.
    pub version: Option<&'static str>,
    /// By its IANA name.
    pub cipher: Option<String>,
    /// The group of the key exchange.
    pub group: Option<String>,
    /// The application protocol.
    pub alpn: Option<String>,
}

/// How far a handshake had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// We said hello, and no answer in TLS had come.
    Hello,
    /// The server had answered, and not shown its certificate.
    Negotiation,
    /// The server had shown its certificate and got ours.
    Certificates,
}

/// How a handshake ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// It succeeded, as far as we can tell before the server's answer.
    Established,
    /// We refused the server's certificate.
    ServerRefused,
    /// The server sent an alert.
    Alert {
        /// Which.
        #[serde(serialize_with = "alert_name")]
        alert: AlertDescription,
        /// When.
        stage: Stage,
    },
    /// The server chose a version that our profile does not have.
    Version,
    /// The server chose what our profile does not have, or lacks what it needs.
    Suite {
        /// What, in the words of the TLS library.
        message: String,
    },
    /// The server has no extended master secret (RFC 7627).
    NoExtendedMasterSecret,
    /// The server spoke something else.
    NotTls {
        /// What it is.
        spoken: Spoken,
        /// How its words began, with everything but printable ASCII escaped.
        words: String,
    },
    /// The server ended the connection.
    Closed {
        /// When.
        stage: Stage,
    },
    /// The server, or something between, broke the connection off.
    Reset {
        /// When.
        stage: Stage,
    },
    /// Nothing more came in time.
    Silent {
        /// When.
        stage: Stage,
    },
    /// The server broke the rules of TLS.
    Protocol {
        /// How, in the words of the TLS library.
        message: String,
    },
}

/// What the server asks of a client's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateRequest {
    /// The authorities that it names; empty: it names none. At most 50.
    pub authorities: Vec<String>,
    /// How many it names in all.
    pub count: usize,
    /// Whether it can verify a signature by our key.
    pub verifies_our_key: bool,
}

/// What the server did in the second after the handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub enum Answer {
    /// Nothing: it waits for us to speak.
    Waits,
    /// It speaks first, encrypted.
    Speaks {
        /// How many bytes came. What they say is not looked at: it may be PHI.
        bytes: usize,
    },
    /// It refused us.
    Alert {
        /// Which alert.
        #[serde(serialize_with = "alert_name")]
        alert: AlertDescription,
    },
    /// It ended the connection.
    Closed,
    /// It broke the connection off.
    Reset,
}

/// A certificate, as far as people ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// Its subject.
    pub subject: String,
    /// Every alternative name, `URI:`, `DNS:` … before each; at most 100.
    pub names: Vec<String>,
    /// Its issuer.
    pub issuer: String,
    /// Its serial number, upper-case hexadecimal.
    pub serial: String,
    /// Valid from.
    #[serde(serialize_with = "moment")]
    pub not_before: OffsetDateTime,
    /// Valid until.
    #[serde(serialize_with = "moment")]
    pub not_after: OffsetDateTime,
    /// Its version, 1 to 3.
    pub version: u32,
    /// The kind of its key, and the size.
    pub key: String,
    /// What it is signed with.
    pub signature: String,
    /// SHA-256 of its DER form, lower-case hexadecimal.
    pub sha256: String,
    /// Whether it bears its own signature's name: issuer and subject are the same.
    pub self_issued: bool,
}

/// The server's certificate, and what there is to say about it.
#[derive(Debug, Clone, Serialize)]
pub struct Judged {
    /// What the server presented, leaf first. What cannot be read is left out.
    pub chain: Vec<Certificate>,
    /// How many certificates it presented.
    pub presented: usize,
    /// Each check.
    pub checks: Vec<Check>,
    /// What is wrong, in the order in which it should be mended.
    #[serde(skip)]
    pub faults: Vec<super::diagnose::Fault>,
    /// Why an outbound listener would refuse it; `None`: it would not.
    #[serde(serialize_with = "label")]
    pub refusal: Option<Refusal>,
    /// Who it is to us.
    pub recognized: Recognition,
}

/// Who the server is to us.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Recognition {
    /// The name by which records would know it; `None`: it is not proven.
    pub identity: Option<String>,
    /// The entries of `peers` that recognize it.
    pub peers: Vec<String>,
    /// Whom it must prove to be. Empty: nobody in particular.
    pub expected: Vec<String>,
}

/// One check of the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// What was found.
    pub text: String,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Good.
    Passed,
    /// An outbound listener refuses the server for it.
    Failed,
    /// There was nothing to look at, or another fault is in the way.
    Skipped,
    /// For information: nobody is refused for it.
    Noted,
}

/// Our own certificate as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ours {
    /// What we presented; `None`: we have none.
    pub certificate: Option<Certificate>,
    /// Whether the authorities that the server named include ours.
    pub named: Named,
    /// Whether it names clients among its purposes (extended key usage), or no purpose at all.
    pub for_clients: bool,
    /// Whether our key makes a signature that the server verifies.
    pub verifiable: bool,
    /// Whether the server has got it. We show it to nobody whom we refuse.
    pub shown: bool,
}

/// Whether the authorities that a server names include ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Named {
    /// The server names none.
    NoneNamed,
    /// This one is among them.
    Ours {
        /// Its name.
        authority: String,
    },
    /// None of them signed our certificate or one of its chain.
    Others,
}

fn moment<S: Serializer>(at: &OffsetDateTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*at))
}

fn alert_name<S: Serializer>(alert: &AlertDescription, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&super::diagnose::alert_name(*alert))
}

#[expect(clippy::ref_option, reason = "serde calls it with a reference")]
fn label<S: Serializer>(refusal: &Option<Refusal>, to: S) -> Result<S::Ok, S::Error> {
    refusal.map(Refusal::label).serialize(to)
}
