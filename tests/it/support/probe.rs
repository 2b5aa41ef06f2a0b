//! `myelin probe` as an operator runs it, and the service as which it asks.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::mesh::{Mesh, Setup};
use super::openssl::s_server;
use super::pki::{Ca, Identity};
use super::process::{Process, Said, free_port, loopback, run};

/// The service `ehr`, which expects the server `lab`; both have certificates from one authority.
pub(crate) struct Prober {
    pub(crate) ca: Ca,
    pub(crate) ehr: Identity,
    mesh: Mesh,
}

/// What a probe told a program.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) json: Value,
}

impl Prober {
    pub(crate) fn new() -> Self {
        let ca = Ca::new("Hospital CA");
        let ehr = ca.issue("ehr");
        Self { ca, ehr, mesh: Mesh::new() }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.mesh.dir()
    }

    /// The configuration, to be changed; its one listener leads to `target`.
    pub(crate) fn setup(&self, target: &str) -> Setup {
        self.mesh.outbound("ehr").files(&self.ehr, &[]).allow("lab").to(target)
    }

    /// The same service as a server alone.
    pub(crate) fn inbound(&self) -> Setup {
        self.mesh.inbound("ehr").files(&self.ehr, &[]).allow("lab")
    }

    /// Starts `openssl s_server` as `identity`; the answer is where.
    pub(crate) async fn serves(&self, identity: &Identity, args: &[&str]) -> (Process, String) {
        let port = free_port();
        let mut server = s_server(identity, port, args);
        server.listens(loopback(port)).await;
        (server, loopback(port).to_string())
    }

    /// The same, for clients with a certificate only.
    pub(crate) async fn demands(&self, identity: &Identity, args: &[&str]) -> (Process, String) {
        let all = [&["-Verify", "3", "-verify_return_error"], args].concat();
        self.serves(identity, &all).await
    }

    /// Probes `target`, which is where the listener leads.
    pub(crate) async fn asks(&self, target: &str, args: &[&str]) -> Told {
        told(&self.setup(target).write(), target, args).await
    }
}

/// Runs `myelin probe`.
pub(crate) async fn probe(config: &Path, args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
    command.arg("probe").args(args).arg("--config").arg(config).env_remove("MYELIN_LOG");
    run(&mut command, "").await
}

/// Runs `myelin probe` for a program to read.
pub(crate) async fn told(config: &Path, target: &str, args: &[&str]) -> Told {
    let all = [&[target, "--format", "json"], args].concat();
    let said = probe(config, &all).await;
    let json =
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:#?}"));
    Told { code: said.code, json }
}

impl Told {
    /// The names of what is wrong, in their order.
    pub(crate) fn codes(&self) -> Vec<&str> {
        let all = self.json["diagnoses"].as_array().unwrap();
        all.iter().map(|one| one["code"].as_str().unwrap()).collect()
    }

    /// One thing fails, under this name, and its cause has these words. It may be warned of others.
    #[track_caller]
    pub(crate) fn fails(&self, code: &str, words: &str) {
        let all = self.json["diagnoses"].as_array().unwrap();
        let failures: Vec<_> = all.iter().filter(|one| one["level"] == "failure").collect();
        assert_eq!((failures.len(), self.codes()[0]), (1, code), "{self:#?}");
        assert_eq!((self.code, &self.json["ok"]), (Some(1), &Value::Bool(false)), "{self:#?}");
        let cause = self.json["diagnoses"][0]["cause"].as_str().unwrap();
        assert!(cause.contains(words), "{cause}");
    }

    /// Nothing is wrong.
    #[track_caller]
    pub(crate) fn is_fine(&self) {
        assert_eq!(self.codes(), [""; 0], "{self:#?}");
        assert_eq!((self.code, &self.json["ok"]), (Some(0), &Value::Bool(true)), "{self:#?}");
    }

    /// How the check `name` went.
    pub(crate) fn check(&self, name: &str) -> &str {
        let checks = self.json["server"]["checks"].as_array().unwrap();
        let found = checks.iter().find(|check| check["name"] == name);
        found.unwrap_or_else(|| panic!("no check {name}: {self:#?}"))["verdict"].as_str().unwrap()
    }
}
