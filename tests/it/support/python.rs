//! Peers that are written in Python, each with a library that nobody here wrote.

use std::path::Path;
use std::process::Command;

use super::process::{Process, Said, needs, run};

/// The command that runs `tests/peers/NAME.py`.
///
/// # Panics
///
/// When Python does not have the package that the peer is about.
pub(crate) fn peer(name: &str, package: &str, args: &[&str]) -> Command {
    let python = needs("python3", "python3");
    let has_it = Command::new(&python).args(["-c", &format!("import {package}")]).output().unwrap();
    assert!(
        has_it.status.success(),
        "python3 has no {package}: pip install -r tests/peers/requirements.txt"
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name);
    let mut command = Command::new(python);
    command.arg(script.with_extension("py")).args(args);
    command
}

/// Runs it to its end, which must be a good one.
pub(crate) async fn finishes(mut command: Command) -> Said {
    let said = run(&mut command, "").await;
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    said
}

/// Runs it as a server; with the address at which it listens.
pub(crate) async fn serves(mut command: Command) -> (Process, String) {
    let mut process = Process::start(&mut command);
    let said = process.says("listening ").await;
    let port = said.split("listening ").nth(1).unwrap().split_whitespace().next().unwrap();
    let target = format!("127.0.0.1:{port}");
    (process, target)
}
