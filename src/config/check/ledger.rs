//! What one part of the file says that another must fit.

use std::net::SocketAddr;
use std::time::Duration;

use super::audit::RETENTION;
use crate::config::address::overlap;
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Located, Reader};
use crate::config::{ListenAddr, Target};
use crate::identity::ListenerName;

/// Who binds an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// Peers connect here.
    Inbound,
    /// The workload connects here.
    Outbound,
    /// Operators connect here.
    Admin,
}

struct Listen {
    address: ListenAddr,
    bound: Bound,
    /// `None` for an address that holds without being written.
    mark: Option<Located<()>>,
}

/// Notes what the sections say, and compares it when all have been read.
#[derive(Default)]
pub(super) struct Ledger {
    names: Vec<Located<ListenerName>>,
    listens: Vec<Listen>,
    forwards: Vec<Located<Target>>,
    phi: Option<Located<()>>,
    retention: Option<Located<Duration>>,
}

impl Ledger {
    /// A listener has this name.
    pub(super) fn name(&mut self, name: &Located<ListenerName>) {
        self.names.push(name.clone());
    }

    /// An address is bound.
    pub(super) fn bind(&mut self, address: ListenAddr, bound: Bound, mark: Option<Located<()>>) {
        self.listens.push(Listen { address, bound, mark });
    }

    /// A workload is here.
    pub(super) fn forward(&mut self, forward: &Located<Target>) {
        self.forwards.push(forward.clone());
    }

    /// A listener or a route says whether it gives access to PHI.
    pub(super) fn phi(&mut self, phi: &Located<bool>) {
        if phi.value && self.phi.is_none() {
            self.phi = Some(phi.mark());
        }
    }

    /// Records are kept for so long.
    pub(super) fn retention(&mut self, retention: &Located<Duration>) {
        self.retention = Some(retention.clone());
    }

    /// Compares all that was noted. `audited`: there is a trail.
    pub(super) fn check(&self, reader: &Reader<'_>, audited: bool) {
        self.names_are_unique(reader);
        self.addresses_are_free(reader);
        for forward in &self.forwards {
            self.forward_leaves_us(reader, forward);
        }
        if let Some(phi) = self.phi.as_ref().filter(|_| !audited) {
            let fault = Fault::new("`phi: true` needs a trail, and `audit.dir` is missing");
            reader.error(phi.at(), fault.hint("add `audit: { dir: /var/log/myelin/audit }`"));
        }
        let short = self.retention.as_ref().filter(|retention| retention.value < RETENTION);
        if let Some(short) = short.filter(|_| self.phi.is_some()) {
            let fault = Fault::new(
                "records of access to PHI are removed before six years are over: so long HIPAA has documentation \
                 kept (45 CFR 164.316(b)(2))",
            );
            reader.warn(short.at(), fault.hint("write `retention: 6y`, or remove the key"));
        }
    }

    fn names_are_unique(&self, reader: &Reader<'_>) {
        let mut before: Vec<&Located<ListenerName>> = Vec::new();
        for name in &self.names {
            if let Some(first) = before.iter().find(|other| other.value == name.value) {
                let text = format!("a second listener is named {}", quoted(&name.written));
                let hint = format!(
                    "the first is {}; names are unique over inbound and outbound",
                    first.parent()
                );
                reader.error(name.at(), Fault::new(text).hint(hint));
            }
            before.push(name);
        }
    }

    fn addresses_are_free(&self, reader: &Reader<'_>) {
        let mut before: Vec<&Listen> = Vec::new();
        for listen in &self.listens {
            if let Some(first) =
                before.iter().find(|other| collide(&other.address, &listen.address))
            {
                let (mark, other) = match (&listen.mark, &first.mark) {
                    (Some(mark), other) => (mark, other),
                    (None, Some(mark)) => (mark, &None),
                    (None, None) => continue,
                };
                let text = format!("{} cannot be bound twice", quoted(&mark.written));
                let hint = match other {
                    Some(other) => format!("{} binds {}", other.key(), quoted(&other.written)),
                    None => {
                        "`admin.listen` binds it when it is not set; choose another port, or set it"
                            .into()
                    }
                };
                reader.error(mark.at(), Fault::new(text).hint(hint));
            }
            before.push(listen);
        }
    }

    fn forward_leaves_us(&self, reader: &Reader<'_>, forward: &Located<Target>) {
        let Some(own) = self.listens.iter().find(|own| reaches(&forward.value, &own.address))
        else {
            return;
        };
        let whose = own.mark.as_ref().map_or("admin.listen", Located::key);
        let shown = quoted(&forward.written);
        match own.bound {
            Bound::Inbound | Bound::Admin => {
                let fault = Fault::new(format!("{shown} is this sidecar's own `{whose}`: a loop"));
                reader.error(forward.at(), fault.hint("forward to the workload's own address"));
            }
            Bound::Outbound => {
                let text = format!(
                    "{shown} is this sidecar's own `{whose}`: what peers send goes \
                                    out again under this sidecar's identity"
                );
                reader.warn(
                    forward.at(),
                    Fault::new(text).hint("forward to the workload, unless this is to be a relay"),
                );
            }
        }
    }
}

fn collide(one: &ListenAddr, other: &ListenAddr) -> bool {
    match (one, other) {
        (ListenAddr::Tcp(one), ListenAddr::Tcp(other)) => overlap(*one, *other),
        (one, other) => one == other,
    }
}

fn reaches(target: &Target, own: &ListenAddr) -> bool {
    match (target, own) {
        (Target::Tcp(target), ListenAddr::Tcp(own)) => reaches_ip(*target, *own),
        (Target::Unix(target), ListenAddr::Unix(own)) => target == own,
        (Target::Tcp(_), ListenAddr::Unix(_) | ListenAddr::Redirected)
        | (Target::Unix(_), ListenAddr::Tcp(_) | ListenAddr::Redirected) => false,
    }
}

/// `[::]` takes IPv4 too, unless the kernel is told otherwise.
fn reaches_ip(target: SocketAddr, own: SocketAddr) -> bool {
    let dual = own.ip().is_unspecified() && own.is_ipv6() && own.port() == target.port();
    overlap(target, own) || dual
}
