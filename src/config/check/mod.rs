//! The tree to checked types, section by section, in the order of the file.

mod identity;
mod ledger;
mod limits;
mod listeners;
mod only;
mod peers;
mod routes;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::address::{is_local, socket};
use super::problem::Fault;
use super::read::{Fields, Reader, located, one};
use super::scalar::{choice, count, duration};
use super::yaml::Node;
use super::{
    AdminSettings, AuditSettings, Config, Inbound, Limits, ListenAddr, OnFailure, Outbound,
    Problems, keys,
};
use crate::identity::{Fingerprint, SpiffeId, TrustDomain};
use ledger::{Bound, Ledger};
use peers::Known;

/// Where the administrative listener is when the file does not say.
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
/// How long records are kept when the file does not say: what HIPAA asks for (45 CFR 164.316).
const RETENTION: Duration = Duration::from_secs(6 * YEAR);
/// A year as `humantime` counts it.
const YEAR: u64 = 31_557_600;
const DAY: Duration = Duration::from_secs(86_400);
/// Most data threads.
const MAX_WORKERS: u64 = 1024;

/// What a listener is checked against.
struct Context<'c, 'a> {
    reader: &'c Reader<'a>,
    peers: Known<'c>,
    limits: Limits,
}

/// The configuration that `root` says. Without one, the reader has noted at least one error.
pub(super) fn file(
    reader: &Reader<'_>,
    root: &Node,
    path: &Path,
    digest: Fingerprint,
) -> Option<Config> {
    let mut fields = Fields::open(reader, root, &keys::FILE)?;
    let version = fields.required("version", one(version));
    let service = fields.required("service", one(service));
    let trust_domain = fields.required("trust_domain", one(trust_domain));
    let identity = fields.required("identity", identity::source);
    let tls = fields.or("tls", tls::DEFAULT, tls::settings);
    let peers_node = fields.entry("peers").map(|entry| &entry.node);
    let peers =
        peers_node.map_or_else(|| Some(Default::default()), |node| peers::all(reader, node));
    let limits = fields.or("limits", Limits::default(), |reader, node| {
        limits::over(reader, node, &Limits::default())
    });

    let context = Context {
        reader,
        peers: Known::of(peers_node),
        limits: limits.clone().unwrap_or_default(),
    };
    let carried = carried(&mut fields, &context);
    let workers = fields.or("runtime", cores(), runtime);
    fields.finish();

    version?;
    let Carried { inbound, outbound, audit, admin } = carried?;
    Some(Config {
        path: path.to_owned(),
        digest,
        service: service?,
        trust_domain: trust_domain?,
        identity: identity?,
        tls: tls?,
        peers: peers?,
        groups: Default::default(),
        inbound,
        outbound,
        audit,
        admin,
        workers: workers?,
        limits: limits?,
        // Not known before the reader has let go of what it found.
        warnings: Problems::new(path, "", Vec::new()),
    })
}

/// What must fit together over the sections.
struct Carried {
    inbound: Vec<Inbound>,
    outbound: Vec<Outbound>,
    audit: Option<AuditSettings>,
    admin: AdminSettings,
}

fn carried(fields: &mut Fields<'_, '_>, context: &Context<'_, '_>) -> Option<Carried> {
    let mut ledger = Ledger::default();
    let inbound = fields.or("inbound", Vec::new(), |reader, node| {
        reader.list(node, |_, node| listeners::inbound(context, &mut ledger, node))
    });
    let outbound = fields.or("outbound", Vec::new(), |reader, node| {
        reader.list(node, |_, node| listeners::outbound(context, &mut ledger, node))
    });
    let audit = fields.optional("audit", audit);
    let admin = fields.optional("admin", |reader, node| admin(reader, node, &mut ledger));
    if let Some(None) = admin {
        ledger.bind(ListenAddr::Tcp(ADMIN), Bound::Admin, None);
    }
    ledger.check(context.reader, !matches!(audit, Some(None)));

    let (inbound, outbound) = (inbound?, outbound?);
    if inbound.is_empty() && outbound.is_empty() {
        let fault = Fault::new("no listener: nothing is carried");
        let hint = "add `inbound` for peers that come in, or `outbound` for the workload's way out";
        context.reader.warn(fields.at(), fault.hint(hint));
    }
    let none = AdminSettings { listen: Some(ADMIN), probe_listen: None };
    Some(Carried { inbound, outbound, audit: audit?, admin: admin?.unwrap_or(none) })
}

