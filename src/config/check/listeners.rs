//! The listeners.

use std::net::SocketAddr;

use super::ledger::{Bound, Ledger};
use super::routes::Routes;
use super::{Context, limits};
use crate::config::address::{endpoint, is_local, listen, socket, target};
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Fields, Located, located, one};
use crate::config::scalar::{choice, flag, name};
use crate::config::yaml::{Entry, Node};
use crate::config::{
    Endpoint, Inbound, Limits, ListenAddr, Mllp, Outbound, Protocol, Target, WorkloadHttp, keys,
};
use crate::identity::{ListenerName, PeerName};

const PROTOCOLS: &[(&str, Protocol)] = &[("tcp", Protocol::Tcp), ("http", Protocol::Http)];
const LATER: &[&str] = &["mllp", "dicom"];
const WORKLOADS: &[(&str, WorkloadHttp)] =
    &[("auto", WorkloadHttp::Auto), ("http1", WorkloadHttp::Http1), ("h2c", WorkloadHttp::H2c)];

/// An item of `inbound`.
pub(super) fn inbound(
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
    let forward = forward(context, &mut fields, ledger);
    let protocol = fields.required("protocol", one(protocol));
    let http_only = ["routes", "forward_protocol"].map(|key| fields.entry(key));
    let forward_protocol =
        fields.or("forward_protocol", WorkloadHttp::Auto, one(choice(WORKLOADS, &[])));
    let phi = phi(&mut fields, ledger);
    let mode = fields.or("mode", (), one(choice(&[("strict", ())], &["permissive"])));
    let enforce = fields.or("enforce", (), one(choice(&[("true", ())], &["false"])));
    let allow = allow(context, &mut fields, name.as_ref());
    let routes = fields.optional("routes", |_, node| {
        let (phi, allow) = (phi.unwrap_or(false), allow.as_deref());
        Routes { context, ledger, phi, allow }.read(node)
    });
    let limits = own_limits(context, &mut fields);
    let line = fields.at().line();
    fields.finish();

    let protocol = protocol?;
    refuse_without_http(context, protocol, http_only);
    mode?;
    enforce?;
    Some(Inbound {
        name: name?.value,
        listen: listen?.value,
        forward: forward?,
        protocol,
        forward_protocol: forward_protocol?,
        phi: phi?,
        permissive_until: None,
        observe_until: None,
        line,
        allow: values(allow?),
        routes: routes?,
        mllp: Mllp::default(),
        associations: None,
        limits: limits?,
    })
}

/// An item of `outbound`.
pub(super) fn outbound(
    context: &Context<'_, '_>,
    ledger: &mut Ledger,
    node: &Node,
) -> Option<Outbound> {
    let mut fields = Fields::open(context.reader, node, &keys::OUTBOUND)?;
    let name = listener_name(&mut fields, ledger);
    let listen = own_listen(context, &mut fields, ledger);
    let to = fields.required("to", |reader, node| {
        let empty = ("an empty list leads nowhere", "name where the server is: [lab.example:8443]");
        let to = reader.some(node, located(endpoint), empty)?;
        Some(distinct(context, to))
    });
    let expect = fields.required("expect", |reader, node| {
        let list = context.peers.list(reader, node)?;
        if list.is_empty() {
            let fault =
                Fault::new("an empty list expects nobody: no server could be the right one");
            reader.error(node.at(), fault.hint("name the peers that the server may prove to be"));
            return None;
        }
        Some(values(list))
    });
    let protocol = fields.required("protocol", one(protocol));
    let phi = phi(&mut fields, ledger);
    let limits = own_limits(context, &mut fields);
    let line = fields.at().line();
    fields.finish();
    Some(Outbound {
        name: name?.value,
        listen: listen?,
        line,
        to: to?,
        expect: expect?,
        protocol: protocol?,
        phi: phi?,
        limits: limits?,
    })
}

