//! An attempt on record, judged by a configuration: by its compiled policy, as a connection would be.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use time::OffsetDateTime;

use super::candidates;
use super::history::Attempt;
use super::narrow::{NotAsked, Scene};
use super::what::{What, Words, segments};
use super::who::{Proven, Who};
use crate::authz::{Asked, Denied, ListenerPolicy, Permit, RegoPolicy, Requested};
use crate::config::{Config, Inbound, Listener, PeerMatcher, Protocol, Route, TLS_HANDSHAKE};
use crate::identity::{Fingerprint, PeerIdentity};
use crate::outcome::DenyReason;
use crate::protocol::{dicom, mllp};

/// What a configuration says to an attempt, once everything in it is enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is let through.
    Allowed {
        /// By which rule.
        rule: String,
        /// Its line.
        line: u32,
    },
    /// It is denied.
    Denied(Denial),
    /// The record says too little to know.
    Unjudged(Unjudged),
}

/// A denial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Why; `None` where TLS alone is taken, and it came without.
    pub reason: Option<DenyReason>,
    /// The rule that decided, or came nearest.
    pub rule: String,
    /// Its line.
    pub line: u32,
    /// How it differs.
    pub why: String,
}

/// What a record does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unjudged {
    /// The configuration has no such listener.
    Listener,
    /// The listener carries another protocol now.
    Protocol,
    /// The path, of which rules have something to say.
    Path,
    /// The host, of which rules have something to say.
    Host,
    /// The whole of a text, which was cut.
    Text,
    /// Which types of FHIR resources a search reached, of which rules have something to say.
    Reach,
    /// The public key, by which a peer is known.
    Key,
    /// Something that the policy in Rego reads.
    Rego,
}

impl Unjudged {
    /// In words for the operator.
    pub fn text(self) -> &'static str {
        match self {
            Self::Listener => "their listener is not in the configuration",
            Self::Protocol => "their listener carries another protocol now",
            Self::Path => {
                "no path on record (routes put their templates there; `observe_paths` does without)"
            }
            Self::Host => "routes differ by host, which is not on record",
            Self::Text => "what was asked for is cut on record",
            Self::Reach => {
                "a search may have reached any type of resources, and routes differ by that"
            }
            Self::Key => "a peer is known by `spki`, and public keys are not on record",
            Self::Rego => {
                "Rego was not asked: it reads what is not known here; `explain` says what"
            }
        }
    }
}

/// A configuration whose policies are compiled.
#[derive(Debug)]
pub struct Judge<'c> {
    config: &'c Config,
    now: OffsetDateTime,
    listeners: BTreeMap<&'c str, (Listener<'c>, ListenerPolicy)>,
    has_keys: bool,
}

impl<'c> Judge<'c> {
    /// Judges as `config` would at `now`.
    pub fn new(config: &'c Config, now: OffsetDateTime) -> Self {
        let is_key = |matcher: &PeerMatcher| matches!(matcher, PeerMatcher::KeyPin(_));
        Self {
            config,
            now,
            listeners: config
                .listeners()
                .map(|one| (one.name().as_str(), (one, ListenerPolicy::of(config, one))))
                .collect(),
            has_keys: config.peers.values().any(|peer| is_key(&peer.matcher)),
        }
    }

    /// The same, by rules that Rego narrows.
    #[must_use]
    pub fn narrowed_by(self, rego: Option<&Arc<RegoPolicy>>) -> Self {
        let listeners = self.listeners.into_iter();
        Self {
            listeners: listeners
                .map(|(name, (one, policy))| (name, (one, policy.narrowed_by(rego.cloned()))))
                .collect(),
            ..self
        }
    }

