//! The running listeners, and how a new configuration takes their place: planned whole, bound whole, then
//! put in place without a step that can fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::activated::Activated;
use super::build::{self, BuildError, Given};
use super::fronts::{Fronts, Leads};
use super::running::{Running, Socket, cut_others, new_socket, retire};
use super::shown;
use crate::admin::{LenientView, ListenerView, PolicyView};
use crate::audit::Audit;
use crate::config::{Config, Limits, ListenAddr};
use crate::identity::{ListenerName, PeerName};
use crate::inventory::{Inventory, Lenience};
use crate::listener::{
    BindError, Bound, Crossing, InboundListener, InboundState, OutboundListener, OutboundState,
    Services, Sockets, Workload, adopt, bind,
};
use crate::live::live;
use crate::outcome::Direction;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Upstreams;

/// All running listeners.
pub(super) struct Listeners {
    pub(super) inbound: BTreeMap<ListenerName, Running<InboundState>>,
    pub(super) outbound: BTreeMap<ListenerName, Running<OutboundState>>,
    /// What the service manager has opened.
    pub(super) activated: Activated,
    /// Where comes what several of the outbound ones may take.
    pub(super) fronts: Fronts,
    pub(super) data: Handle,
    audit: Audit,
    metrics: Metrics,
    inventory: Inventory,
    crossing: Crossing,
    shutdown: Shutdown,
    /// Of outbound listeners, which close last.
    pub(super) last: Shutdown,
}

/// States for every listener of a configuration.
pub(super) struct Plan {
    inbound: Vec<InboundState>,
    outbound: Vec<OutboundState>,
    /// Bounds of what is no listener's own.
    limits: Limits,
}

impl Listeners {
    pub(super) fn new(
        (data, activated): (Handle, Activated),
        audit: Audit,
        metrics: Metrics,
        inventory: Inventory,
        shutdown: Shutdown,
    ) -> Self {
        let (inbound, outbound) = (BTreeMap::new(), BTreeMap::new());
        let last = shutdown.outlasting();
        let (fronts, crossing) = (Fronts::default(), Crossing::default());
        Self {
            inbound,
            outbound,
            activated,
            fronts,
            data,
            audit,
            metrics,
            inventory,
            crossing,
            shutdown,
            last,
        }
    }

    /// Makes the states, or says what is in the way. Changes nothing.
    pub(super) fn plan(&self, given: Given<'_>) -> Result<Plan, BuildError> {
        let inbound = given
            .config
            .inbound
            .iter()
            .map(|listener| {
                let running = self.inbound.get(&listener.name);
                let used = running.and_then(|running| running.quotas.as_ref());
                build::inbound(given, listener, running.map(|running| &running.trust), used)
            })
            .collect::<Result<_, _>>()?;
        let outbound = given
            .config
            .outbound
            .iter()
            .map(|listener| {
                let running = self.outbound.get(&listener.name);
                // The same endpoints keep what is known of their health.
                let kept = running
                    .and_then(|running| running.upstreams.as_ref())
                    .filter(|(endpoints, _)| *endpoints == listener.to)
                    .map(|(_, upstreams)| Arc::clone(upstreams));
                let upstreams = kept.unwrap_or_else(|| {
                    let metrics = match running {
                        Some(running) => Arc::clone(&running.metrics),
                        None => self.metrics.listener(&listener.name, Direction::Outbound),
                    };
                    Upstreams::new(&listener.to, metrics)
                });
                build::outbound(given, listener, running.map(|running| &running.trust), upstreams)
            })
            .collect::<Result<_, _>>()?;
        Ok(Plan { inbound, outbound, limits: given.config.limits.clone() })
    }

    /// The listener that holds an address which another is to have: it must go before that can come.
    pub(super) fn held(&self, plan: &Plan) -> Option<ListenerName> {
        let running = self.inbound.iter().map(|(name, running)| (name, &running.socket));
        let running = running
            .chain(self.outbound.iter().map(|(name, running)| (name, &running.socket)))
            .collect::<Vec<_>>();
        let wanted =
            plan.inbound.iter().map(|state| (&state.config.name, Socket::of_inbound(state)));
        let mut wanted = wanted.chain(
            plan.outbound.iter().map(|state| (&state.config.name, Socket::of_outbound(state))),
        );
        wanted.find_map(|(name, socket)| {
            let same = |held: &&Socket| held.address == socket.address && held.is_one_place();
            let holder = running.iter().find(|(_, held)| same(held))?;
            (holder.0 != name || *holder.1 != socket).then(|| holder.0.clone())
        })
    }

