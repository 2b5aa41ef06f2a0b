//! A text of manifests to the same text with the sidecar in it.

use std::path::Path;

use serde_json::{Value, json};

use super::Identity;
use super::edit::Editor;
use super::findings::{Finding, Findings};
use super::pod::{self, Storage, template};
use super::sidecar::{CONFIG, NAME, Sidecar};
use super::tree::{Node, Unreadable, read};
use crate::config;

/// What was asked for.
pub(super) struct Order<'a> {
    /// What the manifests' file is called.
    pub(super) file: &'a str,
    /// The name and text of the configuration's file, if one was named.
    pub(super) config: Option<(String, String)>,
    /// The ConfigMap, if one was named.
    pub(super) config_map: Option<&'a str>,
    pub(super) image: &'a str,
    pub(super) identity: Option<&'a Identity>,
    /// Empty: the only one.
    pub(super) workloads: &'a [String],
    pub(super) storage: Storage,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Answer {
    /// The manifests, and what deserves a look.
    Injected { text: String, said: String },
    /// Nothing is written.
    Refused(String),
    /// Nothing is written: the configuration is at fault.
    BadConfig(String),
}

/// Puts the sidecar into the workload that is asked for.
pub(super) fn inject(mut text: String, order: &Order<'_>) -> Answer {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let file = order.file;
    if let Some(line) =
        text.split('\n').position(|line| line.chars().any(|c| c.is_control() && c != '\t'))
    {
        let line = line + 1;
        return Answer::Refused(format!(
            "error: {file}:{line}: a control character or a Windows line ending\n  = help: save the file with plain line ends, `tr -d '\\r'` removes the others"
        ));
    }
    let documents = match read(&text) {
        Ok(documents) => documents,
        Err(Unreadable { line, text }) => {
            return Answer::Refused(format!("error: {file}:{line}: {text}"));
        }
    };
    let objects: Vec<&Node> = documents.iter().flat_map(objects).collect();
    let chosen = match choose(&objects, order) {
        Ok(chosen) => chosen,
        Err(said) => return Answer::Refused(said),
    };
    let plan = match Plan::new(&objects, &chosen, order) {
        Ok(plan) => plan,
        Err(answer) => return answer,
    };
    plan.carry_out(&text, &objects, &chosen, order)
}

/// The objects of a document: those of a List one by one.
fn objects(document: &Node) -> Vec<&Node> {
    let is_list =
        document.get("kind").and_then(Node::text).is_some_and(|kind| kind.ends_with("List"));
    match document.get("items") {
        Some(items) if is_list => items.items().iter().flat_map(objects).collect(),
        _ => vec![document],
    }
}

/// A workload, and where it keeps the template of its pods.
struct Workload<'n> {
    node: &'n Node,
    template: &'static str,
    /// As people call it.
    label: String,
}

fn choose<'n>(objects: &[&'n Node], order: &Order<'_>) -> Result<Vec<Workload<'n>>, String> {
    let file = order.file;
    let all = objects.iter().filter_map(|node| {
        let template = template(word(node, "apiVersion"), word(node, "kind"))?;
        let label = format!("{}/{}", word(node, "kind"), name(node));
        Some(Workload { node, template, label })
    });
    let (wanted, others): (Vec<_>, Vec<_>) = all.partition(|workload| {
        order.workloads.is_empty()
            || order.workloads.iter().any(|asked| name(workload.node) == asked)
    });
    let missing =
        order.workloads.iter().find(|asked| !wanted.iter().any(|w| name(w.node) == *asked));
    let labels = |of: &[Workload<'_>]| {
        of.iter().map(|workload| workload.label.as_str()).collect::<Vec<_>>().join(", ")
    };
    if let Some(missing) = missing {
        return Err(format!(
            "error: {file}: there is no workload {missing}\n  = help: there are {}",
            labels(&[wanted, others].into_iter().flatten().collect::<Vec<_>>())
        ));
    }
    match wanted.len() {
        0 => Err(format!(
            "error: {file}: nothing in it makes pods\n  = help: inject takes Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job and CronJob"
        )),
        1 => Ok(wanted),
        _ if !order.workloads.is_empty() => Ok(wanted),
        _ => Err(format!(
            "error: {file}: a configuration is of one service, and there are {}\n  = help: name one with --workload NAME, and run inject again for the others",
            labels(&wanted)
        )),
    }
}

/// What is put where.
struct Plan<'a> {
    sidecar: Sidecar,
    /// The text of the ConfigMap that is to be written.
    config: Option<&'a str>,
    namespace: Option<String>,
}

