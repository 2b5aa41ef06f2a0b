//! Peers that are programs of Node, each with a library that nobody here wrote.

use std::path::Path;
use std::process::Command;

use super::process::needs;

/// The command that runs `tests/peers/NAME/peer.mjs`.
///
/// # Panics
///
/// When its packages are not installed.
pub(crate) fn peer(name: &str, args: &[&str]) -> Command {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name);
    assert!(
        home.join("node_modules").is_dir(),
        "{name} is not installed: `.ci/run setup`, or `npm ci --prefix tests/peers/{name}`"
    );
    let mut command = Command::new(needs("node", "nodejs"));
    command.arg(home.join("peer.mjs")).args(args);
    command
}
