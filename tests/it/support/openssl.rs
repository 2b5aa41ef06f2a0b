//! The `openssl` program as a peer.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::pki::Identity;
use super::process::{Process, Said, needs, run, write};

/// `openssl s_client`, to be told more.
pub(crate) struct SClient {
    command: Command,
}

impl SClient {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let mut command = Command::new(needs("openssl", "openssl"));
        // -ign_eof: what the sidecar has to say comes after our input has ended.
        command.args(["s_client", "-ign_eof", "-connect"]).arg(address.to_string());
        Self { command }
    }

    /// Presents this certificate.
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        present(&mut self.command, identity);
        self
    }

    /// With settings that only a configuration file of OpenSSL can make.
    pub(crate) fn settings(mut self, file: &Path) -> Self {
        self.command.env("OPENSSL_CONF", file);
        self
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// Changes how the program is started.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Command)) -> Self {
        change(&mut self.command);
        self
    }

    /// Sends `input`, and reads to the end of the connection.
    pub(crate) async fn send(mut self, input: &str) -> Said {
        run(&mut self.command, input).await
    }
}

/// Starts `openssl s_server` with this certificate on `port`.
pub(crate) fn s_server(identity: &Identity, port: u16, args: &[&str]) -> Process {
    let mut command = Command::new(needs("openssl", "openssl"));
    command.args(["s_server", "-accept", &format!("127.0.0.1:{port}")]);
    present(&mut command, identity);
    Process::start(command.args(args))
}

fn present(command: &mut Command, identity: &Identity) {
    command.arg("-cert").arg(identity.cert()).arg("-key").arg(identity.key());
    command.arg("-CAfile").arg(identity.trust_bundle());
    if let Some(chain) = identity.intermediates() {
        command.arg("-cert_chain").arg(chain);
    }
}

/// An `openssl` configuration that leaves out extended master secret.
pub(crate) fn without_ems(dir: &Path) -> PathBuf {
    settings(dir, "Options = -ExtendedMasterSecret")
}

/// An `openssl` configuration that allows what it forbids by default: TLS 1.0 and 1.1.
pub(crate) fn lax(dir: &Path) -> PathBuf {
    settings(dir, "MinProtocol = TLSv1\nCipherString = DEFAULT:@SECLEVEL=0")
}

fn settings(dir: &Path, lines: &str) -> PathBuf {
    let sections = "openssl_conf = c\n[c]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\n";
    write(dir, "openssl.cnf", &format!("{sections}{lines}\n"))
}