    /// Binds what is new, all of it or nothing.
    ///
    /// What the service manager has opened, or is among `open`, listens already.
    pub(super) fn bind(
        &self,
        plan: &Plan,
        open: &mut Sockets,
    ) -> Result<Vec<(ListenerName, Bound)>, BindError> {
        let _reactor = self.data.enter();
        let inbound = plan.inbound.iter().filter_map(|state| {
            let running = self.inbound.get(&state.config.name);
            let socket = Socket::of_inbound(state);
            new_socket(&state.config.name, running.map(|running| &running.socket), socket)
        });
        let outbound = plan.outbound.iter().filter_map(|state| {
            let running = self.outbound.get(&state.config.name);
            let socket = Socket::of_outbound(state);
            new_socket(&state.config.name, running.map(|running| &running.socket), socket)
        });
        inbound
            .chain(outbound)
            .map(|(name, address)| {
                let opened = self.activated.socket(&address);
                let bound = match opened.or_else(|| open.take(name.as_str(), &address)) {
                    Some(socket) => {
                        let bound = adopt(&name, &address, socket)?;
                        // It was there before, and is still there if this comes to nothing.
                        bound.passing().file_stays();
                        bound
                    }
                    None => bind(&name, &address)?,
                };
                Ok((name, bound))
            })
            .collect()
    }

    /// Publishes states to listeners that stay, starts those that are new and drains those that are gone.
    pub(super) fn put_in_place(&mut self, plan: Plan, bound: Vec<(ListenerName, Bound)>) {
        let mut bound: BTreeMap<_, _> = bound.into_iter().collect();
        let inbound_names: Vec<_> = plan.inbound.iter().map(|s| s.config.name.clone()).collect();
        let outbound_names: Vec<_> = plan.outbound.iter().map(|s| s.config.name.clone()).collect();
        let of = |s: &OutboundState| (s.config.name.clone(), s.config.destinations.clone());
        let destinations = plan.outbound.iter().map(of).collect();
        let leads = Leads { destinations, limits: plan.limits };
        let before: Vec<_> = self.upstreams().cloned().collect();
        retire(&mut self.inbound, &self.shutdown, |name| {
            inbound_names.contains(name) && !bound.contains_key(name)
        });
        retire(&mut self.outbound, &self.shutdown, |name| {
            outbound_names.contains(name) && !bound.contains_key(name)
        });
        for state in plan.inbound {
            match (self.inbound.get_mut(&state.config.name), bound.remove(&state.config.name)) {
                (Some(running), _) => {
                    running.drain_timeout = state.config.limits.drain_timeout;
                    running.trust = Arc::clone(&state.trust);
                    running.quotas = Some(Arc::clone(&state.quotas));
                    running.publisher.publish(state);
                }
                (None, Some(bound)) => self.start_inbound(state, bound),
                (None, None) => {}
            }
        }
        for state in plan.outbound {
            match (self.outbound.get_mut(&state.config.name), bound.remove(&state.config.name)) {
                (Some(running), _) => {
                    let upstreams = Arc::clone(&state.upstreams);
                    running.upstreams = Some((state.config.to.clone(), upstreams));
                    running.drain_timeout = state.config.limits.drain_timeout;
                    running.trust = Arc::clone(&state.trust);
                    running.publisher.publish(state);
                }
                (None, Some(bound)) => self.start_outbound(state, bound),
                (None, None) => {}
            }
        }
        let stays = |old: &Arc<Upstreams>| self.upstreams().any(|now| Arc::ptr_eq(now, old));
        before.iter().filter(|old| !stays(old)).for_each(|old| old.hide());
        self.upstreams().for_each(|now| now.show());
        self.lead(leads);
    }

    /// Publishes states to listeners that drain. One that has become another under its name is cut: its connections cannot be
    /// judged by what holds for that.
    pub(super) fn judge(&mut self, plan: Plan) {
        let inbound = plan.inbound.iter().map(|s| (&s.config.name, s.config.protocol)).collect();
        cut_others(&mut self.inbound, &inbound);
        let outbound = plan.outbound.iter().map(|s| (&s.config.name, s.config.protocol)).collect();
        cut_others(&mut self.outbound, &outbound);
        self.put_in_place(plan, Vec::new());
    }

    fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstreams>> {
        self.outbound.values().filter_map(|running| running.upstreams.as_ref().map(|(_, all)| all))
    }

