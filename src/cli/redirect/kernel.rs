//! The programs that tell the kernel.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Runs `program` with `input`, and gives what it prints.
///
/// # Errors
///
/// Says whether it is missing, not permitted, or what it said.
pub(super) fn run(program: &str, arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let spawned = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let (package, other) = match program {
                "nft" => ("nftables", "; or take --format iptables"),
                _ => ("iptables", "; or take --format nft"),
            };
            bail!("{program} is not installed: install the package {package}{other}");
        }
        Err(error) => return Err(error).with_context(|| format!("cannot run {program}")),
    };
    // It reads all of its input before it prints more than a pipe holds.
    let fed = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(input.as_bytes()));
    let output = child.wait_with_output().with_context(|| format!("cannot run {program}"))?;
    if output.status.success() {
        fed.with_context(|| format!("{program} did not read the rules"))?;
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let refused = ["not permitted", "Permission denied", "must be root"];
    if refused.iter().any(|words| said.contains(words)) {
        bail!("not permitted: run it as root, or with CAP_NET_ADMIN ({program} said: {said})");
    }
    bail!("{program} did not take the rules: {said}")
}
