//! How a rule and what was asked for differ: looked at field by field, as a reader of the file would.
//!
//! Decisions do not come this way. It is what denials say, and what decisions are held against.

use std::cmp::Reverse;
use std::sync::Arc;

use super::classify;
use super::messages::Named;
use super::paths::{below_root, next};
use super::policy::Requested;
use crate::config::{
    AssociationRule, MessageType, PathTemplate, Route, RouteKind, Segment, SenderRule,
};
use crate::outcome::Differs;
use crate::protocol::{dicom, mllp};

/// By how much a difference counts: those that come first count for more than all behind them.
const WEIGHT: [Differs; 14] = [
    Differs::Path,
    Differs::Method,
    Differs::Host,
    Differs::SoapAction,
    Differs::Interaction,
    Differs::Resource,
    Differs::Transaction,
    Differs::MessageType,
    Differs::Sender,
    Differs::CallingAe,
    Differs::CalledAe,
    Differs::SopClass,
    Differs::Expires,
    Differs::Peer,
];

/// The fields in which a rule and what was asked for differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Apart {
    fields: u16,
    /// How many segments of its path a request shares with the rule; of types of messages, whether the code
    /// is shared, and of senders and AE titles, whether one of the two is.
    shared: u16,
}

impl Apart {
    fn when(self, differs: bool, field: Differs) -> Self {
        let at = WEIGHT.iter().position(|other| *other == field);
        let bit = at.map_or(0, |at| 1 << (WEIGHT.len() - at));
        Self { fields: self.fields | if differs { bit } else { 0 }, ..self }
    }

    /// A rule that is for something else altogether.
    pub(super) fn all() -> Self {
        Self { fields: u16::MAX, shared: 0 }
    }

    /// This one, and who asks, too.
    pub(super) fn and_peer(self, is_let: bool) -> Self {
        self.when(!is_let, Differs::Peer)
    }

    /// This one, and the moment, too.
    pub(super) fn and_expired(self, is_expired: bool) -> Self {
        self.when(is_expired, Differs::Expires)
    }

    /// This one, and what was proposed, too.
    pub(super) fn and_sop_class(self, is_foreign: bool) -> Self {
        self.when(is_foreign, Differs::SopClass)
    }

    /// Nothing differs.
    pub(super) fn is_none(self) -> bool {
        self.fields == 0
    }

    /// The fields, those that count for more first.
    pub(super) fn fields(self) -> impl Iterator<Item = Differs> {
        (0_usize..).zip(WEIGHT).filter_map(move |(at, field)| {
            (self.fields >> (WEIGHT.len() - at) & 1 == 1).then_some(field)
        })
    }

    /// Whether this is one of the fields.
    pub(super) fn has(self, field: Differs) -> bool {
        self.fields().any(|other| other == field)
    }

    /// Something of what counts most is shared, so the rule is worth to be named.
    pub(super) fn is_near(self) -> bool {
        let first = self.fields().next();
        let counts_most = matches!(first, Some(Differs::Path | Differs::MessageType));
        !counts_most || self.shared > 0
    }

    /// The nearest rule is the one for which this is least.
    pub(super) fn distance(self) -> (bool, Reverse<u16>, u16) {
        (self.has(Differs::Path), Reverse(self.shared), self.fields)
    }
}

/// How `route` and a request differ.
pub(super) fn route(route: &Route, asked: &Requested<'_>) -> Apart {
    let is_base = matches!(route.kind, RouteKind::Fhir { .. } | RouteKind::DicomWeb(_));
    let (shared, below) = follow(&route.path, asked.path, is_base);
    let apart = Apart { shared, ..Apart::default() }
        .when(below.is_none(), Differs::Path)
        .when(!takes(&route.methods, asked.method), Differs::Method)
        .when(
            !asked.host.map_or(route.hosts.is_empty(), |host| names(&route.hosts, host)),
            Differs::Host,
        );
    match &route.kind {
        RouteKind::Plain => apart,
        RouteKind::Soap(actions) => {
            let claims = |claimed| actions.iter().any(|action| &*action.uri == claimed);
            apart.when(!asked.soap_action.is_some_and(claims), Differs::SoapAction)
        }
        RouteKind::Fhir { interactions, resources } => {
            let Some(below) = below else { return apart };
            let Some(found) = classify::fhir(asked, below) else {
                return apart.when(true, Differs::Interaction);
            };
            let is_listed =
                found.resource.map_or(resources.is_empty(), |name| names(resources, name));
            let beyond = classify::reach(asked, &found).beyond(resources).is_some();
            apart
                .when(!takes(interactions, &found.interaction), Differs::Interaction)
                .when(!is_listed || beyond, Differs::Resource)
        }
        RouteKind::DicomWeb(transactions) => {
            let Some(below) = below else { return apart };
            let transaction = classify::dicomweb(asked, below);
            let taken = transaction.is_some_and(|transaction| takes(transactions, &transaction));
            apart.when(!taken, Differs::Transaction)
        }
    }
}

