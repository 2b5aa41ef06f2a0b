//! Mutual TLS in, plaintext to the workload.

use std::net::SocketAddr;

use super::lenient::lenient;
use super::{listener_name, loopback, own_limits, phi, protocol, values};
use crate::config::address::{socket, target};
use crate::config::check::ledger::{Bound, Ledger};
use crate::config::check::{Context, associations, mllp, redirect, routes};
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Fields, Located, located, one};
use crate::config::scalar::{choice, flag};
use crate::config::yaml::Node;
use crate::config::{
    AssociationRule, Inbound, ListenAddr, Mllp, OnDenied, Route, Target, WorkloadHttp, keys,
};
use crate::identity::{ListenerName, PeerName};

const WORKLOADS: &[(&str, WorkloadHttp)] =
    &[("auto", WorkloadHttp::Auto), ("http1", WorkloadHttp::Http1), ("h2c", WorkloadHttp::H2c)];

/// An item of `inbound`.
pub(in crate::config::check) fn inbound(
    context: &Context<'_, '_>,
    ledger: &mut Ledger,
    node: &Node,
) -> Option<Inbound> {
    let mut fields = Fields::open(context.reader, node, &keys::INBOUND)?;
    let name = listener_name(&mut fields, ledger);
    let listen = fields.required("listen", located(socket));
    if let Some(listen) = &listen {
        ledger.bind(ListenAddr::Tcp(listen.value), Bound::Inbound, Some(listen.mark()));
    }
    let redirect_ports = redirect_ports(context, &mut fields, listen.as_ref());
    let forward = forward(context, &mut fields, ledger);
    let protocol = protocol(&mut fields);
    protocol::keys_fit(context.reader, &mut fields, protocol);
    let forward_protocol =
        fields.or("forward_protocol", WorkloadHttp::Auto, one(choice(WORKLOADS, &[])));
    let phi = phi(&mut fields, ledger);
    let lenient = lenient(context.reader, &mut fields, name.as_ref(), protocol);
    let allow = allow(context, &mut fields, name.as_ref());
    let rules = rules(context, ledger, &mut fields, (phi, allow.as_deref()));
    let limits = own_limits(context, &mut fields);
    let line = fields.at().line();
    fields.finish();

    let (lenient, rules) = (lenient?, rules?);
    Some(Inbound {
        name: name?.value,
        listen: listen?.value,
        redirect_ports: redirect_ports?,
        forward: forward?,
        protocol: protocol?,
        forward_protocol: forward_protocol?,
        phi: phi?,
        permissive_until: lenient.permissive_until,
        observe_until: lenient.observe_until,
        observe_paths: lenient.observe_paths,
        line,
        allow: values(allow?),
        routes: rules.routes,
        mllp: rules.mllp,
        associations: rules.associations,
        limits: limits?,
    })
}

/// `redirect_ports`: what is redirected arrives at the first address of the interface that it came in by.
fn redirect_ports(
    context: &Context<'_, '_>,
    fields: &mut Fields<'_, '_>,
    listen: Option<&Located<SocketAddr>>,
) -> Option<Vec<u16>> {
    let ports = fields.or("redirect_ports", Vec::new(), redirect::ports)?;
    let Some(listen) = listen.filter(|_| !ports.is_empty()) else { return Some(ports) };
    if !listen.value.ip().is_unspecified() {
        let text = format!("{} does not take what is redirected", quoted(&listen.written));
        let hint =
            format!("with `redirect_ports`, listen on every address: [::]:{}", listen.value.port());
        context.reader.error(listen.at(), Fault::new(text).hint(hint));
    }
    Some(ports)
}

/// The rules, whatever they are for.
struct Rules {
    routes: Option<Vec<Route>>,
    mllp: Mllp,
    associations: Option<Vec<AssociationRule>>,
}

fn rules(
    context: &Context<'_, '_>,
    ledger: &mut Ledger,
    fields: &mut Fields<'_, '_>,
    (phi, allow): (Option<bool>, Option<&[Located<PeerName>]>),
) -> Option<Rules> {
    let phi = phi.unwrap_or(false);
    let routes =
        fields.optional("routes", |_, node| routes::all(context, ledger, (phi, allow), node));
    let messages = fields.optional("messages", |_, node| mllp::messages(context, allow, node));
    let senders = fields.optional("senders", |_, node| mllp::senders(context, allow, node));
    let on_denied = fields.or("on_denied", OnDenied::default(), one(choice(mllp::ON_DENIED, &[])));
    let associations =
        fields.optional("associations", |_, node| associations::all(context, allow, node));
    let mllp = Mllp { messages: messages?, senders: senders?, on_denied: on_denied? };
    Some(Rules { routes: routes?, mllp, associations: associations? })
}

fn forward(
    context: &Context<'_, '_>,
    fields: &mut Fields<'_, '_>,
    ledger: &mut Ledger,
) -> Option<Target> {
    let anywhere = fields.or("forward_anywhere", false, one(flag));
    let forward = fields.required("forward", |reader, node| {
        reader.located(node, |text| target(text, reader.base()))
    })?;
    ledger.forward(&forward);
    if let Target::Tcp(address) = forward.value {
        loopback(context, &forward, address, anywhere?, "forward_anywhere")?;
    }
    Some(forward.value)
}

fn allow(
    context: &Context<'_, '_>,
    fields: &mut Fields<'_, '_>,
    name: Option<&Located<ListenerName>>,
) -> Option<Vec<Located<PeerName>>> {
    let at = fields.entry("allow").map_or_else(|| fields.at(), |entry| entry.at());
    let list = fields.or("allow", Vec::new(), |reader, node| context.peers.list(reader, node))?;
    if list.is_empty() {
        let name = name.map(|name| format!(" to {}", quoted(&name.written))).unwrap_or_default();
        let fault = Fault::new(format!("nobody may connect{name}: it allows no peer"));
        context.reader.warn(at, fault.hint("name peers in `allow`"));
    }
    Some(list)
}
