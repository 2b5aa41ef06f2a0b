//! `myelin demo`: a sample clinic on loopback, and what to try with it.
//!
//! Three legacy services in plaintext, a sidecar beside each, and a fourth beside a caller. The services
//! are in this process; the sidecars are real ones, each from its own configuration file.

mod clinic;
mod place;
mod ports;
mod sidecars;

use super::Exit;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_arguments: &Arguments) -> anyhow::Result<Exit> {
    Ok(Exit::Fine)
}
