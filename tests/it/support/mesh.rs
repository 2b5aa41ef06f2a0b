//! Sidecars in as few words as a test needs. Each gets a configuration file as an operator would write it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use myelin::certs::embedded::Authority;
use myelin::config::{self, Config, Problems};
use myelin::identity::{DnsName, SpiffeId, TrustDomain};
use tempfile::TempDir;

use super::client::{self, Peer};
use super::outside::Outside;
use super::pki::{Identity, spiffe};
pub(crate) use super::running::{Running, Spawned};
use super::trail::Trail;

/// A trust domain on one machine: an authority, and sidecars with certificates from it.
pub(crate) struct Mesh {
    dir: TempDir,
    authority: Authority,
}

impl Mesh {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let domain = TrustDomain::parse("hospital.example").unwrap();
        let authority = Authority::open_or_create(&dir.path().join("authority"), &domain).unwrap();
        Self { dir, authority }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A certificate of the service `name`, for another program.
    pub(crate) fn pem(&self, name: &str) -> Identity {
        self.pem_for(name, Duration::from_secs(3600))
    }

    /// The same, for so long.
    pub(crate) fn pem_for(&self, name: &str, life: Duration) -> Identity {
        let id = SpiffeId::parse(&spiffe(name)).unwrap();
        let dns = [DnsName::parse(name).unwrap()];
        let issued = self.authority.issue_pem(&id, &dns, life).unwrap();
        Identity::new(&issued.chain, &issued.key, self.authority.trust_bundle_pem())
    }

    /// The sidecar of the service `service`, with mutual TLS in.
    pub(crate) fn inbound(&self, service: &str) -> Setup {
        Setup::new(self.dir(), service, Side::In { forward: "127.0.0.1:9".to_owned() })
    }

    /// The sidecar of the service `service`, with mutual TLS out.
    pub(crate) fn outbound(&self, service: &str) -> Setup {
        Setup::new(self.dir(), service, Side::Out { to: Vec::new() })
    }

    /// Connects as the service `name`.
    pub(crate) async fn connect(&self, name: &str, to: &Outside) -> Peer {
        client::connect(&self.pem(name), to.address(), &to.listeners[0].0).await.unwrap()
    }
}

#[derive(Debug, Clone)]
enum Side {
    In { forward: String },
    Out { to: Vec<String> },
}

/// A sidecar that is not running yet: one listener, named as its service, and whatever is added.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    dir: PathBuf,
    service: String,
    side: Side,
    listen: String,
    identity: String,
    peers: Vec<(String, String)>,
    names: Vec<String>,
    /// More keys of the listener, a line each.
    listener: Vec<String>,
    /// More listeners, as whole items of the same list.
    more: Vec<String>,
    /// More keys of the file, a line each.
    file: Vec<String>,
    audit: String,
    admin: String,
}

impl Setup {
    fn new(mesh: &Path, service: &str, side: Side) -> Self {
        let dir = mesh.join(service);
        std::fs::create_dir_all(&dir).unwrap();
        Self {
            identity: format!("embedded: {{ dir: {}/authority }}", mesh.display()),
            audit: format!("dir: {}/audit", dir.display()),
            dir,
            service: service.to_owned(),
            side,
            listen: "127.0.0.1:0".to_owned(),
            peers: Vec::new(),
            names: Vec::new(),
            listener: Vec::new(),
            more: Vec::new(),
            file: Vec::new(),
            admin: "listen: 127.0.0.1:0".to_owned(),
        }
    }

    /// Lets the service `name` in; for outbound, expects it.
    pub(crate) fn allow(self, name: &str) -> Self {
        self.peer(name, &format!("spiffe: {}", spiffe(name))).allow_known(name)
    }

    /// Lets in whom [`Self::peer`] has made known.
    pub(crate) fn allow_known(mut self, name: &str) -> Self {
        self.names.push(name.to_owned());
        self
    }

    /// An entry in `peers`.
    pub(crate) fn peer(mut self, name: &str, entry: &str) -> Self {
        self.peers.push((name.to_owned(), entry.to_owned()));
        self
    }

    /// Takes a peer out of `peers` and of the list.
    pub(crate) fn forget(mut self, name: &str) -> Self {
        self.peers.retain(|(peer, _)| peer != name);
        self.names.retain(|peer| peer != name);
        self
    }

    /// Takes a peer off the list; it stays known.
    pub(crate) fn unlist(mut self, name: &str) -> Self {
        self.names.retain(|peer| peer != name);
        self
    }