fn version(text: &str) -> Result<(), Fault> {
    match text {
        "1" => Ok(()),
        _ => Err(Fault::new("is not a version that this release reads; only 1 is")
            .hint("write `version: 1`")),
    }
}

fn service(text: &str) -> Result<Arc<str>, Fault> {
    let fits = text.len() <= 255 && !text.contains('/');
    if !fits || SpiffeId::parse(&format!("spiffe://td/{text}")).is_err() {
        return Err(Fault::new("is not one segment of a SPIFFE ID's path")
            .hint("letters, digits, '.', '-' and '_', at most 255"));
    }
    Ok(text.into())
}

fn trust_domain(text: &str) -> Result<TrustDomain, Fault> {
    TrustDomain::parse(text).map_err(|error| Fault::new("is not a trust domain").quoting(error))
}

fn audit(reader: &Reader<'_>, node: &Node) -> Option<AuditSettings> {
    const MODES: &[(&str, OnFailure)] = &[("block", OnFailure::Block), ("allow", OnFailure::Allow)];
    let mut fields = Fields::open(reader, node, &keys::AUDIT)?;
    let dir = fields.required("dir", Reader::path);
    let on_failure = fields.optional("on_failure", located(choice(MODES, &[])));
    let retention =
        fields.or("retention", RETENTION, one(duration(DAY..=Duration::from_secs(100 * YEAR))));
    fields.finish();
    let on_failure = on_failure?;
    if let Some(mode) = on_failure.as_ref().filter(|mode| mode.value == OnFailure::Allow) {
        reader.warn(
            mode.at(),
            Fault::new(
                "PHI passes without a record while the trail cannot be written: this fails open",
            )
            .hint("`on_failure: block` keeps the promise that every access is on record"),
        );
    }
    let on_failure = on_failure.map_or(OnFailure::Block, |mode| mode.value);
    Some(AuditSettings { dir: dir?, on_failure, retention: retention? })
}

fn admin(reader: &Reader<'_>, node: &Node, ledger: &mut Ledger) -> Option<AdminSettings> {
    let mut fields = Fields::open(reader, node, &keys::ADMIN)?;
    let listen = fields.optional("listen", located(off_or_loopback));
    let probe_listen = fields.optional("probe_listen", located(socket));
    fields.finish();
    match &listen {
        Some(Some(listen)) => {
            if let Some(address) = listen.value {
                ledger.bind(ListenAddr::Tcp(address), Bound::Admin, Some(listen.mark()));
            }
        }
        Some(None) => ledger.bind(ListenAddr::Tcp(ADMIN), Bound::Admin, None),
        None => {}
    }
    if let Some(Some(probe)) = &probe_listen {
        ledger.bind(ListenAddr::Tcp(probe.value), Bound::Admin, Some(probe.mark()));
    }
    Some(AdminSettings {
        listen: listen?.map_or(Some(ADMIN), |listen| listen.value),
        probe_listen: probe_listen?.map(|probe| probe.value),
    })
}

fn off_or_loopback(text: &str) -> Result<Option<SocketAddr>, Fault> {
    if text == "off" {
        return Ok(None);
    }
    let address = socket(text)?;
    if !is_local(address) {
        return Err(Fault::new(
            "is not a loopback address, and this listener asks nobody who they are",
        )
        .hint("use 127.0.0.1:9901 here, and `probe_listen` for probes and scrapers from outside"));
    }
    Ok(Some(address))
}

fn runtime(reader: &Reader<'_>, node: &Node) -> Option<usize> {
    let mut fields = Fields::open(reader, node, &keys::RUNTIME)?;
    let workers = fields.or("workers", cores(), one(workers));
    fields.finish();
    workers
}

fn workers(text: &str) -> Result<usize, Fault> {
    match text {
        "auto" => Ok(cores()),
        text => {
            count(1..=MAX_WORKERS)(text).map(|count| usize::try_from(count).unwrap_or(1)).map_err(
                |fault| fault.hint("`auto` takes the cores, or the CPU quota, of this process"),
            )
        }
    }
}

/// The cores, or the CPU quota, that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}
