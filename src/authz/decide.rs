//! What those who are connected may do: the first rule that matches decides, and without one nothing passes.

use std::sync::Arc;

use time::OffsetDateTime;

use super::clause::{Clause, Standing, Verdict};
use super::denial::{Denying, Rules};
use super::differences::Asked;
use super::permit::{ContextBinding, Denied, Grant, Holder, Permit};
use super::policy::{ListenerPolicy, Requested};
use super::routes::Found;
use crate::outcome::{DenyReason, Differs};
use crate::protocol::{dicom, mllp};

/// Who asks, and when.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    pub(super) permit: &'a Permit,
    pub(super) standing: Standing,
    pub(super) now: OffsetDateTime,
    /// Why the peer would not be let in at all, were policy enforced.
    would_deny: Option<Arc<Denied>>,
}

impl ListenerPolicy {
    /// Whether the holder of `permit` may make this request.
    ///
    /// # Errors
    ///
    /// Says why not, and which route came nearest.
    pub fn authorize_request(
        &self,
        permit: &Permit,
        asked: &Requested<'_>,
        now: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        let asking = self.asking(permit, now)?;
        let grant = self.granted(&asking);
        let Some(routes) = &self.routes else { return Ok(grant) };
        let (rules, question) = (Rules::Routes(routes), Asked::Request(asked));
        let denying = || Denying { policy: self, asking: &asking, rules, asked: question };
        match routes.find(asked) {
            Some(found) => self.by_rule(&found.compiled.clause, found.grant(grant), denying),
            None => denying().without_rule(grant),
        }
    }

    /// Whether the holder of `permit` may send this message: as its type has it, and as the sender whom it
    /// names.
    ///
    /// # Errors
    ///
    /// Says why not, and which rule came nearest.
    pub fn authorize_message(
        &self,
        permit: &Permit,
        message: &mllp::Header<'_>,
        now: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        let asking = self.asking(permit, now)?;
        let asked = Asked::Message(message);
        let mut grant = self.granted(&asking);
        if let Some(messages) = &self.messages {
            let rules = Rules::Messages(messages);
            let denying = || Denying { policy: self, asking: &asking, rules, asked };
            grant = match messages.find(message) {
                Some(clause) => self.by_rule(clause, grant.under(clause), denying)?,
                None => denying().without_rule(grant)?,
            };
        }
        self.sent_by(&asking, message, grant)
    }

    /// Whether the holder of `permit` may send a file or a batch with this header: as the sender whom it names.
    /// Its messages are asked for one by one.
    ///
    /// # Errors
    ///
    /// Says why not, and which rule came nearest.
    pub fn authorize_envelope(
        &self,
        permit: &Permit,
        header: &mllp::Header<'_>,
        now: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        let asking = self.asking(permit, now)?;
        self.sent_by(&asking, header, self.granted(&asking))
    }

    /// `grant`, if who asks may send as the sender that a header names.
    fn sent_by(
        &self,
        asking: &Asking<'_>,
        header: &mllp::Header<'_>,
        grant: Grant,
    ) -> Result<Grant, Denied> {
        let Some(senders) = &self.senders else { return Ok(grant) };
        let (rules, asked) = (Rules::Senders(senders), Asked::Message(header));
        let denying = || Denying { policy: self, asking, rules, asked };
        match senders.find(header) {
            Some(clause) => self.by_rule(clause, grant.sent_under(clause), denying),
            None => denying().without_rule(grant),
        }
    }

    /// Whether the holder of `permit` may have this association.
    ///
    /// # Errors
    ///
    /// Says why not, and which rule came nearest.
    pub fn authorize_association(
        &self,
        permit: &Permit,
        association: &dicom::Request,
        now: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        let asking = self.asking(permit, now)?;
        let grant = self.granted(&asking);
        let Some(associations) = &self.associations else { return Ok(grant) };
        let (rules, asked) = (Rules::Associations(associations), Asked::Association(association));
        let denying = || Denying { policy: self, asking: &asking, rules, asked };
        let Some(compiled) = associations.find(association) else {
            return denying().without_rule(grant);
        };
        let clause = &compiled.clause;
        let context_binding = match self.observed_until(now) {
            _ if !compiled.names_sop_classes() => ContextBinding::Free,
            Some(_) => ContextBinding::Observed,
            None => ContextBinding::Bound,
        };
        let grant = Grant { context_binding, ..grant.under(clause) };
        let grant = self.by_rule(clause, grant, denying)?;
        match compiled.foreign(association) {
            Some(_) => denying().by_sop_class(compiled, grant),
            None => Ok(grant),
        }
    }

    /// Denies what had been granted or, while policy is only observed, grants it all the same and says what
    /// would be denied.
    ///
    /// # Errors
    ///
    /// `denied`, while policy is enforced.
    pub(super) fn enforce(
        &self,
        grant: Grant,
        denied: Denied,
        now: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        match self.observed_until(now) {
            Some(until) => Ok(grant.although(until, || denied)),
            None => Err(denied),
        }
    }