/// What is below the base of a route that has one, if the route is for the path.
pub(super) fn below<'a>(route: &Route, path: &'a str) -> Option<&'a str> {
    follow(&route.path, path, true).1
}

/// How the types of a rule and that of a message differ; `named` by the rules of its list.
pub(super) fn message_type(
    types: &[MessageType],
    named: Named,
    message: &mllp::Header<'_>,
) -> Apart {
    let code =
        |kind: &MessageType| kind.code.as_ref().is_none_or(|code| code.as_bytes() == message.code);
    let trigger = |kind: &MessageType| {
        kind.trigger.as_ref().is_none_or(|trigger| trigger.as_bytes() == message.trigger)
    };
    let is_taken = types.is_empty() || types.iter().any(|kind| code(kind) && trigger(kind));
    let is_taken = is_taken && named.is_clear_type(message);
    let shared = u16::from(types.is_empty() || types.iter().any(code));
    Apart { shared, ..Apart::default() }.when(!is_taken, Differs::MessageType)
}

/// How `rule` and who sends a message differ; `named` by the rules of its list.
pub(super) fn sending(rule: &SenderRule, named: Named, message: &mllp::Header<'_>) -> Apart {
    let [application, facility] = message.sender();
    let is = |wanted: &Option<Arc<str>>, found: &[u8]| {
        wanted.as_ref().is_none_or(|wanted| wanted.as_bytes() == found)
    };
    let (application, facility) =
        (is(&rule.application, application), is(&rule.facility, facility));
    let shared = u16::from(application) + u16::from(facility);
    let is_taken = application && facility && named.is_clear_sender(message);
    Apart { shared, ..Apart::default() }.when(!is_taken, Differs::Sender)
}

/// How `rule` and an association differ, SOP classes left out: they do not decide which rule it is.
pub(super) fn association(rule: &AssociationRule, association: &dicom::Request) -> Apart {
    let is = |wanted: &Option<Arc<str>>, found: &str| {
        wanted.as_ref().is_none_or(|wanted| **wanted == *found)
    };
    let calling = is(&rule.calling_ae, &association.calling_ae);
    let called = is(&rule.called_ae, &association.called_ae);
    Apart { shared: u16::from(calling) + u16::from(called), ..Apart::default() }
        .when(!calling, Differs::CallingAe)
        .when(!called, Differs::CalledAe)
}

/// The SOP classes of an association that `rule` does not have.
pub(super) fn foreign<'a>(
    rule: &AssociationRule,
    association: &'a dicom::Request,
) -> impl Iterator<Item = &'a str> {
    let proposed = association.contexts.iter().map(|context| &*context.abstract_syntax);
    proposed.filter(|proposed| !names(&rule.sop_classes, proposed))
}

/// Whether a list of what a rule is for takes `value`: an empty one takes any.
fn takes<T: PartialEq>(list: &[T], value: &T) -> bool {
    list.is_empty() || list.contains(value)
}

/// The same for texts.
fn names(list: &[Arc<str>], value: &str) -> bool {
    list.is_empty() || list.iter().any(|text| **text == *value)
}

/// How many segments `path` shares with `template` and, if the template is for it, what is below.
fn follow<'a>(template: &PathTemplate, path: &'a str, is_base: bool) -> (u16, Option<&'a str>) {
    let mut left = below_root(path);
    let mut shared = 0;
    for segment in &template.segments {
        let (part, more) = next(left);
        match segment {
            Segment::Rest => return (shared, Some("")),
            Segment::Literal(text) if text == part => shared += 1,
            Segment::Any if !part.is_empty() => {}
            Segment::Literal(_) | Segment::Any => return (shared, None),
        }
        left = more;
    }
    (shared, (left.is_empty() || is_base).then_some(left))
}
