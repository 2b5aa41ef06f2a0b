//! What a policy gives, and what it says when it gives nothing. Only this module makes permits.

use std::sync::Arc;

use http::StatusCode;
use time::OffsetDateTime;

use crate::config::SoapAction;
use crate::identity::{Fingerprint, PeerName};
use crate::outcome::{DenyReason, Differs};
use crate::protocol::Operation;

/// Whom a permit was given to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// An entry in `peers`, authenticated.
    Peer(PeerName),
    /// Somebody authenticated who would be denied, while policy is only observed.
    Observed,
    /// Somebody who came in plaintext, while that is taken, too.
    Plaintext,
}

/// Proof that a peer was authorized. Moving its bytes takes one, so it cannot be forgotten.
#[derive(Debug, Clone)]
pub struct Permit {
    pub(super) holder: Holder,
    /// The place of the peer among those whom the listener allows.
    pub(super) number: Option<u32>,
    pub(super) rule: Arc<str>,
    pub(super) line: u32,
    pub(super) version: Fingerprint,
    pub(super) until: Option<OffsetDateTime>,
    pub(super) would_deny: Option<Arc<Denied>>,
}

impl Permit {
    /// Whom it was given to.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The peer's name in `peers`; `None` for those who have none.
    pub fn peer(&self) -> Option<&PeerName> {
        match &self.holder {
            Holder::Peer(name) => Some(name),
            Holder::Observed | Holder::Plaintext => None,
        }
    }

    /// The peer's place among [`ListenerPolicy::peers`] of the policy that gave the permit.
    ///
    /// [`ListenerPolicy::peers`]: super::ListenerPolicy::peers
    pub fn number(&self) -> Option<u32> {
        self.number
    }

    /// The rule that let it in.
    pub fn rule(&self) -> &Arc<str> {
        &self.rule
    }

    /// The rule's line in the configuration file.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The version of the policy that the rule is of.
    pub fn version(&self) -> Fingerprint {
        self.version
    }

    /// When it ends by itself: the peer's entry expires, or what is only observed is enforced, or plaintext
    /// is not taken any more.
    pub fn until(&self) -> Option<OffsetDateTime> {
        self.until
    }

    /// Why it would not have been given, were policy enforced.
    pub fn would_deny(&self) -> Option<&Arc<Denied>> {
        self.would_deny.as_ref()
    }
}

/// Proof that a request, a message or an association was authorized.
#[derive(Debug, Clone)]
pub struct Grant {
    pub(super) rule: Arc<str>,
    pub(super) line: u32,
    pub(super) version: Fingerprint,
    /// The places of the rules that let it through among those of the listener.
    pub(super) rule_number: Option<u32>,
    pub(super) sender_number: Option<u32>,
    pub(super) template: Option<Arc<str>>,
    pub(super) phi: bool,
    pub(super) operation: Option<Operation>,
    pub(super) respond: Option<StatusCode>,
    pub(super) soap: Option<Arc<SoapAction>>,
    pub(super) until: Option<OffsetDateTime>,
    pub(super) form: Option<Form>,
    pub(super) context_binding: ContextBinding,
    pub(super) would_deny: Option<Arc<Denied>>,
}

/// A FHIR search whose parameters are in its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Its rule is for all types of resources.
    Free,
    /// They are still to be held against these types of resources.
    Held(Arc<[Arc<str>]>),
}

/// What becomes of DICOM commands that their presentation contexts are not for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContextBinding {
    /// They pass: the rule is for all SOP classes.
    #[default]
    Free,
    /// They pass and are told of, while policy is only observed.
    Observed,
    /// The association ends with them.
    Bound,
}

impl Grant {
    /// The rule that let it through: `listener/rule`, or the connection's rule without rules.
    pub fn rule(&self) -> &Arc<str> {
        &self.rule
    }

    /// The rule's line in the configuration file.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The version of the policy that the rule is of.
    pub fn version(&self) -> Fingerprint {
        self.version
    }

    /// The rule's place among [`ListenerPolicy::rules`]; `None` when it is the connection's rule, or while
    /// policy is only observed and no rule is for it.
    ///
    /// [`ListenerPolicy::rules`]: super::ListenerPolicy::rules
    pub fn rule_number(&self) -> Option<u32> {
        self.rule_number
    }

    /// MLLP: the place of the rule for the sender, where there are such rules.
    pub fn sender_number(&self) -> Option<u32> {
        self.sender_number
    }

    /// HTTP: the route's path template. `None` without routes.
    pub fn template(&self) -> Option<&Arc<str>> {
        self.template.as_ref()
    }

    /// Whether it is an access to PHI.
    pub fn phi(&self) -> bool {
        self.phi
    }

    /// HTTP: what the request is in the words of healthcare, where its route looks at that.
    pub fn operation(&self) -> Option<&Operation> {
        self.operation.as_ref()
    }

    /// HTTP: the sidecar answers by itself, with this status.
    pub fn respond(&self) -> Option<StatusCode> {
        self.respond
    }

    /// DICOM: what becomes of commands that their presentation contexts are not for.
    pub fn context_binding(&self) -> ContextBinding {
        self.context_binding
    }

    /// HTTP: the request claims this SOAP action, and its body is still to be held against it.
    pub fn soap(&self) -> Option<&Arc<SoapAction>> {
        self.soap.as_ref()
    }

    /// When it ends by itself: a rule that it is by expires, or what is only observed is enforced.
    pub fn until(&self) -> Option<OffsetDateTime> {
        self.until
    }

    /// HTTP: the request is a FHIR search whose parameters are in its body.
    pub fn form(&self) -> Option<&Form> {
        self.form.as_ref()
    }

    /// Why it would not have been given, were policy enforced.
    pub fn would_deny(&self) -> Option<&Arc<Denied>> {
        self.would_deny.as_ref()
    }

    /// Whether its record would say the same as that of `other`, and be as durable.
    pub fn is_recorded_as(&self, other: &Self) -> bool {
        let said = |grant: &Self| (grant.version, grant.line, grant.phi, grant.would_deny.clone());
        self.rule == other.rule && said(self) == said(other)
    }
}

impl Grant {
    /// The denial of what was granted by its head, and has something else in its body.
    pub(super) fn unfit(&self, reason: DenyReason, differs: Differs, nearest: String) -> Denied {
        Denied {
            reason,
            rule: Arc::clone(&self.rule),
            line: self.line,
            version: self.version,
            peer: None,
            template: self.template.clone(),
            differs: Some(differs),
            nearest,
        }
    }
}

/// Why a peer, or what it asked for, was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not authorized ({}): {nearest}", reason.label())]
pub struct Denied {
    /// The reason.
    pub reason: DenyReason,
    /// The rule that decided, or came nearest.
    pub rule: Arc<str>,
    /// That rule's line in the configuration file.
    pub line: u32,
    /// The version of the policy that the rule is of.
    pub version: Fingerprint,
    /// The entry of `peers` that whoever connects was recognized as, where it is not let in all the same.
    pub peer: Option<PeerName>,
    /// The route's template, when a route matched.
    pub template: Option<Arc<str>>,
    /// What differed from the rule that came nearest.
    pub differs: Option<Differs>,
    /// The same in words for the operator.
    pub nearest: String,
}
