//! What the sidecar of a configuration needs from its pod.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Identity;
use crate::config::{Config, Files, IdentitySource, ListenAddr, PairForm, ProbeCheck, Target};

/// The name of its container.
pub(super) const NAME: &str = "myelin";
/// Where the container reads its configuration.
pub(super) const CONFIG: &str = "/etc/myelin/myelin.yaml";
/// The claim, and the volume, of the trail.
pub(super) const AUDIT: &str = "myelin-audit";
const SETTINGS: &str = "myelin-config";
const IDENTITY: &str = "myelin-identity";
const CONTROL: &str = "myelin-control";
/// All volumes of ours.
pub(super) const VOLUMES: [&str; 4] = [SETTINGS, IDENTITY, AUDIT, CONTROL];
/// User and group of the image.
pub(super) const USER: u32 = 65532;

/// Between the end of a drain and the kubelet's SIGKILL.
const MARGIN: Duration = Duration::from_secs(15);

/// What a pod gets.
#[derive(Debug)]
pub(super) struct Sidecar {
    pub(super) image: String,
    /// The ConfigMap that holds the configuration.
    pub(super) config_map: String,
    /// Of the configuration's text (SHA-256): other text is another pod.
    pub(super) digest: String,
    pub(super) identity: Identity,
    identity_dir: String,
    /// Where the volume of the trail is mounted, if there is a trail.
    pub(super) audit_dir: Option<String>,
    /// Where the control socket is, if there is one.
    control_dir: Option<String>,
    /// Every port that it binds, and what for.
    pub(super) binds: Vec<(u16, String)>,
    /// Those that the pod's Service and its scraper reach, by name.
    pub(super) ports: Vec<(String, u16)>,
    pub(super) probe_port: u16,
    /// What it asks the workload, and the path on which it tells.
    pub(super) probes: Vec<(String, ProbeCheck)>,
    /// Where the workload listens.
    pub(super) forwards: Vec<SocketAddr>,
    /// Seconds from SIGTERM to SIGKILL, at least.
    pub(super) grace: u64,
}

impl Sidecar {
    /// What `config` needs.
    ///
    /// # Errors
    ///
    /// What it needs cannot be had in a pod: each with the mend.
    pub(super) fn new(
        config: &Config,
        image: &str,
        config_map: String,
        identity: Option<&Identity>,
    ) -> Result<Self, Vec<String>> {
        let mut wrong = unfit(config);
        let (identity, identity_dir) =
            key_material(&config.identity, identity).unwrap_or_else(|text| {
                wrong.push(text);
                (Identity::SpiffeCsi, String::new())
            });
        let audit_dir = trail(config).unwrap_or_else(|text| {
            wrong.push(text);
            None
        });
        let control_dir = config.admin.socket.as_deref().map(parent).transpose();
        let control_dir = control_dir.unwrap_or_else(|text| {
            wrong.push(text);
            None
        });
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let probe_port = config.admin.probe_listen.map_or(0, |at| at.port());
        Ok(Self {
            image: image.to_owned(),
            config_map,
            digest: config.digest.to_string(),
            identity,
            identity_dir,
            audit_dir,
            control_dir,
            binds: binds(config),
            ports: ports(config, probe_port),
            probe_port,
            probes: probes(config),
            forwards: forwards(config),
            grace: drain(config).saturating_add(MARGIN).as_secs(),
        })
    }

    /// The container. What `old` was given of resources stays.
    pub(super) fn container(&self, old: Option<&Value>) -> Value {
        let resources = json!({
            "requests": {"cpu": "50m", "memory": "32Mi"},
            "limits": {"memory": "256Mi"},
        });
        let ports: Vec<_> = self
            .ports
            .iter()
            .map(|(name, port)| json!({"name": name, "containerPort": port}))
            .collect();
        let probe = |path: &str| json!({"path": path, "port": "probes"});
        json!({
            "name": NAME,
            "image": self.image,
            "restartPolicy": "Always",
            "ports": ports,
            "startupProbe": {"httpGet": probe("/ready"), "periodSeconds": 1, "failureThreshold": 30},
            "readinessProbe": {"httpGet": probe("/ready"), "periodSeconds": 5},
            "livenessProbe": {"httpGet": probe("/live"), "periodSeconds": 10, "failureThreshold": 3},
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "readOnlyRootFilesystem": true,
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "resources": old.and_then(|old| old.get("resources")).unwrap_or(&resources),
            "volumeMounts": self.mounts(),
        })
    }

