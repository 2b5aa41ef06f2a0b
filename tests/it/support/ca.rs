//! `myelin ca serve` as a process, and its clients that nobody here wrote: curl and openssl.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use myelin::certs::embedded::{Authority, Grant};
use myelin::identity::{DnsName, SpiffeId};
use serde_json::Value;
use tempfile::TempDir;

use super::eventually;
use super::pki::spiffe;
use super::process::{Process, Said, free_port, loopback, needs, run};

/// The type of a request's body (RFC 7030, 4.2.1).
pub(crate) const PKCS10: &str = "Content-Type: application/pkcs10";

/// An authority with its enrolment server, and a directory for what clients get.
pub(crate) struct CaServer {
    dir: TempDir,
    port: u16,
    lists: u16,
    process: Option<Process>,
}

/// What curl was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) code: Option<i32>,
    /// 0 when there was no answer.
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
    /// What curl said about it.
    pub(crate) error: String,
}

impl CaServer {
    pub(crate) async fn start() -> Self {
        let mut server = Self {
            dir: TempDir::new().unwrap(),
            port: free_port(),
            lists: free_port(),
            process: None,
        };
        let made = server.ca(&["init", "--trust-domain", "hospital.example"]).await;
        assert_eq!(made.code, Some(0), "{made:#?}");
        server.begin().await;
        server
    }

    /// Begins again, at the same ports.
    pub(crate) async fn begin(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
        command.args(["ca", "serve", "--name", "localhost", "--dir"]).arg(self.authority());
        command.args(["--listen", &self.address().to_string()]);
        command.args(["--crl-listen", &self.crl_address().to_string()]);
        let mut process = Process::start(command.env("MYELIN_LOG", "info"));
        process.says("Serving EST").await;
        self.process = Some(process);
    }

    /// Ends it without a warning.
    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().stop("KILL");
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    pub(crate) fn crl_address(&self) -> SocketAddr {
        loopback(self.lists)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.path("authority")
    }

    pub(crate) fn url(&self, operation: &str) -> String {
        format!("https://localhost:{}/.well-known/est{operation}", self.port)
    }

    /// Runs `myelin ca` on the authority's directory.
    pub(crate) async fn ca(&self, args: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
        command.args(["ca", args[0], "--dir"]).arg(self.authority()).args(&args[1..]);
        run(command.env("MYELIN_LOG", "warn"), "").await
    }

    /// Waits until the server publishes the lists as they are in the authority's directory.
    pub(crate) async fn publishes_lists(&self) {
        let url = format!("http://{}/crls.pem", self.crl_address());
        eventually("the lists to be published", || async {
            let held = std::fs::read_to_string(self.authority().join("ca.crl")).unwrap();
            (self.curl(&[&url]).await.body == held).then_some(())
        })
        .await;
    }

    /// Every certificate on record.
    pub(crate) async fn list(&self) -> Vec<Value> {
        let said = self.ca(&["list", "--format", "json"]).await;
        assert_eq!(said.code, Some(0), "{said:#?}");
        serde_json::from_str(&said.stdout).unwrap()
    }

    /// A join token, as an operator makes it.
    pub(crate) async fn token(&self, service: &str) -> String {
        let said = self.ca(&["token", "--service", service]).await;
        assert_eq!(said.code, Some(0), "{said:#?}");
        said.stdout.trim().to_owned()
    }

    /// A join token that is good for so long, for certificates that live shorter than an operator may say.
    pub(crate) fn token_for(&self, service: &str, life: Duration, ttl: Duration) -> String {
        let authority = Authority::open_any(&self.authority()).unwrap();
        let spiffe = SpiffeId::parse(&spiffe(service)).unwrap();
        let dns = vec![DnsName::parse(service).unwrap()];
        let token = authority.make_token(&Grant { spiffe, dns, ttl }, life).unwrap();
        token.text.to_string()
    }

