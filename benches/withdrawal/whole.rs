//! A sidecar in a process of its own, with many connections.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::hospital::{Authority, Leaf};

/// Connections that keep asking while the others only wait.
const ASKING: usize = 8;
/// How long is measured before and after.
const WINDOW: Duration = Duration::from_secs(4);
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: ehr\r\n\r\n";

/// What the right is lost for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cause {
    /// The peer is taken off the list: no chain is verified again.
    Policy,
    /// The bundle loses an authority: every chain is verified again.
    Bundle,
}

/// The sidecar's process, ended with this.
struct Sidecar(Child);

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

impl Sidecar {
    fn start(config: &Path) -> (Self, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
        command.args(["run", "--config"]).arg(config).env("MYELIN_LOG_FORMAT", "json");
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut address = String::new();
        for line in lines.by_ref() {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(listen) = line["myelin"]["listen"].as_str() {
                address = listen.to_owned();
            }
            if line["message"] == "ready" {
                break;
            }
        }
        std::thread::spawn(move || lines.for_each(drop));
        (Self(child), address)
    }

    fn reload(&self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, Signal::HUP).unwrap();
    }

    /// The process that does the work: the only child of the one that was started.
    fn worker(&self) -> u32 {
        let parent = self.0.id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        children.unwrap().trim().parse().unwrap()
    }

    /// CPU time, all threads, to a hundredth of a second.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.worker())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = |at: usize| fields.split(' ').nth(at).unwrap().parse::<u64>().unwrap();
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// Resident memory, bytes.
    fn memory(&self) -> u64 {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.worker())).unwrap();
        pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }
}

pub(crate) fn run(open: usize, lost: usize, certificates: usize, cause: Cause) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure(open, lost, certificates, cause));
    runtime.shutdown_background();
}

async fn measure(open: usize, lost: usize, certificates: usize, cause: Cause) {
    let dir = tempfile::tempdir().unwrap();
    let (own, vendor) = (Authority::new("Hospital CA"), Authority::new("Vendor CA"));
    let workload = workload().await;
    let config = dir.path().join("myelin.yaml");
    let write = |allow: &str, bundle: String| {
        std::fs::write(dir.path().join("ca.new"), bundle).unwrap();
        std::fs::rename(dir.path().join("ca.new"), dir.path().join("ca.crt")).unwrap();
        std::fs::write(&config, text(dir.path(), &workload, allow, open + 100)).unwrap();
    };
    let leaf = own.issue("ehr");
    std::fs::write(dir.path().join("tls.crt"), leaf.certificate.pem()).unwrap();
    std::fs::write(dir.path().join("tls.key"), leaf.key.serialize_pem()).unwrap();
    write("keep, lose", own.pem() + &vendor.pem());
    let (sidecar, address) = Sidecar::start(&config);
    let empty = sidecar.memory();

    let (begun, used) = (Instant::now(), sidecar.cpu());
    let losing: Vec<_> = (0..lost.min(certificates)).map(|_| vendor.issue("lose")).collect();
    let keeping: Vec<_> = (0..certificates).map(|_| own.issue("keep")).collect();
    let losing = connect(&losing, lost, &own, &address).await;
    let mut keeping = connect(&keeping, open - lost, &own, &address).await;
    let opened = begun.elapsed();
    let (each, cpu) = ((sidecar.memory() - empty) / open as u64, sidecar.cpu() - used);
    let cpu = cpu / u32::try_from(open).unwrap();
    println!("\n{cause:?}, {certificates} certificates");
    println!("  opened in {opened:.1?}; each: {each} bytes, {cpu:.0?} of CPU");

    let stop = Arc::new(AtomicBool::new(false));
    let mut asking = JoinSet::new();
    for stream in keeping.split_off(keeping.len() - ASKING) {
        asking.spawn(ask(stream, Arc::clone(&stop)));
    }
    sleep(WINDOW).await;
    let at = Instant::now();
    match cause {
        Cause::Policy => write("keep", own.pem() + &vendor.pem()),
        Cause::Bundle => write("keep, lose", own.pem()),
    }
    sidecar.reload();
    let mut ends = JoinSet::new();
    for mut stream in losing {
        ends.spawn(async move {
            let end = timeout(Duration::from_secs(60), stream.read(&mut [0; 1])).await;
            assert!(!matches!(end, Err(_) | Ok(Ok(1..))), "not withdrawn: {end:?}");
            Instant::now()
        });
    }
    let gone = ends.join_all().await.into_iter().max().unwrap() - at;
    sleep(WINDOW).await;
    stop.store(true, Ordering::Relaxed);
    let asked: Vec<_> = asking.join_all().await.into_iter().flatten().collect();
    let during = at..at + gone.max(Duration::from_millis(250));
    let before = percentiles(asked.iter().filter(|(begun, _)| *begun < at).map(|(_, took)| *took));
    let (took, rest) = asked.iter().partition::<Vec<_>, _>(|(begun, _)| during.contains(begun));
    let after = rest.iter().filter(|(begun, _)| *begun >= during.end).map(|(_, took)| *took);
    let since = since_loaded(&dir.path().join("audit"));
    println!("  gone after {gone:.1?} from SIGHUP, {since} from when the new rules were in place");
    println!("  requests before:  {before}");
    println!("  requests during:  {}", percentiles(took.iter().map(|(_, took)| *took)));
    println!("  requests after:   {}", percentiles(after));
    drop(keeping);
}

