//! `myelin audit prove` and `verify-proof`: one record, for those who have no trail.

use std::path::PathBuf;
use std::slice;

use super::place::Place;
use super::reads::Reads;
use super::with_kept;
use crate::audit;
use crate::cli::{Exit, Format, console};
use crate::report::Report;

#[derive(Debug, clap::Args)]
pub(super) struct Prove {
    /// The record's number: its `event.sequence`
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    sequence: u64,
    #[command(flatten)]
    place: Place,
    /// The checkpoint to prove it by, which somebody holds; otherwise the first that covers the record
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("kept").required(true).multiple(true)))]
pub(super) struct VerifyProof {
    /// The proof
    file: PathBuf,
    /// The checkpoint that it must be by
    #[arg(long, value_name = "FILE", group = "kept")]
    checkpoint: Option<PathBuf>,
    /// A verifier key that must have signed its checkpoint; may be repeated
    #[arg(long, value_name = "KEY", group = "kept")]
    key: Vec<String>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn prove(arguments: &Prove) -> anyhow::Result<Exit> {
    let Prove { sequence, place, checkpoint } = arguments;
    let audit = &match place.dir() {
        Ok(dir) => dir,
        Err(exit) => return Ok(exit),
    };
    with_kept(&[], checkpoint.as_slice(), |kept| {
        let reads = Reads::begin(slice::from_ref(audit), "audit prove", &["sequence"]);
        let proven = audit::prove(audit, *sequence, kept);
        reads.finish(proven.is_ok().into());
        match proven {
            Ok(proof) => {
                console::print(&proof.to_string());
                Ok(Exit::Fine)
            }
            Err(error) => {
                console::error(&format!("error: {}", Report(&error)));
                Ok(Exit::Failed)
            }
        }
    })
}

pub(super) fn verify(arguments: &VerifyProof) -> anyhow::Result<Exit> {
    let VerifyProof { file, checkpoint, key, format } = arguments;
    with_kept(key, checkpoint.as_slice(), |kept| {
        let checked = audit::verify_proof(file, kept);
        match (checked, format) {
            (Ok(proven), Format::Text) => console::line(&proven.to_string()),
            (Ok(proven), Format::Json) => console::line(&serde_json::to_string_pretty(&proven)?),
            (Err(error), Format::Text) => {
                console::error(&format!("error: {}", Report(&error)));
                return Ok(Exit::Failed);
            }
            (Err(error), Format::Json) => {
                let unproven = serde_json::json!({ "unproven": Report(&error).to_string() });
                console::line(&serde_json::to_string_pretty(&unproven)?);
                return Ok(Exit::Failed);
            }
        }
        Ok(Exit::Fine)
    })
}
