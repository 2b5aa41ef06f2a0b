//! FHIR searches whose parameters are in the body: held against the rule that was found by the head.

use time::OffsetDateTime;

use super::differences::list;
use super::permit::{Denied, Form, Grant};
use super::policy::ListenerPolicy;
use crate::outcome::{DenyReason, Differs};
use crate::protocol::fhir::{Reach, Unreadable};

impl ListenerPolicy {
    /// Whether a search that was granted by its head goes through with the form in its body. Asked where that
    /// was looked at: for a rule's sake, or for Rego's.
    ///
    /// # Errors
    ///
    /// Says which type of resources it gets at that is not listed, or why that cannot be told.
    pub fn authorize_form(
        &self,
        grant: Grant,
        form: Result<&str, Unreadable>,
        now: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        let (wanted, why) = match (grant.form(), form) {
            (None, _) | (Some(Form::Free), Ok(_)) => return Ok(grant),
            (Some(Form::Free), Err(why)) => (String::new(), why.text().to_owned()),
            (Some(Form::Held(listed)), form) => {
                let why = match form.map(Reach::of_parameters) {
                    Ok(reach) => match reach.beyond(listed) {
                        Some(reached) => format!("not {reached}"),
                        None => return Ok(grant),
                    },
                    Err(why) => why.text().to_owned(),
                };
                (format!("resource {} in ", list(listed.iter())), why)
            }
        };
        let nearest = format!("{wanted}the form of the body: {why}");
        let denied = grant.unfit(DenyReason::NoRoute, Differs::Resource, nearest);
        self.enforce(grant, denied, now)
    }
}
