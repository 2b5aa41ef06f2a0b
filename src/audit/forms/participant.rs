//! Who took part in an event: the sidecar, the peer, or somebody of this machine.

use std::borrow::Cow;

use super::codes::{APPLICATION, Code, DESTINATION, SOURCE};
use crate::audit::read::{Recorded, RecordedSide};
use crate::audit::reads::Reader;

/// The user of a peer that has not proved who it is.
pub(super) const UNAUTHENTICATED: &str = "unauthenticated";

/// Who took part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Participant<'a> {
    pub(super) user: Cow<'a, str>,
    /// AE titles, as DICOM wants them.
    pub(super) alternative: Option<String>,
    pub(super) name: Option<&'a str>,
    pub(super) role: Code<'static>,
    /// Where: an address.
    pub(super) address: Option<String>,
    /// Where: the name of a machine.
    pub(super) host: Option<&'a str>,
    /// Whether it has proved who it is.
    pub(super) is_known: bool,
}

impl Participant<'_> {
    /// Where it is, and what kind of name that is: `1` of a machine, `2` an IP address.
    pub(super) fn access_point(&self) -> Option<(&str, &'static str)> {
        let address = self.address.as_deref().map(|address| (address, "2"));
        address.or_else(|| self.host.map(|host| (host, "1")))
    }
}

/// The sidecar: named by its service; the host is known where it begins and ends.
pub(super) fn us(recorded: &Recorded) -> Participant<'_> {
    // Of what goes out, our address is the one on which the workload connected.
    let side = recorded.own_side().filter(|_| !recorded.is_outbound());
    Participant {
        user: format!("myelin@{}", recorded.service.name).into(),
        alternative: None,
        name: Some("Myelin"),
        role: APPLICATION,
        address: side.and_then(address),
        host: recorded.observer.hostname.as_deref(),
        is_known: true,
    }
}

pub(super) fn peer(recorded: &Recorded) -> Participant<'_> {
    let identity = recorded.myelin.identity.as_deref().filter(|identity| !identity.is_empty());
    let outbound = recorded.is_outbound();
    let titles = recorded
        .myelin
        .dicom
        .as_ref()
        .map(|dicom| if outbound { &dicom.called_ae } else { &dicom.calling_ae });
    Participant {
        user: identity.unwrap_or(UNAUTHENTICATED).into(),
        alternative: titles.map(|title| format!("AETITLES={title}")),
        name: recorded.myelin.peer.as_deref(),
        role: if outbound { DESTINATION } else { SOURCE },
        address: recorded.peer_side().and_then(address),
        host: None,
        is_known: identity.is_some(),
    }
}

/// Whose process read the trail, signed off a review of it, or had the sidecar do what is told of.
pub(super) fn by(recorded: &Recorded) -> Option<&Reader> {
    let own = &recorded.myelin;
    let review = || own.review.as_ref().map(|review| &review.by);
    own.read.as_ref().map(|read| &read.by).or_else(review).or(own.asked_by.as_ref())
}

/// A user of the machine: as whom it logged in, or else its process's. Who used sudo is a claim of its environment, and a
/// detail ([`super::details`]).
pub(super) fn somebody(by: &Reader) -> Participant<'_> {
    let user = by.login.as_ref().or(by.name.as_ref());
    Participant {
        user: user.map_or_else(|| by.uid.to_string().into(), |name| name.into()),
        alternative: None,
        name: by.name.as_deref(),
        role: SOURCE,
        address: None,
        host: None,
        is_known: true,
    }
}

pub(super) fn address(side: &RecordedSide) -> Option<String> {
    side.ip.map(|ip| ip.to_string())
}
