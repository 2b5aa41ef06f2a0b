//! Syslog receivers that nobody here wrote: rsyslog and syslog-ng.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::eventually;
use super::pki::Identity;
use super::process::{Process, free_port, loopback, needs, write};

/// Which program, and which TLS it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    RsyslogOpenssl,
    RsyslogGnutls,
    SyslogNg,
}

/// A receiver that may be ended and started again on the same port.
pub(crate) struct Receiver {
    kind: Kind,
    dir: TempDir,
    pub(crate) port: u16,
    process: Option<Process>,
}

impl Receiver {
    /// Starts one with the certificate `own`, which takes messages from whoever has one of `own`'s authority.
    pub(crate) async fn start(kind: Kind, own: &Identity) -> Self {
        let dir = TempDir::new().unwrap();
        let port = free_port();
        for (file, name) in
            [(own.cert(), "tls.crt"), (own.key(), "tls.key"), (own.trust_bundle(), "ca.crt")]
        {
            std::fs::copy(file, dir.path().join(name)).unwrap();
        }
        let text = match kind {
            Kind::RsyslogOpenssl => rsyslog("ossl", dir.path(), port),
            Kind::RsyslogGnutls => rsyslog("gtls", dir.path(), port),
            Kind::SyslogNg => syslog_ng(dir.path(), port),
        };
        write(dir.path(), "receiver.conf", &text);
        let mut receiver = Self { kind, dir, port, process: None };
        receiver.up().await;
        receiver
    }

    /// Starts it again.
    pub(crate) async fn up(&mut self) {
        let dir = self.dir.path();
        let file = dir.join("receiver.conf");
        let mut command = match self.kind {
            Kind::RsyslogOpenssl | Kind::RsyslogGnutls => {
                let mut command = Command::new(needs("rsyslogd", "rsyslog"));
                command.arg("-n").arg("-f").arg(file).arg("-i").arg(dir.join("pid"));
                command
            }
            Kind::SyslogNg => syslog_ng_command(dir, &file),
        };
        let _stale = std::fs::remove_file(dir.join("pid"));
        let mut process = Process::start(&mut command);
        process.listens(loopback(self.port)).await;
        self.process = Some(process);
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Ends it as an operator does.
    pub(crate) fn stop(&mut self) {
        self.process.take().unwrap().stop("TERM");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        self.process.as_ref().unwrap().signal(signal);
    }

    /// The messages that it has written down: `PRI MSGID MSG`.
    pub(crate) fn messages(&self) -> Vec<Message> {
        let text = std::fs::read(self.dir.path().join("received")).unwrap_or_default();
        let text = String::from_utf8(text).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(Message::of).collect()
    }

    /// Waits until it has the record `sequence` as JSON, and gives back all that it has, in whatever form.
    pub(crate) async fn has_all(&self, sequence: u64) -> String {
        eventually(&format!("record {sequence} to arrive"), || async {
            let messages = self.messages();
            let is_there = messages
                .iter()
                .any(|message| message.text.starts_with('{') && message.sequence() == sequence);
            is_there.then(|| messages.into_iter().map(|message| message.text + "\n").collect())
        })
        .await
    }

    /// Waits until it has the record `sequence`, and gives back all messages.
    pub(crate) async fn has(&self, sequence: u64) -> Vec<Message> {
        eventually(&format!("record {sequence} to arrive"), || async {
            let messages = self.messages();
            messages.iter().any(|message| message.sequence() == sequence).then_some(messages)
        })
        .await
    }
}

/// A message as a receiver understood it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) pri: u32,
    pub(crate) id: String,
    pub(crate) text: String,
}

impl Message {
    fn of(line: &str) -> Self {
        let mut parts = line.splitn(3, ' ');
        let (pri, id) = (parts.next().unwrap().parse().unwrap(), parts.next().unwrap().to_owned());
        Self { pri, id, text: parts.next().unwrap().to_owned() }
    }

    /// `event.sequence`, of a message in JSON.
    pub(crate) fn sequence(&self) -> u64 {
        let record: Value = serde_json::from_str(&self.text).unwrap();
        record["event"]["sequence"].as_u64().unwrap()
    }
}

fn rsyslog(driver: &str, dir: &Path, port: u16) -> String {
    format!(
        r#"global(workDirectory="{dir}" maxMessageSize="128k" parser.escapeControlCharactersOnReceive="off"
       DefaultNetstreamDriverCAFile="{dir}/ca.crt" DefaultNetstreamDriverCertFile="{dir}/tls.crt" DefaultNetstreamDriverKeyFile="{dir}/tls.key")
main_queue(queue.type="direct")
module(load="imtcp" StreamDriver.Name="{driver}" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid")
template(name="t" type="string" string="%pri% %msgid% %msg%\n")
ruleset(name="r") {{ action(type="omfile" file="{dir}/received" template="t") }}
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="r")
"#,
        dir = dir.display(),
    )
}

fn syslog_ng(dir: &Path, port: u16) -> String {
    format!(
        r#"@version: 3.38
options {{ keep-hostname(yes); log-msg-size(131072); use-dns(no); stats-freq(0); flush-lines(1); }};
source s {{ syslog(ip("127.0.0.1") port({port}) transport("tls") tls(key-file("{dir}/tls.key") cert-file("{dir}/tls.crt")
  ca-file("{dir}/ca.crt") peer-verify(required-trusted) ssl-options(no-sslv2,no-sslv3,no-tlsv1,no-tlsv11))); }};
destination d {{ file("{dir}/received" template("${{PRI}} ${{MSGID}} ${{MESSAGE}}\n") template-escape(no)); }};
log {{ source(s); destination(d); flags(flow-control); }};
"#,
        dir = dir.display(),
    )
}

/// Debian installs syslog-ng or rsyslog, not both: `.ci/run setup` unpacks this one beside the tests.
fn syslog_ng_command(dir: &Path, file: &Path) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/syslog-ng");
    let program = root.join("usr/sbin/syslog-ng");
    assert!(program.is_file(), "there is no {}: .ci/run setup", program.display());
    let libraries = root.join("usr/lib/syslog-ng");
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", &libraries);
    command.args(["-F", "--no-caps", "--module-path"]).arg(libraries.join("3.38"));
    command.arg("-f").arg(file).arg("-R").arg(dir.join("persist"));
    command.arg("-p").arg(dir.join("pid")).arg("-c").arg(dir.join("control"));
    command
}
