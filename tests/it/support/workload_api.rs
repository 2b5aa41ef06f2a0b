//! A SPIFFE agent: a Workload API server made from PyPI's `spiffe`, that says what a test tells it.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::mesh::Setup;
use super::pki::{Ca, Identity, certificates, spiffe};
use super::process::{Process, Said, run};
use super::python::peer;

/// A running agent.
pub(crate) struct Agent {
    process: Process,
    socket: PathBuf,
}

/// What an agent says: the identities of a workload, and whom it is to trust.
#[derive(Debug, Clone, Default)]
pub(crate) struct Update {
    svids: Vec<[Vec<u8>; 3]>,
    ids: Vec<String>,
    federated: Vec<(String, Vec<u8>)>,
}

impl Agent {
    /// Starts one that has said nothing yet.
    pub(crate) async fn start(dir: &Path) -> Self {
        let socket = dir.join("agent.sock");
        let path = socket.display().to_string();
        let mut process = Process::start(&mut peer("workload_api", "spiffe", &[&path]));
        process.says("listening").await;
        Self { process, socket }
    }

    /// Starts one that says this.
    pub(crate) async fn saying(dir: &Path, update: &Update) -> Self {
        let mut agent = Self::start(dir).await;
        agent.say(update).await;
        agent
    }

    /// Says it on every stream that is open, and first on every one to come.
    pub(crate) async fn say(&mut self, update: &Update) {
        self.does(&format!("say {}", update.json())).await;
    }

    /// Obeys a command that `tests/peers/workload_api.py` explains.
    pub(crate) async fn does(&mut self, command: &str) {
        let name = command.split(' ').next().unwrap();
        let done = format!("done {name}\n");
        let before = self.process.output().matches(&done).count();
        self.process.tell(command);
        let what = format!("the agent to have done {name}");
        super::until(&what, || self.process.output().matches(&done).count() > before).await;
    }

    /// Waits until it says so.
    pub(crate) async fn says(&mut self, words: &str) {
        self.process.says(words).await;
    }

    /// All streams that there were.
    pub(crate) fn streams(&self) -> usize {
        self.process.output().lines().filter(|line| line.starts_with("stream ")).count()
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Ends it, as a crash would: its socket stays in the file system.
    pub(crate) async fn crash(mut self) {
        self.process.signal("KILL");
        self.process.ended().await;
    }
}

impl Setup {
    /// Identity from the agent at this socket.
    pub(crate) fn spiffe(self, socket: &Path) -> Self {
        self.identity(&format!("spiffe: {{ socket: \"unix://{}\" }}", socket.display()))
    }
}

/// `myelin check` of this setup.
pub(crate) async fn check(setup: &Setup) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
    run(command.args(["check", "--config"]).arg(setup.write()), "").await
}

impl Update {
    /// One SVID, and the authorities that its issuer is known by.
    pub(crate) fn of(identity: &Identity) -> Self {
        Self::default().and(&spiffe("db"), identity)
    }

    /// Another SVID.
    pub(crate) fn and(mut self, id: &str, identity: &Identity) -> Self {
        self.ids.push(id.to_owned());
        let key = identity.private_key().secret_der().to_vec();
        self.svids.push([der(&identity.cert()), key, der(&identity.trust_bundle())]);
        self
    }

    /// This authority speaks for `domain`.
    pub(crate) fn federated(self, domain: &str, ca: &Ca) -> Self {
        let identity = ca.issue("anybody");
        self.federated_der(domain, der(&identity.trust_bundle()))
    }

    pub(crate) fn federated_der(mut self, domain: &str, bundle: Vec<u8>) -> Self {
        self.federated.push((format!("spiffe://{domain}"), bundle));
        self
    }

    /// Changes the first SVID's chain, in DER.
    pub(crate) fn chain(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(&mut self.svids[0][0]);
        self
    }

    /// Changes the first SVID's key, in DER.
    pub(crate) fn key(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(&mut self.svids[0][1]);
        self
    }

    /// Changes the first SVID's trust bundle, in DER.
    pub(crate) fn bundle(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(&mut self.svids[0][2]);
        self
    }

    fn json(&self) -> Value {
        let base64 = |bytes: &Vec<u8>| BASE64_STANDARD.encode(bytes);
        let svids = self.ids.iter().zip(&self.svids).map(|(id, [chain, key, bundle])| {
            json!({
                "spiffe_id": id,
                "x509_svid": base64(chain),
                "x509_svid_key": base64(key),
                "bundle": base64(bundle),
            })
        });
        let federated = self.federated.iter().map(|(id, bundle)| (id.clone(), base64(bundle)));
        let federated: Map<String, Value> = federated.map(|(id, text)| (id, text.into())).collect();
        json!({ "svids": svids.collect::<Vec<_>>(), "federated_bundles": federated })
    }
}

fn der(pem: &Path) -> Vec<u8> {
    certificates(pem).iter().flat_map(|der| der.to_vec()).collect()
}
