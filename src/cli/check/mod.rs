//! `myelin check`: every problem of a configuration and of what it points at, before anything runs.

mod nagios;

use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::nagios::Thresholds;
use super::control::Which;
use super::findings::Findings;
use super::{ConfigFile, Exit, Format, console, load, wait};
use crate::audit::{self, Pseudonyms};
use crate::config::{Config, ListenAddr, Severity};
use crate::export::{self, traces};
use crate::report::{Count, Report};
use crate::runtime::{rego, supply};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// How to print what was found
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Look at the running sidecar instead, as a plugin of Nagios, Icinga or Checkmk: one line, and exit codes 0 OK,
    /// 1 WARNING, 2 CRITICAL and 3 UNKNOWN
    #[arg(long, conflicts_with = "format")]
    nagios: bool,
    /// An own certificate, an authority, or a date of leniency that ends in less than this is a WARNING
    #[arg(long, value_name = "TIME", requires = "nagios", default_value = "7d", value_parser = humantime::parse_duration)]
    warning: Duration,
    /// An own certificate or an authority that ends in less than this is CRITICAL
    #[arg(long, value_name = "TIME", requires = "nagios", default_value = "2d", value_parser = humantime::parse_duration)]
    critical: Duration,
    /// With --nagios: ask on this control socket instead of the one that the configuration names
    #[arg(long, value_name = "PATH", requires = "nagios")]
    socket: Option<PathBuf>,
}

impl Arguments {
    /// Whether whoever asks is told as Nagios expects.
    pub(super) fn is_plugin(&self) -> bool {
        self.nagios
    }
}

pub(in crate::cli) use nagios::unknown;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let Arguments { file, warning, critical, socket, .. } = arguments;
    if arguments.nagios {
        let which = Which { file: file.clone(), socket: socket.clone() };
        let thresholds = Thresholds { warning: *warning, critical: *critical };
        return nagios::run(&which, thresholds);
    }
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
    if let Some(Err(why)) = config.traces.as_ref().map(traces::look) {
        findings.error("telemetry.traces", why);
    }
    for (index, outbound) in config.outbound.iter().enumerate() {
        let ListenAddr::Unix(path) = &outbound.listen else { continue };
        if let Some(why) = in_the_way(path) {
            let text = format!("listener `{}`: {why}", outbound.name);
            findings.error(&format!("outbound[{index}].listen"), text);
        }
    }
    if let Some(why) = config.admin.socket.as_deref().and_then(in_the_way) {
        findings.error("admin.socket", why);
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
