//! One listener's rules, compiled, and the permits that they give.

use std::sync::Arc;

use http::Method;
use time::OffsetDateTime;

use super::peers::Peers;
use crate::config::{Config, Inbound, Outbound, PathTemplate, Route, Segment};
use crate::identity::{Fingerprint, ListenerName, PeerIdentity, PeerName};
use crate::outcome::{DenyReason, Withdrawal};

/// Who may connect to a listener, and ask it for what.
///
/// For an outbound listener: whom its server must prove to be.
#[derive(Debug)]
pub struct ListenerPolicy {
    listener: ListenerName,
    rule: Arc<str>,
    version: Fingerprint,
    /// Whether a request is an access to PHI where no route says otherwise.
    phi: bool,
    allowed: Peers,
    known: Peers,
    routes: Option<Vec<CompiledRoute>>,
}

#[derive(Debug)]
struct CompiledRoute {
    route: Route,
    rule: Arc<str>,
}

/// Proof that a peer was authorized. Moving its bytes takes one, so it cannot be forgotten.
#[derive(Debug, Clone)]
pub struct Permit {
    peer: PeerName,
    rule: Arc<str>,
    version: Fingerprint,
    until: Option<OffsetDateTime>,
}

impl Permit {
    /// The peer's name in `peers`.
    pub fn peer(&self) -> &PeerName {
        &self.peer
    }

    /// The rule that let it in.
    pub fn rule(&self) -> &Arc<str> {
        &self.rule
    }

    /// The version of the policy that the rule is of.
    pub fn version(&self) -> Fingerprint {
        self.version
    }

    /// When the entry of the peer expires that it was given for.
    pub fn until(&self) -> Option<OffsetDateTime> {
        self.until
    }
}

/// Proof that a request was authorized.
#[derive(Debug, Clone)]
pub struct RequestPermit {
    rule: Arc<str>,
    template: Option<Arc<str>>,
    phi: bool,
}

impl RequestPermit {
    /// The rule that let it through: `listener/route`, or the connection's rule without routes.
    pub fn rule(&self) -> &Arc<str> {
        &self.rule
    }

    /// The route's path template. `None` without routes.
    pub fn template(&self) -> Option<&Arc<str>> {
        self.template.as_ref()
    }

    /// Whether the request is an access to PHI.
    pub fn phi(&self) -> bool {
        self.phi
    }
}

/// Why a peer or a request was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not authorized ({}): {nearest}", reason.label())]
pub struct Denied {
    /// The reason.
    pub reason: DenyReason,
    /// The rule that decided, or came nearest.
    pub rule: Arc<str>,
    /// The route's template, when a route matched.
    pub template: Option<Arc<str>>,
    /// What differed from the rule that came nearest, in words for the operator.
    pub nearest: String,
}

impl ListenerPolicy {
    /// The policy of an inbound listener.
    pub fn inbound(config: &Config, listener: &Inbound) -> Self {
        let routes = listener.routes.as_ref().map(|routes| {
            routes
                .iter()
                .map(|route| CompiledRoute {
                    rule: format!("{}/{}", listener.name, route.name).into(),
                    route: route.clone(),
                })
                .collect()
        });
        Self { routes, ..Self::new(config, &listener.name, &listener.allow, listener.phi) }
    }

    /// The policy of an outbound listener: its `expect`.
    pub fn outbound(config: &Config, listener: &Outbound) -> Self {
        Self::new(config, &listener.name, &listener.expect, listener.phi)
    }

    /// The policy of somebody who is no listener, and wants a server to be one of `expect`.
    pub fn expecting(config: &Config, name: &ListenerName, expect: &[PeerName]) -> Self {
        Self::new(config, name, expect, false)
    }

    fn new(config: &Config, listener: &ListenerName, allow: &[PeerName], phi: bool) -> Self {
        Self {
            listener: listener.clone(),
            rule: listener.as_str().into(),
            version: config.digest,
            phi,
            allowed: Peers::new(allow.iter().filter_map(|name| config.peers.get(name))),
            known: Peers::new(config.peers.values()),
            routes: None,
        }
    }

