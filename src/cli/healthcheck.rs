//! `myelin healthcheck`: is the sidecar of this configuration ready? For containers without a shell.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

use super::control::reachable;
use super::findings::Findings;
use super::{ConfigFile, Exit, Format, console, load};

/// For the whole answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Nothing that `/ready` says is longer.
const ANSWER: u64 = 4096;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Ask this address instead of the one that the configuration names
    #[arg(long, value_name = "IP:PORT")]
    address: Option<SocketAddr>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let address = match arguments.address {
        Some(address) => address,
        None => match load(&arguments.file.config) {
            Ok(config) => match config.admin.listen.or(config.admin.probe_listen) {
                Some(address) => address,
                None => bail!("the configuration has neither admin.listen nor admin.probe_listen"),
            },
            Err(problems) => {
                Findings::of(problems).print(Format::Text)?;
                return Ok(Exit::BadConfig);
            }
        },
    };
    let answer = ask(reachable(address)).with_context(|| format!("nobody answers on {address}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    console::print(body);
    Ok(if head.starts_with("HTTP/1.1 200 ") { Exit::Fine } else { Exit::Failed })
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&address, LIMIT)?;
    socket.set_read_timeout(Some(LIMIT))?;
    socket.set_write_timeout(Some(LIMIT))?;
    write!(socket, "GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.take(ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}
