//! Plaintext in, mutual TLS out.

use super::{listener_name, loopback, own_limits, phi, protocol, values};
use crate::config::address::{endpoint, listen};
use crate::config::check::ledger::{Bound, Ledger};
use crate::config::check::{Context, redirect};
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Fields, Located, located, one};
use crate::config::scalar::flag;
use crate::config::yaml::Node;
use crate::config::{Destination, Endpoint, ListenAddr, Outbound, keys};

/// An item of `outbound`.
pub(in crate::config::check) fn outbound(
    context: &Context<'_, '_>,
    ledger: &mut Ledger,
    node: &Node,
) -> Option<Outbound> {
    let mut fields = Fields::open(context.reader, node, &keys::OUTBOUND)?;
    let name = listener_name(&mut fields, ledger);
    let way = way(context, &mut fields, ledger);
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
    let protocol = protocol(&mut fields);
    let phi = phi(&mut fields, ledger);
    let limits = own_limits(context, &mut fields);
    let line = fields.at().line();
    fields.finish();
    let Way { listen, to, destinations } = way?;
    Some(Outbound {
        name: name?.value,
        listen,
        line,
        to,
        destinations,
        expect: expect?,
        protocol: protocol?,
        phi: phi?,
        limits: limits?,
    })
}

/// How the workload's connections come, and where they go.
struct Way {
    listen: ListenAddr,
    to: Vec<Endpoint>,
    destinations: Vec<Destination>,
}

/// `listen` and `to`, or `redirect` and `destinations`.
fn way(context: &Context<'_, '_>, fields: &mut Fields<'_, '_>, ledger: &mut Ledger) -> Option<Way> {
    let Some(is_redirected) = redirect::mode(fields) else {
        for key in ["listen", "listen_anywhere", "to", "destinations"] {
            let _fits_either_way = fields.entry(key);
        }
        return None;
    };
    if is_redirected {
        for key in ["listen", "listen_anywhere", "to"] {
            let Some(entry) = fields.entry(key) else { continue };
            let fault = Fault::new(format!("`{key}` is not for `redirect: transparent`"));
            let hint =
                "remove it: connections come by `redirect.port`, and go where they were to go";
            context.reader.error(entry.at(), fault.hint(hint));
        }
        let destinations = redirect::destinations(fields)?;
        return Some(Way { listen: ListenAddr::Redirected, to: Vec::new(), destinations });
    }
    if let Some(entry) = fields.entry("destinations") {
        let fault = Fault::new("`destinations` needs `redirect: transparent`");
        let hint = "add it instead of `listen` and `to`, or remove the key";
        context.reader.error(entry.at(), fault.hint(hint));
    }
    let listen = own_listen(context, fields, ledger);
    let to = fields.must("to", Some("[lab.example:8443]"), |reader, node| {
        let empty = ("an empty list leads nowhere", "name where the server is: [lab.example:8443]");
        let to = reader.some(node, located(endpoint), empty)?;
        Some(distinct(context, to))
    });
    Some(Way { listen: listen?, to: to?, destinations: Vec::new() })
}

fn own_listen(
    context: &Context<'_, '_>,
    fields: &mut Fields<'_, '_>,
    ledger: &mut Ledger,
) -> Option<ListenAddr> {
    let anywhere = fields.or("listen_anywhere", false, one(flag));
    let found = fields.must("listen", Some("127.0.0.1:9002"), |reader, node| {
        reader.located(node, |text| listen(text, reader.base()))
    })?;
    ledger.bind(found.value.clone(), Bound::Outbound, Some(found.mark()));
    if let ListenAddr::Tcp(address) = found.value {
        loopback(context, &found, address, anywhere?, "listen_anywhere")?;
    }
    Some(found.value)
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