/// From the last configuration that took effect to the last connection withdrawn, by the trail.
fn since_loaded(audit: &Path) -> String {
    let mut at = (OffsetDateTime::UNIX_EPOCH, OffsetDateTime::UNIX_EPOCH);
    for file in std::fs::read_dir(audit).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap_or_default();
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            let when = line["@timestamp"].as_str().unwrap_or_default();
            let Ok(when) = OffsetDateTime::parse(when, &Rfc3339) else { continue };
            match line["event"]["action"].as_str() {
                Some("config-loaded") => at.0 = at.0.max(when),
                Some("connection-closed") if line["event"]["reason"] == "withdrawn" => {
                    at.1 = at.1.max(when);
                }
                _ => {}
            }
        }
    }
    format!("{} ms", (at.1 - at.0).whole_milliseconds())
}

fn percentiles(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    let at = |share: usize| {
        times.get((times.len() * share / 1000).min(times.len().saturating_sub(1))).copied()
    };
    match (at(500), at(990), at(1000)) {
        (Some(median), Some(p99), Some(most)) => {
            format!("{:>6}, median {median:.2?}, p99 {p99:.2?}, most {most:.2?}", times.len())
        }
        _ => "none".to_owned(),
    }
}

fn text(dir: &Path, workload: &str, allow: &str, connections: usize) -> String {
    let dir = dir.display();
    format!(
        "version: 1\nservice: ehr\ntrust_domain: bench.test\n\
         identity: {{ files: {{ cert: {dir}/tls.crt, key: {dir}/tls.key, trust_bundle: {dir}/ca.crt }} }}\n\
         audit: {{ dir: {dir}/audit }}\nadmin: {{ listen: 127.0.0.1:0 }}\nruntime: {{ workers: 2 }}\n\
         limits: {{ connections: {connections} }}\n\
         peers:\n  keep: {{ spiffe: spiffe://bench.test/keep }}\n  lose: {{ spiffe: spiffe://bench.test/lose }}\n\
         inbound:\n  - name: ehr\n    listen: 127.0.0.1:0\n    forward: {workload}\n    protocol: http\n    \
         allow: [{allow}]\n"
    )
}

/// A program that answers.
async fn workload() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let mut head = [0; 4096];
                while let Ok(1..) = stream.read(&mut head).await {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if stream.write_all(answer).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// Opens connections, each of which has had an answer.
async fn connect(
    leaves: &[Leaf],
    count: usize,
    own: &Authority,
    address: &str,
) -> Vec<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(own.der()).unwrap();
    let roots = Arc::new(roots);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let configs: Vec<_> = leaves
        .iter()
        .map(|leaf| {
            let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(Arc::clone(&roots))
                .with_client_auth_cert(leaf.chain(), leaf.private_key())
                .unwrap();
            Arc::new(config)
        })
        .collect();
    let few = Arc::new(Semaphore::new(64));
    let mut opening = JoinSet::new();
    for index in 0..count {
        let (config, few) = (Arc::clone(&configs[index % configs.len()]), Arc::clone(&few));
        let address = address.to_owned();
        opening.spawn(async move {
            let _turn = few.acquire().await.unwrap();
            let socket = TcpStream::connect(&address).await.unwrap();
            socket.set_nodelay(true).unwrap();
            let name = ServerName::try_from("ehr").unwrap();
            let mut stream = TlsConnector::from(config).connect(name, socket).await.unwrap();
            once(&mut stream).await;
            stream
        });
    }
    opening.join_all().await
}

async fn once(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(GET).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "no answer");
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
}

/// Asks every millisecond or so; when, and how long it took.
async fn ask(mut stream: TlsStream<TcpStream>, stop: Arc<AtomicBool>) -> Vec<(Instant, Duration)> {
    let mut asked = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        once(&mut stream).await;
        asked.push((begun, begun.elapsed()));
        sleep(Duration::from_millis(1)).await;
    }
    asked
}
