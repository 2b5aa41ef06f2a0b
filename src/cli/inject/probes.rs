//! The kubelet's probes of the workload: its port is on loopback now, so they ask the sidecar, which asks the workload.

use serde_json::{Value, json};

use super::findings::Finding;
use super::ground::{containers, name};
use super::pod::named;
use super::sidecar::{NAME, Sidecar};
use crate::config::ProbeCheck;

const PROBES: [&str; 3] = ["startupProbe", "readinessProbe", "livenessProbe"];

/// Points the probes of `pod`, which is at `at`, to the sidecar where `admin.probes` has what they ask; tells of the
/// others, which will fail.
pub(super) fn rewrite(pod: &mut Value, at: &str, sidecar: &Sidecar) -> Vec<Finding> {
    let mut notes = Vec::new();
    let mut changes = Vec::new();
    for (place, container) in containers(pod, at) {
        if named(container, NAME) && place.contains("/initContainers/") {
            continue;
        }
        for key in PROBES {
            let Some(asked) = container.get(key).and_then(|probe| asked(probe, container)) else {
                continue;
            };
            if !sidecar.forwards.iter().any(|workload| workload.port() == asked.port) {
                continue;
            }
            let place = format!("{place}/{key}");
            match sidecar.probes.iter().find(|(_, check)| asked.is(check)) {
                Some((path, _)) => changes.push((place, asked.kind, path.clone())),
                None => notes.push(asked.note(place, key, name(container))),
            }
        }
    }
    for (place, kind, path) in changes {
        let place = place.strip_prefix(at).unwrap_or_default();
        let Some(probe) = pod.pointer_mut(place).and_then(Value::as_object_mut) else { continue };
        let asks = json!({"path": path, "port": sidecar.probe_port});
        if kind == "httpGet" {
            probe.insert(kind.to_owned(), asks);
        } else {
            probe.shift_remove(kind);
            probe.insert("httpGet".to_owned(), asks);
        }
    }
    notes
}

/// What a probe asks of a port.
struct Asked {
    kind: &'static str,
    port: u16,
    path: Option<String>,
}

/// What `probe` asks, if it is of a port: commands inside the container go on as they are.
fn asked(probe: &Value, container: &Value) -> Option<Asked> {
    let (kind, action) = ["httpGet", "tcpSocket", "grpc"]
        .into_iter()
        .find_map(|kind| probe.get(kind).map(|action| (kind, action)))?;
    let port = action.get("port")?;
    let number = match port {
        Value::String(wanted) => container
            .get("ports")?
            .as_array()?
            .iter()
            .find(|port| named(port, wanted))?
            .get("containerPort")?
            .as_u64()?,
        number => number.as_u64()?,
    };
    let path = action.get("path").and_then(Value::as_str).unwrap_or("/");
    Some(Asked {
        kind,
        port: u16::try_from(number).ok()?,
        path: (kind == "httpGet").then(|| path.to_owned()),
    })
}

impl Asked {
    /// Whether the sidecar asks the same by `check`.
    fn is(&self, check: &ProbeCheck) -> bool {
        match (check, &self.path) {
            (ProbeCheck::Http { address, path }, Some(asked)) => {
                address.port() == self.port && **path == **asked
            }
            (ProbeCheck::Tcp(address), None) => {
                self.kind == "tcpSocket" && address.port() == self.port
            }
            (ProbeCheck::Http { .. }, None) | (ProbeCheck::Tcp(_), Some(_)) => false,
        }
    }

    fn note(&self, place: String, key: &str, container: &str) -> Finding {
        let Self { kind, port, path } = self;
        let entry = |check: String| {
            format!(
                "add `{{ path: /health/{container}, {check} }}` to `admin.probes`: inject points the probe there"
            )
        };
        let mend = match (*kind, path) {
            (_, Some(path)) => entry(format!("http: \"http://127.0.0.1:{port}{path}\"")),
            ("grpc", None) => format!(
                "the sidecar asks nothing over gRPC, and a connection alone is no answer: use `exec` with a program in the container, \
                 like `grpc_health_probe -addr=127.0.0.1:{port}`, or `httpGet` if the workload has a path for it"
            ),
            (_, None) => entry(format!("tcp: 127.0.0.1:{port}")),
        };
        Finding::new(
            place,
            format!(
                "{key} ({kind}) of {container} asks port {port}, which only the sidecar should reach"
            ),
            mend,
        )
    }
}
