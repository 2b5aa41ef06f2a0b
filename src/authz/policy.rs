//! One listener's rules, compiled, and who may connect by them.

use std::sync::Arc;

use http::Method;
use time::OffsetDateTime;

use super::associations::Associations;
use super::messages::{Messages, Senders};
use super::peers::Peers;
use super::permit::{Denied, Holder, Permit};
use super::rego::RegoPolicy;
use super::routes::Routes;
use crate::config::{Config, Inbound, Listener, Outbound};
use crate::identity::{Fingerprint, ListenerName, PeerIdentity, PeerName};
use crate::outcome::{DenyReason, Differs, Withdrawal};

/// A request, as far as rules look at it.
#[derive(Debug, Clone, Copy)]
pub struct Requested<'a> {
    /// The method.
    pub method: &'a Method,
    /// The host as it was named, in lower case and without a port; `None` only for HTTP/1.0.
    pub host: Option<&'a str>,
    /// Decoded, without dot segments.
    pub path: &'a str,
    /// The SOAP action that the headers claim.
    pub soap_action: Option<&'a str>,
    /// What comes after `?`, as it came in.
    pub query: Option<&'a str>,
    /// What `If-None-Exist` says: a search that is made before something is created.
    pub condition: Option<&'a str>,
    /// Of a request on record: the types of FHIR resources that it got at beside its own; `None`: any.
    pub reached: &'a [Option<&'static str>],
}

impl<'a> Requested<'a> {
    /// A request without a host, a query, or anything that its head says.
    pub const fn plain(method: &'a Method, path: &'a str) -> Self {
        Self {
            method,
            host: None,
            path,
            soap_action: None,
            query: None,
            condition: None,
            reached: &[],
        }
    }
}

/// Who may connect to a listener, and ask it for what.
///
/// For an outbound listener: whom its server must prove to be.
#[derive(Debug)]
pub struct ListenerPolicy {
    pub(super) listener: ListenerName,
    /// The listener's own rule. A permit that has this very text is of this policy and no other.
    pub(super) rule: Arc<str>,
    pub(super) line: u32,
    version: Fingerprint,
    permissive_until: Option<OffsetDateTime>,
    observe_until: Option<OffsetDateTime>,
    /// Whether a request is an access to PHI where no route says otherwise.
    pub(super) phi: bool,
    pub(super) allowed: Peers,
    known: Peers,
    pub(super) routes: Option<Routes>,
    pub(super) messages: Option<Messages>,
    pub(super) senders: Option<Senders>,
    pub(super) associations: Option<Associations>,
    /// What may narrow all of it.
    pub(super) rego: Option<Arc<RegoPolicy>>,
}

impl ListenerPolicy {
    /// The policy of a listener of either direction.
    pub fn of(config: &Config, listener: Listener<'_>) -> Self {
        match listener {
            Listener::Inbound(listener) => Self::inbound(config, listener),
            Listener::Outbound(listener) => Self::outbound(config, listener),
        }
    }

