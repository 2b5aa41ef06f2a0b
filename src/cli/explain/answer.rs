//! An answer: the decision, the rule that made it, and why each other rule did not.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::who::Seen;
use crate::authz::{Denied, Difference, Grant, ListenerPolicy, Permit, RegoPolicy, Weighed};
use crate::config::{Config, Listener, Question, TLS_HANDSHAKE};
use crate::outcome::{DenyReason, Differs};
use crate::protocol::Operation;
use crate::review::{NotAsked, Scene};

/// The answer of one listener.
pub(super) struct Answer {
    listener: String,
    file: String,
    pub(super) allowed: bool,
    rule: String,
    line: u32,
    reason: Option<DenyReason>,
    differs: Option<Differs>,
    why: String,
    /// Why not, were policy enforced.
    would_deny: Option<(DenyReason, String)>,
    /// What Rego says to it, if it was asked.
    rego: Option<String>,
    rules: Vec<Weighed>,
}

/// One listener that is asked.
pub(super) struct Asking<'a> {
    pub(super) config: &'a Config,
    pub(super) rego: Option<&'a Arc<RegoPolicy>>,
    pub(super) listener: Listener<'a>,
    pub(super) question: &'a Question,
    pub(super) now: OffsetDateTime,
}

impl Asking<'_> {
    /// The answer for somebody whom the listener takes for `seen`.
    pub(super) fn answer(&self, seen: &Seen) -> Answer {
        let policy = ListenerPolicy::of(self.config, self.listener).narrowed_by(self.rego.cloned());
        let permit = match seen {
            Seen::Refused(why) => return self.refused(why.clone()),
            Seen::Peer(who) => policy.authorize(who, self.now),
            Seen::Plaintext => match policy.plaintext(self.now) {
                Some(permit) => Ok(permit),
                None => {
                    let name = self.listener.name();
                    let why = format!("`{name}` takes TLS only: it is not, or no more, permissive");
                    return self.refused(why);
                }
            },
        };
        let who = match seen {
            Seen::Peer(who) => Some(who),
            Seen::Plaintext | Seen::Refused(_) => None,
        };
        let Self { config, listener, now: at, .. } = *self;
        let scene = Scene { config, policy: &policy, listener, who, at, is_precise: true };
        match permit {
            Ok(permit) => self.of_permit(&scene, &permit),
            Err(denied) => self.of_denied(&denied, Vec::new()),
        }
    }

    /// The connection comes first, then what is asked for on it.
    fn of_permit(&self, scene: &Scene<'_>, permit: &Permit) -> Answer {
        match scene.narrow_permit(permit.clone()) {
            Ok(Ok(permit)) => self.of_connected(scene, &permit),
            Ok(Err(denied)) => self.of_denied(&denied, Vec::new()).told(self.says("no", scene)),
            Err(why) => self.of_connected(scene, permit).told(self.says(&not_asked(&why), scene)),
        }
    }

    fn of_connected(&self, scene: &Scene<'_>, permit: &Permit) -> Answer {
        self.question.put(|asked| {
            let Some(asked) = asked else {
                return self.may_connect(permit).told(self.says("yes", scene));
            };
            let rules = scene.policy.explain(permit, asked, self.now).rules;
            let grant = match scene.policy.decide(permit, asked, self.now) {
                Ok(grant) => grant,
                Err(denied) => return self.of_denied(&denied, rules),
            };
            match scene.narrow(permit, grant.clone(), asked) {
                Ok(Ok(grant)) => self.of_grant(permit, &grant, rules).told(self.says("yes", scene)),
                Ok(Err(denied)) => self.of_denied(&denied, rules).told(self.says("no", scene)),
                Err(why) => {
                    let said = self.says(&not_asked(&why), scene);
                    self.of_grant(permit, &grant, rules).told(said)
                }
            }
        })
    }

    /// What there is to tell of Rego, with its query and files.
    fn says(&self, what: &str, scene: &Scene<'_>) -> Option<String> {
        let rego = scene.policy.rego()?;
        Some(format!("{what}, by {} in {}", rego.query(), rego.files()))
    }

    fn may_connect(&self, permit: &Permit) -> Answer {
        let would_deny = permit.would_deny();
        Answer {
            allowed: true,
            line: permit.line(),
            would_deny: would_deny.map(|denied| (denied.reason, denied.nearest.clone())),
            ..self.blank(permit.rule(), format!("{} may connect", who(permit)))
        }
    }

    fn of_grant(&self, permit: &Permit, grant: &Grant, rules: Vec<Weighed>) -> Answer {
        let mut why = format!("{} may {}", who(permit), self.question);
        if grant.rule_number().is_none() && rules.is_empty() {
            why.push_str(", and anything else: the listener has no rules for that");
        }
        if let Some(operation) = grant.operation() {
            why.push_str(&format!("; it is {}", told(operation)));
        }
        if let Some(status) = grant.respond() {
            why.push_str(&format!("; the sidecar answers {} by itself", status.as_u16()));
        }
        if let Some(soap) = grant.soap() {
            let bodies: Vec<_> = soap.bodies.iter().map(ToString::to_string).collect();
            why.push_str(&format!("; the body has to begin with {}", bodies.join(" or ")));
        }
        let would_deny = grant.would_deny();
        Answer {
            allowed: true,
            line: grant.line(),
            would_deny: would_deny.map(|denied| (denied.reason, denied.nearest.clone())),
            rules,
            ..self.blank(grant.rule(), why)
        }
    }

    fn of_denied(&self, denied: &Denied, rules: Vec<Weighed>) -> Answer {
        Answer {
            line: denied.line,
            reason: Some(denied.reason),
            differs: denied.differs,
            rules,
            ..self.blank(&denied.rule, denied.nearest.clone())
        }
    }

    fn refused(&self, why: String) -> Answer {
        self.blank(TLS_HANDSHAKE, why)
    }

    fn blank(&self, rule: &str, why: String) -> Answer {
        let path = &self.config.path;
        let name = path.file_name().map(Path::new).unwrap_or(path);
        Answer {
            listener: self.listener.name().to_string(),
            file: name.display().to_string(),
            allowed: false,
            rule: rule.to_owned(),
            line: 0,
            reason: None,
            differs: None,
            why,
            would_deny: None,
            rego: None,
            rules: Vec::new(),
        }
    }
}