    /// As a rule says that matches.
    fn by_rule<'a>(
        &self,
        clause: &Clause,
        grant: Grant,
        denying: impl Fn() -> Denying<'a>,
    ) -> Result<Grant, Denied> {
        let denying = denying();
        match clause.verdict(denying.asking.standing, denying.asking.now) {
            Verdict::Lets => Ok(grant.ending(clause.rule.expires)),
            verdict => denying.by_rule(clause, verdict, grant),
        }
    }

    /// As whom the holder of `permit` asks now. Its permit may be older than this policy.
    pub(super) fn asking<'a>(
        &self,
        permit: &'a Permit,
        now: OffsetDateTime,
    ) -> Result<Asking<'a>, Denied> {
        let would_deny = permit.would_deny.clone();
        let asking = |standing, would_deny| Asking { permit, standing, now, would_deny };
        let is_observed = self.observed_until(now).is_some();
        match &permit.holder {
            Holder::Plaintext if self.permissive_until(now).is_none() => {
                let nearest = "plaintext is not taken any more".to_owned();
                Err(self.denied(DenyReason::PermitWithdrawn, Differs::Expires, nearest))
            }
            Holder::Plaintext => Ok(asking(Standing::Plaintext, None)),
            Holder::Observed if is_observed => Ok(asking(Standing::Unlisted, would_deny)),
            Holder::Observed => Err(self.not_observed(would_deny.as_deref())),
            Holder::Peer(_) => match self.listed(permit, now) {
                Ok(number) => Ok(asking(Standing::Peer(number), None)),
                Err(denied) if is_observed => {
                    Ok(asking(Standing::Unlisted, Some(Arc::new(denied))))
                }
                Err(denied) => Err(denied),
            },
        }
    }

    /// The number of the peer, if it may connect now.
    fn listed(&self, permit: &Permit, now: OffsetDateTime) -> Result<u32, Denied> {
        let Holder::Peer(name) = &permit.holder else { return Err(self.not_observed(None)) };
        let is_ours = Arc::ptr_eq(&permit.rule, &self.rule);
        let number = if is_ours { permit.number } else { self.allowed.number(name) };
        let peer = number.and_then(|number| self.allowed.get(number).zip(Some(number)));
        let (peer, number) = peer.ok_or_else(|| self.not_listed(name))?;
        match peer.expires {
            Some(end) if end <= now => Err(self.listing_expired(name)),
            Some(_) | None => Ok(number),
        }
    }

    /// The denial of somebody who was let in only because policy was observed.
    fn not_observed(&self, would_deny: Option<&Denied>) -> Denied {
        would_deny.cloned().unwrap_or_else(|| {
            let nearest = "policy is enforced again".to_owned();
            self.denied(DenyReason::PermitWithdrawn, Differs::Expires, nearest)
        })
    }

    /// What goes through under the connection's own rule.
    fn granted(&self, asking: &Asking<'_>) -> Grant {
        Grant {
            rule: Arc::clone(&asking.permit.rule),
            line: asking.permit.line,
            version: self.version(),
            rule_number: None,
            sender_number: None,
            template: None,
            phi: self.phi,
            operation: None,
            respond: None,
            soap: None,
            until: asking.would_deny.as_ref().and_then(|_| self.observed_until(asking.now)),
            form: None,
            context_binding: ContextBinding::Free,
            would_deny: asking.would_deny.clone(),
        }
    }
}

impl Grant {
    /// The same, by this rule.
    fn under(self, clause: &Clause) -> Self {
        let (rule, line) = (Arc::clone(&clause.name), clause.rule.line);
        Self { rule, line, rule_number: Some(clause.number), ..self }
    }

    /// The same, with a sender by this rule. Where there is a rule for the type, that one is named.
    fn sent_under(self, clause: &Clause) -> Self {
        let grant = if self.rule_number.is_some() { self } else { self.under(clause) };
        Self { sender_number: Some(clause.number), ..grant }
    }

    /// The same, which ends then at the latest.
    fn ending(self, end: Option<OffsetDateTime>) -> Self {
        Self { until: self.until.into_iter().chain(end).min(), ..self }
    }

    /// The same, although it would be denied, were policy enforced, as it is from `until` on. What comes first
    /// counts.
    pub(super) fn although(self, until: OffsetDateTime, denied: impl FnOnce() -> Denied) -> Self {
        let grant = self.ending(Some(until));
        let would_deny = grant.would_deny.unwrap_or_else(|| Arc::new(denied()));
        Self { would_deny: Some(would_deny), ..grant }
    }
}

impl Found<'_> {
    /// `grant`, by this route.
    fn grant(self, grant: Grant) -> Grant {
        let route = &self.compiled.route;
        Grant {
            template: Some(Arc::clone(&route.path.text)),
            phi: route.phi,
            operation: self.operation,
            respond: route.respond,
            soap: self.soap.cloned(),
            form: self.form,
            ..grant.under(&self.compiled.clause)
        }
    }
}
