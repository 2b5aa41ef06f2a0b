//! `myelin audit`: looks at the trail.

mod proof;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{ConfigFile, Exit, Format, console, load};
use crate::audit::{self, Kept, Pseudonyms};
use crate::protocol::fhir;
use crate::report::Report;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks every line, the chain between them, and the checkpoints; names the first bad line
    Verify {
        /// The trail's directory
        dir: PathBuf,
        /// A checkpoint of the trail that was kept elsewhere; may be repeated
        #[arg(long, value_name = "FILE")]
        checkpoint: Vec<PathBuf>,
        /// A verifier key that must have sealed part of the trail; may be repeated
        #[arg(long, value_name = "KEY")]
        key: Vec<String>,
        /// How to print the result
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Prints a proof of one record, for somebody who has nothing else but a checkpoint or a key
    Prove(proof::Prove),
    /// Checks a proof of one record, and prints the record
    VerifyProof(proof::VerifyProof),
    /// Prints what stands in records for an id, so that they can be searched for it
    Pseudonym {
        #[command(flatten)]
        file: ConfigFile,
        /// The type of FHIR resource, Study for the UID of a DICOM study, or MSH-10 for an HL7 v2 message
        #[arg(long = "type", value_name = "TYPE", default_value = "Patient", value_parser = kind)]
        kind: String,
        /// The id; `-` reads it from standard input, where it stays out of the shell's history
        #[arg(long)]
        id: String,
    },
}

/// More than any id has.
const LONGEST_INPUT: u64 = 4096;

fn kind(text: &str) -> Result<String, String> {
    if [Pseudonyms::STUDY, Pseudonyms::MESSAGE].contains(&text) || fhir::is_resource(text) {
        return Ok(text.to_owned());
    }
    Err("a type of FHIR resources, like Patient, Study for a DICOM study, or MSH-10 for an HL7 v2 message"
        .to_owned())
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Verify { dir, checkpoint, key, format } => {
            with_kept(key, checkpoint, |kept| verify(dir, kept, *format))
        }
        Command::Prove(arguments) => proof::prove(arguments),
        Command::VerifyProof(arguments) => proof::verify(arguments),
        Command::Pseudonym { file, kind, id } => pseudonym(file, kind, id),
    }
}

/// Goes on with the keys and checkpoints that were kept elsewhere, unless one of them is none.
fn with_kept(
    keys: &[String],
    checkpoints: &[PathBuf],
    then: impl FnOnce(&Kept) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    match Kept::read(keys, checkpoints) {
        Ok(kept) => then(&kept),
        Err(error) => {
            console::error(&format!("error: {}", Report(&error)));
            Ok(Exit::BadCommand)
        }
    }
}

fn pseudonym(file: &ConfigFile, kind: &str, id: &str) -> anyhow::Result<Exit> {
    let config = match load(&file.config) {
        Ok(config) => config,
        Err(problems) => {
            console::error(&problems.to_string());
            return Ok(Exit::BadConfig);
        }
    };
    let pseudonyms = match Pseudonyms::of(&config) {
        Ok(Some(pseudonyms)) => pseudonyms,
        Ok(None) => {
            let path = config.path.display();
            console::error(&format!("error: {path}: audit.pseudonyms.key_file is not set"));
            return Ok(Exit::BadConfig);
        }
        Err(error) => {
            console::error(&format!("error: {}", Report(&error)));
            return Ok(Exit::BadConfig);
        }
    };
    let id = match id {
        "-" => io::read_to_string(io::stdin().take(LONGEST_INPUT))?,
        id => id.to_owned(),
    };
    console::line(&pseudonyms.pseudonym(kind, id.trim()));
    Ok(Exit::Fine)
}

fn verify(dir: &Path, kept: &Kept, format: Format) -> anyhow::Result<Exit> {
    match (audit::verify(dir, kept), format) {
        (Ok(verified), Format::Text) => console::line(&verified.to_string()),
        (Ok(verified), Format::Json) => console::line(&serde_json::to_string_pretty(&verified)?),
        (Err(broken), Format::Text) => {
            console::error(&format!("error: {}", Report(&broken)));
            return Ok(Exit::Failed);
        }
        (Err(broken), Format::Json) => {
            let broken = serde_json::json!({ "broken": Report(&broken).to_string() });
            console::line(&serde_json::to_string_pretty(&broken)?);
            return Ok(Exit::Failed);
        }
    }
    Ok(Exit::Fine)
}
