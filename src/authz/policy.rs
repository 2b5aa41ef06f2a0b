//! One listener's rules, compiled, and the permits that they give.

use std::sync::Arc;

use http::Method;
use time::OffsetDateTime;

use super::peers::Peers;
use super::permit::{Denied, Grant, Holder, Permit};
use crate::config::{Config, Inbound, Outbound, PathTemplate, Route, Segment};
use crate::identity::{Fingerprint, ListenerName, PeerIdentity, PeerName};
use crate::outcome::{DenyReason, Differs, Withdrawal};
use crate::protocol::{dicom, mllp};

/// A request, as far as rules look at it.
#[derive(Debug, Clone, Copy)]
pub struct Requested<'a> {
    /// The method.
    pub method: &'a Method,
    /// The host as it was named; `None` only for HTTP/1.0.
    pub host: Option<&'a str>,
    /// Decoded, without dot segments.
    pub path: &'a str,
    /// The SOAP action that the headers claim.
    pub soap_action: Option<&'a str>,
}

/// Who may connect to a listener, and ask it for what.
///
/// For an outbound listener: whom its server must prove to be.
#[derive(Debug)]
pub struct ListenerPolicy {
    listener: ListenerName,
    rule: Arc<str>,
    line: u32,
    version: Fingerprint,
    permissive_until: Option<OffsetDateTime>,
    observe_until: Option<OffsetDateTime>,
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

impl ListenerPolicy {
    /// The policy of an inbound listener.
    pub fn inbound(config: &Config, listener: &Inbound) -> Self {
        let routes = listener.routes.as_ref().map(|routes| {
            routes
                .iter()
                .map(|route| CompiledRoute {
                    rule: format!("{}/{}", listener.name, route.rule.name).into(),
                    route: route.clone(),
                })
                .collect()
        });
        let base =
            Self::new(config, (&listener.name, listener.line), &listener.allow, listener.phi);
        let (permissive_until, observe_until) = (listener.permissive_until, listener.observe_until);
        Self { routes, permissive_until, observe_until, ..base }
    }

    /// The policy of an outbound listener: its `expect`.
    pub fn outbound(config: &Config, listener: &Outbound) -> Self {
        Self::new(config, (&listener.name, listener.line), &listener.expect, listener.phi)
    }

    /// The policy of somebody who is no listener, and wants a server to be one of `expect`.
    pub fn expecting(config: &Config, name: &ListenerName, expect: &[PeerName]) -> Self {
        Self::new(config, (name, 0), expect, false)
    }

    fn new(
        config: &Config,
        (listener, line): (&ListenerName, u32),
        allow: &[PeerName],
        phi: bool,
    ) -> Self {
        Self {
            line,
            permissive_until: None,
            observe_until: None,
            listener: listener.clone(),
            rule: listener.as_str().into(),
            version: config.digest,
            phi,
            allowed: Peers::new(allow.iter().filter_map(|name| config.peers.get(name))),
            known: Peers::new(config.peers.values()),
            routes: None,
        }
    }

    /// Whether `who` may connect at `now`. While policy is only observed, everybody may whose certificate is
    /// valid, and the permit says why not.
    ///
    /// # Errors
    ///
    /// Says why not, and which entry came nearest.
    pub fn authorize(&self, who: &PeerIdentity, now: OffsetDateTime) -> Result<Permit, Denied> {
        self.judge(who, now).or_else(|denied| {
            if denied.reason == DenyReason::CertificateExpired {
                return Err(denied);
            }
            let until = self.observed(now).ok_or_else(|| denied.clone())?;
            let would_deny = Some(Arc::new(denied));
            Ok(Permit { until: Some(until), would_deny, ..self.permit(Holder::Observed) })
        })
    }

    /// Whether somebody may connect at `now` who comes in plaintext and proves nothing.
    pub fn plaintext(&self, now: OffsetDateTime) -> Option<Permit> {
        let until = self.permissive_until.filter(|until| now < *until)?;
        Some(Permit { until: Some(until), ..self.permit(Holder::Plaintext) })
    }

    fn permit(&self, holder: Holder) -> Permit {
        Permit {
            holder,
            number: None,
            rule: Arc::clone(&self.rule),
            line: self.line,
            version: self.version,
            until: None,
            would_deny: None,
        }
    }

    /// Until when policy is only observed, if it is at `now`.
    fn observed(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        self.observe_until.filter(|until| now < *until)
    }

