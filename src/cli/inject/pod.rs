//! A workload's manifest with the sidecar in its pods, as values. Nothing of the owner's is changed that need not be.

use serde_json::{Map, Value, json};

use super::findings::Finding;
use super::ground::{examine, stranger};
use super::probes;
use super::sidecar::{AUDIT, INJECTED, NAME, Sidecar, USER, annotations};

/// What is asked of Kubernetes for a pod's grace period when the manifest says nothing, in seconds.
const DEFAULT_GRACE: u64 = 30;

/// When the kubelet gives the files of a volume to the pod's group.
const CHANGE_POLICY: &str = "fsGroupChangePolicy";
const ON_ROOT_MISMATCH: &str = "OnRootMismatch";

/// Where the trail is kept.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    /// A claim that somebody made.
    pub(super) claim: Option<String>,
    /// The size of the claims that a StatefulSet makes.
    pub(super) size: String,
}

/// The kinds that make pods, and where each keeps their template.
const KINDS: &[(&str, &str, &str)] = &[
    ("", "Pod", ""),
    ("", "ReplicationController", "/spec/template"),
    ("apps", "Deployment", "/spec/template"),
    ("apps", "StatefulSet", "/spec/template"),
    ("apps", "DaemonSet", "/spec/template"),
    ("apps", "ReplicaSet", "/spec/template"),
    ("batch", "Job", "/spec/template"),
    ("batch", "CronJob", "/spec/jobTemplate/spec/template"),
];

/// Where an object of this API version and kind keeps the template of its pods; `None` if it makes none.
pub(super) fn template(version: &str, kind: &str) -> Option<&'static str> {
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let found = KINDS.iter().find(|(of, name, _)| *of == group && *name == kind);
    found.map(|(_, _, pointer)| *pointer)
}

/// Puts `sidecar` into `object`, whose pods' template is at `pointer`. What deserves a look comes back.
///
/// # Errors
///
/// Everything that cannot be right; then `object` is no longer what it was, and of no use.
pub(super) fn inject(
    object: &mut Value,
    pointer: &str,
    sidecar: &Sidecar,
    storage: &Storage,
) -> Result<Vec<Finding>, Vec<Finding>> {
    let spec = format!("{pointer}/spec");
    let Some(pod) = object.pointer(&spec).filter(|pod| pod.is_object()) else {
        let help = "a pod has a `spec` with `containers`";
        return Err(vec![Finding::new(spec, "there is no pod in this manifest", help)]);
    };
    let ours = object
        .pointer(&format!("{pointer}/metadata/annotations/{}", INJECTED.replace('/', "~1")))
        .is_some();
    let mut wrong = examine(pod, &spec, sidecar);
    if !ours {
        wrong.extend(stranger(pod, &spec));
    }
    let volume = match trail(object, sidecar, storage) {
        Ok(volume) => volume,
        Err(finding) => {
            wrong.push(finding);
            None
        }
    };
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let mut notes = notes(object, &spec, sidecar, storage);
    if let Some(pod) = object.pointer_mut(&spec) {
        notes.extend(probes::rewrite(pod, &spec, sidecar));
        furnish(pod, sidecar, volume);
    }
    let template = object.pointer_mut(pointer).and_then(|t| map(t, "metadata"));
    if let Some(of) = template.and_then(|metadata| below(metadata, "annotations")) {
        of.extend(annotations(sidecar));
    }
    Ok(notes)
}

/// The container, its volumes, and what they need from the pod.
fn furnish(pod: &mut Value, sidecar: &Sidecar, trail: Option<Value>) {
    let Some(pod) = pod.as_object_mut() else { return };
    // First of all: init containers that come after it can reach peers already.
    if let Some(containers) = list(pod, "initContainers") {
        match containers.iter_mut().find(|container| named(container, NAME)) {
            Some(old) => *old = sidecar.container(Some(old)),
            None => containers.insert(0, sidecar.container(None)),
        }
    }
    if let Some(volumes) = list(pod, "volumes") {
        for volume in sidecar.volumes().into_iter().chain(trail) {
            let name = volume.get("name").and_then(Value::as_str).unwrap_or_default();
            match volumes.iter_mut().find(|old| named(old, name)) {
                Some(old) => *old = volume,
                None => volumes.push(volume),
            }
        }
    }
    let grace = pod.get("terminationGracePeriodSeconds").and_then(Value::as_u64);
    if grace.unwrap_or(DEFAULT_GRACE) < sidecar.grace {
        pod.insert("terminationGracePeriodSeconds".to_owned(), sidecar.grace.into());
    }
    // The key and the trail's volume are the group's; a group that is there already does as well. The kubelet looks at
    // the top of a volume alone: else it would open the trail's own keys to the group at the next start.
    if let Some(context) = below(pod, "securityContext") {
        context.entry("fsGroup").or_insert_with(|| USER.into());
        context.entry(CHANGE_POLICY).or_insert_with(|| ON_ROOT_MISMATCH.into());
    }
}