    /// The configuration.
    pub fn config(&self) -> &'c Config {
        self.config
    }

    /// What it says to `attempt`.
    pub fn judge(&self, attempt: &Attempt<'_>) -> Verdict {
        let identity = self.identity(attempt.who, attempt.certificate);
        let scene = self.scene(attempt.listener, identity.as_ref());
        let Some(scene) = scene.filter(|scene| scene.direction() == attempt.direction) else {
            return Verdict::Unjudged(Unjudged::Listener);
        };
        match self.connect(scene.policy, identity.as_ref()) {
            Ok(permit) => {
                let asking = Asking { scene, permit: &permit };
                match (asking.connection(), scene.listener) {
                    (verdict @ Verdict::Allowed { .. }, Listener::Inbound(listener)) => {
                        asking.ask(listener, attempt.what, verdict)
                    }
                    (verdict, _) => verdict,
                }
            }
            Err(denial) if self.may_be_a_key(attempt.who, &denial) => {
                Verdict::Unjudged(Unjudged::Key)
            }
            Err(denial) => Verdict::Denied(denial),
        }
    }

    /// What the listener `name` says to somebody; `None` is somebody in plaintext, and no question but whether
    /// to connect.
    pub(super) fn put(
        &self,
        name: &str,
        who: Option<&PeerIdentity>,
        asked: Option<Asked<'_>>,
    ) -> Verdict {
        let Some(scene) = self.scene(name, who) else {
            return Verdict::Unjudged(Unjudged::Listener);
        };
        let scene = Scene { is_precise: true, ..scene };
        match self.connect(scene.policy, who) {
            Ok(permit) => {
                let asking = Asking { scene, permit: &permit };
                match (asking.connection(), asked) {
                    (Verdict::Allowed { .. }, Some(asked)) => asking.put(asked),
                    (verdict, _) => verdict,
                }
            }
            Err(denial) => Verdict::Denied(denial),
        }
    }

    /// The listener `name`, asked by `who` for what is on record.
    fn scene<'a>(&'a self, name: &str, who: Option<&'a PeerIdentity>) -> Option<Scene<'a>> {
        let (listener, policy) = self.listeners.get(name)?;
        let (config, listener, at) = (self.config, *listener, self.now);
        Some(Scene { config, policy, listener, who, at, is_precise: false })
    }

    /// Whether somebody may connect, once policy is enforced.
    fn connect(
        &self,
        policy: &ListenerPolicy,
        who: Option<&PeerIdentity>,
    ) -> Result<Permit, Denial> {
        let Some(identity) = who else {
            return policy.plaintext(self.now).ok_or_else(plaintext);
        };
        let permit = policy.authorize(identity, self.now).map_err(|denied| Denial::of(&denied))?;
        match permit.would_deny() {
            Some(denied) => Err(Denial::of(denied)),
            None => Ok(permit),
        }
    }

    /// The peer as it would connect. One that was known by its public key still has it.
    fn identity(&self, who: &Who, certificate: Fingerprint) -> Option<PeerIdentity> {
        let mut identity = who.identity(certificate, self.now)?;
        let known = who.peer.as_ref().and_then(|name| self.config.peers.get(name));
        if let Some(PeerMatcher::KeyPin(pin)) = known.map(|peer| &peer.matcher) {
            let mut certificate = (*identity.certificate).clone();
            certificate.key_sha256 = *pin;
            identity.certificate = certificate.into();
        }
        Some(identity)
    }

    fn may_be_a_key(&self, who: &Who, denial: &Denial) -> bool {
        self.has_keys
            && matches!(who.proven, Proven::Pin(_))
            && denial.reason == Some(DenyReason::UnknownPeer)
    }
}

/// One who asks rules.
struct Asking<'a> {
    scene: Scene<'a>,
    permit: &'a Permit,
}