    fn start_inbound(&mut self, state: InboundState, bound: Bound) {
        let name = state.config.name.clone();
        let services = self.services(&name, Direction::Inbound);
        let socket = Socket::of_inbound(&state);
        let (drain_timeout, trust) = (state.config.limits.drain_timeout, Arc::clone(&state.trust));
        let quotas = Some(Arc::clone(&state.quotas));
        let (publisher, reader) = live(state);
        let running = Running::new(socket, &bound, publisher, trust, &services, drain_timeout);
        let running = Running { quotas, ..running };
        tracing::info!(listener = %name, listen = %running.listening, "inbound listening");
        let listener = InboundListener::new(reader, services);
        self.shutdown.spawn_on(&self.data, listener.run(bound));
        self.inbound.insert(name, running);
    }

    fn start_outbound(&mut self, state: OutboundState, bound: Bound) {
        let name = state.config.name.clone();
        let services = self.services(&name, Direction::Outbound);
        let socket = Socket::of_outbound(&state);
        let (drain_timeout, trust) = (state.config.limits.drain_timeout, Arc::clone(&state.trust));
        let upstreams = Some((state.config.to.clone(), Arc::clone(&state.upstreams)));
        let (publisher, reader) = live(state);
        let running = Running::new(socket, &bound, publisher, trust, &services, drain_timeout);
        let listener = {
            let _runtime = self.data.enter();
            OutboundListener::new(reader, services)
        };
        let running = Running { upstreams, listener: Arc::downgrade(&listener), ..running };
        tracing::info!(listener = %name, listen = %running.listening, "outbound listening");
        self.shutdown.spawn_on(&self.data, listener.run(bound));
        self.outbound.insert(name, running);
    }

    pub(super) fn services(&self, name: &ListenerName, direction: Direction) -> Services {
        Services {
            audit: self.audit.clone(),
            metrics: self.metrics.listener(name, direction),
            workload: Arc::new(Workload::of(name.clone())),
            inventory: self.inventory.clone(),
            lenience: Arc::new(Lenience::default()),
            open: Arc::default(),
            crossing: self.crossing.clone(),
            shutdown: match direction {
                Direction::Inbound => self.shutdown.child(),
                Direction::Outbound => self.last.child(),
            },
        }
    }

    /// Where the listeners really listen, in the order of the configuration.
    pub(super) fn addresses(&self, config: &Config) -> Vec<(ListenerName, ListenAddr)> {
        let inbound = config.inbound.iter().filter_map(|listener| {
            let running = self.inbound.get(&listener.name)?;
            Some((listener.name.clone(), running.listening.clone()))
        });
        let outbound = config.outbound.iter().filter_map(|listener| {
            let running = self.outbound.get(&listener.name)?;
            Some((listener.name.clone(), running.listening.clone()))
        });
        inbound.chain(outbound).collect()
    }

    /// What `/status` shows of their rules, and of the peers.
    pub(super) fn policy(&self, config: &Config) -> PolicyView {
        let quotas: Vec<_> = config
            .inbound
            .iter()
            .filter_map(|l| self.inbound.get(&l.name)?.quotas.as_ref())
            .collect();
        shown::policy(config, &quotas)
    }

    /// What `/status` shows of them.
    pub(super) fn views(&self, config: &Config) -> Vec<ListenerView> {
        let inbound = config.inbound.iter().filter_map(|listener| {
            let running = self.inbound.get(&listener.name)?;
            Some(ListenerView {
                name: listener.name.to_string(),
                direction: Direction::Inbound.label(),
                listen: running.listening.to_string(),
                protocol: listener.protocol.label(),
                phi: listener.phi,
                peers: names(&listener.allow),
                lenient: Some(LenientView {
                    permissive_until: listener.permissive_until,
                    observe_until: listener.observe_until,
                    lenience: Arc::clone(&running.lenience),
                }),
                open: Arc::clone(&running.open),
                upstreams: None,
            })
        });
        let outbound = config.outbound.iter().filter_map(|listener| {
            let running = self.outbound.get(&listener.name)?;
            Some(ListenerView {
                name: listener.name.to_string(),
                direction: Direction::Outbound.label(),
                listen: running.listening.to_string(),
                protocol: listener.protocol.label(),
                phi: listener.phi,
                peers: names(&listener.expect),
                lenient: None,
                open: Arc::clone(&running.open),
                upstreams: running
                    .upstreams
                    .as_ref()
                    .filter(|(endpoints, _)| !endpoints.is_empty())
                    .map(|(_, upstreams)| Arc::clone(upstreams)),
            })
        });
        inbound.chain(outbound).collect()
    }
}

fn names(peers: &[PeerName]) -> Vec<String> {
    peers.iter().map(ToString::to_string).collect()
}
