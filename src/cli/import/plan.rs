//! From stunnel's services to listeners and peers. Nothing becomes laxer on the way: what stunnel left open is closed,
//! and said.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use rustls::pki_types::CertificateDer;

use super::options::{Fate, fate};
use super::stunnel::{Entry, File, Section};
use crate::certs::files::trust_bundle;
use crate::config::check_name;
use crate::identity::{DnsName, Fingerprint, PeerCertificate};

/// stunnel's own default of `TIMEOUTidle`.
const IDLE: &str = "12h";

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) identity: Identity,
    pub(super) inbound: Vec<Listener>,
    pub(super) outbound: Vec<Listener>,
    /// What each entry of `peers` is known by, as it stands in the file: its name.
    pub(super) peers: BTreeMap<String, String>,
    /// What deserves a look.
    pub(super) remarks: Vec<String>,
    /// Services that are not in it, and why.
    pub(super) left_out: Vec<String>,
}

/// The files that say who we are and whom we trust.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) cert: Option<String>,
    pub(super) key: Option<String>,
    pub(super) trust_bundle: Option<String>,
    pub(super) crl: Option<String>,
}

/// One service.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) listen: String,
    /// `forward`, or `to`.
    pub(super) to: Vec<String>,
    /// The plaintext side is not on this machine alone.
    pub(super) is_open: bool,
    /// Names of peers.
    pub(super) peers: Vec<String>,
    pub(super) limits: String,
}

impl Plan {
    /// Of the services that `wanted` takes by their names.
    pub(super) fn of(file: &File, wanted: impl Fn(&str) -> bool) -> Self {
        let mut plan = Self::default();
        let mut added: Option<Identity> = None;
        for service in file.services.iter().filter(|service| wanted(&service.name)) {
            let identity = Identity::of(file, service);
            if added.as_ref().is_some_and(|added| *added != identity) {
                let text = "it has another certificate or CAfile than those before it: a sidecar has one identity, so import it into a file of its own (--only)";
                plan.leave_out(service, text);
                continue;
            }
            let said = plan.remarks.len();
            match plan.add(file, service) {
                Ok(()) => added = Some(identity),
                Err(why) => {
                    plan.remarks.truncate(said); // of what is not in it nothing else is to be said
                    plan.leave_out(service, &why);
                }
            }
        }
        plan.identity = added.unwrap_or_default();
        for entry in &file.global {
            plan.remark("", entry);
        }
        plan
    }

    fn leave_out(&mut self, service: &Section, why: &str) {
        self.left_out.push(format!("[{}] (line {}): {why}", service.name, service.line));
    }

    fn remark(&mut self, of: &str, entry: &Entry) {
        if let Fate::Told(text) = fate(&entry.key, &entry.value) {
            self.remarks.push(format!("{of}`{}` (line {}) {text}", entry.key, entry.line));
        }
    }

    fn add(&mut self, file: &File, service: &Section) -> Result<(), String> {
        for entry in service.entries.iter().chain(&file.global) {
            if let Fate::LeavesOut(why) = fate(&entry.key, &entry.value) {
                return Err(format!("`{}` (line {}): {why}", entry.key, entry.line));
            }
        }
        let of = format!("[{}] ", service.name);
        let name = self.free_name(&service.name);
        let accept = &service.get(file, "accept").ok_or("it has no `accept`")?.value;
        let connect = service.all(file, "connect");
        let limits = limits(file, service)?;
        let is_client = service.is(file, "client");
        let listener = if is_client {
            let (listen, is_open) = self.plaintext_side(&of, accept)?;
            let to =
                connect.iter().map(|entry| endpoint(&entry.value)).collect::<Result<_, _>>()?;
            Listener { name, listen, to, is_open, peers: Vec::new(), limits }
        } else {
            let [one] = connect[..] else {
                return Err("it has several `connect`, or none: a sidecar has one workload for each listener".to_owned());
            };
            let (forward, is_open) = workload(&one.value)?;
            Listener {
                name,
                listen: listening(accept)?.to_string(),
                to: vec![forward],
                is_open,
                peers: Vec::new(),
                limits,
            }
        };
        let peers = self.peers(file, service, (&of, &listener, is_client))?;
        if listener.is_open {
            self.remarks.push(format!(
                "{of}has its plaintext side on the network, as it had: put the sidecar beside the program"
            ));
        }
        service.entries.iter().for_each(|entry| self.remark(&of, entry));
        let side = if is_client { &mut self.outbound } else { &mut self.inbound };
        side.push(Listener { peers, ..listener });
        Ok(())
    }

