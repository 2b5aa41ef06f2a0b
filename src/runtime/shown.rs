//! What `/status` shows, put together from what runs.

use std::sync::Arc;

use time::OffsetDateTime;

use super::listeners::Listeners;
use crate::admin::View;
use crate::certs::{Material, Standing};
use crate::config::{Config, OnFailure};
use crate::inventory::Inventory;
use crate::live::Live;

/// What a view looks at by itself, and what does not change while the process runs.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) started: OffsetDateTime,
    pub(super) standing: Live<Standing>,
    pub(super) inventory: Inventory,
}

impl Shown {
    /// The view of a sidecar that runs well and has done so from the start.
    pub(super) fn view(&self, config: &Config, material: &Material, listeners: &Listeners) -> View {
        let open = config.audit.as_ref().is_some_and(|audit| audit.on_failure == OnFailure::Allow);
        View {
            service: Arc::clone(&config.service),
            config: config.path.clone(),
            policy: config.digest,
            started: self.started,
            certificate: Arc::clone(&material.facts),
            not_after: material.not_after(),
            standing: self.standing.clone(),
            anchors: material.trusted.anchors(),
            inventory: self.inventory.clone(),
            listeners: listeners.views(config),
            configurations: 1,
            last_failure: None,
            draining: false,
            fails_open: if open { vec!["audit.on_failure"] } else { Vec::new() },
        }
    }
}