    /// `identity` of a sidecar on another host, which has this token.
    pub(crate) fn identity(&self, service: &str, token: &str) -> String {
        std::fs::write(self.path(&format!("{service}.token")), token).unwrap();
        let authority = Authority::open_any(&self.authority()).unwrap();
        format!(
            "est: {{ url: \"{}\", fingerprint: \"sha256:{}\", token_file: {}, dir: {}, \
             crl_urls: [\"http://localhost:{}/crls.pem\"] }}",
            self.url(""),
            authority.fingerprint(),
            self.path(&format!("{service}.token")).display(),
            self.path(&format!("{service}.identity")).display(),
            self.lists
        )
    }

    /// Runs openssl in the directory.
    pub(crate) async fn openssl(&self, line: &str) -> String {
        let mut command = Command::new(needs("openssl", "openssl"));
        let said =
            run(command.args(line.split_whitespace()).current_dir(self.dir.path()), "").await;
        assert_eq!(said.code, Some(0), "{line}: {said:#?}");
        said.stdout
    }

    /// Makes `NAME.key`, and `NAME.b64` with a request for it as a client sends it.
    pub(crate) async fn request(&self, name: &str, key: &str, more: &str) {
        self.openssl(&format!(
            "req -new -newkey {key} -nodes -keyout {name}.key -subj /CN={name} {more} -out {name}.csr"
        ))
        .await;
        self.openssl(&format!("req -in {name}.csr -outform DER -out {name}.der")).await;
        self.openssl(&format!("base64 -in {name}.der -out {name}.b64")).await;
    }

    /// The usual request.
    pub(crate) async fn ec_request(&self, name: &str) {
        self.request(name, "ec -pkeyopt ec_paramgen_curve:P-256", "").await;
    }

    /// Runs curl, which knows the root.
    pub(crate) async fn curl(&self, args: &[&str]) -> Answered {
        let mut command = Command::new(needs("curl", "curl"));
        command.args(["-sS", "-i", "--max-time", "25", "-w", "\n%{http_code}", "--cacert"]);
        command.arg(self.authority().join("root.crt")).args(args).current_dir(self.dir.path());
        let said = run(&mut command, "").await;
        let (all, status) = said.stdout.rsplit_once('\n').unwrap_or_default();
        let all = all.replace('\r', "");
        let (head, body) = all.split_once("\n\n").unwrap_or((&all, ""));
        Answered {
            code: said.code,
            status: status.parse().unwrap_or(0),
            head: head.to_lowercase(),
            body: body.to_owned(),
            error: said.stderr,
        }
    }

    /// `/simpleenroll` with a token and the body in the file.
    pub(crate) async fn enrol(&self, token: &str, file: &str) -> Answered {
        let (user, data) = (format!(":{token}"), format!("@{file}"));
        let url = self.url("/simpleenroll");
        self.curl(&["--user", &user, "-H", PKCS10, "--data-binary", &data, &url]).await
    }

    /// `/simplereenroll` with the certificate and key that `NAME` has, and the body in the file.
    pub(crate) async fn reenrol(&self, name: &str, file: &str) -> Answered {
        let (cert, key) = (format!("{name}.crt"), format!("{name}.key"));
        let (data, url) = (format!("@{file}"), self.url("/simplereenroll"));
        let client = ["--cert", &cert, "--key", &key];
        self.curl(&[&client[..], &["-H", PKCS10, "--data-binary", &data, &url]].concat()).await
    }

    /// The certificates of an answer in `NAME.crt`, as openssl reads them; the serial number of the first.
    pub(crate) async fn keep(&self, answered: &Answered, name: &str) -> String {
        assert_eq!(answered.status, 200, "{answered:#?}");
        std::fs::write(self.path("answer.b64"), &answered.body).unwrap();
        self.openssl("base64 -d -in answer.b64 -out answer.p7").await;
        self.openssl(&format!("pkcs7 -inform DER -in answer.p7 -print_certs -out {name}.crt"))
            .await;
        let serial = self.openssl(&format!("x509 -in {name}.crt -noout -serial")).await;
        serial.trim().trim_start_matches("serial=").to_owned()
    }

    /// A client with a certificate from here in `NAME.crt`; its serial number.
    pub(crate) async fn client(&self, name: &str, ttl: Duration) -> String {
        self.ec_request(name).await;
        let token = self.token_for(name, Duration::from_secs(60), ttl);
        let answered = self.enrol(&token, &format!("{name}.b64")).await;
        self.keep(&answered, name).await
    }
}