    /// Whether `who` may connect at `now`.
    ///
    /// # Errors
    ///
    /// Says why not, and which entry came nearest.
    pub fn authorize(&self, who: &PeerIdentity, now: OffsetDateTime) -> Result<Permit, Denied> {
        if who.certificate.not_after <= now {
            return Err(Denied {
                reason: DenyReason::CertificateExpired,
                rule: Arc::clone(&self.rule),
                template: None,
                nearest: "the peer's certificate has expired since its handshake".to_owned(),
            });
        }
        let mut expired = None;
        for peer in self.allowed.recognize(who) {
            match peer.expires {
                Some(end) if end <= now => expired = Some(peer),
                Some(_) | None => {
                    return Ok(Permit {
                        peer: peer.name.clone(),
                        rule: Arc::clone(&self.rule),
                        version: self.version,
                        until: peer.expires,
                    });
                }
            }
        }
        let (reason, nearest) = match (expired, self.known.recognize(who).next()) {
            (Some(peer), _) => (
                DenyReason::ListingExpired,
                format!("the entry of peer `{}` has expired", peer.name),
            ),
            (None, Some(peer)) => (
                DenyReason::NotListed,
                format!("peer `{}` is not among those whom `{}` allows", peer.name, self.listener),
            ),
            (None, None) => (DenyReason::UnknownPeer, self.nearest(who)),
        };
        Err(Denied { reason, rule: Arc::clone(&self.rule), template: None, nearest })
    }

    /// Whether the peer of `permit` may make this request. `path` is decoded and has no dot segments.
    ///
    /// # Errors
    ///
    /// Says why not, and which route came nearest.
    pub fn authorize_request(
        &self,
        permit: &Permit,
        method: &Method,
        path: &str,
    ) -> Result<RequestPermit, Denied> {
        let Some(routes) = &self.routes else {
            let rule = Arc::clone(&permit.rule);
            return Ok(RequestPermit { rule, template: None, phi: self.phi });
        };
        let mut other_method = None;
        for CompiledRoute { route, rule } in routes {
            if !matches(&route.path, path) {
                continue;
            }
            if !route.methods.is_empty() && !route.methods.contains(method) {
                other_method.get_or_insert(route);
                continue;
            }
            let template = Some(Arc::clone(&route.path.text));
            if route.allow.contains(&permit.peer) {
                return Ok(RequestPermit { rule: Arc::clone(rule), template, phi: route.phi });
            }
            return Err(Denied {
                reason: DenyReason::NotListedForRoute,
                rule: Arc::clone(rule),
                template,
                nearest: format!("route `{}` does not allow peer `{}`", route.name, permit.peer),
            });
        }
        Err(Denied {
            reason: DenyReason::NoRoute,
            rule: Arc::clone(&self.rule),
            template: other_method.map(|route| Arc::clone(&route.path.text)),
            nearest: match other_method {
                Some(route) => format!("route `{}` has this path, not this method", route.name),
                None => "no route has this path".to_owned(),
            },
        })
    }

    /// The answer to a request on a connection whose permit does not hold any more.
    pub fn withdrawn(&self, reason: Withdrawal) -> Denied {
        Denied {
            reason: DenyReason::PermitWithdrawn,
            rule: Arc::clone(&self.rule),
            template: None,
            nearest: format!("the connection's permit was withdrawn: {}", reason.label()),
        }
    }

    /// Whether anything behind this listener is PHI: the listener itself, or one of its routes.
    pub fn guards_phi(&self) -> bool {
        let routes = self.routes.iter().flatten();
        self.phi || routes.into_iter().any(|compiled| compiled.route.phi)
    }

    /// The version of the policy: the configuration's digest.
    pub fn version(&self) -> Fingerprint {
        self.version
    }

    fn nearest(&self, who: &PeerIdentity) -> String {
        match self.allowed.nearest(who) {
            Some((peer, wanted, name)) => {
                format!("nearest is peer `{}`, which is {wanted}; this one is {name}", peer.name)
            }
            None => format!("nobody is allowed on `{}`", self.listener),
        }
    }
}

/// The entries of `peers` that recognize `who`, whatever they are allowed.
pub fn recognized(config: &Config, who: &PeerIdentity) -> Vec<PeerName> {
    Peers::new(config.peers.values()).recognize(who).map(|peer| peer.name.clone()).collect()
}

fn matches(template: &PathTemplate, path: &str) -> bool {
    // One slash at the end changes nothing: to most workloads both are the same page, and a rule that one
    // spelling escapes is none.
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut parts = path.split('/').peekable();
    if path.is_empty() {
        parts.next();
    }
    for segment in &template.segments {
        match (segment, parts.next()) {
            (Segment::Rest, _) => return true,
            (Segment::Literal(text), Some(part)) if text == part => {}
            (Segment::Any, Some(part)) if !part.is_empty() => {}
            (Segment::Literal(_) | Segment::Any, _) => return false,
        }
    }
    parts.next().is_none()
}
