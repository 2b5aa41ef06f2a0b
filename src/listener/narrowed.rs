//! What policy in Rego is asked: the record that a yes would put on the trail. Without such a policy no
//! question is made, and nothing of this costs anything.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{Services, record};
use crate::audit::{Connection, Record};
use crate::authz::{Denied, Grant, ListenerPolicy, Permit};

impl Services {
    /// The permit of a connection, unless Rego objects.
    pub(super) fn narrow_permit(
        &self,
        policy: &ListenerPolicy,
        permit: Permit,
        connection: &Arc<Connection>,
        at: OffsetDateTime,
    ) -> Result<Permit, Denied> {
        let question =
            |permit: &Permit| self.audit.question(&record::allowed(connection, permit), None, at);
        policy.narrow_permit(permit, question, at)
    }

    /// What was granted and goes on `record` so, unless Rego objects. `host`: the one that a request names.
    pub(super) fn narrow(
        &self,
        policy: &ListenerPolicy,
        grant: Grant,
        host: Option<&str>,
        record: impl FnOnce(&Grant) -> Record,
        at: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        policy.narrow(grant, |grant| self.audit.question(&record(grant), host, at), at)
    }
}
