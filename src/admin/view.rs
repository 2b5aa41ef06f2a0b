//! What `/status` shows of the process: facts only, no key, no PHI.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{LenientView, PolicyView, partners};
use crate::certs::{self, Anchor};
use crate::clock::{self, rfc3339};
use crate::config::SandboxMode;
use crate::export::Standing;
use crate::identity::{Fingerprint, PeerCertificate};
use crate::inventory::{Inventory, OpenConnections};
use crate::live::Live;
use crate::sandbox::Sandbox;
use crate::upstream::Upstreams;

/// What the process is doing.
pub struct View {
    /// The service beside which it stands.
    pub service: Arc<str>,
    /// The configuration file.
    pub config: PathBuf,
    /// Its digest: the version of the policy.
    pub policy: Fingerprint,
    /// How many configurations took effect since the start, the first included.
    pub configurations: u64,
    /// When the process started.
    pub started: OffsetDateTime,
    /// Our own certificate.
    pub certificate: Arc<PeerCertificate>,
    /// When the first of our own certificates expires.
    pub not_after: OffsetDateTime,
    /// How their rotation is doing.
    pub standing: Live<certs::Standing>,
    /// The trust bundle.
    pub anchors: Vec<Anchor>,
    /// When the first revocation list is due for its next update.
    pub crl_next_update: Option<OffsetDateTime>,
    /// What peers have presented.
    pub inventory: Inventory,
    /// What holds the process: as it was asked for, and as it is.
    pub sandbox: (SandboxMode, Arc<Sandbox>),
    /// The listeners.
    pub listeners: Vec<ListenerView>,
    /// Where the trail goes out to.
    pub exports: Vec<Arc<Standing>>,
    /// The rules and peers, and how they are used.
    pub rules: PolicyView,
    /// Why the last reload or rotation was refused, if it was.
    pub last_failure: Option<String>,
    /// Whether the process is draining.
    pub draining: bool,
    /// Switches that fail open, by key.
    pub fails_open: Vec<String>,
}

/// What a listener is doing.
#[derive(Clone)]
pub struct ListenerView {
    /// Its name.
    pub name: String,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// Where it listens.
    pub listen: String,
    /// `tcp` or `http`.
    pub protocol: &'static str,
    /// Whether it is a PHI endpoint.
    pub phi: bool,
    /// Who may connect, or whom the server must prove to be.
    pub peers: Vec<String>,
    /// Inbound: how strict it is.
    pub lenient: Option<LenientView>,
    /// Its connections that hold a permit.
    pub open: Arc<OpenConnections>,
    /// Outbound: the endpoints.
    pub upstreams: Option<Arc<Upstreams>>,
}

fn sandbox(asked: SandboxMode, is: &Sandbox) -> Value {
    let files = is.files.as_ref().map(|files| {
        let paths = json!({ "read": files.read, "write": files.write, "listen": files.listen });
        json!({ "abi": files.abi, "paths": paths })
    });
    json!({
        "mode": asked.label(),
        "landlock": files,
        "seccomp": is.filtered,
        "no_new_privs": is.no_new_privs,
        "core_dumps": is.core_dumps,
        "capabilities": is.capabilities,
        "missing": is.missing,
    })
}

impl View {
    /// Why traffic should not be sent here, if it should not.
    pub(super) fn unready(&self) -> Option<&'static str> {
        if self.draining {
            return Some("draining");
        }
        if self.not_after <= clock::now() {
            return Some("own certificate has expired");
        }
        None
    }

    pub(super) fn json(&self) -> Value {
        let now = clock::onward();
        let partners = self.inventory.partners();
        json!({
            "service": self.service,
            "version": env!("CARGO_PKG_VERSION"),
            "started": rfc3339(self.started),
            "draining": self.draining,
            "config": {
                "path": self.config,
                "generation": self.configurations,
                "policy": format!("sha256:{}", self.policy),
            },
            "certificate": self.certificate(),
            "trust_bundle": partners::anchors(&self.anchors, &self.inventory),
            "crl_next_update": self.crl_next_update.map(rfc3339),
            "peers": partners::peers(&partners, now),
            "policy": self.rules.json(&partners, now),
            "listeners": self.listeners.iter().map(|listener| listener.json(now)).collect::<Vec<_>>(),
            "sandbox": sandbox(self.sandbox.0, &self.sandbox.1),
            "fails_open": self.fails_open(now),
            "last_failure": self.last_failure,
        })
    }

    fn fails_open(&self, now: OffsetDateTime) -> Vec<String> {
        let mut open = self.fails_open.clone();
        for listener in &self.listeners {
            let Some(lenient) = &listener.lenient else { continue };
            let name = &listener.name;
            open.extend(lenient.is_permissive(now).then(|| format!("inbound.{name}.mode")));
            open.extend(lenient.observes(now).then(|| format!("inbound.{name}.enforce")));
        }
        open
    }

    fn certificate(&self) -> Value {
        let certificate = &self.certificate;
        let standing = self.standing.snapshot();
        let certs::Standing { source, renew_at, rotated, rejected } = &standing.value;
        json!({
            "spiffe": certificate.spiffe.as_ref().map(ToString::to_string),
            "alternative_names": certificate.alternative_names,
            "issuer": certificate.issuer,
            "serial": certificate.serial,
            "sha256": certificate.sha256.to_string(),
            "not_before": rfc3339(certificate.not_before),
            "not_after": rfc3339(self.not_after),
            "source": source,
            "renew_at": renew_at.map(rfc3339),
            "rotated_at": rotated.map(rfc3339),
            "rejected": rejected.as_ref().map(|rejected| json!({
                "at": rfc3339(rejected.at),
                "since": rfc3339(rejected.since),
                "problems": rejected.problems,
            })),
        })
    }
}

impl ListenerView {
    fn json(&self, now: OffsetDateTime) -> Value {
        let upstreams = self.upstreams.as_ref().map(|upstreams| {
            upstreams
                .status()
                .into_iter()
                .map(|(endpoint, healthy)| json!({ "endpoint": endpoint, "healthy": healthy }))
                .collect::<Vec<_>>()
        });
        let mut shown = json!({
            "name": self.name,
            "direction": self.direction,
            "listen": self.listen,
            "protocol": self.protocol,
            "phi": self.phi,
            "peers": self.peers,
            "upstreams": upstreams,
        });
        if let (Some(shown), Some(lenient)) = (shown.as_object_mut(), &self.lenient) {
            shown.extend(lenient.json(now));
        }
        shown
    }
}
