//! From a configuration to what serves it: what may fail comes first, and what runs after that.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::build::Given;
use super::listeners::Listeners;
use super::rego::rego;
use super::supply::supply;
use super::{Obstacle, StartError, Started, records};
use crate::admin::control::{self, Act, Control};
use crate::admin::{self, Admin, History, Probes, Scope, View};
use crate::audit::Audit;
use crate::authz::RegoPolicy;
use crate::certs::{self, Loaded, Material, Rotator, Standing, Supply, Trigger};
use crate::config::{AdminSettings, Config};
use crate::inventory::Inventory;
use crate::listener::{BindError, bind_redirect};
use crate::live::{Live, live};
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::Metrics;

/// Everything that may fail has not: the listeners serve, and nothing else does yet.
pub(super) struct Assembled {
    pub(super) rego: Option<Arc<RegoPolicy>>,
    pub(super) supply: Supply,
    pub(super) material: Material,
    /// What deserves a look about the key material.
    pub(super) warnings: Vec<String>,
    pub(super) inventory: Inventory,
    pub(super) listeners: Listeners,
    pub(super) doors: AdminDoors,
}

/// The administrative listeners, bound.
pub(super) struct AdminDoors {
    full: Option<(TcpListener, SocketAddr)>,
    probe: Option<(TcpListener, SocketAddr)>,
    control: Option<control::Bound>,
}

/// Reads and makes what `config` points at, and binds what it names.
///
/// # Errors
///
/// Says what is in the way. Nothing is left bound.
pub(super) async fn assemble(
    config: &Config,
    data: Handle,
    shutdown: &Shutdown,
    metrics: &Metrics,
    audit: &Audit,
) -> Result<Assembled, StartError> {
    let rego = rego(config).map_err(Obstacle::Rego)?;
    let supply = supply(config).map_err(Obstacle::Service)?;
    let Loaded { material, warnings } = supply.load().await.map_err(Obstacle::Material)?;
    let inventory = Inventory::new(metrics.clone());
    inventory.of_peers(config.peers.keys());
    let (recorder, metrics, all) = (audit.clone(), metrics.clone(), shutdown.clone());
    let mut listeners = Listeners::new(data, recorder, metrics, inventory.clone(), all);
    let given = Given { config, material: &material, rego: rego.as_ref(), configuration: 1 };
    let plan = listeners.plan(given).map_err(Obstacle::Build)?;
    let bound = listeners.bind(&plan).map_err(Obstacle::Bind)?;
    let redirected = config.redirected_to().map(bind_redirect).transpose();
    let redirected = redirected.map_err(Obstacle::Bind)?;
    let doors = AdminDoors {
        full: bind(config.admin.listen).await?,
        probe: bind(config.admin.probe_listen).await?,
        control: bind_control(config.admin.socket.as_deref())?,
    };
    audit.note(records::started(&material.facts)).await; // nothing can fail from here on
    if let Some(redirected) = redirected {
        listeners.redirect(redirected);
    }
    listeners.put_in_place(plan, bound);
    Ok(Assembled { rego, supply, material, warnings, inventory, listeners, doors })
}

async fn bind(
    address: Option<SocketAddr>,
) -> Result<Option<(TcpListener, SocketAddr)>, StartError> {
    let Some(address) = address else { return Ok(None) };
    let failed = |source| {
        Obstacle::Bind(BindError { what: "admin".to_owned(), address: address.to_string(), source })
    };
    let socket = admin::bind(address).await.map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?;
    Ok(Some((socket, bound)))
}

fn bind_control(path: Option<&Path>) -> Result<Option<control::Bound>, StartError> {
    let Some(path) = path else { return Ok(None) };
    let bound = control::bind(path).map_err(|source| {
        let address = format!("unix:{}", path.display());
        Obstacle::Bind(BindError { what: "admin.socket".to_owned(), address, source })
    })?;
    Ok(Some(bound))
}

/// The key material as it is renewed.
pub(super) struct Renewal {
    pub(super) material: Live<Material>,
    pub(super) standing: Live<Standing>,
    pub(super) trigger: Trigger,
}

/// Keeps `first`, which came from the supply, renewed until `shutdown` drains; what is done about it goes on record.
pub(super) fn renew(
    (supply, first, inventory): (Supply, Material, Inventory),
    (audit, metrics): (&Audit, &Metrics),
    shutdown: Shutdown,
    admin: &Shutdown,
) -> Renewal {
    let (standing_publisher, standing) = live(Standing::of(&supply, &first));
    let (publisher, material) = live(first.clone());
    let (trigger, triggered) = certs::trigger();
    let rotator = Rotator {
        supply,
        current: first,
        publisher,
        triggered,
        shutdown,
        metrics: metrics.clone(),
        standing: standing_publisher,
        inventory,
    };
    let heard = audit.clone();
    admin.spawn(rotator.run(move |event| heard.note_now(records::rotation(&event))));
    Renewal { material, standing, trigger }
}

impl AdminDoors {
    /// Where they are.
    pub(super) fn addresses(&self) -> Started {
        let address = |door: &Option<(TcpListener, SocketAddr)>| door.as_ref().map(|door| door.1);
        let control = self.control.as_ref().map(|bound| bound.path().to_owned());
        let (admin, probe) = (address(&self.full), address(&self.probe));
        Started { admin, probe, control, ..Started::default() }
    }

    /// Answers at them until `end`. `acts` are done by others, and `whole` drains when that is asked for.
    pub(super) fn open(
        self,
        settings: &AdminSettings,
        view: Live<View>,
        (audit, metrics): (&Audit, &Metrics),
        (acts, whole): (mpsc::Sender<Act>, Shutdown),
        end: &Shutdown,
    ) {
        let probes = Arc::new(Probes::new(&settings.probes));
        let history = Arc::new(History::default());
        let admin = Admin { view, audit: audit.clone(), metrics: metrics.clone(), probes, history };
        if self.full.is_some() || self.control.is_some() {
            end.spawn(admin.clone().remember(end.clone()));
        }
        for (door, scope) in [(self.full, Scope::Full), (self.probe, Scope::Probe)] {
            let Some((socket, _address)) = door else { continue };
            end.spawn(admin.clone().serve(socket, scope, end.clone()));
        }
        if let Some(bound) = self.control {
            end.spawn(Control { admin, acts, whole }.serve(bound, end.clone()));
        }
    }
}
