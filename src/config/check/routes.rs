//! Rules for HTTP requests.

use std::sync::Arc;

use http::Method;

use super::Context;
use super::ledger::Ledger;
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Fields, Located, located, one};
use crate::config::scalar::{flag, name};
use crate::config::yaml::Node;
use crate::config::{PathTemplate, Route, keys};
use crate::identity::PeerName;

/// What the listener says about all of its routes.
pub(super) struct Listener<'l> {
    /// Whether its requests are accesses to PHI, unless the route says otherwise.
    pub(super) phi: bool,
    /// Who may connect at all; `None` when that list is wrong.
    pub(super) allow: Option<&'l [Located<PeerName>]>,
}

/// `routes` of a listener.
pub(super) fn all(
    context: &Context<'_, '_>,
    ledger: &mut Ledger,
    node: &Node,
    listener: &Listener<'_>,
) -> Option<Vec<Route>> {
    let reader = context.reader;
    let mut earlier: Vec<(Route, Located<()>)> = Vec::new();
    let list = reader.list(node, |_, node| {
        let (route, mark) = one_route(context, ledger, node, listener)?;
        if let Some((_, first)) = earlier.iter().find(|(other, _)| other.name == route.name) {
            let text = format!("a second route is named {}", quoted(&mark.written));
            reader.error(
                mark.at(),
                Fault::new(text).hint(format!("the first is {}", first.parent())),
            );
        }
        if let Some((covering, _)) = earlier.iter().find(|(other, _)| covers(other, &route)) {
            let text = format!(
                "route {} is never reached: `{}` before it takes all of its requests",
                quoted(&mark.written),
                covering.name
            );
            reader.warn(
                mark.at(),
                Fault::new(text).hint("put the narrower route first, or remove it"),
            );
        }
        earlier.push((route.clone(), mark));
        Some(route)
    })?;
    if list.is_empty() {
        let fault = Fault::new("an empty list of routes: every request is denied");
        reader.warn(node.at(), fault.hint("remove `routes` to let listed peers ask for anything"));
    }
    Some(list)
}

/// Whether `earlier` decides every request that `later` is for.
fn covers(earlier: &Route, later: &Route) -> bool {
    let methods = earlier.methods.is_empty()
        || (!later.methods.is_empty() && later.methods.iter().all(|m| earlier.methods.contains(m)));
    methods && earlier.path.covers(&later.path)
}

fn one_route(
    context: &Context<'_, '_>,
    ledger: &mut Ledger,
    node: &Node,
    listener: &Listener<'_>,
) -> Option<(Route, Located<()>)> {
    let reader = context.reader;
    let mut fields = Fields::open(reader, node, &keys::ROUTE)?;
    let name = fields.required("name", located(name));
    let methods = fields.or("methods", Vec::new(), |reader, node| {
        reader.some(node, one(method), "an empty list of methods; remove the key for all methods")
    });
    let path = fields.required("path", one(path));
    let allow = fields.or("allow", Vec::new(), |reader, node| context.peers.list(reader, node));
    let phi = fields.optional("phi", located(flag));
    let at = fields.at();
    fields.finish();

    if let Some(Some(phi)) = &phi {
        ledger.phi(phi);
    }
    let (name, allow) = (name?, allow?);
    if allow.is_empty() {
        let text = format!("nobody may use route {}: it allows no peer", quoted(&name.written));
        reader.warn(at, Fault::new(text).hint("name peers in `allow`"));
    }
    for peer in &allow {
        if listener.allow.is_some_and(|list| !list.iter().any(|other| other.value == peer.value)) {
            let text = format!("{} may not connect, so this has no effect", quoted(&peer.written));
            reader.warn(peer.at(), Fault::new(text).hint("add it to the listener's `allow` too"));
        }
    }
    let route = Route {
        name: Arc::from(name.value.as_str()),
        methods: methods?,
        path: path?,
        allow: allow.into_iter().map(|peer| peer.value).collect(),
        phi: phi?.map_or(listener.phi, |phi| phi.value),
    };
    Some((route, name.mark()))
}

fn path(text: &str) -> Result<PathTemplate, Fault> {
    PathTemplate::parse(text).map_err(|error| Fault::new("is not a path").hint(error.to_string()))
}

fn method(text: &str) -> Result<Method, Fault> {
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| {
        Fault::new("is not an HTTP method").hint("write it as a request does, like GET or POST")
    })?;
    if text.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(Fault::new("is not in upper case, as methods are")
            .quoting(format!("did you mean `{}`?", text.to_ascii_uppercase())));
    }
    Ok(method)
}
