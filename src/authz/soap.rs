//! SOAP requests: actions that cannot be told, and messages that are not what they claim to be.

use time::OffsetDateTime;

use super::differences::shown;
use super::permit::{Denied, Grant, Permit};
use super::policy::{ListenerPolicy, Requested};
use super::routes::Routes;
use crate::outcome::{DenyReason, Differs};
use crate::protocol::soap::{Found, Mismatch, Unreadable, check};

impl ListenerPolicy {
    /// Whether any route asks for a SOAP action.
    pub fn reads_soap(&self) -> bool {
        self.routes.as_ref().is_some_and(Routes::reads_soap)
    }

    /// Whether the holder of `permit` may make a request whose head claims this SOAP action. A claim that
    /// cannot be read is denied, whatever the route: who knows what the workload would make of it.
    ///
    /// # Errors
    ///
    /// Says why not, and which route came nearest.
    pub fn authorize_claim(
        &self,
        permit: &Permit,
        asked: &Requested<'_>,
        claim: Result<Option<&str>, Unreadable>,
        now: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        let asked = Requested { soap_action: claim.ok().flatten(), ..*asked };
        let granted = self.authorize_request(permit, &asked, now);
        let Err(why) = claim else { return granted };
        match granted {
            Ok(grant) => {
                let denied = grant.unfit(
                    DenyReason::SoapMismatch,
                    Differs::SoapAction,
                    why.text().to_owned(),
                );
                self.enforce(grant, denied, now)
            }
            Err(denied) if denied.reason == DenyReason::NoRoute => Err(Denied {
                reason: DenyReason::SoapMismatch,
                differs: Some(Differs::SoapAction),
                nearest: why.text().to_owned(),
                ..denied
            }),
            Err(denied) => Err(denied),
        }
    }

    /// Whether a request that was granted by its head goes through with what its message turned out to be.
    ///
    /// # Errors
    ///
    /// Says what differs.
    pub fn authorize_soap(
        &self,
        grant: Grant,
        message: Result<&Found, Unreadable>,
        now: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        let Some(action) = grant.soap() else { return Ok(grant) };
        let (differs, why) = match message.map(|found| check(found, &action.uri, &action.bodies)) {
            Ok(Ok(())) => return Ok(grant),
            Ok(Err(mismatch @ Mismatch::Action(_))) => (Differs::SoapAction, mismatch.text()),
            Ok(Err(mismatch @ (Mismatch::Body(_) | Mismatch::Namespace(_)))) => {
                (Differs::SoapBody, mismatch.text())
            }
            Err(why) if why.is_about_the_action() => (Differs::SoapAction, why.text().to_owned()),
            Err(why) => (Differs::SoapBody, why.text().to_owned()),
        };
        let bodies: Vec<_> = action.bodies.iter().map(ToString::to_string).collect();
        let wanted = format!("{} wants {}", shown(&action.uri), bodies.join(" or "));
        let nearest = format!("SOAP action {wanted} in the body: {why}");
        let denied = grant.unfit(DenyReason::SoapMismatch, differs, nearest);
        self.enforce(grant, denied, now)
    }
}