    fn judge(&self, who: &PeerIdentity, now: OffsetDateTime) -> Result<Permit, Denied> {
        if who.certificate.not_after <= now {
            return Err(Denied {
                differs: Some(Differs::Expires),
                ..self.denied(
                    DenyReason::CertificateExpired,
                    "the peer's certificate has expired since its handshake".to_owned(),
                )
            });
        }
        let mut expired = None;
        for peer in self.allowed.recognize(who) {
            match peer.expires {
                Some(end) if end <= now => expired = Some(peer),
                Some(_) | None => {
                    let permit = self.permit(Holder::Peer(peer.name.clone()));
                    return Ok(Permit { until: peer.expires, ..permit });
                }
            }
        }
        let (reason, differs, nearest) = match (expired, self.known.recognize(who).next()) {
            (Some(peer), _) => (
                DenyReason::ListingExpired,
                Differs::Expires,
                format!("the entry of peer `{}` has expired", peer.name),
            ),
            (None, Some(peer)) => (
                DenyReason::NotListed,
                Differs::Peer,
                format!("peer `{}` is not among those whom `{}` allows", peer.name, self.listener),
            ),
            (None, None) => (DenyReason::UnknownPeer, Differs::Peer, self.nearest(who)),
        };
        Err(Denied { differs: Some(differs), ..self.denied(reason, nearest) })
    }

    fn denied(&self, reason: DenyReason, nearest: String) -> Denied {
        let (rule, line) = (Arc::clone(&self.rule), self.line);
        Denied { reason, rule, line, template: None, differs: None, nearest }
    }

    /// Whether the holder of `permit` may make this request.
    ///
    /// # Errors
    ///
    /// Says why not, and which route came nearest.
    pub fn authorize_request(
        &self,
        permit: &Permit,
        asked: &Requested<'_>,
        _now: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        let Some(routes) = &self.routes else {
            return Ok(self.granted(permit));
        };
        let mut other_method = None;
        for CompiledRoute { route, rule } in routes {
            if !matches(&route.path, asked.path) {
                continue;
            }
            if !route.methods.is_empty() && !route.methods.contains(asked.method) {
                other_method.get_or_insert(route);
                continue;
            }
            let template = Some(Arc::clone(&route.path.text));
            if permit.peer().is_some_and(|peer| route.rule.allow.contains(peer)) {
                let (rule, line) = (Arc::clone(rule), route.rule.line);
                return Ok(Grant { rule, line, template, phi: route.phi, ..self.granted(permit) });
            }
            let who = permit.peer().map_or("", |peer| peer.as_str());
            return Err(Denied {
                reason: DenyReason::NotListedForRoute,
                rule: Arc::clone(rule),
                line: route.rule.line,
                template,
                differs: Some(Differs::Peer),
                nearest: format!("route `{}` does not allow peer `{who}`", route.rule.name),
            });
        }
        let nearest = match other_method {
            Some(route) => format!("route `{}` has this path, not this method", route.rule.name),
            None => "no route has this path".to_owned(),
        };
        Err(Denied {
            template: other_method.map(|route| Arc::clone(&route.path.text)),
            line: other_method.map_or(self.line, |route| route.rule.line),
            differs: Some(if other_method.is_some() { Differs::Method } else { Differs::Path }),
            ..self.denied(DenyReason::NoRoute, nearest)
        })
    }

    /// Whether the holder of `permit` may send this message.
    ///
    /// # Errors
    ///
    /// Says why not, and which rule came nearest.
    pub fn authorize_message(
        &self,
        permit: &Permit,
        _message: &mllp::Header<'_>,
        _now: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        Ok(self.granted(permit))
    }

    /// Whether the holder of `permit` may have this association.
    ///
    /// # Errors
    ///
    /// Says why not, and which rule came nearest.
    pub fn authorize_association(
        &self,
        permit: &Permit,
        _association: &dicom::Request,
        _now: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        Ok(self.granted(permit))
    }

    /// What goes through under the connection's own rule.
    fn granted(&self, permit: &Permit) -> Grant {
        Grant {
            rule: Arc::clone(&permit.rule),
            line: permit.line,
            template: None,
            phi: self.phi,
            operation: None,
            respond: None,
            soap: None,
            would_deny: None,
        }
    }

    /// The answer to a request on a connection whose permit does not hold any more.
    pub fn withdrawn(&self, reason: Withdrawal) -> Denied {
        let nearest = format!("the connection's permit was withdrawn: {}", reason.label());
        self.denied(DenyReason::PermitWithdrawn, nearest)
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
