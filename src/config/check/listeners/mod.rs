//! The listeners.

mod inbound;
mod lenient;
mod outbound;
mod protocol;

use std::net::SocketAddr;

use super::ledger::Ledger;
use super::{Context, limits};
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Fields, Located, located, one};
use crate::config::scalar::{choice, flag, name};
use crate::config::{Limits, Protocol};
use crate::identity::ListenerName;
use crate::network::is_local;

pub(super) use inbound::inbound;
pub(super) use outbound::outbound;

const PROTOCOLS: &[(&str, Protocol)] = &[
    ("tcp", Protocol::Tcp),
    ("http", Protocol::Http),
    ("mllp", Protocol::Mllp),
    ("dicom", Protocol::Dicom),
];

fn listener_name(
    fields: &mut Fields<'_, '_>,
    ledger: &mut Ledger,
) -> Option<Located<ListenerName>> {
    let parse = |text: &str| name(text).map(|name| ListenerName::new(&name));
    let name = fields.required("name", located(parse))?;
    ledger.name(&name);
    Some(name)
}

/// `protocol`
fn protocol(fields: &mut Fields<'_, '_>) -> Option<Protocol> {
    fields.required("protocol", one(choice(PROTOCOLS, &[])))
}

/// A plaintext side stays on this machine, unless the key `unless` was set.
pub(super) fn loopback<T>(
    context: &Context<'_, '_>,
    written: &Located<T>,
    address: SocketAddr,
    anywhere: bool,
    unless: &str,
) -> Option<()> {
    if is_local(address.ip()) {
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

fn own_limits(context: &Context<'_, '_>, fields: &mut Fields<'_, '_>) -> Option<Limits> {
    fields.or("limits", context.limits.clone(), |reader, node| {
        limits::over(reader, node, &context.limits)
    })
}

fn values<T>(list: Vec<Located<T>>) -> Vec<T> {
    list.into_iter().map(|located| located.value).collect()
}