/// The volume of the trail. A StatefulSet claims one for each of its pods, and names it itself.
fn trail(
    object: &mut Value,
    sidecar: &Sidecar,
    storage: &Storage,
) -> Result<Option<Value>, Finding> {
    if sidecar.audit_dir.is_none() {
        return Ok(None);
    }
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(claim) = &storage.claim else {
        if kind != "StatefulSet" {
            return Err(Finding::new(
                "",
                "the audit trail needs a volume that outlives the pod",
                "name a PersistentVolumeClaim with --audit-claim NAME",
            ));
        }
        if let Some(claims) = map(object, "spec").and_then(|s| list(s, "volumeClaimTemplates")) {
            // What is there already cannot be changed in a cluster.
            if !claims.iter().any(|claim| claim.pointer("/metadata/name") == Some(&json!(AUDIT))) {
                claims.push(json!({
                    "metadata": {"name": AUDIT},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": storage.size}},
                    },
                }));
            }
        }
        return Ok(None);
    };
    let many = ["/spec/replicas", "/spec/parallelism", "/spec/jobTemplate/spec/parallelism"];
    let many = many.into_iter().find(|at| object.pointer(at).and_then(Value::as_u64) > Some(1));
    if kind == "DaemonSet" || many.is_some() {
        return Err(Finding::new(
            many.unwrap_or_default(),
            format!("a trail has one writer, and several pods would share the claim {claim}"),
            "make it one pod, or a StatefulSet, which claims a volume for each",
        ));
    }
    Ok(Some(json!({"name": AUDIT, "persistentVolumeClaim": {"claimName": claim}})))
}

/// What is no mistake by itself.
fn notes(object: &Value, pod: &str, sidecar: &Sidecar, storage: &Storage) -> Vec<Finding> {
    let mut notes = Vec::new();
    if sidecar.audit_dir.is_none() {
        return notes;
    }
    let is_deployment = object.get("kind").and_then(Value::as_str) == Some("Deployment");
    let recreates = object.pointer("/spec/strategy/type") == Some(&json!("Recreate"));
    if is_deployment && storage.claim.is_some() && !recreates {
        notes.push(Finding::new(
            "/spec/strategy",
            "a rolling update starts the new pod while the old one still writes the trail, and the new one will not start",
            "set `strategy: { type: Recreate }`",
        ));
    }
    let policy = format!("{pod}/securityContext/{CHANGE_POLICY}");
    if object.pointer(&policy).is_some_and(|policy| policy != ON_ROOT_MISMATCH) {
        notes.push(Finding::new(
            policy,
            "the kubelet opens the trail's keys to the group at every start, and the sidecar refuses them then",
            format!("set `{CHANGE_POLICY}: {ON_ROOT_MISMATCH}`"),
        ));
    }
    notes
}

/// Whether `item` has this name.
pub(super) fn named(item: &Value, name: &str) -> bool {
    item.get("name").and_then(Value::as_str) == Some(name)
}

/// The mapping at `key`, made if there is none.
fn map<'v>(value: &'v mut Value, key: &str) -> Option<&'v mut Map<String, Value>> {
    below(value.as_object_mut()?, key)
}

fn below<'v>(map: &'v mut Map<String, Value>, key: &str) -> Option<&'v mut Map<String, Value>> {
    let value = map.entry(key).or_insert_with(|| json!({}));
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// The list at `key`, made if there is none.
fn list<'v>(map: &'v mut Map<String, Value>, key: &str) -> Option<&'v mut Vec<Value>> {
    let value = map.entry(key).or_insert_with(|| json!([]));
    if value.is_null() {
        *value = json!([]);
    }
    value.as_array_mut()
}
