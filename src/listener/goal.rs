//! Where one connection or request of the workload is to go, of all that a listener leads to.

use std::sync::Arc;

use crate::config::{Endpoint, Led};
use crate::upstream::Candidate;

/// Where one connection or request of the workload is to go.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    /// What a forward proxy was asked for, `HOST:PORT`. `None`: the kernel has sent it here.
    pub(super) asked: Option<Arc<str>>,
    pub(super) place: Place,
    /// The workload has asked with CONNECT, and waits for an answer.
    pub(super) is_awaited: bool,
}

/// Where that is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// At this address.
    Address(Candidate),
    /// At one of the listener's endpoints.
    Endpoint(Endpoint),
}

impl Goal {
    /// Where the kernel says that it was to go.
    pub(super) fn redirected(wanted: Candidate) -> Self {
        Self { asked: None, place: Place::Address(wanted), is_awaited: false }
    }

    /// Where a destination leads those who ask a proxy for `asked`.
    pub(super) fn asked(asked: Arc<str>, led: Led, is_awaited: bool) -> Self {
        let place = match led {
            Led::Address(address) => Place::Address(Candidate::at(address)),
            Led::Endpoint(endpoint) => Place::Endpoint(endpoint),
        };
        Self { asked: Some(asked), place, is_awaited }
    }

    /// The one address that it has, if that is known already.
    pub(super) fn address(&self) -> Option<&Candidate> {
        match &self.place {
            Place::Address(candidate) => Some(candidate),
            Place::Endpoint(_) => None,
        }
    }

    /// The endpoint, `HOST:PORT`.
    pub(super) fn endpoint(&self) -> String {
        match &self.place {
            Place::Address(candidate) => candidate.label.as_ref().to_owned(),
            Place::Endpoint(Endpoint { host, port }) => format!("{host}:{port}"),
        }
    }
}
