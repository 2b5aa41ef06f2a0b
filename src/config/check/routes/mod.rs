//! Rules for HTTP requests.

mod covers;
mod kind;
mod text;
mod undoes;

pub(super) use self::kind::uri as action;
pub(super) use self::text::method;

use super::Context;
use super::ledger::Ledger;
use super::rules::{Kind, Naming, Rules};
use crate::config::problem::Fault;
use crate::config::read::{Fields, Located, Reader, located, one};
use crate::config::scalar::flag;
use crate::config::yaml::Node;
use crate::config::{Route, RouteKind, Segment, keys};
use crate::identity::PeerName;

static KIND: Kind =
    Kind { one: "route", things: "requests", key: "routes", otherwise: "ask for anything" };

/// `routes`. `phi`: whether requests are accesses to PHI, unless their route says otherwise; `allow`: who
/// may connect, `None` when that is wrong.
pub(super) fn all(
    context: &Context<'_, '_>,
    ledger: &mut Ledger,
    (phi, allow): (bool, Option<&[Located<PeerName>]>),
    node: &Node,
) -> Option<Vec<Route>> {
    let rules = Rules::new(context, &KIND, allow);
    let mut earlier: Vec<Route> = Vec::new();
    let one = |rules: &mut Rules<'_, '_, '_>, node: &Node| {
        let (route, mark) = route(rules, ledger, phi, node)?;
        // What is never reached is told of as such, and undoes nothing that is not undone already.
        let is_reached = !earlier.iter().any(|other| covers::covers(other, &route));
        let mut undone = earlier.iter().filter_map(|other| undoes::undone(&route, other));
        if let Some(fault) = undone.next().filter(|_| is_reached) {
            context.reader.warn(mark.at(), fault);
        }
        earlier.push(route.clone());
        Some((route, mark))
    };
    rules.list(node, one, covers::covers)
}

fn route(
    rules: &mut Rules<'_, '_, '_>,
    ledger: &mut Ledger,
    phi: bool,
    node: &Node,
) -> Option<(Route, Located<()>)> {
    let reader = rules.context.reader;
    let mut fields = Fields::open(reader, node, &keys::ROUTE)?;
    let common = rules.common(&mut fields, Naming::Required, true);
    let hosts = fields.or("hosts", Vec::new(), |reader, node| {
        let empty = ("an empty list of hosts", "remove the key for all hosts");
        reader.one_or_some(node, one(text::host), empty)
    });
    let methods = fields.or("methods", Vec::new(), |reader, node| {
        let empty = ("an empty list of methods", "remove the key for all methods");
        reader.some(node, one(method), empty)
    });
    let path = fields.required("path", located(text::path));
    let kind = kind::kind(reader, &mut fields);
    let respond = fields.optional("respond", located(text::status));
    let own_phi = fields.optional("phi", located(flag));
    fields.finish();

    if let Some(Some(phi)) = &own_phi {
        ledger.phi(phi);
    }
    if let (Some(kind), Some(path)) = (&kind, &path) {
        base(reader, kind, path)?;
    }
    let (kind, respond, own_phi) = (kind?, respond?, own_phi?);
    let phi = if let Some(respond) = &respond {
        answered(reader, respond, &kind, own_phi.as_ref())?;
        false
    } else {
        own_phi.map_or(phi, |phi| phi.value)
    };
    let (rule, mark) = rules.rule(common, String::new)?;
    let respond = respond.map(|status| status.value);
    let route =
        Route { rule, hosts: hosts?, methods: methods?, path: path?.value, kind, phi, respond };
    Some((route, mark))
}

/// Refuses places for names in the base of FHIR or DICOMweb that take what is below it.
fn base(
    reader: &Reader<'_>,
    kind: &RouteKind,
    path: &Located<crate::config::PathTemplate>,
) -> Option<()> {
    let key = match kind {
        RouteKind::Fhir { .. } => "fhir",
        RouteKind::DicomWeb(_) => "dicomweb",
        RouteKind::Plain | RouteKind::Soap(_) => return Some(()),
    };
    if path.value.segments.last() != Some(&Segment::Rest) {
        return Some(());
    }
    let fault =
        Fault::new(format!("a path with `{{name...}}` beside `{key}`, whose path is a base"));
    reader.error(
        path.at(),
        fault.hint(format!("remove the last segment: `{key}` looks at all below")),
    );
    None
}

/// Refuses what makes no sense in a route that the sidecar answers by itself.
fn answered(
    reader: &Reader<'_>,
    respond: &Located<http::StatusCode>,
    kind: &RouteKind,
    phi: Option<&Located<bool>>,
) -> Option<()> {
    if *kind != RouteKind::Plain {
        let fault =
            Fault::new("`respond` beside what looks into requests: the sidecar answers by itself");
        reader.error(
            respond.at(),
            fault.hint("remove `respond`, or tell the requests by `methods` and `path` alone"),
        );
        return None;
    }
    let Some(phi) = phi.filter(|phi| phi.value) else { return Some(()) };
    let fault =
        Fault::new("`phi: true` beside `respond`: the answer of the sidecar has no patient data");
    reader.error(phi.at(), fault.hint("remove `phi`"));
    None
}
