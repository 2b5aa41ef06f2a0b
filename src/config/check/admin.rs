//! The administrative listeners, and what they say of the workload.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::Uri;

use super::ledger::{Bound, Ledger};
use super::only::only;
use crate::config::address::{control, socket};
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Fields, Located, Reader, located, one};
use crate::config::scalar::name;
use crate::config::yaml::Node;
use crate::config::{AdminSettings, ListenAddr, ProbeCheck, WorkloadProbe, keys};
use crate::network::is_local;

/// Where the administrative listener is when the file does not say.
pub(super) const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);

/// What holds when the file says nothing.
pub(super) fn default() -> AdminSettings {
    AdminSettings { listen: Some(LISTEN), probe_listen: None, probes: Vec::new(), socket: None }
}

/// `admin`
pub(super) fn settings(
    reader: &Reader<'_>,
    node: &Node,
    ledger: &mut Ledger,
) -> Option<AdminSettings> {
    let mut fields = Fields::open(reader, node, &keys::ADMIN)?;
    let listen = fields.optional("listen", located(off_or_loopback));
    let probe_listen = fields.optional("probe_listen", located(socket));
    let probes_at = fields.entry("probes");
    let probes = fields.or("probes", Vec::new(), probes);
    let socket = fields.optional("socket", |reader, node| {
        reader.located(node, |text| control(text, reader.base()))
    });
    fields.finish();
    match &listen {
        Some(Some(listen)) => {
            if let Some(address) = listen.value {
                ledger.bind(ListenAddr::Tcp(address), Bound::Admin, Some(listen.mark()));
            }
        }
        Some(None) => ledger.bind(ListenAddr::Tcp(LISTEN), Bound::Admin, None),
        None => {}
    }
    if let Some(Some(probe)) = &probe_listen {
        ledger.bind(ListenAddr::Tcp(probe.value), Bound::Admin, Some(probe.mark()));
    }
    if let Some(Some(socket)) = &socket {
        ledger.bind(ListenAddr::Unix(socket.value.clone()), Bound::Admin, Some(socket.mark()));
    }
    let listen = listen?.map_or(Some(LISTEN), |listen| listen.value);
    let probe_listen = probe_listen?.map(|probe| probe.value);
    if let Some(entry) = probes_at.filter(|_| listen.is_none() && probe_listen.is_none()) {
        let fault = Fault::new("`probes` with nobody to answer them: `listen` is off");
        reader.error(entry.at(), fault.hint("add `probe_listen: 0.0.0.0:9902`"));
    }
    let socket = socket?.map(|socket| socket.value);
    Some(AdminSettings { listen, probe_listen, probes: probes?, socket })
}

fn off_or_loopback(text: &str) -> Result<Option<SocketAddr>, Fault> {
    if text == "off" {
        return Ok(None);
    }
    let address = socket(text)?;
    if !is_local(address.ip()) {
        return Err(Fault::new(
            "is not a loopback address, and this listener asks nobody who they are",
        )
        .hint("use 127.0.0.1:9901 here, and `probe_listen` for probes and scrapers from outside"));
    }
    Ok(Some(address))
}

/// `admin.probes`
fn probes(reader: &Reader<'_>, node: &Node) -> Option<Vec<WorkloadProbe>> {
    let mut paths: Vec<Located<Arc<str>>> = Vec::new();
    reader.list(node, |reader, node| {
        let (path, check) = probe(reader, node)?;
        if let Some(first) = paths.iter().find(|other| other.value == path.value) {
            let fault =
                Fault::new(format!("a second probe has the path {}", quoted(&path.written)));
            reader.error(path.at(), fault.hint(format!("the first is {}", first.parent())));
        }
        paths.push(path.clone());
        Some(WorkloadProbe { path: path.value, check })
    })
}

fn probe(reader: &Reader<'_>, node: &Node) -> Option<(Located<Arc<str>>, ProbeCheck)> {
    let mut fields = Fields::open(reader, node, &keys::PROBE)?;
    let path = fields.required("path", located(path));
    let one_way = ("a probe asks in one way", "keep one, or make it two probes");
    let check =
        only(reader, &mut fields, &["http", "tcp"], one_way, |reader, key, node| match key {
            "http" => one(url)(reader, node),
            _ => one(workload)(reader, node).map(ProbeCheck::Tcp),
        });
    let at = fields.at();
    fields.finish();
    let check = check.or(|| {
        let fault = Fault::new("nothing says how this probe asks");
        reader.error(
            at,
            fault.hint("add `http: \"http://127.0.0.1:8080/healthz\"` or `tcp: 127.0.0.1:2576`"),
        );
    });
    Some((path?, check?))
}

/// A path below `/health/`, where none of ours is.
fn path(text: &str) -> Result<Arc<str>, Fault> {
    let below = text.strip_prefix("/health/").filter(|below| name(below).is_ok());
    below.map(|_name| text.into()).ok_or_else(|| {
        Fault::new("is not /health/ and a name")
            .hint("a name has a-z, 0-9, '_', '.' and '-', like /health/fhir")
    })
}

/// Where a program of this machine listens.
fn workload(text: &str) -> Result<SocketAddr, Fault> {
    let address = socket(text)?;
    if address.port() == 0 {
        return Err(Fault::new("has port 0, to which nothing can connect"));
    }
    if !is_local(address.ip()) {
        return Err(Fault::new("is not a loopback address")
            .hint("the workload is on this machine: 127.0.0.1:PORT or [::1]:PORT"));
    }
    Ok(address)
}

/// An http URL of a program of this machine.
fn url(text: &str) -> Result<ProbeCheck, Fault> {
    let wrong =
        || Fault::new("is not an http URL").hint("write it like http://127.0.0.1:8080/healthz");
    let uri: Uri = text.parse().map_err(|_vague| wrong())?;
    let authority =
        uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(wrong)?;
    if text.contains('#') {
        return Err(wrong());
    }
    let address = match authority.port() {
        Some(_) => workload(authority.as_str()),
        None => workload(&format!("{authority}:80")),
    };
    let address = address.map_err(|_as_address| {
        Fault::new("does not lead to a loopback address")
            .hint("the workload is on this machine: http://127.0.0.1:8080/healthz")
    })?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(ProbeCheck::Http { address, path: path.into() })
}