    /// The policy of an inbound listener.
    pub fn inbound(config: &Config, listener: &Inbound) -> Self {
        let name = &listener.name;
        let base = Self::new(config, (name, listener.line), &listener.allow, listener.phi);
        let peers = &base.allowed;
        let routes = listener.routes.as_ref().map(|routes| Routes::new(name, routes, peers));
        let messages = listener.mllp.messages.as_ref();
        let messages = messages.map(|rules| Messages::new(name, rules, peers));
        let behind = messages.as_ref().map_or(0, Messages::count);
        let senders = listener.mllp.senders.as_ref();
        let senders = senders.map(|rules| Senders::new(name, behind, rules, peers));
        let associations = listener.associations.as_ref();
        let associations = associations.map(|rules| Associations::new(name, rules, peers));
        let (permissive_until, observe_until) = (listener.permissive_until, listener.observe_until);
        Self { routes, messages, senders, associations, permissive_until, observe_until, ..base }
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
            messages: None,
            senders: None,
            associations: None,
            rego: None,
        }
    }

    /// The same listener's policy, narrowed by `rego`.
    #[must_use]
    pub fn narrowed_by(self, rego: Option<Arc<RegoPolicy>>) -> Self {
        Self { rego, ..self }
    }

    /// What narrows it.
    pub fn rego(&self) -> Option<&RegoPolicy> {
        self.rego.as_deref()
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
            let Some(until) = self.observed_until(now) else { return Err(denied) };
            let would_deny = Some(Arc::new(denied));
            Ok(Permit { until: Some(until), would_deny, ..self.permit(Holder::Observed, None) })
        })
    }

    /// Whether `who` may stay connected at `now`, who was put on record as `then`: an open connection, and what
    /// Rego is asked of it, goes by that name.
    ///
    /// # Errors
    ///
    /// They would not be let in, or as somebody else.
    pub fn authorize_again(
        &self,
        who: &PeerIdentity,
        then: Option<&PeerName>,
        now: OffsetDateTime,
    ) -> Result<Permit, Denied> {
        let permit = self.authorize(who, now)?;
        match (then, permit.peer()) {
            (Some(then), Some(by_now)) if then != by_now => {
                let nearest =
                    format!("was let in as peer `{then}`, and is peer `{by_now}` by these rules");
                Err(self.denied(DenyReason::PeerChanged, Differs::Peer, nearest))
            }
            _ => Ok(permit),
        }
    }

    /// Whether somebody may connect at `now` who comes in plaintext and proves nothing.
    pub fn plaintext(&self, now: OffsetDateTime) -> Option<Permit> {
        let until = self.permissive_until(now)?;
        Some(Permit { until: Some(until), ..self.permit(Holder::Plaintext, None) })
    }

    fn permit(&self, holder: Holder, number: Option<u32>) -> Permit {
        Permit {
            holder,
            number,
            rule: Arc::clone(&self.rule),
            line: self.line,
            version: self.version,
            until: None,
            would_deny: None,
        }
    }

    /// Until when policy is only observed, if it is at `now`.
    pub fn observed_until(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        self.observe_until.filter(|until| now < *until)
    }

    /// Until when plaintext is taken, too, if it is at `now`.
    pub fn permissive_until(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        self.permissive_until.filter(|until| now < *until)
    }

    fn judge(&self, who: &PeerIdentity, now: OffsetDateTime) -> Result<Permit, Denied> {
        if who.certificate.not_after <= now {
            let nearest = "the peer's certificate has expired".to_owned();
            return Err(self.denied(DenyReason::CertificateExpired, Differs::Expires, nearest));
        }
        let mut expired = None;
        for (number, peer) in self.allowed.recognize(who) {
            match peer.expires {
                Some(end) if end <= now => expired = Some(peer),
                Some(_) | None => {
                    let permit = self.permit(Holder::Peer(peer.name.clone()), Some(number));
                    return Ok(Permit { until: peer.expires, ..permit });
                }
            }
        }
        Err(match (expired, self.known.recognize(who).next()) {
            (Some(peer), _) => self.listing_expired(&peer.name),
            (None, Some((_, peer))) => self.not_listed(&peer.name),
            (None, None) => self.denied(DenyReason::UnknownPeer, Differs::Peer, self.nearest(who)),
        })
    }

    pub(super) fn listing_expired(&self, peer: &PeerName) -> Denied {
        let nearest = format!("the entry of peer `{peer}` has expired");
        let denied = self.denied(DenyReason::ListingExpired, Differs::Expires, nearest);
        Denied { peer: Some(peer.clone()), ..denied }
    }

    pub(super) fn not_listed(&self, peer: &PeerName) -> Denied {
        let nearest = format!("peer `{peer}` is not among those whom `{}` allows", self.listener);
        let denied = self.denied(DenyReason::NotListed, Differs::Peer, nearest);
        Denied { peer: Some(peer.clone()), ..denied }
    }

    /// A denial by the listener's own rule.
    pub(super) fn denied(&self, reason: DenyReason, differs: Differs, nearest: String) -> Denied {
        let (rule, line, version) = (Arc::clone(&self.rule), self.line, self.version);
        let differs = Some(differs);
        Denied { reason, rule, line, version, peer: None, template: None, differs, nearest }
    }

    /// The answer to a request on a connection whose permit does not hold any more.
    pub fn withdrawn(&self, reason: Withdrawal) -> Denied {
        let nearest = format!("the connection's permit was withdrawn: {}", reason.label());
        let denied = self.denied(DenyReason::PermitWithdrawn, Differs::Peer, nearest);
        Denied { differs: None, ..denied }
    }

    /// Whether anything behind this listener is PHI: the listener itself, or one of its routes.
    pub fn guards_phi(&self) -> bool {
        let mut routes = self.routes.iter().flat_map(Routes::iter);
        self.phi || routes.any(|compiled| compiled.route.phi)
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
    let peers = Peers::new(config.peers.values());
    peers.recognize(who).map(|(_, peer)| peer.name.clone()).collect()
}
