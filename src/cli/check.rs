//! `myelin check`: every problem of a configuration and of what it points at, before anything runs.

use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::findings::Findings;
use super::{ConfigFile, Exit, Format, console, load, wait};
use crate::audit::{self, Pseudonyms};
use crate::config::{Config, ListenAddr, Severity};
use crate::export;
use crate::report::{Count, Report};
use crate::runtime::{rego, supply};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// How to print what was found
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let (findings, sound) = match load(&arguments.file.config) {
        Ok(config) => (looked_at(&config)?, Some(config)),
        Err(problems) => (Findings::of(problems), None),
    };
    findings.print(arguments.format)?;
    if findings.count(Severity::Error) > 0 {
        return Ok(Exit::BadConfig);
    }
    if let (Some(config), Format::Text) = (sound, arguments.format) {
        console::line(&summary(&config, findings.count(Severity::Warning)));
    }
    Ok(Exit::Fine)
}

/// The configuration is sound; now what it points at.
fn looked_at(config: &Config) -> anyhow::Result<Findings> {
    let mut findings = Findings::of(config.warnings.clone());
    match wait(supply(config)?.check())? {
        Ok(warnings) => warnings.into_iter().for_each(|text| findings.warn("identity", text)),
        Err(error) => {
            error.problems().into_iter().for_each(|text| findings.error("identity", text));
        }
    }
    if let Err(error) = rego(config) {
        findings.error("policy", error.to_string());
    }
    if let Err(error) = Pseudonyms::of(config) {
        findings.error("audit.pseudonyms.key_file", Report(&error).to_string());
    }
    if let Some(Err(error)) = config.audit.as_ref().map(|settings| audit::look(&settings.dir)) {
        findings.error("audit.dir", Report(&error).to_string());
    }
    let exports = config.audit.iter().flat_map(|audit| &audit.export);
    for (index, settings) in exports.enumerate() {
        if let Err(why) = export::look(settings) {
            findings.error(&format!("audit.export[{index}]"), why);
        }
    }
    for (index, outbound) in config.outbound.iter().enumerate() {
        let ListenAddr::Unix(path) = &outbound.listen else { continue };
        if let Some(why) = in_the_way(path) {
            let text = format!("listener `{}`: {why}", outbound.name);
            findings.error(&format!("outbound[{index}].listen"), text);
        }
    }
    Ok(findings)
}

/// Why no socket can be bound at `path`, as far as that can be seen.
fn in_the_way(path: &Path) -> Option<String> {
    match path.metadata() {
        Ok(metadata) if metadata.file_type().is_socket() => None,
        Ok(_) => Some(format!(
            "{} is there and is no socket; move it away, or listen elsewhere",
            path.display()
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty())?;
            (!dir.is_dir()).then(|| format!("there is no directory {}; make it", dir.display()))
        }
        Err(error) => Some(format!("{}: {error}", path.display())),
    }
}

fn summary(config: &Config, warnings: u64) -> String {
    let count = |list: usize, noun| Count(u64::try_from(list).unwrap_or(u64::MAX), noun);
    let mut summary = format!(
        "{}: {}, {}, {}, no problems",
        config.path.display(),
        count(config.inbound.len(), "inbound listener"),
        count(config.outbound.len(), "outbound listener"),
        count(config.peers.len(), "peer"),
    );
    if warnings > 0 {
        summary.push_str(&format!(", {}", Count(warnings, "warning")));
    }
    summary
}
