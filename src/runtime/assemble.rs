//! From a configuration to what serves it: what may fail comes first, and what runs after that.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::activated::Activated;
use super::build::Given;
use super::listeners::Listeners;
use super::predecessor::Predecessor;
use super::rego::rego;
use super::supply::supply;
use super::{Obstacle, StartError, Started, records};
use crate::admin::control::{self, Act, Control};
use crate::admin::{self, Admin, History, Probes, Scope, View};
use crate::audit::Audit;
use crate::authz::RegoPolicy;
use crate::certs::{self, Loaded, Material, Rotator, Standing, Supply, Trigger};
use crate::config::{AdminSettings, Config, ListenAddr};
use crate::export::traces::{self, Traces};
use crate::inventory::Inventory;
use crate::listener::{BindError, Sockets};
use crate::live::{Live, live};
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::Metrics;

/// What the administrative sockets are called where they are handed over.
const FULL: &str = "admin";
const PROBE: &str = "admin probe";

/// Everything that may fail has not: the listeners serve, and nothing else does yet.
pub(super) struct Assembled {
    pub(super) rego: Option<Arc<RegoPolicy>>,
    pub(super) supply: Supply,
    pub(super) material: Material,
    /// What deserves a look about the key material.
    pub(super) warnings: Vec<String>,
    pub(super) inventory: Inventory,
    pub(super) listeners: Listeners,
    pub(super) traces: traces::Prepared,
    pub(super) doors: AdminDoors,
}

/// Where sockets may come from that are not to be bound.
pub(super) struct Before<'a> {
    pub(super) predecessor: Option<&'a Predecessor>,
    /// What was bound before the privilege to was given up.
    pub(super) early: Sockets,
}

/// The administrative listeners, bound.
pub(super) struct AdminDoors {
    full: Option<(TcpListener, SocketAddr)>,
    probe: Option<(TcpListener, SocketAddr)>,
    control: Option<control::Bound>,
}

/// Their sockets, for a process that is to listen on them: whose each is, and its address as configured.
#[derive(Default)]
pub(super) struct DoorSockets(Vec<(&'static str, SocketAddr, OwnedFd)>);

impl DoorSockets {
    /// Each as listeners' are.
    pub(super) fn sockets(&self) -> impl Iterator<Item = io::Result<(String, String, OwnedFd)>> {
        self.0.iter().map(|(of, listen, socket)| {
            Ok(((*of).to_owned(), listen.to_string(), socket.try_clone()?))
        })
    }
}

/// Reads and makes what `config` points at, and binds what it names.
///
/// # Errors
///
/// Says what is in the way. Nothing is left bound.
pub(super) async fn assemble(
    config: &Config,
    (data, shutdown, Before { predecessor, early }): ((Handle, Activated), &Shutdown, Before<'_>),
    metrics: &Metrics,
    audit: &Audit,
) -> Result<Assembled, StartError> {
    let rego = rego(config).map_err(Obstacle::Rego)?;
    let supply = supply(config).map_err(Obstacle::Service)?;
    let Loaded { material, warnings } = supply.load().await.map_err(Obstacle::Material)?;
    let inventory = Inventory::new(metrics.clone());
    inventory.of_peers(config.peers.keys());
    let (recorder, measured, all) = (audit.clone(), metrics.clone(), shutdown.clone());
    let mut listeners = Listeners::new(data, recorder, measured, inventory.clone(), all);
    let traces = Traces::default().prepare(config, metrics);
    let (rego_now, tracer) = (rego.as_ref(), traces.tracer.as_ref());
    let given = Given { config, material: &material, rego: rego_now, tracer, configuration: 1 };
    let plan = listeners.plan(given).map_err(Obstacle::Build)?;
    let mut open = match predecessor {
        Some(predecessor) => predecessor.sockets().await.map_err(StartError::Predecessor)?,
        None => Sockets::default(),
    };
    open.append(early);
    let bound = listeners.bind(&plan, &mut open).map_err(Obstacle::Bind)?;
    let redirected = listeners.bind_redirect(config, &mut open).map_err(Obstacle::Bind)?;
    let given = &listeners.activated;
    let full = bind(FULL, config.admin.listen, (given, &mut open)).await?;
    let probe = bind(PROBE, config.admin.probe_listen, (given, &mut open)).await?;
    drop(open); // what the new configuration does not have is the predecessor's alone
    take_trail(config, predecessor, audit, shutdown).await?;
    // Last, for from then on the predecessor is not found any more under this name.
    let control = bind_control(config.admin.socket.as_deref(), predecessor.is_some())?;
    let doors = AdminDoors { full, probe, control };
    audit.note(records::started(&material.facts)).await; // nothing can fail from here on
    let redirecting = redirected.map(|redirected| listeners.redirect(redirected));
    listeners.put_in_place(plan, bound);
    // After the listeners: before they are there, whatever came would lead to nobody.
    redirecting.into_iter().for_each(|accepting| listeners.begin(accepting));
    Ok(Assembled { rego, supply, material, warnings, inventory, listeners, traces, doors })
}

/// Takes the trail over, and with it what the predecessor still has to put on record while it drains.
async fn take_trail(
    config: &Config,
    predecessor: Option<&Predecessor>,
    audit: &Audit,
    shutdown: &Shutdown,
) -> Result<(), StartError> {
    let Some(predecessor) = predecessor else { return Ok(()) };
    let dir = config.audit.as_ref().map(|audit| audit.dir.clone());
    let records = predecessor.trail(dir).await.map_err(StartError::Predecessor)?;
    audit.begin().map_err(StartError::Audit)?;
    if let Some(records) = records {
        receive(audit.clone(), records, shutdown.clone());
    }
    Ok(())
}

fn receive(audit: Audit, records: UnixStream, shutdown: Shutdown) {
    shutdown.clone().spawn(async move {
        shutdown.until_cut(audit.receive(records)).await.unwrap_or_default();
    });
}

async fn bind(
    of: &str,
    address: Option<SocketAddr>,
    (activated, open): (&Activated, &mut Sockets),
) -> Result<Option<(TcpListener, SocketAddr)>, StartError> {
    let Some(address) = address else { return Ok(None) };
    let failed = |source| {
        Obstacle::Bind(BindError { what: "admin".to_owned(), address: address.to_string(), source })
    };
    let listen = ListenAddr::Tcp(address);
    let socket = match activated.socket(&listen).or_else(|| open.take(of, &listen)) {
        Some(socket) => admin::adopt(socket),
        None => admin::bind(address).await,
    };
    let socket = socket.map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?;
    Ok(Some((socket, bound)))
}

fn bind_control(path: Option<&Path>, replaces: bool) -> Result<Option<control::Bound>, StartError> {
    let Some(path) = path else { return Ok(None) };
    let bound = if replaces { control::replace(path) } else { control::bind(path) };
    let bound = bound.map_err(|source| {
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

/// Keeps `first`, which came from the supply, renewed until `shutdown` is cut; what is done about it goes on record.
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
    /// Their sockets once more. One that cannot be had is bound anew by whoever wants it.
    pub(super) fn sockets(&self, settings: &AdminSettings) -> DoorSockets {
        let doors =
            [(FULL, settings.listen, &self.full), (PROBE, settings.probe_listen, &self.probe)];
        let sockets = doors.into_iter().filter_map(|(of, listen, door)| {
            let socket = door.as_ref()?.0.as_fd().try_clone_to_owned().ok()?;
            Some((of, listen?, socket))
        });
        DoorSockets(sockets.collect())
    }

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