fn listener_name(
    fields: &mut Fields<'_, '_>,
    ledger: &mut Ledger,
) -> Option<Located<ListenerName>> {
    let parse = |text: &str| name(text).map(|name| ListenerName::new(&name));
    let name = fields.required("name", located(parse))?;
    ledger.name(&name);
    Some(name)
}

fn protocol(text: &str) -> Result<Protocol, Fault> {
    choice(PROTOCOLS, LATER)(text).map_err(|fault| match LATER.contains(&text) {
        true => fault.hint(
            "`tcp` carries it as it is: encrypted, authenticated and on record a connection at a time",
        ),
        false => fault,
    })
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

fn own_listen(
    context: &Context<'_, '_>,
    fields: &mut Fields<'_, '_>,
    ledger: &mut Ledger,
) -> Option<ListenAddr> {
    let anywhere = fields.or("listen_anywhere", false, one(flag));
    let found = fields.required("listen", |reader, node| {
        reader.located(node, |text| listen(text, reader.base()))
    })?;
    ledger.bind(found.value.clone(), Bound::Outbound, Some(found.mark()));
    if let ListenAddr::Tcp(address) = found.value {
        loopback(context, &found, address, anywhere?, "listen_anywhere")?;
    }
    Some(found.value)
}

/// A plaintext side stays on this machine, unless the key `unless` was set.
fn loopback<T>(
    context: &Context<'_, '_>,
    written: &Located<T>,
    address: SocketAddr,
    anywhere: bool,
    unless: &str,
) -> Option<()> {
    if is_local(address) {
        return Some(());
    }
    let shown = quoted(&written.written);
    if anywhere {
        let fault =
            Fault::new(format!("{shown} is not loopback: plaintext may leave this machine"));
        context
            .reader
            .warn(written.at(), fault.hint("make sure that nobody else can reach this network"));
        return Some(());
    }
    let fault = Fault::new(format!("{shown} is not loopback, and this side is plaintext"));
    context.reader.error(written.at(), fault.hint(format!(
        "use 127.0.0.1, [::1] or unix:PATH; or set `{unless}: true` beside it if this network is safe"
    )));
    None
}

fn phi(fields: &mut Fields<'_, '_>, ledger: &mut Ledger) -> Option<bool> {
    let phi = fields.optional("phi", located(flag))?;
    if let Some(phi) = &phi {
        ledger.phi(phi);
    }
    Some(phi.is_some_and(|phi| phi.value))
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

fn own_limits(context: &Context<'_, '_>, fields: &mut Fields<'_, '_>) -> Option<Limits> {
    fields.or("limits", context.limits.clone(), |reader, node| {
        limits::over(reader, node, &context.limits)
    })
}

fn refuse_without_http(context: &Context<'_, '_>, protocol: Protocol, given: [Option<&Entry>; 2]) {
    match protocol {
        Protocol::Http => {}
        Protocol::Tcp | Protocol::Mllp | Protocol::Dicom => {
            for entry in given.into_iter().flatten() {
                let fault = Fault::new(format!("`{}` needs `protocol: http`", entry.name));
                let hint = "a byte stream has no requests to look at; change `protocol`, or remove the key";
                context.reader.error(entry.at(), fault.hint(hint));
            }
        }
    }
}

fn distinct(context: &Context<'_, '_>, list: Vec<Located<Endpoint>>) -> Vec<Endpoint> {
    let mut once: Vec<Endpoint> = Vec::new();
    for endpoint in list {
        if once.contains(&endpoint.value) {
            let fault = Fault::new(format!("{} is listed twice", quoted(&endpoint.written)));
            context.reader.warn(endpoint.at(), fault.hint("keep one"));
        } else {
            once.push(endpoint.value);
        }
    }
    once
}

fn values<T>(list: Vec<Located<T>>) -> Vec<T> {
    list.into_iter().map(|located| located.value).collect()
}