fn not_asked(why: &NotAsked) -> String {
    format!("not asked, for {why}; the sidecar asks")
}

fn who(permit: &Permit) -> String {
    match permit.peer() {
        Some(name) => format!("peer `{name}`"),
        None if permit.would_deny().is_some() => "a peer that is not listed".to_owned(),
        None => "anybody in plaintext".to_owned(),
    }
}

fn told(operation: &Operation) -> String {
    match operation {
        Operation::Fhir(interaction, Some(resource)) => {
            format!("the FHIR interaction {} of {resource}", interaction.code())
        }
        Operation::Fhir(interaction, None) => {
            format!("the FHIR interaction {}", interaction.code())
        }
        Operation::DicomWeb(transaction) => {
            format!("the DICOMweb transaction {}", transaction.name())
        }
        Operation::Soap(_, Some(ihe)) => (*ihe).to_owned(),
        Operation::Soap(action, None) => format!("the SOAP action {action}"),
    }
}

impl Answer {
    /// The same, with what Rego says. Where it was not asked of the connection, that stands.
    fn told(self, rego: Option<String>) -> Self {
        Self { rego, ..self }
    }

    pub(super) fn json(&self) -> Value {
        let rules: Vec<_> = self.rules.iter().map(|rule| self.rule_json(rule)).collect();
        json!({
            "listener": self.listener,
            "allowed": self.allowed,
            "rule": self.rule,
            "file": self.file,
            "line": self.line,
            "reason": self.reason.map(DenyReason::label),
            "differs": self.differs.map(Differs::label),
            "why": self.why,
            "would_deny": self.would_deny.as_ref().map(|(reason, why)| {
                json!({ "reason": reason.label(), "why": why })
            }),
            "rego": self.rego,
            "rules": rules,
        })
    }

    fn rule_json(&self, rule: &Weighed) -> Value {
        let differences: Vec<_> = rule
            .differences
            .iter()
            .map(|Difference { field, wanted, found }| {
                json!({ "field": field.label(), "wanted": wanted, "found": found })
            })
            .collect();
        json!({
            "name": &*rule.name,
            "kind": rule.kind,
            "line": rule.line,
            "matches": rule.matches,
            "decides": rule.decides,
            "differences": differences,
        })
    }

    fn place(&self, line: u32) -> String {
        format!("{}:{line}", self.file)
    }
}

impl fmt::Display for Answer {
    /// The decision on a line of its own, then a line for each rule that did not make it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.allowed { "allowed" } else { "denied" };
        write!(f, "{}: {verdict} by {}", self.listener, self.rule)?;
        if self.line > 0 {
            write!(f, " ({})", self.place(self.line))?;
        }
        match self.reason {
            Some(reason) => write!(f, ": {}: {}", reason.label(), self.why)?,
            None => write!(f, ": {}", self.why)?,
        }
        if let Some((reason, why)) = &self.would_deny {
            let reason = reason.label();
            write!(f, "\n  only while policy is observed; it would be denied: {reason}: {why}")?;
        }
        if let Some(rego) = &self.rego {
            write!(f, "\n  Rego: {rego}")?;
        }
        let others = || self.rules.iter().filter(|rule| !rule.decides);
        let name = others().map(|rule| rule.name.chars().count()).max().unwrap_or(0);
        let place = others().map(|rule| self.place(rule.line).len()).max().unwrap_or(0);
        others().try_for_each(|rule| {
            let at = self.place(rule.line);
            write!(f, "\n  {:name$}  {at:place$}  {}", rule.name, why_not(rule))
        })
    }
}

/// Why a rule did not decide.
fn why_not(rule: &Weighed) -> String {
    if rule.matches {
        return "matches, and an earlier rule decides".to_owned();
    }
    rule.differences.iter().map(Difference::to_string).collect::<Vec<_>>().join("; ")
}
