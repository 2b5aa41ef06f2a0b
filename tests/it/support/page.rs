//! A page of the manual, done as it says: each block in its order, in an empty directory and a network of its own.
//!
//! | block | what is done |
//! |---|---|
//! | `sh` | run to its end, which must be a good one |
//! | `sh run` | a sidecar that stays; the next block waits until it is ready |
//! | `sh service PORT`, or a comment `<!-- service PORT: COMMAND -->` | a program that stays; the next block waits until it listens |
//! | `yaml file=NAME` | written there |
//! | `text says` | each line stands, in this order, in what the block before has printed |

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::eventually;
use super::process::{Process, needs, run};

/// A network with nothing but a loopback, so that a page may name its ports.
struct Network {
    holder: Process,
}

impl Network {
    async fn new() -> Self {
        needs("nsenter", "util-linux");
        let mut command = Command::new(needs("unshare", "util-linux"));
        if !is_root() {
            command.arg("--map-root-user");
        }
        needs("ip", "iproute2");
        command.args(["--net", "sh", "-c", "ip link set lo up && echo up && exec cat"]);
        let mut holder = Process::start(&mut command);
        holder.says("up").await;
        Self { holder }
    }

    /// A shell in it that finds `myelin`, and stops at the first line that fails.
    fn shell(&self, dir: &Path, script: &str) -> Command {
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_myelin"));
        let found =
            format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.holder.id()));
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["--net", "--", "bash", "-euo", "pipefail", "-c", script]);
        command.env("PATH", found).env("PEERS", peers()).env_remove("MYELIN_LOG").current_dir(dir);
        command
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

/// What a page tells to do.
#[derive(Debug)]
enum Step {
    Run(String),
    Sidecar(String),
    Service(u16, String),
    File(String, String),
    Says(String),
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(service) = line.strip_prefix("<!-- service ") {
            let (port, command) = service.split_once(':').unwrap();
            let command = command.trim().strip_suffix("-->").unwrap().trim();
            steps.push(Step::Service(port.parse().unwrap(), command.to_owned()));
        }
        let Some(fence) = line.strip_prefix("```") else { continue };
        let text: String =
            lines.by_ref().take_while(|line| *line != "```").flat_map(|l| [l, "\n"]).collect();
        steps.extend(match fence.split(' ').collect::<Vec<_>>()[..] {
            ["sh"] => Some(Step::Run(text)),
            ["sh", "run"] => Some(Step::Sidecar(text)),
            ["sh", "service", port] => Some(Step::Service(port.parse().unwrap(), text)),
            ["text", "says"] => Some(Step::Says(text)),
            ["yaml", file] => {
                file.strip_prefix("file=").map(|name| Step::File(name.to_owned(), text))
            }
            _ => None,
        });
    }
    steps
}

/// Does what `page` says.
///
/// # Panics
///
/// When something fails, or says something else than the page.
pub(crate) async fn follow(page: &str) {
    let dir = TempDir::new().unwrap();
    let network = Network::new().await;
    // Sidecars end before what they stand beside.
    let (mut sidecars, mut services) = (Vec::new(), Vec::new());
    let mut printed = String::new();
    for step in steps(page) {
        match step {
            Step::Run(script) => {
                let said = run(&mut network.shell(dir.path(), &script), "").await;
                assert_eq!(said.code, Some(0), "{script}\n{}", said.all());
                printed = said.all();
            }
            Step::Sidecar(line) => {
                let mut process = Process::start(&mut exec(&network, dir.path(), &line));
                process.says("ready").await;
                sidecars.push(process);
            }
            Step::Service(port, line) => {
                services.push(Process::start(&mut exec(&network, dir.path(), &line)));
                let asked = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
                eventually(&line, async || {
                    let said = run(&mut network.shell(dir.path(), &asked), "").await;
                    (said.code == Some(0)).then_some(())
                })
                .await;
            }
            Step::File(name, text) => std::fs::write(dir.path().join(name), text).unwrap(),
            Step::Says(lines) => says(&printed, &lines),
        }
    }
    sidecars.iter_mut().chain(&mut services).for_each(|process| process.stop("TERM"));
}

fn exec(network: &Network, dir: &Path, line: &str) -> Command {
    network.shell(dir, &format!("exec {}", line.trim()))
}

fn says(printed: &str, lines: &str) {
    let mut rest = printed;
    for line in lines.lines() {
        let found = rest.find(line);
        rest = &rest[found.unwrap_or_else(|| panic!("{line:?} is missing in\n{printed}"))..]
            [line.len()..];
    }
}
