//! `myelin check`: every problem of a configuration and its key material, before anything runs.

use serde_json::json;

use super::{ConfigFile, Exit, Format, console, load};
use crate::certs::Source;
use crate::config::Config;
use crate::report::Report;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// How to print what was found
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    match load(&arguments.file.config) {
        Ok(config) => checked(&config, arguments.format),
        Err(problems) => {
            match arguments.format {
                Format::Text => console::error(problems.to_string().trim_end()),
                Format::Json => console::line(&serde_json::to_string_pretty(&problems)?),
            }
            Ok(Exit::BadConfig)
        }
    }
}

/// The configuration is sound; now what it points at.
fn checked(config: &Config, format: Format) -> anyhow::Result<Exit> {
    let material = Source::of(config)?.check();
    let (warnings, failures) = match &material {
        Ok(warnings) => (warnings.clone(), Vec::new()),
        Err(error) => (Vec::new(), error.problems()),
    };
    match format {
        Format::Text => {
            console::print(&config.warnings.to_string());
            for warning in &warnings {
                console::line(&format!("warning: {warning}"));
            }
            for failure in &failures {
                console::error(&format!("error: {failure}"));
            }
            if failures.is_empty() {
                console::line(&format!(
                    "{}: {} inbound and {} outbound listeners, {} peers, no problems",
                    config.path.display(),
                    config.inbound.len(),
                    config.outbound.len(),
                    config.peers.len()
                ));
            }
        }
        Format::Json => console::line(&serde_json::to_string_pretty(&json!({
            "path": config.path,
            "problems": failures,
            "warnings": config.warnings.iter().map(|w| &w.text).chain(&warnings).collect::<Vec<_>>(),
        }))?),
    }
    if let Err(error) = &material {
        tracing::debug!("{}", Report(error));
        return Ok(Exit::BadConfig);
    }
    Ok(Exit::Fine)
}
