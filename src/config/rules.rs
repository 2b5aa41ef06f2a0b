//! The rules of listeners: what a peer that may connect may do there. The first that matches decides; when
//! there are rules and none matches, nothing passes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use time::OffsetDateTime;

use super::{Inbound, PathTemplate};
use crate::identity::PeerName;
use crate::protocol::soap::Element;
use crate::protocol::{dicomweb, fhir};

/// What every rule has, whatever it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Unique in its listener. Rules in short form are named after what they say.
    pub name: Arc<str>,
    /// Its line in the configuration file.
    pub line: u32,
    /// Who may, groups replaced by their members; where the rule does not say, all who may connect. Empty:
    /// nobody.
    pub allow: Vec<PeerName>,
    /// After this moment the rule still decides, and lets nobody in.
    pub expires: Option<OffsetDateTime>,
    /// What each peer may have under this rule.
    pub limits: Option<Quota>,
}

/// What one peer may have of a listener, or of one of its rules: of HTTP requests, HL7 messages, DICOM
/// associations or, where bytes are carried as they are, of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many a second on average; `None`: any number.
    pub rate: Option<Rate>,
    /// How many at once; `None`: any number.
    pub concurrency: Option<u32>,
}

/// How many may begin in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Between two, on average.
    pub interval: Duration,
    /// How many may come at once after a rest. At least 1.
    pub burst: u32,
}

impl Inbound {
    /// All its rules, in their order within a kind.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        let routes = self.routes.iter().flatten().map(|route| &route.rule);
        let messages = self.mllp.messages.iter().flatten().map(|message| &message.rule);
        let senders = self.mllp.senders.iter().flatten().map(|sender| &sender.rule);
        let associations = self.associations.iter().flatten().map(|one| &one.rule);
        routes.chain(messages).chain(senders).chain(associations)
    }
}

/// A rule for HTTP requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What it has in common with other rules.
    pub rule: Rule,
    /// For which hosts, in lower case and without a port. Empty: all.
    pub hosts: Vec<Arc<str>>,
    /// Which methods it is for. Empty: all.
    pub methods: Vec<Method>,
    /// Which paths it is for. With `fhir` or `dicomweb` in `kind`: all below that base.
    pub path: PathTemplate,
    /// What else requests must be.
    pub kind: RouteKind,
    /// Whether its requests are accesses to PHI. The listener's `phi` if the route does not say.
    pub phi: bool,
    /// Answered by the sidecar itself, with this status and no body: the workload is not asked.
    pub respond: Option<StatusCode>,
}

/// What a request must be, beside its host, method and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteKind {
    /// Anything.
    Plain,
    /// A SOAP request with one of these actions, and a body that begins with what belongs to it.
    Soap(Vec<SoapAction>),
    /// FHIR interactions below the route's path.
    Fhir {
        /// Which. Empty: all that are known.
        interactions: Vec<fhir::Interaction>,
        /// With which types of resources. Empty: all.
        resources: Vec<Arc<str>>,
    },
    /// DICOMweb transactions below the route's path. Empty: all that are known.
    DicomWeb(Vec<dicomweb::Transaction>),
}

/// A SOAP action that a rule takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoapAction {
    /// The action's URI.
    pub uri: Arc<str>,
    /// What the body may begin with: services dispatch on that, whatever the action says.
    pub bodies: Vec<Element>,
    /// The IHE transaction that it is, like `ITI-47`.
    pub ihe: Option<&'static str>,
}

/// A rule for HL7 v2 messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRule {
    /// What it has in common with other rules.
    pub rule: Rule,
    /// MSH-9 as `ADT^A01` or `ADT^*`. Empty: all.
    pub types: Vec<MessageType>,
}

/// A type of HL7 v2 messages. Shown as it is written: `ADT^A01`, `ADT^*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageType {
    /// MSH-9.1; `None` for `*`.
    pub code: Option<Arc<str>>,
    /// MSH-9.2; `None` for `*`.
    pub trigger: Option<Arc<str>>,
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.code, &self.trigger) {
            (None, None) => f.write_str("*"),
            (code, trigger) => {
                let shown = |part: &Option<Arc<str>>| part.clone().unwrap_or_else(|| "*".into());
                write!(f, "{}^{}", shown(code), shown(trigger))
            }
        }
    }
}

/// A sender that messages may name, bound to those who may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderRule {
    /// What it has in common with other rules.
    pub rule: Rule,
    /// MSH-3.1; `None`: any.
    pub application: Option<Arc<str>>,
    /// MSH-4.1; `None`: any.
    pub facility: Option<Arc<str>>,
}

/// What becomes of a message that is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDenied {
    /// The connection closes without an acknowledgement: the sender keeps its message.
    #[default]
    Close,
    /// It is answered with `AR`, after which many senders drop it and go on.
    Nack,
}

/// What an MLLP listener has, and a listener of no other protocol.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mllp {
    /// `None`: messages of every type.
    pub messages: Option<Vec<MessageRule>>,
    /// `None`: whatever sender a message names.
    pub senders: Option<Vec<SenderRule>>,
    /// What becomes of a message that is not let through.
    pub on_denied: OnDenied,
}

/// A rule for DICOM associations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssociationRule {
    /// What it has in common with other rules.
    pub rule: Rule,
    /// The calling AE title; `None`: any.
    pub calling_ae: Option<Arc<str>>,
    /// The called AE title; `None`: any.
    pub called_ae: Option<Arc<str>>,
    /// UIDs of SOP classes that it may propose. Empty: all. One that is not among them denies it all.
    pub sop_classes: Vec<Arc<str>>,
}