    /// The volumes, but for that of the trail.
    pub(super) fn volumes(&self) -> Vec<Value> {
        let identity = match &self.identity {
            // 0440: the sidecar reads the key through the pod's group, and nobody else does.
            Identity::Secret(name) => json!({"name": IDENTITY,
                "secret": {"secretName": name, "defaultMode": 0o440}}),
            Identity::SpiffeCsi => json!({"name": IDENTITY,
                "csi": {"driver": "csi.spiffe.io", "readOnly": true}}),
        };
        let config = json!({"name": SETTINGS, "configMap": {"name": self.config_map}});
        let control =
            json!({"name": CONTROL, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}});
        let control = self.control_dir.as_ref().map(|_dir| control);
        [config, identity].into_iter().chain(control).collect()
    }

    fn mounts(&self) -> Vec<Value> {
        let config = json!({"name": SETTINGS, "mountPath": CONFIG, "subPath": "myelin.yaml", "readOnly": true});
        let identity = json!({"name": IDENTITY, "mountPath": self.identity_dir, "readOnly": true});
        let audit = self.audit_dir.as_ref().map(|dir| json!({"name": AUDIT, "mountPath": dir}));
        let control =
            self.control_dir.as_ref().map(|dir| json!({"name": CONTROL, "mountPath": dir}));
        [config, identity].into_iter().chain(audit).chain(control).collect()
    }
}

/// The pod's annotations, which tell our container from a stranger's.
pub(super) fn annotations(sidecar: &Sidecar) -> Map<String, Value> {
    let version = Value::from(env!("CARGO_PKG_VERSION"));
    let digest = Value::from(format!("sha256:{}", sidecar.digest));
    [(INJECTED.to_owned(), version), (DIGEST.to_owned(), digest)].into_iter().collect()
}

/// By which version a pod template got its sidecar.
pub(super) const INJECTED: &str = "myelin.example/injected";
const DIGEST: &str = "myelin.example/config-digest";

/// Longest drain of any listener.
fn drain(config: &Config) -> Duration {
    let inbound = config.inbound.iter().map(|inbound| inbound.limits.drain_timeout);
    let outbound = config.outbound.iter().map(|outbound| outbound.limits.drain_timeout);
    inbound.chain(outbound).fold(config.limits.drain_timeout, Duration::max)
}

fn binds(config: &Config) -> Vec<(u16, String)> {
    let inbound = config.inbound.iter().map(|i| (i.listen.port(), format!("inbound {}", i.name)));
    let outbound = config.outbound.iter().filter_map(|outbound| match outbound.listen {
        ListenAddr::Tcp(address) => Some((address.port(), format!("outbound {}", outbound.name))),
        ListenAddr::Unix(_) | ListenAddr::Redirected => None,
    });
    let admin = config.admin.listen.map(|at| (at.port(), "admin.listen".to_owned()));
    let probes = config.admin.probe_listen.map(|at| (at.port(), "admin.probe_listen".to_owned()));
    inbound.chain(outbound).chain(admin).chain(probes).collect()
}

/// `mtls` is the first listener, others have their port in the name: Kubernetes allows 15 characters.
fn ports(config: &Config, probe_port: u16) -> Vec<(String, u16)> {
    let inbound = config.inbound.iter().enumerate().map(|(index, inbound)| {
        let port = inbound.listen.port();
        (if index == 0 { "mtls".to_owned() } else { format!("mtls-{port}") }, port)
    });
    inbound.chain([("probes".to_owned(), probe_port)]).collect()
}

fn probes(config: &Config) -> Vec<(String, ProbeCheck)> {
    let probes = config.admin.probes.iter();
    probes.map(|probe| (probe.path.to_string(), probe.check.clone())).collect()
}

fn forwards(config: &Config) -> Vec<SocketAddr> {
    let forwards = config.inbound.iter().filter_map(|inbound| match &inbound.forward {
        Target::Tcp(address) => Some(*address),
        Target::Unix(_) => None,
    });
    forwards.collect()
}

