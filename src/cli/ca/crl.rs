//! `myelin ca crl`: the revocation list.

use std::path::PathBuf;

use clap::ValueEnum;

use super::{Bad, console};
use crate::certs::embedded::Authority;
use crate::cli::put::replace;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: super::Place,
    /// Where it is written; standard output without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// In which form; DER holds one list, the issuing authority's own
    #[arg(long, value_enum, default_value = "pem")]
    format: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Pem,
    Der,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Bad> {
    let authority = arguments.place.open()?;
    let bytes = match arguments.format {
        Form::Pem => authority.crl_pem().as_bytes(),
        Form::Der => der(&authority),
    };
    match &arguments.out {
        Some(path) => replace(path, 0o644, bytes)?,
        None => console::bytes(bytes),
    }
    Ok(())
}

fn der(authority: &Authority) -> &[u8] {
    let more = authority.crl_count().saturating_sub(1);
    if more > 0 {
        console::error(&format!(
            "warning: this is the list of the authority that issues now; {more} more, of authorities that \
             were replaced and whose certificates may still be valid, are in the PEM form"
        ));
    }
    authority.crl_der().map_or(&[], |list| list.as_ref())
}
