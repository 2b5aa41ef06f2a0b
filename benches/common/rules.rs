//! Configurations with 1,000 rules for 200 peers, who may all use each of them.

use std::fmt::Write;
use std::path::Path;

use myelin::config::{self, Config};
use myelin::protocol::dicom;

pub const PEERS: usize = 200;
pub const RULES: usize = 1_000;

/// One listener with `rules`, which all 200 peers may use.
pub fn config(protocol: &str, rules: &str) -> Config {
    let mut text = String::from(
        "version: 1\nservice: ehr\ntrust_domain: bench.test\nidentity: { embedded: { dir: authority } }\n\
         audit: { dir: audit }\npeers:\n",
    );
    let mut names = Vec::new();
    for n in 0..PEERS {
        writeln!(text, "  peer-{n}: {{ spiffe: \"spiffe://bench.test/peer-{n}\" }}").unwrap();
        names.push(format!("peer-{n}"));
    }
    write!(
        text,
        "groups: {{ all: [{}] }}\ninbound:\n  - name: it\n    listen: 127.0.0.1:0\n    \
         forward: 127.0.0.1:8080\n    protocol: {protocol}\n    phi: true\n    allow: [all]\n{rules}",
        names.join(", ")
    )
    .unwrap();
    config::parse(Path::new("bench.yaml"), &text, &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn list(key: &str, rule: impl Fn(usize) -> String) -> String {
    let mut text = format!("    {key}:\n");
    for n in 0..RULES {
        writeln!(text, "      - {{ name: {key}-{n}, allow: [all], {} }}", rule(n)).unwrap();
    }
    text
}

pub fn routes(rule: impl Fn(usize) -> String) -> String {
    list("routes", rule)
}

pub fn messages() -> String {
    list("messages", |n| format!("types: [\"Z{:02}^E{}\"]", n / 10, n % 10))
}

pub fn senders() -> String {
    list("senders", |n| format!("application: APP{n}, facility: MAIN"))
}

/// Each with twenty SOP classes.
pub fn associations() -> String {
    let classes: Vec<_> = dicom::sop_class_names().take(20).collect();
    let classes = classes.join(", ");
    list("associations", |n| {
        format!("calling_ae: AE{n}, called_ae: PACS, sop_classes: [{classes}]")
    })
}