/// What no pod can give, but for volumes.
fn unfit(config: &Config) -> Vec<String> {
    let mut wrong = Vec::new();
    if config.admin.probe_listen.is_none_or(|at| at.ip().to_canonical().is_loopback()) {
        wrong.push("the kubelet asks from outside the pod's loopback: set `admin.probe_listen: 0.0.0.0:9902`");
    }
    if config.rego.is_some() {
        wrong.push(
            "`policy` names files, which no volume brings: leave it out, or write the pod yourself",
        );
    }
    let at_socket = config.inbound.iter().any(|i| matches!(i.forward, Target::Unix(_)))
        || config.outbound.iter().any(|o| matches!(o.listen, ListenAddr::Unix(_)));
    if at_socket {
        wrong.push(
            "the two containers share no directory for a Unix socket: use a port of 127.0.0.1",
        );
    }
    if config.redirected_to().is_some()
        || config.inbound.iter().any(|i| !i.redirect_ports.is_empty())
    {
        wrong.push(
            "interception wants rules of the kernel, which a container without capabilities cannot make: use ports of 127.0.0.1",
        );
    }
    wrong.into_iter().map(str::to_owned).collect()
}

/// What brings the key, and the directory where it is wanted.
fn key_material(
    source: &IdentitySource,
    asked: Option<&Identity>,
) -> Result<(Identity, String), String> {
    match (source, asked) {
        (IdentitySource::Files(files), Some(identity @ Identity::Secret(_))) => {
            Ok((identity.clone(), directory(files)?))
        }
        (IdentitySource::Files(_), None) => Err(
            "`identity.files` wants a Secret: name it with --identity secret:NAME".to_owned(),
        ),
        (IdentitySource::Spiffe(spiffe), None | Some(Identity::SpiffeCsi)) => {
            Ok((Identity::SpiffeCsi, parent(&spiffe.socket)?))
        }
        (IdentitySource::Files(_) | IdentitySource::Spiffe(_), Some(_)) => Err(
            "--identity and the configuration disagree: secret:NAME is for `identity.files`, spiffe-csi for `identity.spiffe`"
                .to_owned(),
        ),
        (IdentitySource::Embedded(_), _) => Err(
            "the embedded authority is for one machine: whoever reads it can be anyone. Use `identity.files` or `identity.spiffe`"
                .to_owned(),
        ),
        (IdentitySource::Est(_) | IdentitySource::Vault(_), _) => Err(
            "inject brings key material for `identity.files` and `identity.spiffe` alone: write the volumes of others yourself"
                .to_owned(),
        ),
    }
}

/// The one directory of all files, which a Secret can be mounted as.
fn directory(files: &Files) -> Result<String, String> {
    let pairs = std::iter::once(&files.pair).chain(&files.others);
    let paths = pairs.flat_map(|pair| {
        let (one, other) = match &pair.form {
            PairForm::Pem { cert, key } => (cert, Some(key)),
            PairForm::Pkcs12(file) => (file, None),
        };
        [Some(one), other, pair.passphrase_file.as_ref()].into_iter().flatten()
    });
    let mut parents =
        paths.chain([&files.trust_bundle]).chain(&files.crls).map(|path| path.parent());
    let first = parents.next().flatten();
    if parents.any(|other| other != first) {
        return Err(
            "a Secret is mounted as one directory: keep all of `identity.files` in one, like /etc/myelin/tls"
                .to_owned(),
        );
    }
    mounted(first)
}

/// The directory above the trail's, which the sidecar makes by itself with the mode that it wants.
fn trail(config: &Config) -> Result<Option<String>, String> {
    let Some(audit) = &config.audit else { return Ok(None) };
    let dir = parent(&audit.dir)?;
    let others = [
        audit.checkpoints.key_file.as_ref(),
        audit.pseudonyms.as_ref().map(|pseudonyms| &pseudonyms.key_file),
    ];
    match others.into_iter().flatten().find(|file| !file.starts_with(&dir)) {
        None => Ok(Some(dir)),
        Some(file) => Err(format!("no volume holds {}: keep it below {dir}", file.display())),
    }
}

fn parent(path: &Path) -> Result<String, String> {
    mounted(path.parent())
}

/// A directory that a volume may cover.
fn mounted(dir: Option<&Path>) -> Result<String, String> {
    let text = dir.and_then(Path::to_str).unwrap_or_default();
    match text {
        "" | "/" | "/etc/myelin" | "/etc" | "/var" | "/run" => Err(format!(
            "a volume cannot cover {text:?}: use a directory of its own, like /etc/myelin/tls or /var/log/myelin/trail"
        )),
        text => Ok(text.to_owned()),
    }
}
