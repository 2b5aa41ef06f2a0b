//! Transparent interception: a client and a server that know nothing of a sidecar, on two machines.

use tempfile::TempDir;

use crate::support::machines::Machine;
use crate::support::process::{Process, Said, needs, write};
use crate::support::trail::Trail;
use crate::support::{eventually, until};

pub(crate) const EHR: &str = "\
version: 1
service: ehr
trust_domain: hospital.example
identity: { embedded: { dir: authority } }
peers:
  lab: { spiffe: spiffe://hospital.example/lab }
  pacs: { spiffe: spiffe://hospital.example/pacs }
redirect:
  port: 15001
  exclude_ports: [9999]
  exclude_addresses: [10.77.0.128/25]
outbound:
  - name: to-pacs
    redirect: transparent
    destinations: [{ address: 10.77.0.0/24, ports: [7777], port: 8080 }]
    expect: [pacs]
    protocol: tcp
  - name: to-lab
    redirect: transparent
    destinations:
      - { name: lis.lab.example, ports: [8080] }
      - { address: fd77::/64, ports: [8080], port: 8443 }
    expect: [lab]
    protocol: http
audit: { dir: audit-ehr }
admin: { listen: 127.0.0.1:9901 }
";

const LAB: &str = "\
version: 1
service: lab
trust_domain: hospital.example
identity: { embedded: { dir: authority } }
peers:
  ehr: { spiffe: spiffe://hospital.example/ehr }
inbound:
  - name: results
    listen: \"[::]:8443\"
    redirect_ports: [8080]
    forward: 127.0.0.1:8080
    protocol: http
    allow: [ehr]
audit: { dir: audit-lab }
admin: { listen: off, probe_listen: 0.0.0.0:9902 }
";

/// The ehr's machine and the lab's, and what runs there.
pub(crate) struct Clinic {
    pub(crate) dir: TempDir,
    pub(crate) ehr: Machine,
    lab: Machine,
    pub(crate) running: Vec<Process>,
}

impl Clinic {
    /// Both sidecars run as root and are spared by the rules; the workloads run as nobody.
    async fn new() -> Self {
        Self::of(EHR).await
    }

    /// With another configuration of the ehr's.
    pub(crate) async fn of(config: &str) -> Self {
        for (program, package) in [
            ("nft", "nftables"),
            ("iptables", "iptables"),
            ("curl", "curl"),
            ("python3", "python3"),
            ("setpriv", "util-linux"),
            ("mount", "mount"),
        ] {
            needs(program, package);
        }
        let dir = TempDir::new().unwrap();
        let path = dir.path();
        write(path, "ehr.yaml", config);
        write(path, "lab.yaml", LAB);
        write(path, "hosts", "10.77.0.2 lis.lab.example\n127.0.0.1 localhost\n");
        std::fs::create_dir(path.join("results")).unwrap();
        write(&path.join("results"), "hello.txt", "results of the day\n");
        let (ehr, lab) = Machine::pair().await;
        let mut clinic = Self { dir, ehr, lab, running: Vec::new() };
        clinic.fine("ehr", "myelin ca init --dir authority --trust-domain hospital.example").await;
        for port in [8080, 9090, 9999] {
            clinic.serves(port).await;
        }
        clinic.sidecar("lab").await;
        clinic.sidecar("ehr").await;
        clinic
    }

    fn machine(&self, name: &str) -> &Machine {
        if name == "ehr" { &self.ehr } else { &self.lab }
    }

    async fn run(&self, machine: &str, script: &str) -> Said {
        self.machine(machine).run(self.dir.path(), script).await
    }

    pub(crate) async fn fine(&self, machine: &str, script: &str) -> String {
        let said = self.run(machine, script).await;
        assert_eq!(said.code, Some(0), "{script}\n{}", said.all());
        said.stdout
    }

    pub(crate) async fn sidecar(&mut self, name: &str) {
        // The names of the clinic are in a file of hosts that only the sidecar sees.
        let script = format!(
            "exec unshare --mount bash -c 'mount --bind hosts /etc/hosts && exec myelin run -c {name}.yaml'"
        );
        let mut process = Process::start(&mut self.machine(name).shell(self.dir.path(), &script));
        process.says("ready").await;
        self.running.push(process);
    }

    /// Python's own server at the lab, with a log of every connection that brings a request.
    async fn serves(&mut self, port: u16) {
        let script = format!("exec python3 -u -m http.server --bind :: --directory results {port}");
        let mut process = Process::start(&mut self.lab.shell(self.dir.path(), &script));
        process.says("Serving HTTP").await;
        self.running.push(process);
    }

    fn log_of(&self, port: u16) -> String {
        let of = [8080, 9090, 9999].iter().position(|known| *known == port).unwrap();
        self.running[of].output()
    }

    /// `curl` as the workload runs it: without a word about a proxy.
    async fn curl(&self, url: &str) -> Said {
        let script = format!(
            "exec setpriv --reuid 65534 --regid 65534 --clear-groups curl -gsS --max-time 20 \
             --resolve lis.lab.example:8080:10.77.0.2 {url}"
        );
        self.run("ehr", &script).await
    }

    pub(crate) async fn gets(&self, url: &str) {
        let said = self.curl(url).await;
        assert_eq!(said.stdout, "results of the day\n", "{url}: {}", said.all());
    }

    async fn gets_nothing(&self, url: &str) {
        let said = self.curl(url).await;
        assert_ne!(said.code, Some(0), "{url}: {}", said.all());
        assert_eq!(said.stdout, "", "{url}");
    }

    pub(crate) fn trail(&self, service: &str) -> Trail {
        Trail::new(&self.dir.path().join(format!("audit-{service}")))
    }
}

impl Drop for Clinic {
    fn drop(&mut self) {
        self.running.iter_mut().rev().for_each(|process| process.stop("TERM"));
    }
}

const HELLO_V4: &str = "http://lis.lab.example:8080/hello.txt";
pub(crate) const HELLO_V6: &str = "http://[fd77::2]:8080/hello.txt";

#[tokio::test]
async fn a_client_and_a_server_that_know_nothing_of_it_talk_over_mutual_tls() {
    let clinic = Clinic::new().await;
    clinic.fine("lab", "myelin redirect apply -c lab.yaml --user root").await;
    let said = clinic.fine("ehr", "myelin redirect apply -c ehr.yaml --user root").await;
    assert_eq!(
        said,
        "redirected: all TCP that this machine opens, but for root's: to port 15001\n"
    );

    clinic.gets(HELLO_V4).await;
    clinic.gets(HELLO_V6).await;

    let allowed = clinic.trail("ehr").wait_for("connection-allowed", 2).await;
    let (v4, v6) = (&allowed[0], &allowed[1]);
    for record in &allowed {
        assert_eq!(record.text("myelin.listener"), "to-lab");
        assert_eq!(record.number("destination.port"), 8080, "as the workload asked");
    }
    assert_eq!(v4.text("destination.ip"), "10.77.0.2");
    assert_eq!(v4.text("myelin.endpoint"), "lis.lab.example:8080");
    assert_eq!(v6.text("destination.ip"), "fd77::2");
    assert_eq!(v6.text("myelin.endpoint"), "[fd77::2]:8443");
    let came = clinic.trail("lab").wait_for("connection-allowed", 2).await;
    assert!(came.iter().all(|record| record.text("source.ip").ends_with("77.0.1")
        || record.text("source.ip") == "fd77::1"));
}

#[tokio::test]
async fn what_leads_to_nobody_listed_is_refused_on_record_and_sends_no_byte() {
    let clinic = Clinic::new().await;
    clinic.fine("ehr", "myelin redirect apply -c ehr.yaml --user root").await;

    clinic.gets_nothing("http://10.77.0.2:9090/hello.txt").await;
    clinic.gets_nothing("http://[fd77::2]:9090/hello.txt").await;
    let denied = clinic.trail("ehr").wait_for("connection-denied", 2).await;
    for (record, address) in denied.iter().zip(["10.77.0.2", "fd77::2"]) {
        assert_eq!(record.reason(), "unknown_destination");
        assert_eq!(record.text("myelin.listener"), "redirect");
        assert_eq!(record.text("destination.ip"), address);
        assert_eq!(record.number("destination.port"), 9090);
    }
    assert!(!clinic.log_of(9090).contains("GET"), "{}", clinic.log_of(9090));
    let metrics = clinic.curl("http://127.0.0.1:9901/metrics").await.stdout;
    let counted = "reason=\"unknown_destination\"";
    let line = metrics.lines().find(|l| l.contains(counted) && l.contains("\"redirect\"")).unwrap();
    assert!(line.ends_with(" 2"), "{line}");

    // Straight to where the kernel sends what it redirects: there is no way on from there, and no loop.
    clinic.gets_nothing("http://127.0.0.1:15001/hello.txt").await;
    clinic.gets_nothing("http://[::1]:15001/hello.txt").await;
    let denied = clinic.trail("ehr").wait_for("connection-denied", 4).await;
    assert!(denied[3].text("message").contains("straight to `redirect.port`"));
}

#[tokio::test]
async fn whoever_is_not_whom_the_destination_expects_hears_nothing() {
    let clinic = Clinic::new().await;
    clinic.fine("lab", "myelin redirect apply -c lab.yaml --user root").await;
    clinic.fine("ehr", "myelin redirect apply -c ehr.yaml --user root").await;

    clinic.gets_nothing("http://10.77.0.2:7777/hello.txt").await;

    let refused = clinic.trail("ehr").wait_for("connection-refused", 1).await;
    assert_eq!(refused[0].reason(), "unexpected_server");
    assert_eq!(refused[0].text("myelin.listener"), "to-pacs");
    assert_eq!(refused[0].number("destination.port"), 7777);
}

#[tokio::test]
async fn plaintext_from_elsewhere_does_not_reach_the_workload_any_more() {
    let clinic = Clinic::new().await;
    clinic.gets("http://10.77.0.2:8080/hello.txt").await;
    let asked = || clinic.log_of(8080).matches("GET").count();
    until("the request to be in the log", || asked() == 1).await;
    clinic.fine("lab", "myelin redirect apply -c lab.yaml --user root").await;

    clinic.gets_nothing("http://10.77.0.2:8080/hello.txt").await;
    clinic.gets_nothing("http://[fd77::2]:8080/hello.txt").await;

    let refused = clinic.trail("lab").wait_for("connection-refused", 2).await;
    assert!(refused.iter().all(|record| record.reason() == "not_tls"), "{refused:#?}");
    assert_eq!(asked(), 1);
    let probed = clinic.curl("http://10.77.0.2:9902/live").await;
    assert_eq!(probed.code, Some(0), "{}", probed.all());
}

#[tokio::test]
async fn what_is_spared_goes_where_it_was_to_go() {
    let clinic = Clinic::new().await;
    clinic.fine("ehr", "myelin redirect apply -c ehr.yaml --user root").await;

    clinic.gets("http://10.77.0.2:9999/hello.txt").await;
    clinic.gets("http://[fd77::2]:9999/hello.txt").await;
    for own in ["127.0.0.1", "10.77.0.1"] {
        let admin = clinic.curl(&format!("http://{own}:9901/live")).await;
        let reaches = own == "127.0.0.1"; // it listens there alone
        assert_eq!(admin.code == Some(0), reaches, "{}", admin.all());
    }

    assert!(clinic.trail("ehr").all("connection-denied").is_empty());
}

#[tokio::test]
async fn while_the_sidecar_is_down_nothing_leaves() {
    let mut clinic = Clinic::new().await;
    clinic.fine("ehr", "myelin redirect apply -c ehr.yaml --user root").await;
    clinic.running.pop().unwrap().stop("TERM");

    clinic.gets_nothing("http://10.77.0.2:9090/hello.txt").await;
    clinic.gets_nothing("http://[fd77::2]:8080/hello.txt").await;

    assert!(!clinic.log_of(9090).contains("GET") && !clinic.log_of(8080).contains("GET"));
}

#[tokio::test]
async fn rules_are_applied_again_and_removed_without_a_trace() {
    let clinic = Clinic::new().await;
    let others = "nft add table inet filter; nft add chain inet filter ours; iptables -t nat -N OURS; \
                  iptables -t nat -A OUTPUT -d 192.0.2.1 -j OURS";
    clinic.fine("ehr", others).await;
    let ruleset = "iptables-save -t nat | grep -v '^[#:]'; nft list table inet filter";
    let before = clinic.fine("ehr", ruleset).await;
    let plain = "http://10.77.0.2:9090/hello.txt";

    for format in ["nft", "iptables"] {
        let remove = format!("myelin redirect remove --format {format}");
        assert_eq!(clinic.fine("ehr", &remove).await, "nothing is redirected any more\n");
        clinic.gets(plain).await;
        for _ in 0..2 {
            let apply = format!("myelin redirect apply -c ehr.yaml --user root --format {format}");
            clinic.fine("ehr", &apply).await;
            clinic.gets_nothing(plain).await;
            clinic.gets_nothing("http://[fd77::2]:9090/hello.txt").await;
            clinic.gets("http://[fd77::2]:8080/hello.txt").await;
            clinic.gets("http://[fd77::2]:9999/hello.txt").await;
        }
        for _ in 0..2 {
            clinic.fine("ehr", &remove).await;
            clinic.gets(plain).await;
        }
        assert_eq!(clinic.fine("ehr", ruleset).await, before, "{format}");
    }
}

#[tokio::test]
async fn the_printed_rules_are_taken_by_the_programs_that_they_are_for() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "ehr.yaml", EHR);
    write(dir.path(), "lab.yaml", LAB);
    let machine = Machine::new().await;

    for config in ["ehr", "lab"] {
        for (format, taken) in [
            ("nft", "nft -c -f -"),
            ("iptables", "iptables-restore --noflush --test"),
            ("ip6tables", "ip6tables-restore --noflush --test"),
        ] {
            let print =
                format!("myelin redirect print -c {config}.yaml --user 1337 --format {format}");
            let said = machine.run(dir.path(), &format!("{print} | {taken}")).await;
            assert_eq!(said.code, Some(0), "{print}: {}", said.all());
        }
    }
    let none = machine.run(dir.path(), "nft list ruleset").await;
    assert_eq!(none.stdout, "", "nothing was changed");
}

#[tokio::test]
async fn what_is_in_the_way_of_the_rules_is_said_with_a_mend() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "ehr.yaml", EHR);
    write(dir.path(), "plain.yaml", &without_redirect(EHR));
    let machine = Machine::new().await;
    let said = async |script: &str| {
        let said = machine.run(dir.path(), script).await;
        (said.code.unwrap(), said.stderr)
    };

    let (code, text) = said("myelin redirect print -c plain.yaml").await;
    assert_eq!(code, 3);
    assert!(text.contains("redirects nothing: add `redirect: { port: 15001 }`"), "{text}");
    let apply = "myelin redirect apply -c ehr.yaml --user root";
    let (code, text) = said(&format!("PATH=$(dirname $(which myelin)) {apply}")).await;
    assert_eq!(code, 1);
    assert!(text.contains("nft is not installed: install the package nftables"), "{text}");
    let as_nobody =
        "chmod 755 . && setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all";
    let (code, text) = said(&format!("{as_nobody} {apply}")).await;
    assert_eq!(code, 1);
    assert!(text.contains("not permitted: run it as root, or with CAP_NET_ADMIN"), "{text}");
    let (code, text) = said("myelin redirect apply -c ehr.yaml --user no-such-user").await;
    assert_eq!(code, 1);
    assert!(text.contains("nft did not take the rules"), "{text}");
    let (code, text) = said("myelin redirect apply -c ehr.yaml --user 'root\" accept'").await;
    assert_eq!(code, 2);
    assert!(text.contains("neither a user's name nor a number"), "{text}");
}

