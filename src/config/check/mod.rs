//! The tree to checked types, section by section, in the order of the file.

mod admin;
mod associations;
mod audit;
pub(super) mod case;
mod dates;
mod export;
mod groups;
mod identity;
mod ledger;
mod limits;
mod listeners;
mod mllp;
mod only;
mod peers;
mod policy;
mod question;
mod quota;
mod redirect;
mod routes;
mod rules;
mod tls;
mod words;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::problem::Fault;
use super::read::{Fields, Reader, one};
use super::scalar::{choice, count};
use super::yaml::Node;
use super::{
    AdminSettings, AuditSettings, Config, Inbound, Limits, ListenAddr, Outbound, Problems,
    Redirect, SandboxMode, keys,
};
use crate::identity::{Fingerprint, SpiffeId, TrustDomain};
use groups::Known;
use ledger::{Bound, Ledger};

pub use associations::read_sop_class;

/// A year as `humantime` counts it.
const YEAR: u64 = 31_557_600;
const DAY: Duration = Duration::from_secs(86_400);
/// Most data threads.
const MAX_WORKERS: u64 = 1024;
const SANDBOX: &[(&str, SandboxMode)] =
    &[("auto", SandboxMode::Auto), ("required", SandboxMode::Required), ("off", SandboxMode::Off)];

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
    let groups_node = fields.entry("groups").map(|entry| &entry.node);
    let known = Known::of(reader, peers_node, groups_node);
    let limits = fields.or("limits", Limits::default(), limits::of_file);
    let context = Context { reader, peers: known, limits: limits.clone().unwrap_or_default() };
    let carried = carried(&mut fields, &context);
    context.peers.check_use(reader);
    let rego = fields.optional("policy", policy::settings);
    let traces = fields.or("telemetry", None, export::telemetry);
    let runtime = fields.or("runtime", (cores(), SandboxMode::Auto), runtime);
    fields.finish();

    version?;
    let Carried { inbound, outbound, redirect, audit, admin } = carried?;
    let rego = rego?;
    let (workers, sandbox) = runtime?;
    Some(Config {
        path: path.to_owned(),
        digest: policy::version(digest, rego.as_ref()),
        service: service?,
        trust_domain: trust_domain?,
        identity: identity?,
        tls: tls?,
        peers: peers?,
        groups: context.peers.members(),
        inbound,
        outbound,
        redirect,
        audit,
        traces: traces?,
        admin,
        outline: policy::outline(root, rego.as_ref()),
        rego,
        workers,
        sandbox,
        files: reader.files(),
        limits: limits?,
        // Not known before the reader has let go of what it found.
        warnings: Problems::new(path, "", Vec::new()),
    })
}

/// What must fit together over the sections.
struct Carried {
    inbound: Vec<Inbound>,
    outbound: Vec<Outbound>,
    redirect: Option<Redirect>,
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
    let redirect =
        fields.optional("redirect", |reader, node| redirect::settings(reader, node, &mut ledger));
    let audit = fields.optional("audit", |reader, node| audit::settings(reader, node, &mut ledger));
    let admin = fields.optional("admin", |reader, node| admin::settings(reader, node, &mut ledger));
    if let Some(None) = admin {
        ledger.bind(ListenAddr::Tcp(admin::LISTEN), Bound::Admin, None);
    }
    ledger.check(context.reader, !matches!(audit, Some(None)));

    let (inbound, outbound, redirect) = (inbound?, outbound?, redirect?);
    if inbound.is_empty() && outbound.is_empty() {
        let fault = Fault::new("no listener: nothing is carried");
        let hint = "add `inbound` for peers that come in, or `outbound` for the workload's way out";
        context.reader.warn(fields.at(), fault.hint(hint));
    }
    let admin = admin?.unwrap_or_else(admin::default);
    let carried = Carried { inbound, outbound, redirect, audit: audit?, admin };
    redirect::fits(context.reader, fields.at(), &carried);
    Some(carried)
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

fn runtime(reader: &Reader<'_>, node: &Node) -> Option<(usize, SandboxMode)> {
    let mut fields = Fields::open(reader, node, &keys::RUNTIME)?;
    let workers = fields.or("workers", cores(), one(workers));
    let sandbox = fields.or("sandbox", SandboxMode::Auto, one(choice(SANDBOX, &[])));
    fields.finish();
    Some((workers?, sandbox?))
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
