//! `myelin audit`: looks at the trail.

mod place;
mod proof;
mod pseudonym;
mod query;
mod reads;
mod reconcile;
mod report;
mod sign_off;
mod tail;
mod verify;

use std::path::PathBuf;

pub(super) use tail::Look;

use clap::Subcommand;

use super::{Exit, console};
use crate::audit::Kept;
use crate::report::Report;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks every line, the chain between them, and the checkpoints; names the first bad line
    Verify(verify::Arguments),
    /// Finds records, and tells them in other forms: CSV, ECS, OCSF, CEF, DICOM, FHIR
    Query(Box<query::Arguments>),
    /// Prints the last records, and with --follow those that come
    Tail(Box<tail::Arguments>),
    /// Holds the trails of two services against each other: what one of them lacks
    Reconcile(Box<reconcile::Arguments>),
    /// Tells a reviewer what a period's records say: a page to print, JSON or CSV
    Report(report::Arguments),
    /// Records that somebody has reviewed a period
    SignOff(sign_off::Arguments),
    /// Prints a proof of one record, for somebody who has nothing else but a checkpoint or a key
    Prove(proof::Prove),
    /// Checks a proof of one record, and prints the record
    VerifyProof(proof::VerifyProof),
    /// Prints what stands in records for an id, so that they can be searched for it
    Pseudonym(pseudonym::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Verify(arguments) => verify::run(arguments),
        Command::Query(arguments) => query::run(arguments),
        Command::Tail(arguments) => tail::run(arguments),
        Command::Reconcile(arguments) => reconcile::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::SignOff(arguments) => sign_off::run(arguments),
        Command::Prove(arguments) => proof::prove(arguments),
        Command::VerifyProof(arguments) => proof::verify(arguments),
        Command::Pseudonym(arguments) => pseudonym::run(arguments),
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