impl<'a> Plan<'a> {
    fn new(
        objects: &[&Node],
        chosen: &[Workload<'_>],
        order: &'a Order<'_>,
    ) -> Result<Self, Answer> {
        let namespaces: Vec<_> = chosen.iter().map(|workload| namespace(workload.node)).collect();
        if namespaces.iter().any(|other| Some(other) != namespaces.first()) {
            return Err(Answer::Refused(
                "error: the workloads are in different namespaces, and a ConfigMap is in one\n  = help: run inject for each"
                    .to_owned(),
            ));
        }
        let namespace = namespaces.into_iter().next().flatten();
        let (from, text) = match (&order.config, order.config_map) {
            (Some((file, text)), _) => (file.clone(), text.clone()),
            (None, map) => {
                let map = map.unwrap_or_default();
                let found = objects.iter().find(|node| is_map(node, map, namespace.as_deref()));
                let text = found.and_then(|node| node.get("data")?.get("myelin.yaml")?.text());
                let Some(text) = text else {
                    return Err(Answer::Refused(format!(
                        "error: {}: there is no ConfigMap {map} with `myelin.yaml`\n  = help: name the configuration with -c FILE; inject must know its ports",
                        order.file
                    )));
                };
                (format!("ConfigMap/{map}"), text.to_owned())
            }
        };
        // Relative paths begin where the file will be.
        let checked = config::parse(Path::new(CONFIG), &text, &|_| None).map_err(|problems| {
            Answer::BadConfig(format!(
                "error: {from}, which the pod will have as {CONFIG}:\n\n{problems}"
            ))
        })?;
        let map = order.config_map.map_or_else(|| map_name(&checked.service), str::to_owned);
        let sidecar =
            Sidecar::new(&checked, order.image, map, order.identity).map_err(|wrong| {
                let lines: Vec<_> =
                    wrong.iter().map(|text| format!("error: {from}: {text}")).collect();
                Answer::BadConfig(lines.join("\n"))
            })?;
        let config = order.config.as_ref().filter(|_| order.config_map.is_none());
        Ok(Self { sidecar, config: config.map(|(_, text)| text.as_str()), namespace })
    }

    fn carry_out(
        &self,
        text: &str,
        objects: &[&Node],
        chosen: &[Workload<'_>],
        order: &Order<'_>,
    ) -> Answer {
        let mut findings = Findings::about(order.file);
        let mut editor = Editor::new(text);
        for Workload { node, template, label } in chosen {
            if let Some((line, what)) = node.unclear() {
                let text = format!("line {line} {what}, and a change might count elsewhere, too");
                let help = "write the manifest out, as `kubectl create --dry-run=client -o yaml -f FILE` does";
                findings.refuse(node, label, &Finding::new("", text, help));
                continue;
            }
            let mut wanted = node.json();
            match pod::inject(&mut wanted, template, &self.sidecar, &order.storage) {
                Ok(notes) => {
                    notes.iter().for_each(|note| findings.warn(node, label, note));
                    editor.make(node, &wanted);
                }
                Err(wrong) => wrong.iter().for_each(|one| findings.refuse(node, label, one)),
            }
        }
        for node in objects {
            let label = format!("{}/{}", word(node, "kind"), name(node));
            self.service(node).iter().for_each(|note| findings.warn(node, &label, note));
        }
        if findings.is_refused() {
            return Answer::Refused(findings.to_string());
        }
        let behind = self.config_map(objects, &mut editor);
        Answer::Injected { text: editor.finish() + &behind, said: findings.to_string() }
    }

    /// Ports of a Service that lead to the plaintext side, where nobody answers from outside the pod any more.
    fn service(&self, node: &Node) -> Vec<Finding> {
        if word(node, "apiVersion") != "v1" || word(node, "kind") != "Service" {
            return Vec::new();
        }
        let object = node.json();
        let ports = object.pointer("/spec/ports").and_then(Value::as_array);
        let plain = ports.into_iter().flatten().enumerate().filter_map(|(index, port)| {
            let target = port.get("targetPort").or_else(|| port.get("port"))?.as_u64()?;
            let is_plain = self.sidecar.forwards.iter().any(|at| u64::from(at.port()) == target);
            is_plain.then(|| {
                Finding::new(
                    format!("/spec/ports/{index}"),
                    format!("leads to port {target}, where the workload speaks plaintext"),
                    "set `targetPort: mtls`, and let the workload listen on 127.0.0.1 alone",
                )
            })
        });
        plain.collect()
    }

    /// Writes the ConfigMap: into the one that is there, or as text that comes behind.
    fn config_map(&self, objects: &[&Node], editor: &mut Editor<'_>) -> String {
        let Some(text) = self.config else { return String::new() };
        let name = &self.sidecar.config_map;
        let old = objects.iter().find(|node| is_map(node, name, self.namespace.as_deref()));
        if let Some(old) = old {
            let mut wanted = old.json();
            if let Some(data) = wanted.get_mut("data").and_then(Value::as_object_mut) {
                data.insert("myelin.yaml".to_owned(), text.into());
                editor.make(old, &wanted);
                return String::new();
            }
        }
        let mut metadata = json!({"name": name});
        if let (Some(metadata), Some(namespace)) = (metadata.as_object_mut(), &self.namespace) {
            metadata.insert("namespace".to_owned(), namespace.as_str().into());
        }
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
            "data": {"myelin.yaml": text}});
        format!("---\n{}\n", super::page::inside(&object, 0))
    }
}

/// The ConfigMap of a service, whose name may have what no object's name has.
fn map_name(service: &str) -> String {
    let name = service.to_ascii_lowercase().replace('_', "-");
    format!("{}-{NAME}", name.trim_matches(['-', '.']))
}

fn is_map(node: &Node, wanted: &str, namespace_of: Option<&str>) -> bool {
    word(node, "kind") == "ConfigMap"
        && name(node) == wanted
        && namespace(node).as_deref() == namespace_of
}

fn word<'n>(node: &'n Node, key: &str) -> &'n str {
    node.get(key).and_then(Node::text).unwrap_or_default()
}

fn name(node: &Node) -> &str {
    node.get("metadata")
        .and_then(|metadata| metadata.get("name"))
        .and_then(Node::text)
        .unwrap_or_default()
}

fn namespace(node: &Node) -> Option<String> {
    node.get("metadata")?.get("namespace")?.text().map(str::to_owned)
}
