//! The lines of docs/enrolment.md and certs/README.md about several hosts, run as they stand there.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::readme::{blocks, shell};
use crate::support::process::{Process, free_port, needs, run};
use crate::support::workload::{Kind, Workload};

/// A host with an authority that serves, in a directory of its own.
struct Host {
    dir: TempDir,
    serving: Option<Process>,
    ports: [u16; 2],
}

impl Host {
    /// Does what the page says about it.
    async fn new() -> Self {
        needs("curl", "curl");
        let ports = [free_port(), free_port()];
        let host = Self { dir: TempDir::new().unwrap(), serving: None, ports };
        host.does("docs/enrolment.md", "sh authority").await;
        host
    }

    /// What a page says in its blocks with this fence, with this host's ports and name.
    fn lines(&self, page: &str, fence: &str) -> String {
        let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(page);
        let text = blocks(&std::fs::read_to_string(page).unwrap(), fence).concat();
        assert!(!text.is_empty(), "{fence}");
        let [est, lists] = self.ports.map(|port| port.to_string());
        text.replace("0.0.0.0:", "127.0.0.1:")
            .replace("8444", &est)
            .replace("8445", &lists)
            .replace("ca.hospital.example", "localhost")
    }

    async fn does(&self, page: &str, fence: &str) -> String {
        let said = run(&mut shell(self.dir.path(), &self.lines(page, fence)), "").await;
        assert_eq!(said.code, Some(0), "{fence} {said:#?}");
        said.stdout
    }

    /// Serves as a page says; the answer is what it prints.
    async fn serves(&mut self, page: &str) -> String {
        let line = format!("exec {}", self.lines(page, "sh serve"));
        let mut process = Process::start(&mut shell(self.dir.path(), &line));
        let said = process.says("crl_urls").await;
        self.serving = Some(process);
        said
    }
}

#[tokio::test]
async fn a_sidecar_on_another_host_starts_as_the_page_says() {
    let mut host = Host::new().await;
    let printed = host.serves("docs/enrolment.md").await;
    host.does("docs/enrolment.md", "sh token").await;
    let workload = Workload::tcp(Kind::Echo).await;
    let fingerprint = printed.split("sha256:").nth(1).unwrap().split('"').next().unwrap();
    let identity = host.lines("docs/enrolment.md", "yaml est");
    let example = identity.split("sha256:").nth(1).unwrap().split('"').next().unwrap().to_owned();
    // What the server prints is what the page shows, but for where the token is, and the directory.
    for line in identity.replace(&example, fingerprint).lines() {
        let own = line.trim_start().starts_with("token_file:") || line.contains("dir:");
        assert!(own || printed.contains(line), "{line}: {printed}");
    }
    let config = format!(
        "version: 1\nservice: ehr\ntrust_domain: hospital.example\n{}\
         peers: {{ billing: {{ spiffe: spiffe://hospital.example/billing }} }}\n\
         inbound:\n  - {{ name: api, listen: 127.0.0.1:0, forward: \"{}\", protocol: tcp, allow: [billing] }}\n\
         audit: {{ dir: audit }}\nadmin: {{ listen: 127.0.0.1:0 }}\n",
        identity.replace(&example, fingerprint),
        workload.target(),
    );
    std::fs::write(host.dir.path().join("myelin.yaml"), config).unwrap();
    let mut sidecar = shell(host.dir.path(), "exec myelin run -c myelin.yaml");

    let mut sidecar = Process::start(&mut sidecar);

    sidecar.says("enrolled").await;
    sidecar.says("ready").await;
}

#[tokio::test]
async fn curl_and_openssl_enrol_and_renew_as_the_guide_says() {
    let mut host = Host::new().await;
    host.serves("certs/README.md").await;
    std::fs::copy(host.dir.path().join("authority/root.crt"), host.dir.path().join("root.crt"))
        .unwrap();
    let token = "myelin ca token --dir authority --service lab > token";
    assert_eq!(run(&mut shell(host.dir.path(), token), "").await.code, Some(0));

    let said = host.does("certs/README.md", "sh est").await;

    assert!(said.contains("lab.crt: OK") && said.contains("nextUpdate="), "{said}");
    let mut openssl = Command::new(needs("openssl", "openssl"));
    openssl.args(["x509", "-in", "next.crt", "-noout", "-pubkey", "-ext", "subjectAltName"]);
    let next = run(openssl.current_dir(host.dir.path()), "").await;
    assert!(next.stdout.contains("URI:spiffe://hospital.example/lab, DNS:lab"), "{next:#?}");
}
