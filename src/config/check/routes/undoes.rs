//! Which plain route lets through what another one looks into requests for.

use http::Method;

use crate::config::problem::Fault;
use crate::config::{Route, RouteKind, Segment};
use crate::identity::PeerName;

/// What to say of `route` if one of the two lets the peers of the other do what that turns away.
pub(super) fn undone(route: &Route, other: &Route) -> Option<Fault> {
    let (plain, narrow) = match (&route.kind, &other.kind) {
        (RouteKind::Plain, _) => (route, other),
        (_, RouteKind::Plain) => (other, route),
        _ => return None,
    };
    let asked = asked(narrow)?;
    let peer = shared(plain, narrow)?;
    if plain.respond.is_some() || !meets(plain, narrow) {
        return None;
    }
    let (plain, narrow) = (&plain.rule, &narrow.rule);
    let text = format!(
        "route `{}` (line {}) undoes route `{}` (line {}): it lets `{peer}` have the same, {asked}",
        plain.name, plain.line, narrow.name, narrow.line
    );
    Some(Fault::new(text).hint(format!(
        "take `{peer}` from the `allow` of `{}`, or give that narrower `methods` or another `path`",
        plain.name
    )))
}

/// What a route asks for that a plain one does not. `None`: nothing that would keep anybody out.
fn asked(narrow: &Route) -> Option<&'static str> {
    match &narrow.kind {
        RouteKind::Soap(_) => Some("whatever the SOAP action and the body"),
        RouteKind::Fhir { resources, .. } if !resources.is_empty() => {
            Some("whatever the type of resource")
        }
        RouteKind::Fhir { interactions, .. } if !interactions.is_empty() => {
            Some("whatever the interaction")
        }
        RouteKind::DicomWeb(transactions) if !transactions.is_empty() => {
            Some("whatever the transaction")
        }
        RouteKind::Fhir { .. } | RouteKind::DicomWeb(_) | RouteKind::Plain => None,
    }
}

/// Somebody whom both let.
fn shared<'r>(plain: &Route, narrow: &'r Route) -> Option<&'r PeerName> {
    narrow.rule.allow.iter().find(|peer| plain.rule.allow.contains(peer))
}

/// Whether requests of one kind come to both.
fn meets(plain: &Route, narrow: &Route) -> bool {
    let is_soap = matches!(narrow.kind, RouteKind::Soap(_));
    let methods = match is_soap {
        // A message comes with POST; with GET there is a service's description.
        true => takes(plain, &Method::POST) && takes(narrow, &Method::POST),
        false => overlap(&plain.methods, &narrow.methods),
    };
    let paths = match is_soap {
        true => plain.path.overlaps(&narrow.path),
        false => takes_any_word(plain, narrow),
    };
    methods && paths && overlap(&plain.hosts, &narrow.hosts)
}

fn takes(route: &Route, method: &Method) -> bool {
    route.methods.is_empty() || route.methods.contains(method)
}

/// Whether two lists have something in common, where nothing means everything.
fn overlap<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    one.is_empty() || other.is_empty() || one.iter().any(|value| other.contains(value))
}

/// Whether a plain route is for a base itself, or for whatever stands first below it. One that names the word
/// there, like a type, says what it is for.
fn takes_any_word(plain: &Route, narrow: &Route) -> bool {
    let mut segments = plain.path.segments.iter();
    for base in &narrow.path.segments {
        match (segments.next(), base) {
            (Some(Segment::Rest), _) => return true,
            (Some(Segment::Literal(mine)), Segment::Literal(theirs)) if mine != theirs => {
                return false;
            }
            (Some(_), _) => {}
            (None, _) => return false,
        }
    }
    !matches!(segments.next(), Some(Segment::Literal(_)))
}
