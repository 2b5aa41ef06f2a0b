//! Rules for HTTP requests.

use std::sync::Arc;

use http::Method;

use super::Context;
use super::ledger::Ledger;
use crate::config::problem::{Fault, quoted};
use crate::config::read::{At, Fields, Located, located, one};
use crate::config::scalar::{flag, name};
use crate::config::yaml::Node;
use crate::config::{PathTemplate, Route, RouteKind, Rule, keys};
use crate::identity::PeerName;

/// `routes` of one listener while they are read.
pub(super) struct Routes<'r, 'c, 'a> {
    /// What the rest of the file says.
    pub(super) context: &'r Context<'c, 'a>,
    /// What the file must fit as a whole.
    pub(super) ledger: &'r mut Ledger,
    /// Whether requests are accesses to PHI, unless their route says otherwise.
    pub(super) phi: bool,
    /// Who may connect at all; `None` when that list is wrong.
    pub(super) allow: Option<&'r [Located<PeerName>]>,
}

impl Routes<'_, '_, '_> {
    /// Reads all of them.
    pub(super) fn read(mut self, node: &Node) -> Option<Vec<Route>> {
        let reader = self.context.reader;
        let mut names: Vec<Located<String>> = Vec::new();
        let mut earlier: Vec<(Route, Located<()>)> = Vec::new();
        let list = reader.list(node, |_, node| {
            let (route, mark) = self.one(&mut names, node)?;
            if let Some((_, covering)) = earlier.iter().find(|(other, _)| covers(other, &route)) {
                let text = format!(
                    "route {} is never reached: {} before it takes all of its requests",
                    quoted(&mark.written),
                    quoted(&covering.written)
                );
                let fault = Fault::new(text).hint("put the narrower route first, or remove it");
                reader.warn(mark.at(), fault);
            }
            earlier.push((route.clone(), mark));
            Some(route)
        })?;
        if list.is_empty() {
            let fault = Fault::new("an empty list of routes: every request is denied");
            reader.warn(
                node.at(),
                fault.hint("remove `routes` to let listed peers ask for anything"),
            );
        }
        Some(list)
    }

    fn one(
        &mut self,
        names: &mut Vec<Located<String>>,
        node: &Node,
    ) -> Option<(Route, Located<()>)> {
        let reader = self.context.reader;
        let mut fields = Fields::open(reader, node, &keys::ROUTE)?;
        let name = fields.required("name", located(name));
        let methods = fields.or("methods", Vec::new(), |reader, node| {
            let empty = ("an empty list of methods", "remove the key for all methods");
            reader.some(node, one(method), empty)
        });
        let path = fields.required("path", one(path));
        let peers = &self.context.peers;
        let allow = fields.or("allow", Vec::new(), |reader, node| peers.list(reader, node));
        let phi = fields.optional("phi", located(flag));
        let at = fields.at();
        fields.finish();

        if let Some(Some(phi)) = &phi {
            self.ledger.phi(phi);
        }
        if let Some(name) = &name {
            self.unique(names, name);
        }
        if let Some(allow) = &allow {
            self.who(at, name.as_ref(), allow);
        }
        let name = name?;
        let rule = Rule {
            name: Arc::from(name.value.as_str()),
            line: at.line(),
            allow: allow?.into_iter().map(|peer| peer.value).collect(),
            expires: None,
            limits: None,
        };
        let route = Route {
            rule,
            hosts: Vec::new(),
            methods: methods?,
            path: path?,
            kind: RouteKind::Plain,
            phi: phi?.map_or(self.phi, |phi| phi.value),
            respond: None,
        };
        Some((route, name.mark()))
    }

    fn unique(&self, names: &mut Vec<Located<String>>, name: &Located<String>) {
        if let Some(first) = names.iter().find(|other| other.value == name.value) {
            let fault = Fault::new(format!("a second route is named {}", quoted(&name.written)));
            self.context
                .reader
                .error(name.at(), fault.hint(format!("the first is {}", first.parent())));
        }
        names.push(name.clone());
    }

    /// Warns of a route that lets nobody in, or not all that it lists.
    fn who(&self, at: At<'_>, name: Option<&Located<String>>, allow: &[Located<PeerName>]) {
        let reader = self.context.reader;
        if allow.is_empty() {
            let route = name.map_or_else(
                || "this route".into(),
                |name| format!("route {}", quoted(&name.written)),
            );
            let fault = Fault::new(format!("nobody may use {route}: it allows no peer"));
            reader.warn(at, fault.hint("name peers in `allow`"));
        }
        for peer in allow {
            if self.allow.is_some_and(|list| !list.iter().any(|other| other.value == peer.value)) {
                let text =
                    format!("{} may not connect, so this has no effect", quoted(&peer.written));
                reader
                    .warn(peer.at(), Fault::new(text).hint("add it to the listener's `allow` too"));
            }
        }
    }
}

/// Whether `earlier` decides every request that `later` is for.
fn covers(earlier: &Route, later: &Route) -> bool {
    let methods = earlier.methods.is_empty()
        || (!later.methods.is_empty() && later.methods.iter().all(|m| earlier.methods.contains(m)));
    methods && earlier.path.covers(&later.path)
}

fn path(text: &str) -> Result<PathTemplate, Fault> {
    PathTemplate::parse(text).map_err(|error| Fault::new("is not a path").hint(error.to_string()))
}

fn method(text: &str) -> Result<Method, Fault> {
    let method = Method::from_bytes(text.as_bytes()).map_err(|_error| {
        Fault::new("is not an HTTP method").hint("write it as a request does, like GET or POST")
    })?;
    if text.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(Fault::new("is not in upper case, as methods are")
            .quoting(format!("did you mean `{}`?", text.to_ascii_uppercase())));
    }
    Ok(method)
}
