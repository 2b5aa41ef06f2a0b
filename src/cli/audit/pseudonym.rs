//! `myelin audit pseudonym`: what an id is called in records.

use std::io::{self, Read as _};

use super::super::{ConfigFile, Exit, console, load};
use crate::audit::Pseudonyms;
use crate::protocol::fhir;
use crate::report::Report;

/// More than any id has.
const LONGEST_INPUT: u64 = 4096;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// The type of FHIR resource, Study for the UID of a DICOM study, or MSH-10 for an HL7 v2 message
    #[arg(long = "type", value_name = "TYPE", default_value = "Patient", value_parser = kind)]
    kind: String,
    /// The id; `-` reads it from standard input, where it stays out of the shell's history
    #[arg(long)]
    id: String,
}

fn kind(text: &str) -> Result<String, String> {
    if [Pseudonyms::STUDY, Pseudonyms::MESSAGE].contains(&text) || fhir::is_resource(text) {
        return Ok(text.to_owned());
    }
    Err("a type of FHIR resources, like Patient, Study for a DICOM study, or MSH-10 for an HL7 v2 message"
        .to_owned())
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let Arguments { file, kind, id } = arguments;
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
    let id = match id.as_str() {
        "-" => io::read_to_string(io::stdin().take(LONGEST_INPUT))?,
        id => id.to_owned(),
    };
    console::line(&pseudonyms.pseudonym(kind, id.trim()));
    Ok(Exit::Fine)
}
