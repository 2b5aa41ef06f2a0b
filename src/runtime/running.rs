//! One running listener, and what makes it another one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::config::{Endpoint, ListenAddr, Protocol};
use crate::identity::ListenerName;
use crate::inventory::{Lenience, OpenConnections};
use crate::listener::quota::Quotas;
use crate::listener::{Bound, Door, InboundState, OutboundState, Passing, Services};
use crate::live::Publisher;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::ListenerMetrics;
use crate::tls::Trust;
use crate::upstream::Upstreams;

/// One running listener. It is the same one as long as name, address and protocol stay.
pub(super) struct Running<S> {
    pub(super) socket: Socket,
    pub(super) listening: ListenAddr,
    pub(super) passing: Passing,
    pub(super) publisher: Publisher<S>,
    /// What its peers are verified with.
    pub(super) trust: Arc<Trust>,
    /// What they have had of it, where they come in.
    pub(super) quotas: Option<Arc<Quotas>>,
    pub(super) shutdown: Shutdown,
    pub(super) drain_timeout: Duration,
    pub(super) upstreams: Option<(Vec<Endpoint>, Arc<Upstreams>)>,
    /// Where it takes what is redirected.
    pub(super) door: Option<Door>,
    pub(super) metrics: Arc<ListenerMetrics>,
    pub(super) lenience: Arc<Lenience>,
    pub(super) open: Arc<OpenConnections>,
}

/// What makes a listener another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) address: ListenAddr,
    pub(super) protocol: Protocol,
    pub(super) connections: usize,
}
impl<S> Running<S> {
    pub(super) fn new(
        socket: Socket,
        bound: &Bound,
        publisher: Publisher<S>,
        trust: Arc<Trust>,
        services: &Services,
        drain_timeout: Duration,
    ) -> Self {
        Self {
            socket,
            listening: bound.address().clone(),
            passing: bound.passing(),
            publisher,
            trust,
            shutdown: services.shutdown.clone(),
            drain_timeout,
            quotas: None,
            upstreams: None,
            door: bound.door(),
            metrics: Arc::clone(&services.metrics),
            lenience: Arc::clone(&services.lenience),
            open: Arc::clone(&services.open),
        }
    }
}

impl Socket {
    pub(super) fn of_inbound(state: &InboundState) -> Self {
        Self {
            address: ListenAddr::Tcp(state.config.listen),
            protocol: state.config.protocol,
            connections: state.config.limits.connections,
        }
    }

    pub(super) fn of_outbound(state: &OutboundState) -> Self {
        Self {
            address: state.config.listen.clone(),
            protocol: state.config.protocol,
            connections: state.config.limits.connections,
        }
    }

    /// With port 0 the kernel chooses another place each time.
    pub(super) fn is_one_place(&self) -> bool {
        match &self.address {
            ListenAddr::Tcp(address) => address.port() != 0,
            ListenAddr::Unix(_) => true,
            ListenAddr::Redirected => false,
        }
    }
}

/// The address to bind, unless the listener that runs has it already.
pub(super) fn new_socket(
    name: &ListenerName,
    running: Option<&Socket>,
    wanted: Socket,
) -> Option<(ListenerName, ListenAddr)> {
    (running != Some(&wanted)).then(|| (name.clone(), wanted.address))
}

/// Drains the listeners that do not stay, and cuts what is left of them after `drain_timeout`.
pub(super) fn retire<S>(
    running: &mut BTreeMap<ListenerName, Running<S>>,
    whole: &Shutdown,
    stays: impl Fn(&ListenerName) -> bool,
) {
    running.retain(|name, listener| {
        let stays = stays(name);
        if !stays {
            tracing::info!(listener = %name, "listener removed; its connections are draining");
            let (shutdown, grace) = (listener.shutdown.clone(), listener.drain_timeout);
            shutdown.drain();
            let whole = whole.clone();
            shutdown.clone().spawn(async move {
                tokio::select! {
                    () = sleep(grace) => shutdown.cut(),
                    () = whole.draining() => {} // then the whole process's grace counts
                }
            });
        }
        stays
    });
}

/// Cuts the listeners that `wanted` has under their names with another protocol.
pub(super) fn cut_others<S>(
    running: &mut BTreeMap<ListenerName, Running<S>>,
    wanted: &BTreeMap<&ListenerName, Protocol>,
) {
    running.retain(|name, listener| {
        let stays = wanted.get(name).is_none_or(|protocol| *protocol == listener.socket.protocol);
        if !stays {
            listener.shutdown.cut();
        }
        stays
    });
}
