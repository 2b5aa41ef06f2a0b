//! Where comes what is several listeners': by what it asks for, it is handed to one of them.

use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;

use crate::config::{Config, Destination, Limits, ListenAddr};
use crate::identity::ListenerName;
use crate::listener::{
    BindError, Bound, BoundRedirect, ForwardProxy, ForwardWay, ForwardWays, Passing, Sockets, Way,
    Ways, adopt, bind, bind_redirect, redirector,
};
use crate::live::Publisher;
use crate::outcome::Direction;

use super::listeners::Listeners;

/// The sockets of both fronts, bound.
pub(super) struct BoundFronts {
    redirect: Option<BoundRedirect>,
    /// With the address as configured.
    forward_proxy: Option<(ListenAddr, Bound)>,
}

/// Both fronts, as far as there are any.
#[derive(Default)]
pub(super) struct Fronts {
    /// Whose their sockets are, the addresses as configured, and what passes them on.
    pub(super) sockets: Vec<(ListenerName, ListenAddr, Passing)>,
    redirect: Option<Publisher<Ways>>,
    /// Gone when its last connection is.
    forward_proxy: Option<Weak<ForwardProxy>>,
}

/// What the outbound listeners of a configuration take from the fronts.
pub(super) struct Leads {
    pub(super) destinations: Vec<(ListenerName, Vec<Destination>)>,
    pub(super) limits: Limits,
}

impl Listeners {
    /// Binds the port to which the kernel sends what is redirected, and that of the forward proxy, unless they are among `open` or
    /// the service manager has opened them.
    pub(super) fn bind_fronts(
        &self,
        config: &Config,
        open: &mut Sockets,
    ) -> Result<BoundFronts, BindError> {
        let _reactor = self.data.enter();
        let redirect = config.redirected_to().map(|port| bind_redirect(port, open)).transpose()?;
        let forward_proxy = config.forward_proxy.map(|address| {
            let (name, address) = (Config::forward_proxy_name(), ListenAddr::Tcp(address));
            let opened = self.activated.socket(&address);
            let bound = match opened.or_else(|| open.take(name.as_str(), &address)) {
                Some(socket) => adopt(&name, &address, socket),
                None => bind(&name, &address),
            };
            bound.map(|bound| (address, bound))
        });
        Ok(BoundFronts { redirect, forward_proxy: forward_proxy.transpose()? })
    }

    /// What takes what comes to `bound`, as the listeners say that are in place when it [begins](Self::begin).
    pub(super) fn open_fronts(
        &mut self,
        bound: BoundFronts,
        limits: &Limits,
    ) -> Vec<BoxFuture<'static, ()>> {
        let mut accepting: Vec<BoxFuture<'static, ()>> = Vec::new();
        if let Some(bound) = bound.redirect {
            let name = Config::redirect_name();
            let services = self.services(&name, Direction::Outbound);
            let sockets = bound.passing().map(|(at, passing)| (name.clone(), at, passing));
            self.fronts.sockets.extend(sockets);
            let (publisher, redirector) = redirector(services);
            self.fronts.redirect = Some(publisher);
            accepting.push(Box::pin(redirector.run(bound)));
        }
        if let Some((address, bound)) = bound.forward_proxy {
            let name = Config::forward_proxy_name();
            let services = self.services(&name, Direction::Outbound);
            tracing::info!(listen = %bound.address(), "forward proxy listening");
            self.fronts.sockets.push((name, address, bound.passing()));
            let proxy = ForwardProxy::new(limits.clone(), services);
            self.fronts.forward_proxy = Some(Arc::downgrade(&proxy));
            accepting.push(Box::pin(proxy.run(bound)));
        }
        accepting
    }

    /// Has it go on until the outbound listeners close.
    pub(super) fn begin(&self, accepting: BoxFuture<'static, ()>) {
        self.last.spawn_on(&self.data, accepting);
    }

    /// Has what comes to the fronts go to the listeners that lead there.
    pub(super) fn lead(&mut self, Leads { destinations, limits }: Leads) {
        if let Some(proxy) = self.fronts.forward_proxy.as_ref().and_then(Weak::upgrade) {
            let ways = destinations.iter().filter_map(|(name, _)| {
                let running = self.outbound.get(name)?;
                let is_asked = running.socket.address == ListenAddr::ForwardProxy;
                let listener = running.listener.upgrade().filter(|_| is_asked)?;
                Some(ForwardWay { listener, door: running.door.clone()? })
            });
            proxy.lead(ForwardWays { limits, ways: ways.collect() });
        }
        if let Some(publisher) = &mut self.fronts.redirect {
            let ways = destinations.into_iter().filter_map(|(name, destinations)| {
                let running = self.outbound.get(&name)?;
                let is_sent = running.socket.address == ListenAddr::Redirected;
                Some(Way { destinations, door: running.door.clone().filter(|_| is_sent)? })
            });
            publisher.publish(ways.collect());
        }
    }
}