fn without_redirect(config: &str) -> String {
    let until = config.find("redirect:").unwrap();
    config[..until].to_owned() + "audit: { dir: audit }\n"
}

#[tokio::test]
async fn a_reload_changes_where_redirected_connections_may_go() {
    let mut clinic = Clinic::new().await;
    clinic.fine("lab", "myelin redirect apply -c lab.yaml --user root").await;
    clinic.fine("ehr", "myelin redirect apply -c ehr.yaml --user root").await;
    clinic.gets(HELLO_V4).await;
    let narrower =
        EHR.replace("{ name: lis.lab.example, ports: [8080] }", "{ address: 192.0.2.1 }");
    write(clinic.dir.path(), "ehr.yaml", &narrower);
    let ehr = clinic.running.last().unwrap();
    ehr.signal("HUP");

    eventually("the narrower configuration", async || {
        (clinic.curl(HELLO_V4).await.code != Some(0)).then_some(())
    })
    .await;

    clinic.gets(HELLO_V6).await;
    let denied = clinic.trail("ehr").wait_for("connection-denied", 1).await;
    assert_eq!(denied[0].text("destination.ip"), "10.77.0.2");

    // The port is handed over with the other sockets.
    clinic.running.last().unwrap().signal("USR2");
    clinic.running.last_mut().unwrap().says("\"handed over\"").await;
    clinic.gets(HELLO_V6).await;
    clinic.gets_nothing(HELLO_V4).await;
}
