//! stub
use super::Exit;
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}
pub(super) fn run(_a: &Arguments) -> anyhow::Result<Exit> {
    Ok(Exit::Fine)
}