    /// Where the workload is.
    pub(crate) fn forward(mut self, target: &str) -> Self {
        self.side = Side::In { forward: target.to_owned() };
        self
    }

    /// Where a peer is.
    pub(crate) fn to(mut self, endpoint: impl ToString) -> Self {
        match &mut self.side {
            Side::Out { to } => to.push(endpoint.to_string()),
            Side::In { .. } => panic!("an inbound listener has `forward`"),
        }
        self
    }

    pub(crate) fn listen(mut self, address: &str) -> Self {
        self.listen = address.to_owned();
        self
    }

    /// Identity from files instead of the mesh's authority.
    pub(crate) fn files(self, identity: &Identity, crls: &[&Path]) -> Self {
        let crls: Vec<_> = crls.iter().map(|path| path.display().to_string()).collect();
        self.identity(&format!(
            "files: {{ cert: {}, key: {}, trust_bundle: {}, crls: [{}] }}",
            identity.cert().display(),
            identity.key().display(),
            identity.trust_bundle().display(),
            crls.join(", ")
        ))
    }

    /// `identity`, other than the mesh's authority.
    pub(crate) fn identity(mut self, source: &str) -> Self {
        self.identity = source.to_owned();
        self
    }

    /// Another key of the listener.
    pub(crate) fn with(mut self, line: &str) -> Self {
        self.listener.push(line.to_owned());
        self
    }

    /// Carries HTTP.
    pub(crate) fn http(self) -> Self {
        self.with("protocol: http")
    }

    pub(crate) fn phi(self) -> Self {
        self.with("phi: true")
    }

    /// `limits` of the listener.
    pub(crate) fn limits(self, limits: &str) -> Self {
        self.with(&format!("limits: {{ {limits} }}"))
    }

    /// Another listener on the same side.
    pub(crate) fn also(mut self, item: &str) -> Self {
        self.more.push(item.to_owned());
        self
    }

    /// Another key of the file.
    pub(crate) fn file(mut self, line: &str) -> Self {
        self.file.push(line.to_owned());
        self
    }

    pub(crate) fn profile(self, profile: &str) -> Self {
        self.file(&format!("tls: {{ profile: {profile} }}"))
    }

    /// `audit`, other than a directory beside the configuration.
    pub(crate) fn audit(mut self, audit: &str) -> Self {
        self.audit = audit.to_owned();
        self
    }

    /// `admin`, other than a listener on a port that the kernel chooses.
    pub(crate) fn admin(mut self, admin: &str) -> Self {
        self.admin = admin.to_owned();
        self
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.join("myelin.yaml")
    }

    /// Where the trail is.
    pub(crate) fn trail(&self) -> Trail {
        let dir = self.audit.split([' ', ',']).nth(1).unwrap();
        Trail::new(Path::new(dir))
    }

    /// The configuration's text.
    pub(crate) fn text(&self) -> String {
        let Self { service, identity, audit, admin, listen, .. } = self;
        let mut text = format!(
            "version: 1\nservice: {service}\ntrust_domain: hospital.example\n\
             identity: {{ {identity} }}\naudit: {{ {audit} }}\nadmin: {{ {admin} }}\n\
             runtime: {{ workers: 2 }}\n"
        );
        text.push_str(if self.peers.is_empty() { "peers: {}\n" } else { "peers:\n" });
        for (name, entry) in &self.peers {
            writeln!(text, "  {name}: {{ {entry} }}").unwrap();
        }
        let names = self.names.join(", ");
        match &self.side {
            Side::In { forward } => {
                writeln!(text, "inbound:\n  - name: {service}\n    listen: {listen}").unwrap();
                writeln!(text, "    forward: {forward}\n    allow: [{names}]").unwrap();
            }
            Side::Out { to } => {
                writeln!(text, "outbound:\n  - name: {service}\n    listen: {listen}").unwrap();
                writeln!(text, "    to: [{}]\n    expect: [{names}]", to.join(", ")).unwrap();
            }
        }
        if !self.listener.iter().any(|line| line.starts_with("protocol:")) {
            text.push_str("    protocol: tcp\n");
        }
        for line in &self.listener {
            writeln!(text, "    {line}").unwrap();
        }
        for item in &self.more {
            writeln!(text, "  - {item}").unwrap();
        }
        for line in &self.file {
            writeln!(text, "{line}").unwrap();
        }
        text
    }

    /// Writes the configuration file.
    pub(crate) fn write(&self) -> PathBuf {
        std::fs::write(self.path(), self.text()).unwrap();
        self.path()
    }

    pub(super) fn load(&self) -> Result<Config, Problems> {
        config::load(&self.write(), &|_| None)
    }
}
