//! Whether a pod leaves the sidecar the room that it needs.

use serde_json::Value;

use super::findings::Finding;
use super::pod::named;
use super::sidecar::{NAME, Sidecar, VOLUMES};

/// Everything in `pod`, which is at `at`, that cannot be right beside the sidecar.
pub(super) fn examine(pod: &Value, at: &str, sidecar: &Sidecar) -> Vec<Finding> {
    let mut wrong = form(pod, at);
    if !wrong.is_empty() {
        return wrong;
    }
    if pod.get("hostNetwork") == Some(&Value::Bool(true)) {
        wrong.push(Finding::new(
            format!("{at}/hostNetwork"),
            "this pod has the node's network: everybody on the node would reach the plaintext side",
            "leave `hostNetwork` out",
        ));
    }
    for (place, container) in containers(pod, at) {
        if named(container, NAME) && place.contains("/initContainers/") {
            continue;
        }
        let of = name(container);
        for (index, port) in container.get("ports").into_iter().flat_map(list).enumerate() {
            let place = format!("{place}/ports/{index}");
            if let Some((port, what)) = clash(port, sidecar) {
                wrong.push(Finding::new(
                    format!("{place}/containerPort"),
                    format!(
                        "container {of} has port {port}, on which the sidecar listens ({what})"
                    ),
                    "give one of them another port",
                ));
            }
            let label = port.get("name").and_then(Value::as_str).unwrap_or_default();
            if sidecar.ports.iter().any(|(ours, _)| ours == label) {
                wrong.push(Finding::new(
                    format!("{place}/name"),
                    format!("container {of} has a port named {label}, as the sidecar has"),
                    "give it another name: Services and probes could not tell them apart",
                ));
            }
        }
    }
    wrong
}

/// A container or volume that has a name of ours, in a pod that we never touched.
pub(super) fn stranger(pod: &Value, at: &str) -> Option<Finding> {
    let volumes = pod.get("volumes").into_iter().flat_map(list).enumerate();
    let volume = volumes
        .filter(|(_, volume)| VOLUMES.iter().any(|ours| named(volume, ours)))
        .map(|(index, volume)| (format!("{at}/volumes/{index}"), volume));
    let container = containers(pod, at).into_iter().filter(|(_, container)| named(container, NAME));
    let (place, stranger) = container.chain(volume).next()?;
    Some(Finding::new(
        place,
        format!("there is a {} that was not made by `myelin inject`", name(stranger)),
        "remove it or give it another name; inject replaces only what it made",
    ))
}

/// Lists are lists, as far as we put something into them or look.
fn form(pod: &Value, at: &str) -> Vec<Finding> {
    let lists = ["containers", "initContainers", "volumes"];
    let wrong = lists
        .into_iter()
        .filter(|key| pod.get(*key).is_some_and(|list| !list.is_null() && !list.is_array()));
    let mut wrong: Vec<_> = wrong
        .map(|key| {
            Finding::new(format!("{at}/{key}"), format!("`{key}` is no list"), "write it as one")
        })
        .collect();
    let none = pod.get("containers").is_none_or(|list| list.as_array().is_none_or(Vec::is_empty));
    if none && wrong.is_empty() {
        wrong.push(Finding::new(at, "this pod has no container", "add the workload's"));
    }
    let context = pod.get("securityContext");
    if context.is_some_and(|context| !context.is_null() && !context.is_object()) {
        let at = format!("{at}/securityContext");
        wrong.push(Finding::new(at, "`securityContext` is no mapping", "write it as one"));
    }
    wrong
}

/// The port of ours that a workload's `port` is, too.
fn clash<'s>(port: &Value, sidecar: &'s Sidecar) -> Option<(u16, &'s str)> {
    let taken = |key: &str| {
        let number = port.get(key).and_then(Value::as_u64)?;
        sidecar.binds.iter().find(|(ours, _)| u64::from(*ours) == number)
    };
    taken("containerPort").map(|(port, what)| (*port, what.as_str()))
}

/// All containers, each with its place.
pub(super) fn containers<'p>(pod: &'p Value, at: &str) -> Vec<(String, &'p Value)> {
    let of = |key: &'static str| {
        let all = pod.get(key).into_iter().flat_map(list).enumerate();
        all.map(move |(index, container)| (format!("{at}/{key}/{index}"), container))
    };
    of("initContainers").chain(of("containers")).collect()
}

/// What people call a container.
pub(super) fn name(container: &Value) -> &str {
    container.get("name").and_then(Value::as_str).unwrap_or("without a name")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
