//! The forward proxy: clients that know of it by `http_proxy` alone, and servers that know nothing, on two machines.

use tempfile::TempDir;

use crate::support::machines::Machine;
use crate::support::process::{Process, Said, needs, write};
use crate::support::trail::Trail;

pub(crate) const EHR: &str = "\
version: 1
service: ehr
trust_domain: hospital.example
identity: { embedded: { dir: authority } }
peers:
  lab: { spiffe: spiffe://hospital.example/lab }
  pacs: { spiffe: spiffe://hospital.example/pacs }
forward_proxy: { listen: 127.0.0.1:9002 }
outbound:
  - name: to-lab
    redirect: forward_proxy
    destinations:
      - { name: lis.lab.example, ports: [80, 8080], port: 8443 }
      - { name: nowhere.lab.example, ports: [80] }
      - { name: slow.lab.example, ports: [80], port: 8446 }
      - { address: fd77::/64, ports: [8080], port: 8443 }
    expect: [lab]
    protocol: http
  - name: to-app
    redirect: forward_proxy
    destinations: [{ name: app.lab.example, ports: [80], port: 8444 }]
    expect: [lab]
    protocol: http
    phi: true
  - name: to-pacs
    redirect: forward_proxy
    destinations: [{ name: pacs.lab.example, ports: [80], port: 8443 }]
    expect: [pacs]
    protocol: http
  - name: to-anything
    redirect: forward_proxy
    destinations:
      - { name: tcp.lab.example, ports: [5432], port: 8445 }
      - { name: closed.lab.example, ports: [1] }
    expect: [lab]
    protocol: tcp
audit: { dir: audit-ehr }
admin: { listen: 127.0.0.1:9901 }
limits: { drain_timeout: 2s }
";

const LAB: &str = "\
version: 1
service: lab
trust_domain: hospital.example
identity: { embedded: { dir: authority } }
peers:
  ehr: { spiffe: spiffe://hospital.example/ehr }
inbound:
  - { name: results, listen: \"[::]:8443\", forward: 127.0.0.1:8080, protocol: http, allow: [ehr] }
  - { name: app, listen: \"[::]:8444\", forward: 127.0.0.1:8081, protocol: http, allow: [ehr] }
  - { name: bytes, listen: \"[::]:8445\", forward: 127.0.0.1:8080, protocol: tcp, allow: [ehr] }
audit: { dir: audit-lab }
admin: { listen: off }
";

const HOSTS: &str = "127.0.0.1 localhost\n10.77.0.2 lis.lab.example app.lab.example pacs.lab.example \
                     tcp.lab.example closed.lab.example slow.lab.example unlisted.lab.example\n";

/// A name server that knows nothing and says what it was asked for.
const DNS: &str = "\
import socket
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.bind(('127.0.0.1', 53))
print('listening', flush=True)
while True:
    query, who = asked.recvfrom(4096)
    print('asked', query[12:], flush=True)
    asked.sendto(query[:2] + b'\\x81\\x83' + query[4:], who)
";

/// The ehr's machine and the lab's, and what runs there.
pub(crate) struct Clinic {
    pub(crate) dir: TempDir,
    ehr: Machine,
    pub(crate) lab: Machine,
    pub(crate) running: Vec<Process>,
}

const FILES: usize = 0;
const NAMES: usize = 2;

impl Clinic {
    pub(crate) async fn new() -> Self {
        Self::with(EHR).await
    }

    /// With another configuration of the ehr's sidecar.
    pub(crate) async fn with(ehr: &str) -> Self {
        for (program, package) in
            [("nft", "nftables"), ("curl", "curl"), ("python3", "python3"), ("mount", "mount")]
        {
            needs(program, package);
        }
        let dir = TempDir::new().unwrap();
        let path = dir.path();
        write(path, "ehr.yaml", ehr);
        write(path, "lab.yaml", LAB);
        write(path, "hosts", HOSTS);
        write(path, "resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
        write(path, "dns.py", DNS);
        std::fs::create_dir(path.join("results")).unwrap();
        write(&path.join("results"), "hello.txt", "results of the day\n");
        let (ehr, lab) = Machine::pair().await;
        let mut clinic = Self { dir, ehr, lab, running: Vec::new() };
        clinic.fine("myelin ca init --dir authority --trust-domain hospital.example").await;
        let files = "exec python3 -u -m http.server --bind :: --directory results 8080";
        clinic.starts("lab", files, "Serving HTTP").await;
        let app = format!("exec python3 -u {} serve 8081", peer());
        clinic.starts("lab", &app, "Running on").await;
        clinic.starts("ehr", "exec python3 -u dns.py", "listening").await;
        clinic.starts("lab", &sidecar("lab"), "ready").await;
        clinic.starts("ehr", &sidecar("ehr"), "ready").await;
        clinic
    }

    pub(crate) async fn starts(&mut self, machine: &str, script: &str, says: &str) {
        let machine = if machine == "ehr" { &self.ehr } else { &self.lab };
        let mut process = Process::start(&mut machine.shell(self.dir.path(), script));
        process.says(says).await;
        self.running.push(process);
    }

    /// What a script says at the ehr, with the proxy in its environment and no name server.
    pub(crate) async fn run(&self, script: &str) -> Said {
        let script = format!("export http_proxy=http://127.0.0.1:9002\n{script}");
        self.ehr.run(self.dir.path(), &script).await
    }

    pub(crate) async fn fine(&self, script: &str) -> String {
        let said = self.run(script).await;
        assert_eq!(said.code, Some(0), "{script}\n{}", said.all());
        said.stdout
    }

    pub(crate) async fn curl(&self, arguments: &str) -> Said {
        self.run(&format!("curl -gsS --max-time 20 {arguments}")).await
    }

    async fn peer(&self, arguments: &str) -> String {
        self.fine(&format!("python3 {} {arguments}", peer())).await
    }

    pub(crate) async fn gets(&self, url: &str) {
        let said = self.curl(url).await;
        assert_eq!(said.stdout, "results of the day\n", "{url}: {}", said.all());
    }

    /// The status of an answer, and its text.
    pub(crate) async fn answer(&self, arguments: &str) -> (String, String) {
        let said = self.curl(&format!("-w '\\n%{{http_code}}' {arguments}")).await;
        let (text, status) = said.stdout.rsplit_once('\n').unwrap();
        (status.to_owned(), text.to_owned())
    }

    /// Packets of TCP and UDP that have left the ehr's machine since the last time.
    async fn packets(&self) -> u64 {
        let script = "{ nft list table inet seen 2>/dev/null || true; } | sed -n 's/.*packets \\([0-9]*\\).*/\\1/p'; \
                      nft 'table inet seen; delete table inet seen; table inet seen { chain out { type filter hook output \
                      priority 0; oifname cable meta l4proto { tcp, udp } counter; }; }'";
        self.fine(script).await.trim().parse().unwrap_or(0)
    }

    pub(crate) fn trail(&self, service: &str) -> Trail {
        Trail::new(&self.dir.path().join(format!("audit-{service}")))
    }
}

impl Drop for Clinic {
    fn drop(&mut self) {
        let running = self
            .running
            .iter_mut()
            .rev()
            .filter_map(|process| process.is_running().then_some(process));
        running.for_each(|process| process.stop("TERM"));
    }
}

/// The names are in files that only the sidecar sees: its clients know none of them.
fn sidecar(name: &str) -> String {
    format!(
        "exec unshare --mount bash -c 'mount --bind hosts /etc/hosts; mount --bind resolv.conf $(readlink -f /etc/resolv.conf); \
         exec myelin run -c {name}.yaml'"
    )
}

fn peer() -> String {
    format!("{}/tests/peers/proxied_peer.py", env!("CARGO_MANIFEST_DIR"))
}

pub(crate) const HELLO: &str = "http://lis.lab.example:8080/hello.txt";

#[tokio::test]
async fn clients_that_know_a_proxy_reach_a_server_that_knows_nothing_over_mutual_tls() {
    let clinic = Clinic::new().await;

    clinic.gets(HELLO).await;
    clinic.gets("http://LIS.lab.example/hello.txt").await;
    clinic.gets("http://[fd77::2]:8080/hello.txt").await;
    let fetched = clinic.peer(&format!("fetch {HELLO} {HELLO}")).await;
    assert_eq!(fetched, "200 results of the day\n200 results of the day\n");
    let urllib = "import urllib.request; print(urllib.request.urlopen(\"{}\").read())";
    let said = clinic.fine(&format!("python3 -c '{}'", urllib.replace("{}", HELLO))).await;
    assert_eq!(said, "b'results of the day\\n'\n");
    clinic.gets(&format!("--http1.0 {HELLO}")).await;

    let allowed = clinic.trail("ehr").wait_for("connection-allowed", 3).await;
    let asked = |n: usize| allowed[n].text("destination.address");
    assert_eq!(
        (asked(0), asked(1), asked(2)),
        ("lis.lab.example:8080", "lis.lab.example:80", "[fd77::2]:8080")
    );
    for record in &allowed {
        assert_eq!(record.text("myelin.listener"), "to-lab");
        assert_eq!(record.number("destination.port"), 8443, "where the peer takes mutual TLS");
        assert_eq!(record.text("myelin.peer"), "lab");
    }
    assert_eq!(allowed[0].text("destination.ip"), "10.77.0.2");
    assert_eq!(allowed[0].text("myelin.endpoint"), "lis.lab.example:8443");
    let came = clinic.trail("lab").wait_for("connection-allowed", 3).await;
    assert!(came.iter().all(|record| record.text("myelin.peer") == "ehr"));
}

#[tokio::test]
async fn one_connection_asks_for_several_hosts_and_each_has_its_own_rules() {
    let clinic = Clinic::new().await;
    let urls = "http://lis.lab.example/hello.txt http://app.lab.example/headers http://unlisted.lab.example/ \
                http://pacs.lab.example/hello.txt http://lis.lab.example/hello.txt";
    let wanted = "-o /dev/null -o /dev/null -o /dev/null -o /dev/null -o /dev/null";

    let said =
        clinic.curl(&format!("-w '%{{http_code}} %{{num_connects}}\\n' {wanted} {urls}")).await;

    assert_eq!(said.stdout, "200 1\n200 0\n403 0\n502 0\n200 0\n", "{}", said.all());
    let trail = clinic.trail("ehr");
    let allowed = trail.wait_for("connection-allowed", 2).await;
    assert_eq!(allowed[0].text("myelin.listener"), "to-lab");
    assert_eq!(allowed[1].text("myelin.listener"), "to-app");
    let refused = trail.only("connection-refused").await;
    assert_eq!(refused.reason(), "unexpected_server", "the lab is not the archive");
    assert_eq!(refused.text("destination.address"), "pacs.lab.example:80");
    let phi = trail.only("request-allowed").await;
    assert_eq!(phi.text("myelin.listener"), "to-app");
    assert_eq!(phi.text("destination.address"), "app.lab.example:80");
}

#[tokio::test]
async fn what_is_not_listed_is_denied_on_record_and_not_even_its_name_leaves() {
    let mut clinic = Clinic::new().await;
    clinic.packets().await;

    let (status, text) = clinic.answer("-D head.txt http://unlisted.lab.example:9090/x").await;
    assert_eq!((&*status, &*text), ("403", "not allowed\n"));
    for other in
        ["jane-doe.evil.example", "10.77.0.2:8080", "lis.lab.example:81", "localhost", "[::1]:9901"]
    {
        assert_eq!(clinic.answer(&format!("http://{other}/")).await.0, "403", "{other}");
        assert_eq!(clinic.curl(&format!("-p http://{other}/")).await.code, Some(56), "{other}");
    }

    assert_eq!(clinic.packets().await, 0, "nothing has left");
    let denied = clinic.trail("ehr").wait_for("request-denied", 11).await;
    let first = &denied[0];
    assert_eq!(first.reason(), "unknown_destination");
    assert_eq!(first.text("myelin.listener"), "forward_proxy");
    assert_eq!(first.text("destination.address"), "unlisted.lab.example:9090");
    let head = std::fs::read_to_string(clinic.dir.path().join("head.txt")).unwrap();
    let id = format!("{}-1", first.connection());
    assert!(head.contains(&format!("x-request-id: {id}")), "{head}\n{first:?}");
    let metrics = clinic.fine("curl -sS --noproxy '*' http://127.0.0.1:9901/metrics").await;
    let counted =
        "listener=\"forward_proxy\",direction=\"outbound\",reason=\"unknown_destination\"} 11";
    assert!(metrics.contains(counted), "{metrics}");
    assert!(!metrics.contains("evil"), "no label is what was asked for");

    // The control: a name that is listed is asked for, and it is the first.
    assert_eq!(clinic.answer("http://nowhere.lab.example/").await.0, "503");
    let asked = clinic.running[NAMES].says("nowhere").await;
    let others = asked.lines().find(|line| line.starts_with("asked") && !line.contains("nowhere"));
    assert_eq!(others, None, "{asked}");
}

#[tokio::test]
async fn connect_is_a_tunnel_where_a_listener_takes_bytes_and_refused_where_requests_are_seen() {
    let clinic = Clinic::new().await;

    let tunnelled = clinic.curl("-p http://tcp.lab.example:5432/hello.txt").await;
    assert_eq!(tunnelled.stdout, "results of the day\n", "{}", tunnelled.all());
    let seen = clinic.curl(&format!("-p -D head.txt {HELLO}")).await;
    assert_eq!(seen.code, Some(56), "{}", seen.all());
    assert!(seen.stderr.contains("405"), "{}", seen.all());
    let tls = clinic.run("https_proxy=$http_proxy curl -sS https://lis.lab.example:8080/").await;
    assert!(tls.stderr.contains("405"), "{}", tls.all());
    let closed = clinic.curl("-p http://closed.lab.example:1/").await;
    assert!(closed.stderr.contains("502"), "{}", closed.all());
    let plain = clinic.answer("http://tcp.lab.example:5432/hello.txt").await;
    assert_eq!(plain, ("403".to_owned(), "not allowed\n".to_owned()));

    let trail = clinic.trail("ehr");
    let allowed = trail.only("connection-allowed").await;
    assert_eq!(allowed.text("myelin.listener"), "to-anything");
    assert_eq!(allowed.text("destination.address"), "tcp.lab.example:5432");
    let over = trail.only("connection-closed").await;
    assert_eq!(over.reason(), "finished");
    assert!(over.number("destination.bytes") > 100, "{over:?}");
    let denied = trail.wait_for("request-denied", 3).await;
    assert!(denied[2].text("message").contains("takes CONNECT alone"), "{:?}", denied[2]);
    assert_eq!(denied[0].reason(), "unknown_destination");
    assert!(denied[0].text("message").contains("takes requests alone, and no CONNECT"));
    assert!(!denied[0].text("message").contains("lis.lab"), "once is enough: {:?}", denied[0]);
    assert_eq!(
        trail.only("connection-refused").await.text("destination.address"),
        "closed.lab.example:1"
    );
}

#[tokio::test]
async fn what_is_no_request_for_a_proxy_is_refused_and_says_how_it_is_done() {
    let clinic = Clinic::new().await;

    let (status, text) = clinic.answer("--noproxy '*' http://127.0.0.1:9002/hello.txt").await;
    assert_eq!(status, "421");
    assert!(text.contains("set http_proxy"), "{text}");
    for (why, arguments) in [
        ("another host", format!("-H 'Host: app.lab.example' {HELLO}")),
        (
            "TLS of somebody else's",
            "--request-target https://lis.lab.example/ http://lis.lab.example/".to_owned(),
        ),
        (
            "no port",
            "--noproxy '*' -X CONNECT --request-target lis.lab.example http://127.0.0.1:9002/"
                .to_owned(),
        ),
    ] {
        assert_eq!(clinic.answer(&arguments).await.0, "400", "{why}");
    }

    let copy = clinic.answer(&format!("-X COPY {HELLO}")).await;
    assert_eq!(copy, ("405".to_owned(), "method not allowed\n".to_owned()));

    let denied = clinic.trail("ehr").wait_for("request-denied", 5).await;
    assert!(denied.iter().all(|record| record.reason() == "malformed_request"));
    assert!(clinic.trail("ehr").all("connection-allowed").is_empty());
    assert!(!clinic.running[FILES].output().contains("GET"));
}

#[tokio::test]
async fn bodies_headers_and_upgrades_pass_as_they_are_but_for_what_is_the_proxys() {
    let clinic = Clinic::new().await;

    let size = 50_000_000;
    let said = clinic.peer(&format!("upload http://app.lab.example/echo {size}")).await;
    assert_eq!(said, format!("200 {size} same\n"));
    assert_eq!(clinic.peer("talk http://app.lab.example/socket").await, "heard one\nheard two\n");
    let headers =
        clinic.fine("curl -sS -U jane:secret -H 'X-Own: 1' http://app.lab.example/headers").await;
    let headers: serde_json::Value = serde_json::from_str(&headers).unwrap();
    assert_eq!(headers["(target)"], "/headers");
    assert_eq!(headers["host"], "app.lab.example");
    assert_eq!(headers["x-own"], "1");
    for ours in ["proxy-authorization", "proxy-connection"] {
        assert_eq!(headers[ours], serde_json::Value::Null, "{headers}");
    }
    let basic = "amFuZTpzZWNyZXQ="; // jane:secret
    let said: String = clinic.running.iter().map(Process::output).collect();
    assert!(!said.contains(basic) && !clinic.trail("ehr").text().contains(basic));
}
