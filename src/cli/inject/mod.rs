//! `myelin inject`: the sidecar in a workload's manifest, and every other byte as it was.

mod edit;
mod findings;
mod ground;
mod manifests;
mod page;
mod pod;
mod probes;
mod sidecar;
mod tree;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};

use self::manifests::{Answer, Order};
use self::pod::Storage;
use super::{Exit, console};

/// Longest input: some thousand manifests.
const MAX_BYTES: u64 = 16 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The manifests, as YAML or JSON; - is standard input
    #[arg(short, long, value_name = "FILE")]
    filename: PathBuf,
    /// The sidecar's configuration; it becomes a ConfigMap behind the manifests. Default: that of the ConfigMap
    /// of --config-map, which then is among the manifests
    #[arg(short, long, value_name = "FILE", required_unless_present = "config_map")]
    config: Option<PathBuf>,
    /// The ConfigMap with the configuration as `myelin.yaml`. With --config none is written: somebody else makes it
    #[arg(long, value_name = "NAME", value_parser = object)]
    config_map: Option<String>,
    /// The sidecar's image
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// Where the key comes from: secret:NAME, as cert-manager writes them, for `identity.files`; spiffe-csi for
    /// `identity.spiffe`
    #[arg(long, value_name = "SOURCE")]
    identity: Option<Identity>,
    /// Only this workload; may be given several times. Needed if there are several
    #[arg(long, value_name = "NAME")]
    workload: Vec<String>,
    /// The PersistentVolumeClaim that the audit trail is kept on. Default: a StatefulSet claims one for each pod
    #[arg(long, value_name = "NAME", value_parser = object)]
    audit_claim: Option<String>,
    /// The size of the claims that a StatefulSet makes
    #[arg(long, value_name = "QUANTITY", default_value = "10Gi", value_parser = quantity)]
    audit_size: String,
}

/// What brings key material into a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    /// A Secret of this name.
    Secret(String),
    /// The SPIFFE CSI driver.
    SpiffeCsi,
}

impl FromStr for Identity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("secret:") {
            Some(name) => object(name).map(Self::Secret),
            None if text == "spiffe-csi" => Ok(Self::SpiffeCsi),
            None => Err("write secret:NAME or spiffe-csi".to_owned()),
        }
    }
}

/// The name of an object (RFC 1123, as Kubernetes takes it).
fn object(text: &str) -> Result<String, String> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    match text.len() <= 253 && edge(text.chars().next()) && edge(text.chars().last()) && text.chars().all(inside) {
        true => Ok(text.to_owned()),
        false => Err("an object's name has a-z, 0-9, '-' and '.', and begins and ends with a letter or digit".to_owned()),
    }
}

fn quantity(text: &str) -> Result<String, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    match text.len() > unit.len() && ["", "Mi", "Gi", "Ti", "M", "G", "T"].contains(&unit) {
        true => Ok(text.to_owned()),
        false => Err("write a size like 10Gi".to_owned()),
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let file = &arguments.filename;
    let is_stdin = file.as_os_str() == "-";
    let name = if is_stdin { "standard input".to_owned() } else { file.display().to_string() };
    let text = if is_stdin { read(io::stdin().lock(), &name) } else { open(file) }?;
    let config = match &arguments.config {
        Some(path) => Some((path.display().to_string(), open(path)?)),
        None => None,
    };
    let order = Order {
        file: &name,
        config,
        config_map: arguments.config_map.as_deref(),
        image: &arguments.image,
        identity: arguments.identity.as_ref(),
        workloads: &arguments.workload,
        storage: Storage {
            claim: arguments.audit_claim.clone(),
            size: arguments.audit_size.clone(),
        },
    };
    match manifests::inject(text, &order) {
        Answer::Injected { text, said } => {
            if !said.is_empty() {
                console::error(&said);
            }
            console::print(&text);
            Ok(Exit::Fine)
        }
        Answer::Refused(said) => {
            console::error(&said);
            Ok(Exit::Failed)
        }
        Answer::BadConfig(said) => {
            console::error(&said);
            Ok(Exit::BadConfig)
        }
    }
}

fn open(path: &Path) -> anyhow::Result<String> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    read(file, &name)
}

fn read(from: impl Read, name: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    let length = from
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {name}"))?;
    if length as u64 > MAX_BYTES {
        bail!("{name} is longer than {} MiB; split it", MAX_BYTES >> 20);
    }
    Ok(text)
}
