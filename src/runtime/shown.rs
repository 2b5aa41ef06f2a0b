//! What `/status` shows, put together from what runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use time::OffsetDateTime;

use super::listeners::Listeners;
use crate::admin::{PeerView, PolicyView, RuleView, View};
use crate::certs::{Material, Standing};
use crate::config::Config;
use crate::export::Exports;
use crate::identity::PeerName;
use crate::inventory::{Inventory, Usage};
use crate::listener::quota::Quotas;
use crate::live::Live;
use crate::sandbox::Sandbox;

/// What a view looks at by itself, and what does not change while the process runs.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) started: OffsetDateTime,
    pub(super) standing: Live<Standing>,
    pub(super) inventory: Inventory,
    pub(super) sandbox: Arc<Sandbox>,
}

impl Shown {
    /// The view of a sidecar that runs well and has done so from the start.
    pub(super) fn view(
        &self,
        config: &Config,
        material: &Material,
        (listeners, exports): (&Listeners, &Exports),
    ) -> View {
        View {
            service: Arc::clone(&config.service),
            config: config.path.clone(),
            policy: config.digest,
            started: self.started,
            certificate: Arc::clone(&material.facts),
            not_after: material.not_after(),
            standing: self.standing.clone(),
            anchors: material.trusted.anchors(),
            crl_next_update: material.trusted.crl_next_update(),
            inventory: self.inventory.clone(),
            sandbox: (config.sandbox, Arc::clone(&self.sandbox)),
            listeners: listeners.views(config),
            exports: exports.standings(),
            rules: listeners.policy(config),
            configurations: 1,
            last_failure: None,
            draining: false,
            fails_open: config.open_switches(),
        }
    }
}

/// The rules and peers of a configuration, as its inbound listeners use them.
pub(super) fn policy(config: &Config, quotas: &[&Arc<Quotas>]) -> PolicyView {
    let mut usages: BTreeMap<PeerName, Vec<Arc<Usage>>> = BTreeMap::new();
    for used in quotas.iter().flat_map(|quotas| quotas.peers()) {
        usages.entry(used.name).or_default().push(used.usage);
    }
    let rules = quotas.iter().flat_map(|quotas| quotas.rules()).map(|used| RuleView {
        name: used.name,
        line: used.line,
        expires: used.expires,
        usage: used.usage,
    });
    let peers = config.peers.values().map(|peer| PeerView {
        name: peer.name.clone(),
        line: peer.line,
        expires: peer.expires,
        review_by: peer.review_by,
        usages: usages.remove(&peer.name).unwrap_or_default(),
    });
    PolicyView { rules: rules.collect(), peers: peers.collect() }
}
