//! How Rego narrows what the allowlist gives.

use std::sync::Arc;

use time::OffsetDateTime;

use super::super::permit::{Denied, Grant, Permit};
use super::super::policy::ListenerPolicy;
use super::Objection;
use crate::outcome::DenyReason;

/// A connection that stays open is another question as time goes by: so often it is asked again.
const AGAIN: time::Duration = time::Duration::MINUTE;

impl ListenerPolicy {
    /// When Rego is asked again of connections that it was asked of at `now`: what it says may rest on the
    /// time. Also when what is only observed is enforced.
    pub fn asks_again(&self, now: OffsetDateTime) -> OffsetDateTime {
        match &self.rego {
            None => time::PrimitiveDateTime::MAX.assume_utc(),
            Some(_) => (now + AGAIN).min(self.observed_until(now).unwrap_or(now + AGAIN)),
        }
    }

    /// `permit`, unless Rego objects. Without Rego there is no question; nor where the allowlist would deny
    /// already, and is only observed.
    ///
    /// # Errors
    ///
    /// Rego does not say yes.
    pub fn narrow_permit(
        &self,
        permit: Permit,
        question: impl FnOnce(&Permit) -> String,
        now: OffsetDateTime,
    ) -> Result<Permit, Denied> {
        let Some(rego) = self.rego.as_deref().filter(|_| permit.would_deny.is_none()) else {
            return Ok(permit);
        };
        let Err(objection) = rego.ask(&question(&permit)) else { return Ok(permit) };
        let denied = objected(&permit.rule, permit.line, objection, self);
        match self.observed_until(now) {
            None => Err(denied),
            Some(until) => {
                let until = permit.until.map_or(until, |end| end.min(until));
                Ok(Permit { until: Some(until), would_deny: Some(Arc::new(denied)), ..permit })
            }
        }
    }

    /// `grant`, unless Rego objects; otherwise like [`Self::narrow_permit`].
    ///
    /// # Errors
    ///
    /// Rego does not say yes.
    pub fn narrow(
        &self,
        grant: Grant,
        question: impl FnOnce(&Grant) -> String,
        now: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        let Some(rego) = self.rego.as_deref().filter(|_| grant.would_deny.is_none()) else {
            return Ok(grant);
        };
        let Err(objection) = rego.ask(&question(&grant)) else { return Ok(grant) };
        let template = grant.template.clone();
        let denied = objected(&grant.rule, grant.line, objection, self);
        self.enforce(grant, Denied { template, ..denied }, now)
    }
}

/// The denial of what a rule of the allowlist lets through.
fn objected(rule: &Arc<str>, line: u32, objection: Objection, policy: &ListenerPolicy) -> Denied {
    Denied {
        reason: DenyReason::Rego,
        rule: Arc::clone(rule),
        line,
        version: policy.version(),
        peer: None,
        template: None,
        differs: None,
        nearest: objection.text,
    }
}
