//! curl as a peer, over mutual TLS.

use std::path::PathBuf;
use std::process::Command;

use super::outside::Outside;
use super::pki::Identity;
use super::process::{needs, run};

/// An answer as curl had it.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    /// The head, every name in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| *found == name).map(|(_, value)| value.trim()).next_back()
    }
}

/// curl in the hands of the peer `identity`, opposite the sidecar at `to`.
pub(crate) struct Curl<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) to: &'a Outside,
}

impl Curl<'_> {
    /// Asks for `path` under the listener's own name.
    pub(crate) async fn ask(&self, path: &str, args: &[&str]) -> Got {
        self.ask_of(&self.to.listeners[0].0, path, args).await
    }

    /// Asks for `path` under the name `host`; the certificate is the listener's all the same.
    pub(crate) async fn ask_of(&self, host: &str, path: &str, args: &[&str]) -> Got {
        let (name, port) = (&self.to.listeners[0].0, self.to.address().port());
        let path_of = |path: PathBuf| path.display().to_string();
        let mut curl = Command::new(needs("curl", "curl"));
        curl.args(["-sS", "-i", "--path-as-is", "--max-time", "15"]);
        curl.args(["--resolve", &format!("{name}:{port}:127.0.0.1")]);
        curl.args(["--cert", &path_of(self.identity.cert())]);
        curl.args(["--key", &path_of(self.identity.key())]);
        curl.args(["--cacert", &path_of(self.identity.trust_bundle())]);
        if host != name {
            curl.args(["-H", &format!("Host: {host}")]);
        }
        curl.args(args).arg(format!("https://{name}:{port}{path}"));
        let said = run(&mut curl, "").await;
        assert_eq!(said.code, Some(0), "{said:#?}");
        let (head, body) = said.stdout.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Got { status, head: head.to_lowercase(), body: body.to_owned() }
    }
}