    /// Who may connect, or whom the server must be, by what stunnel checked.
    fn peers(
        &mut self,
        file: &File,
        service: &Section,
        (of, listener, is_client): (&str, &Listener, bool),
    ) -> Result<Vec<String>, String> {
        let names = service.all(file, "checkhost");
        let names =
            names.iter().map(|entry| dns(&entry.value)).collect::<Result<Vec<_>, String>>()?;
        let level = service.get(file, "verify").map(|level| level.value.as_str());
        if service.is(file, "verifypeer") || matches!(level, Some("3" | "4")) {
            let pins = pins(file, service, &names)?;
            let wish = format!("{}-peer", listener.name);
            return Ok(pins.into_iter().map(|pin| self.peer(&wish, pin)).collect());
        }
        if !names.is_empty() {
            let peer = |host: String| self.peer(&host, format!("dns: {host}"));
            return Ok(names.into_iter().map(peer).collect());
        }
        if !is_client {
            self.remarks.push(format!(
                "{of}let in whoever had a certificate, or everybody. Here nobody comes in who is not in `allow`: list them, or observe first who they are \
                 (`enforce: false` with `until:`)"
            ));
            return Ok(Vec::new());
        }
        let hosts = listener
            .to
            .iter()
            .map(|to| dns(host_and_port(to).map_or(to.as_str(), |(host, _)| host)));
        let hosts = hosts.collect::<Result<Vec<_>, _>>().map_err(|_other| {
            "it does not say who the server must be, and connects to an address: add `checkHost`".to_owned()
        })?;
        self.remarks.push(format!(
            "{of}did not say who the server must be. Here it must be whose host name it connects to"
        ));
        Ok(hosts.into_iter().map(|host| self.peer(&host, format!("dns: {host}"))).collect())
    }

    /// The name of the peer that is known by `matcher`.
    fn peer(&mut self, wish: &str, matcher: String) -> String {
        if let Some(name) = self.peers.get(&matcher) {
            return name.clone();
        }
        let taken = |name: &str| self.peers.values().any(|other| other == name);
        let name = first_free(&wish.replace('*', "any"), taken);
        self.peers.insert(matcher, name.clone());
        name
    }

    fn free_name(&self, wish: &str) -> String {
        let taken =
            |name: &str| self.inbound.iter().chain(&self.outbound).any(|other| other.name == name);
        first_free(wish, taken)
    }

    /// Where the workload connects. A port alone was the whole network's; here it is this machine's.
    fn plaintext_side(&mut self, of: &str, accept: &str) -> Result<(String, bool), String> {
        if accept.starts_with('/') {
            return Ok((format!("unix:{accept}"), false));
        }
        if accept.parse::<u16>().is_ok() {
            self.remarks.push(format!(
                "{of}took plaintext from the whole network on port {accept}; here it takes it from this machine alone"
            ));
            return Ok((format!("127.0.0.1:{accept}"), false));
        }
        let address = listening(accept)?;
        Ok((address.to_string(), !address.ip().is_loopback()))
    }
}

impl Identity {
    fn of(file: &File, service: &Section) -> Self {
        let get = |key: &str| service.get(file, key).map(|entry| entry.value.clone());
        let cert = get("cert");
        Self {
            key: get("key").or_else(|| cert.clone()),
            cert,
            trust_bundle: get("cafile"),
            crl: get("crlfile"),
        }
    }
}