impl Asking<'_> {
    /// Whether the holder of the permit may do `what`. `connected` is the verdict on its connection.
    fn ask(&self, listener: &Inbound, what: &What, connected: Verdict) -> Verdict {
        let protocol = match what {
            What::Connect => return connected,
            What::Request { .. } => Protocol::Http,
            What::Message { .. } => Protocol::Mllp,
            What::Association { .. } => Protocol::Dicom,
        };
        if listener.protocol == Protocol::Tcp {
            return connected;
        }
        if listener.protocol != protocol {
            return Verdict::Unjudged(Unjudged::Protocol);
        }
        match what {
            What::Connect => connected,
            What::Request { method, path, words } => {
                self.request(listener, method, path.as_deref(), words.as_ref())
            }
            What::Message { code, trigger, application, facility } => {
                if [code, trigger, application, facility].iter().any(|text| text.ends_with('…')) {
                    return Verdict::Unjudged(Unjudged::Text);
                }
                let header = mllp::Header::claiming((code, trigger), (application, facility));
                self.put(Asked::Message(&header))
            }
            What::Association { calling, called, classes } => {
                self.put(Asked::Association(&dicom::Request::proposing(calling, called, classes)))
            }
        }
    }

    /// Whether the connection itself is let in.
    fn connection(&self) -> Verdict {
        match self.scene.narrow_permit(self.permit.clone()) {
            Ok(Ok(permit)) => match permit.would_deny() {
                Some(denied) => Verdict::Denied(Denial::of(denied)),
                None => allowed(&permit),
            },
            Ok(Err(denied)) => Verdict::Denied(Denial::of(&denied)),
            Err(NotAsked(_)) => Verdict::Unjudged(Unjudged::Rego),
        }
    }

    fn put(&self, asked: Asked<'_>) -> Verdict {
        let Scene { policy, at, .. } = self.scene;
        let granted = match policy.decide(self.permit, asked, at) {
            Ok(grant) => self.scene.narrow(self.permit, grant, asked),
            Err(denied) => Ok(Err(denied)),
        };
        match granted {
            Ok(Ok(grant)) => match grant.would_deny() {
                Some(denied) => Verdict::Denied(Denial::of(denied)),
                None => Verdict::Allowed { rule: grant.rule().to_string(), line: grant.line() },
            },
            Ok(Err(denied)) => Verdict::Denied(Denial::of(&denied)),
            Err(NotAsked(_)) => Verdict::Unjudged(Unjudged::Rego),
        }
    }

    /// A request, on every path and host that the record may stand for.
    fn request(
        &self,
        listener: &Inbound,
        method: &str,
        path: Option<&str>,
        words: Option<&Words>,
    ) -> Verdict {
        let no_routes = Vec::new();
        let routes = listener.routes.as_ref().unwrap_or(&no_routes);
        let soap_action = match words {
            Some(Words::Soap(action)) if action.ends_with('…') => {
                return Verdict::Unjudged(Unjudged::Text);
            }
            Some(Words::Soap(action)) => Some(action.as_str()),
            _ => None,
        };
        let paths = path.and_then(|path| {
            let segments = segments(path);
            match words {
                Some(words) => candidates::worded(method, &segments, words),
                None => Some(candidates::paths(&segments)),
            }
        });
        let (Some(paths), Ok(method)) = (paths, Method::from_bytes(method.as_bytes())) else {
            return Verdict::Unjudged(Unjudged::Path);
        };
        let reached = match words {
            Some(Words::Fhir { reached, .. }) => reached.as_slice(),
            _ => &[],
        };
        // What may have reached any type may as well have reached none but those that are known.
        let known: Vec<_> = reached.iter().copied().filter(Option::is_some).collect();
        let plain = Requested::plain(&method, "");
        let asked =
            |reached| self.everywhere(routes, &paths, &Requested { soap_action, reached, ..plain });
        match (asked(reached), asked(&known)) {
            (Verdict::Denied(_), Verdict::Allowed { .. }) => Verdict::Unjudged(Unjudged::Reach),
            (verdict, _) => verdict,
        }
    }

    /// The request on each of `paths`, at every host that makes a difference.
    fn everywhere(&self, routes: &[Route], paths: &[String], asked: &Requested<'_>) -> Verdict {
        // A host that no route names, and each that one does.
        let named = routes.iter().flat_map(|route| &route.hosts).map(|host| Some(&**host));
        let hosts: Vec<_> = [None].into_iter().chain(named).collect();
        let is_allowed = |one: &Verdict| matches!(one, Verdict::Allowed { .. });
        let mut verdict = None;
        for path in paths {
            let of_host = |host| self.put(Asked::Request(&Requested { host, path, ..*asked }));
            let verdicts: Vec<_> = hosts.iter().copied().map(of_host).collect();
            let allowed = verdicts.iter().filter(|one| is_allowed(one)).count();
            if allowed != 0 && allowed != verdicts.len() {
                return Verdict::Unjudged(Unjudged::Host);
            }
            let first = verdicts.into_iter().next();
            if verdict.as_ref().is_none_or(is_allowed) {
                verdict = first.or(verdict);
            }
        }
        verdict.unwrap_or(Verdict::Unjudged(Unjudged::Path))
    }
}

impl Denial {
    fn of(denied: &Denied) -> Self {
        Self {
            reason: Some(denied.reason),
            rule: denied.rule.to_string(),
            line: denied.line,
            why: denied.nearest.clone(),
        }
    }

    /// The reason's label.
    pub fn label(&self) -> &'static str {
        self.reason.map_or("plaintext", DenyReason::label)
    }
}

fn plaintext() -> Denial {
    Denial {
        reason: None,
        rule: TLS_HANDSHAKE.to_owned(),
        line: 0,
        why: "the listener takes TLS only: it is not, or no more, permissive".to_owned(),
    }
}

fn allowed(permit: &Permit) -> Verdict {
    Verdict::Allowed { rule: permit.rule().to_string(), line: permit.line() }
}
