//! What was asked for on a connection, in a form that can be asked again while it goes on.
//!
//! A question may name a patient, in a path. It is kept in memory only: it has no `Debug`, and goes into no record.

use std::sync::Arc;

use http::{HeaderMap, Method};
use time::OffsetDateTime;

use super::{Services, associations};
use crate::audit::Connection;
use crate::authz::{Denied, Grant, ListenerPolicy, Permit, Requested};
use crate::protocol::http::host_name;
use crate::protocol::{dicom, soap};
use crate::proxy::l7::Head;

/// Something that may go on for long.
pub(super) enum Question {
    /// An association.
    Association(Box<dicom::Request>),
    /// A request that became a tunnel.
    Request(Box<RequestQuestion>),
}

/// A request, as far as rules look at it.
pub(super) struct RequestQuestion {
    method: Method,
    host: Option<Box<str>>,
    path: Box<str>,
    query: Option<Box<str>>,
    condition: Option<Box<str>>,
    claim: Result<Option<Box<str>>, soap::Unreadable>,
}

impl Question {
    /// That of an association.
    pub(super) fn association(request: &dicom::Request) -> Self {
        Self::Association(Box::new(request.clone()))
    }

    /// That of a request.
    pub(super) fn request(head: &Head<'_>) -> Self {
        let claim = soap::claimed(head.headers);
        Self::Request(Box::new(RequestQuestion {
            method: head.method.clone(),
            host: head.host.map(|host| host_name(host).into()),
            path: head.path.into(),
            query: head.query.map(Into::into),
            condition: condition(head.headers).map(Into::into),
            claim: claim.map(|claim| claim.map(|action| action.as_ref().into())),
        }))
    }

    /// What `policy` says of it at this moment, to the holder of `permit`. Rego is asked of associations; of what
    /// became a tunnel it has been, and is asked of its connection.
    ///
    /// # Errors
    ///
    /// It would not be let through.
    pub(super) fn ask(
        &self,
        (services, connection): (&Services, &Arc<Connection>),
        policy: &ListenerPolicy,
        permit: &Permit,
        at: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        match self {
            Self::Association(request) => {
                let grant = policy.authorize_association(permit, request, at)?;
                let record = |grant: &Grant| associations::allowed(connection, request, grant);
                services.narrow(policy, grant, None, record, at)
            }
            Self::Request(request) => {
                let RequestQuestion { method, host, path, query, condition, claim } = &**request;
                let claim = claim.as_ref().map(Option::as_deref).map_err(|why| *why);
                let claim = if policy.reads_soap() { claim } else { Ok(None) };
                let (host, query) = (host.as_deref(), query.as_deref());
                let (plain, condition) = (Requested::plain(method, path), condition.as_deref());
                let asked = Requested { host, query, condition, ..plain };
                policy.authorize_claim(permit, &asked, claim, at)
            }
        }
    }

    /// What goes on, in words.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Association(_) => "the association",
            Self::Request(_) => "the request that the tunnel began with",
        }
    }
}

/// The search that is made before something is created. One that cannot be read might search for anything,
/// which is what a lone `%` is taken for.
pub(super) fn condition(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all("if-none-exist").iter();
    let value = values.next()?;
    match values.next() {
        None => Some(value.to_str().unwrap_or("%")),
        Some(_another) => Some("%"),
    }
}
