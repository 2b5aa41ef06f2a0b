//! What policy says of a request that comes in: by its head, and by what is in its body.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::state::InboundState;
use crate::authz::{Denied, Form, Grant, Permit};
use crate::listener::description::Description;
use crate::live::Snapshot;
use crate::protocol::{fhir, soap};
use crate::proxy::l7::{Inside, Sought};

/// Policy's yes.
pub(super) struct Judged {
    pub(super) grant: Grant,
    /// What is told of a search if it is turned away for its form.
    pub(super) told: Option<Description>,
    /// Whom it was said to, by which rules, and when.
    pub(super) holder: Permit,
    pub(super) state: Arc<Snapshot<InboundState>>,
    pub(super) at: OffsetDateTime,
    /// What its body turned out to be, where a rule asked for that.
    pub(super) inside: Option<Inside>,
    /// Whether the listener is a PHI endpoint at this moment: then all of its requests are recorded.
    pub(super) phi: bool,
}

impl Judged {
    /// What is told of the request if it is turned away for its body.
    pub(super) fn told(&self) -> Description {
        self.told.clone().unwrap_or_else(|| Description::plain(&self.grant))
    }

    /// What of its body has to be judged, too: for the rule's sake, or because Rego may narrow by it.
    pub(super) fn sought(&self) -> Option<Sought> {
        match (self.grant.soap(), self.grant.form()) {
            (Some(_), _) => Some(Sought::Soap),
            (None, Some(Form::Held(_))) => Some(Sought::Form),
            (None, Some(Form::Free)) => self.state.value.policy.rego().map(|_| Sought::Form),
            (None, None) => None,
        }
    }

    /// The parameters of a search that are in its body, once that was looked at.
    pub(super) fn form(&self) -> Option<&str> {
        match &self.inside {
            Some(Inside::Form(form)) => form.as_deref().ok(),
            Some(Inside::Soap(_)) | None => None,
        }
    }

    /// Nothing is in its way.
    pub(super) fn used(&self) {
        self.state.value.quotas.used(&self.holder, Some(&self.grant), self.at);
    }

    /// The same, with what is in its body as far as that was looked at: held against this very policy.
    pub(super) fn holding(self, inside: Option<Inside>) -> Result<Self, Box<DeniedRequest>> {
        let (asked, policy, at) = (self.told(), &self.state.value.policy, self.at);
        let held = match self.sought() {
            None => Ok(self.grant),
            Some(Sought::Soap) => {
                let message = match &inside {
                    Some(Inside::Soap(message)) => message.as_ref().map_err(|why| *why),
                    Some(Inside::Form(_)) | None => Err(soap::Unreadable::Unread),
                };
                policy.authorize_soap(self.grant, message, at)
            }
            Some(Sought::Form) => {
                let form = match &inside {
                    Some(Inside::Form(form)) => form.as_deref().map_err(|why| *why),
                    Some(Inside::Soap(_)) | None => Err(fhir::Unreadable::Unread),
                };
                policy.authorize_form(self.grant, form, at)
            }
        };
        match held {
            Ok(grant) => Ok(Self { grant, inside, ..self }),
            Err(denied) => Err(Box::new(DeniedRequest { denied, asked, retry_after: None })),
        }
    }
}

/// Policy's no.
pub(super) struct DeniedRequest {
    pub(super) denied: Denied,
    pub(super) asked: Description,
    pub(super) retry_after: Option<Duration>,
}
