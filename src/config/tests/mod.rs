//! The configuration as its operator meets it: the screen is the promise.

mod examples;
mod exports;
mod form;
mod groups;
mod identity;
mod lenient;
mod listeners;
mod meaning;
mod peers;
mod probes;
mod properties;
mod redirect;
mod routes;
mod rules;
mod sources;
mod switches;
mod telemetry;
mod undone;
mod wrong_rules;

use std::path::Path;

use super::{Config, Problems};

/// What every file begins with; lines 1 to 4.
const HEAD: &str = "\
version: 1
service: ehr
trust_domain: h.example
identity: {embedded: {dir: authority}}
";

/// An environment in which one variable is set, to something that must never be shown.
fn env(name: &str) -> Option<String> {
    (name == "SECRET").then(|| "hunter%2".to_owned())
}

fn parse(text: &str) -> Result<Config, Problems> {
    super::parse(Path::new("m.yaml"), text, &env)
}

/// What the operator sees: every problem, or the warnings.
fn screen(text: &str) -> String {
    parse(text).map_or_else(|problems| problems.to_string(), |config| config.warnings.to_string())
}
