//! Machines that are namespaces of this one: each has a network of its own, and a cable between two.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{Process, Said, needs, run};

/// A network namespace, for as long as the test lasts.
pub(crate) struct Machine {
    holder: Process,
}

impl Machine {
    /// One with a loopback and nothing else.
    ///
    /// # Panics
    ///
    /// Unless it is root who tests: the kernel's rules are not for anybody else.
    pub(crate) async fn new() -> Self {
        let user = Command::new("id").arg("-u").output().unwrap().stdout;
        assert_eq!(user, b"0\n", "networks of their own and rules of the kernel take root");
        needs("nsenter", "util-linux");
        needs("ip", "iproute2");
        let mut command = Command::new(needs("unshare", "util-linux"));
        command.args(["--net", "sh", "-c", "ip link set lo up && echo up && exec cat"]);
        let mut holder = Process::start(&mut command);
        holder.says("up").await;
        Self { holder }
    }

    /// Puts a cable between two; they are 10.77.0.1 and fd77::1, 10.77.0.2 and fd77::2.
    pub(crate) async fn pair() -> (Self, Self) {
        let (one, other) = (Self::new().await, Self::new().await);
        let id = other.holder.id();
        one.fine(&format!("ip link add cable type veth peer name cable netns {id}")).await;
        for (machine, last) in [(&one, 1), (&other, 2)] {
            machine
                .fine(&format!(
                    "ip addr add 10.77.0.{last}/24 dev cable; ip addr add fd77::{last}/64 dev cable nodad; \
                     ip link set cable up"
                ))
                .await;
        }
        (one, other)
    }

    /// A shell there that finds `myelin`.
    pub(crate) fn shell(&self, dir: &Path, script: &str) -> Command {
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_myelin"));
        let path = std::env::var("PATH").unwrap();
        let found = format!("{}:{path}:/usr/sbin:/sbin", binary.parent().unwrap().display());
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.holder.id()));
        command.args(["--net", "--", "bash", "-euo", "pipefail", "-c", script]);
        command.env("PATH", found).env_remove("MYELIN_LOG").current_dir(dir);
        command
    }

    /// What a script says there, however it ends.
    pub(crate) async fn run(&self, dir: &Path, script: &str) -> Said {
        run(&mut self.shell(dir, script), "").await
    }

    /// The same for one that must end well.
    pub(crate) async fn fine(&self, script: &str) -> String {
        let said = self.run(Path::new("/"), script).await;
        assert_eq!(said.code, Some(0), "{script}\n{}", said.all());
        said.stdout
    }
}
