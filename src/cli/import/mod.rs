//! `myelin import`: the configuration of another program, as one of ours.

mod options;
mod plan;
mod stunnel;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::sheet::{Sheet, quoted};
use super::{Exit, console};
use crate::config::{self, TextError, check_name};
use crate::identity::TrustDomain;
use plan::{Identity, Listener, Plan};
use stunnel::File;

/// Longest file that is read: stunnel's have a few KiB.
const LONGEST: u64 = 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// stunnel's configuration file
    #[arg(value_name = "stunnel.conf")]
    file: PathBuf,
    /// The service that the sidecar stands beside
    #[arg(long, value_name = "NAME", value_parser = name)]
    service: String,
    /// The trust domain of its SPIFFE ID
    #[arg(long, value_name = "DOMAIN", default_value = "hospital.example", value_parser = TrustDomain::parse)]
    trust_domain: TrustDomain,
    /// This service of the file alone, by the name in its brackets; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

fn name(text: &str) -> Result<String, TextError> {
    check_name(text).map(|()| text.to_owned())
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let path = arguments.file.display();
    let file =
        File::parse(&read(&arguments.file)?).map_err(|odd| anyhow::anyhow!("{path}: {odd}"))?;
    if let Some(missing) = arguments
        .only
        .iter()
        .find(|only| file.services.iter().all(|service| service.name != **only))
    {
        bail!("{path} has no service [{missing}]");
    }
    let plan = Plan::of(&file, |name| {
        arguments.only.is_empty() || arguments.only.iter().any(|only| only == name)
    });
    for text in &plan.left_out {
        console::error(&format!("left out: {text}"));
    }
    if plan.inbound.is_empty() && plan.outbound.is_empty() {
        bail!("{path} has no service that can be carried over");
    }
    let text = page(arguments, &plan);
    // What is written here must never be refused by `run` for its form.
    if let Err(problems) = config::parse(Path::new("myelin.yaml"), &text, &|_| None) {
        bail!("what {path} says does not fit together here:\n{problems}");
    }
    console::print(&text);
    for text in &plan.remarks {
        console::error(&format!("look at: {text}"));
    }
    Ok(if plan.left_out.is_empty() { Exit::Fine } else { Exit::Failed })
}

fn read(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let found = fs::metadata(path).with_context(|| format!("cannot read {shown}"))?;
    if !found.is_file() || found.len() > LONGEST {
        bail!("{shown} is no file of at most 1 MiB");
    }
    fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))
}

fn page(arguments: &Arguments, plan: &Plan) -> String {
    let Arguments { service, trust_domain: domain, .. } = arguments;
    let mut page = Sheet::default();
    page.text(format!(
        "# Made from {}. Try it: myelin check -c FILE",
        console::harmless(&arguments.file.display().to_string(), "")
    ));
    for text in &plan.remarks {
        page.text(format!("# Look at: {}", console::harmless(text, "")));
    }
    page.text("version: 1");
    page.text(format!("service: {}", quoted(service)));
    page.text(format!("trust_domain: {}", quoted(domain.as_str())));
    identity(&mut page, &plan.identity);
    page.text("\ntls: { profile: nist }");
    if plan.peers.is_empty() {
        page.line("\npeers: {}", "whom we know; `allow` names them");
    } else {
        page.text("\npeers:");
        for (matcher, name) in &plan.peers {
            page.text(format!("  {}: {{ {matcher} }}", quoted(name)));
        }
    }
    inbound(&mut page, &plan.inbound);
    outbound(&mut page, &plan.outbound);
    page.text("\naudit: { dir: /var/log/myelin/audit }");
    page.text("\nadmin: { listen: 127.0.0.1:9901, socket: /run/myelin/control.sock }");
    page.finish()
}

fn identity(page: &mut Sheet, identity: &Identity) {
    let Identity { cert, key, trust_bundle, crl } = identity;
    page.text("\nidentity:\n  files:");
    let mut file = |key: &str, path: &Option<String>, missing: &str| match path {
        Some(path) => page.text(format!("    {key}: {}", quoted(path))),
        None => page.line(format!("    {key}: /etc/myelin/{key}.pem"), missing),
    };
    file("cert", cert, "stunnel had none: both sides need one here");
    file("key", key, "stunnel had none: both sides need one here");
    file("trust_bundle", trust_bundle, "stunnel had no CAfile: whose certificates count?");
    if let Some(crl) = crl {
        page.text(format!("    crls: [{}]", quoted(crl)));
    }
}

fn inbound(page: &mut Sheet, listeners: &[Listener]) {
    if !listeners.is_empty() {
        page.text("\ninbound:");
    }
    for listener in listeners {
        page.text(format!("  - name: {}", quoted(&listener.name)));
        page.text(format!("    listen: {}", quoted(&listener.listen)));
        page.text(format!("    forward: {}", quoted(&listener.to.concat())));
        if listener.is_open {
            page.line(
                "    forward_anywhere: true",
                "plaintext leaves this machine, as it did: put the sidecar beside the service",
            );
        }
        rest(page, listener, "allow");
    }
}

fn outbound(page: &mut Sheet, listeners: &[Listener]) {
    if !listeners.is_empty() {
        page.text("\noutbound:");
    }
    for listener in listeners {
        let to: Vec<_> = listener.to.iter().map(|to| quoted(to)).collect();
        page.text(format!("  - name: {}", quoted(&listener.name)));
        page.text(format!("    listen: {}", quoted(&listener.listen)));
        if listener.is_open {
            page.line(
                "    listen_anywhere: true",
                "plaintext comes over the network, as it did: put the sidecar beside the caller",
            );
        }
        page.text(format!("    to: [{}]", to.join(", ")));
        rest(page, listener, "expect");
    }
}

fn rest(page: &mut Sheet, listener: &Listener, key: &str) {
    let peers: Vec<_> = listener.peers.iter().map(|name| quoted(name)).collect();
    page.text(format!("    {key}: [{}]", peers.join(", ")));
    page.line(
        "    protocol: tcp",
        "as stunnel had it; http, mllp and dicom know more of what passes",
    );
    page.text("    phi: true");
    page.text(format!("    limits: {{ {} }}", listener.limits));
}