/// The certificates that a peer may have, if stunnel asked for one of `CAfile`; and for one of `names` too, if there are any.
fn pins(file: &File, service: &Section, names: &[String]) -> Result<Vec<String>, String> {
    let bundle = service.get(file, "cafile").ok_or("it has `verifyPeer` and no `CAfile`")?;
    let certificates = trust_bundle(Path::new(&bundle.value)).map_err(|error| {
        let line = bundle.line;
        format!("its peers are the certificates in `CAfile` (line {line}), which cannot be used: {error}")
    })?;
    let is_named = |der: &&CertificateDer<'_>| {
        let certificate = PeerCertificate::parse(der);
        names.is_empty() || certificate.is_ok_and(|it| names.iter().any(|name| it.is_of(name)))
    };
    let pins: Vec<_> = certificates
        .iter()
        .filter(is_named)
        .map(|der| format!("pin: \"sha256:{}\"", Fingerprint::of(der)))
        .collect();
    if pins.is_empty() {
        let line = bundle.line;
        return Err(format!(
            "its peers are the certificates in `CAfile` (line {line}) that have a name of `checkHost`, and none has: correct `checkHost`, or take it out"
        ));
    }
    Ok(pins)
}

/// The wish as a name of ours, with a number behind it if it is taken.
fn first_free(wish: &str, taken: impl Fn(&str) -> bool) -> String {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c);
    let name: String =
        wish.to_lowercase().chars().map(|c| if fits(c) { c } else { '-' }).take(50).collect();
    let name = name.trim_start_matches(['_', '.', '-']);
    let name = if check_name(name).is_ok() { name.to_owned() } else { "service".to_owned() };
    let numbered = (2..).map(|number: u32| format!("{name}-{number}"));
    std::iter::once(name.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(name)
}

/// `limits`, in flow style.
fn limits(file: &File, service: &Section) -> Result<String, String> {
    let seconds = |key: &str| match service.get(file, key) {
        Some(entry) => match entry.value.parse::<u32>() {
            Ok(seconds) if seconds > 0 => Ok(Some(format!("{seconds}s"))),
            _ => Err(format!("`{key}` (line {}) is no number of seconds", entry.line)),
        },
        None => Ok(None),
    };
    let idle = seconds("timeoutidle")?.unwrap_or_else(|| IDLE.to_owned());
    let connect = seconds("timeoutconnect")?.map(|limit| format!(", connect_timeout: {limit}"));
    Ok(format!("idle_timeout: {idle}{}", connect.unwrap_or_default()))
}

/// `[HOST:]PORT` of `accept`: without a host, all of this machine's addresses.
fn listening(accept: &str) -> Result<SocketAddr, String> {
    let (host, port) = host_and_port(accept).unwrap_or(("0.0.0.0", accept));
    let port =
        port.parse().map_err(|_other| format!("`accept = {accept}` has no number of a port"))?;
    let ip: IpAddr = match host {
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        "*" => IpAddr::from([0, 0, 0, 0]),
        host => host
            .parse()
            .map_err(|_other| format!("`accept = {accept}` has a name: write the address"))?,
    };
    Ok(SocketAddr::new(ip, port))
}

/// `[HOST:]PORT` of a server's `connect`, or a path; and whether that is another machine.
fn workload(connect: &str) -> Result<(String, bool), String> {
    if connect.starts_with('/') {
        return Ok((format!("unix:{connect}"), false));
    }
    let (host, port) = host_and_port(connect).unwrap_or(("127.0.0.1", connect));
    let address =
        listening(&format!("{host}:{port}")).map_err(|error| error.replace("accept", "connect"))?;
    Ok((address.to_string(), !address.ip().is_loopback()))
}

/// `[HOST:]PORT` of a client's `connect`, as `to` has it.
fn endpoint(connect: &str) -> Result<String, String> {
    let (host, port) = host_and_port(connect).unwrap_or(("localhost", connect));
    let port: u16 =
        port.parse().map_err(|_other| format!("`connect = {connect}` has no number of a port"))?;
    Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

/// At the last colon, as stunnel does: hosts may be IPv6 addresses, with or without brackets.
fn host_and_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']'), port))
}

fn dns(host: &str) -> Result<String, String> {
    let plain = host.to_lowercase();
    let is_name = host.parse::<IpAddr>().is_err() && DnsName::parse(&plain).is_ok();
    if is_name { Ok(plain) } else { Err(format!("`{host}` is no DNS name")) }
}
