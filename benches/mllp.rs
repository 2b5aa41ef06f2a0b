//! What knowing messages costs: HL7 v2 over MLLP through a pair of sidecars, as `protocol: mllp` and as
//! `protocol: tcp`, turn by turn. Told is the CPU of both sidecars, user and kernel, and the ratio.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark may panic, and tells")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes in a turn of bulk.
const BULK: usize = 1 << 30;
/// A document in one segment, of so many bytes.
const DOCUMENT: usize = 50 << 20;
/// Results in one message, each in a segment of its own.
const RESULTS: usize = 20_000;
/// Small messages in a turn, each acknowledged before the next.
const SMALL_COUNT: usize = 20_000;
const ROUNDS: usize = 5;

fn main() {
    if std::env::args().any(|arg| arg == "--test" || arg == "--list") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = engine();
    let pairs =
        ["tcp", "mllp"].map(|protocol| (protocol, Pair::start(dir.path(), protocol, engine)));
    let bulk = [
        ("document", message(&"JVBERi0xLjcKMSBN".repeat(DOCUMENT / 16))),
        ("results", message(&results())),
    ];
    let small = message("a short result");
    let mut ratios = [Vec::new(), Vec::new(), Vec::new()];
    let [documents, results, each] = &mut ratios;
    for round in 1..=ROUNDS {
        let turn =
            |message: &[u8], count| pairs.each_ref().map(|(_, pair)| pair.cpu_of(message, count));
        for ((name, message), ratios) in bulk.iter().zip([&mut *documents, &mut *results]) {
            let count = BULK / message.len();
            let gigabytes = (count * message.len()) as f64 / 1e9;
            let [tcp, mllp] = turn(message, count).map(|cpu| cpu / gigabytes);
            let ratio = mllp / tcp;
            println!("{round} {name}: tcp {tcp:.3} mllp {mllp:.3} CPU s/GB, ratio {ratio:.3}");
            ratios.push(ratio);
        }
        let [tcp, mllp] = turn(&small, SMALL_COUNT).map(|cpu| cpu * 1e6 / SMALL_COUNT as f64);
        let ratio = mllp / tcp;
        println!("{round} small: tcp {tcp:.1} mllp {mllp:.1} CPU µs/message, ratio {ratio:.3}");
        each.push(ratio);
    }
    let [documents, results, each] = ratios.map(median);
    println!(
        "median ratio: documents {documents:.3}, results {results:.3}, small messages {each:.3}"
    );
}

/// Short segments, as analysers send them.
fn results() -> String {
    let result =
        |n| format!("a\rOBX|{n}|NM|718-7^Hemoglobin^LN||{}.{}|g/dL|12-16|N|||F", n % 20, n % 10);
    (2..RESULTS + 2).map(result).collect()
}

fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap()
}

fn message(text: &str) -> Vec<u8> {
    format!(
        "\x0bMSH|^~\\&|LIS|MAIN|EHR|WARD|20261122||ORU^R01|1|P|2.5.1\rPID|1\rOBX|1|ED|PDF||{text}\r\x1c\r"
    )
    .into_bytes()
}

/// Reads messages and acknowledges each; where it listens.
fn engine() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in socket.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let mut buffer = vec![0; 1 << 20];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    if buffer.get(..count).unwrap().ends_with(b"\x1c\r") {
                        stream.write_all(ACK).unwrap();
                    }
                }
            });
        }
    });
    port
}

const ACK: &[u8] = b"\x0bMSH|^~\\&|EHR|WARD|LIS|MAIN|20261122||ACK^R01|2|P|2.5.1\rMSA|AA|1\r\x1c\r";

/// Two sidecars, and the port at which the sender's listens.
struct Pair {
    sidecars: [Child; 2],
    port: u16,
}

impl Drop for Pair {
    fn drop(&mut self) {
        for sidecar in &mut self.sidecars {
            sidecar.kill().unwrap();
            sidecar.wait().unwrap();
        }
    }
}

impl Pair {
    fn start(dir: &Path, protocol: &str, engine: u16) -> Self {
        let [inner, outer] = [free_port(), free_port()];
        let ehr = sidecar(
            dir,
            &format!("ehr-{protocol}"),
            &format!(
                "inbound: [ {{ name: in, listen: \"127.0.0.1:{inner}\", forward: \"127.0.0.1:{engine}\", \
                 protocol: {protocol}, allow: [peer] }} ]\n\
                 peers: {{ peer: {{ spiffe: \"spiffe://bench.test/lab-{protocol}\" }} }}"
            ),
        );
        wait_for(inner);
        let lab = sidecar(
            dir,
            &format!("lab-{protocol}"),
            &format!(
                "outbound: [ {{ name: out, listen: \"127.0.0.1:{outer}\", to: [\"127.0.0.1:{inner}\"], \
                 protocol: {protocol}, expect: [peer] }} ]\n\
                 peers: {{ peer: {{ spiffe: \"spiffe://bench.test/ehr-{protocol}\" }} }}"
            ),
        );
        wait_for(outer);
        Self { sidecars: [ehr, lab], port: outer }
    }

    /// CPU seconds of both sidecars while so many messages go through.
    fn cpu_of(&self, message: &[u8], count: usize) -> f64 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut exchange = || {
            stream.write_all(message).unwrap();
            stream.read_exact(&mut [0; ACK.len()]).unwrap();
        };
        exchange();
        let before = self.cpu();
        (0..count).for_each(|_| exchange());
        self.cpu() - before
    }

    fn cpu(&self) -> f64 {
        let cpu = |sidecar: &Child| -> f64 {
            // Nanoseconds on a CPU of each thread: ticks are too coarse for small messages.
            let tasks = std::fs::read_dir(format!("/proc/{}/task", worker(sidecar.id()))).unwrap();
            let spent = tasks.map(|task| {
                let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
                text.split(' ').next().unwrap().parse::<f64>().unwrap()
            });
            spent.sum::<f64>() / 1e9
        };
        self.sidecars.iter().map(cpu).sum()
    }
}

fn sidecar(dir: &Path, service: &str, listeners: &str) -> Child {
    let config = dir.join(format!("{service}.yaml"));
    let text = format!(
        "version: 1\nservice: {service}\ntrust_domain: bench.test\n\
         identity: {{ embedded: {{ dir: {0}/authority }} }}\naudit: {{ dir: {0}/{service} }}\n\
         admin: {{ listen: \"127.0.0.1:0\" }}\nruntime: {{ workers: 2 }}\n{listeners}\n",
        dir.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
    command.args(["run", "--config"]).arg(config).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// The process that does the work: the only child of the one that was started.
fn worker(parent: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    children.unwrap().trim().parse().unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(port: u16) {
    #[expect(clippy::disallowed_methods, reason = "no test's time")]
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        #[expect(clippy::disallowed_methods, reason = "no test's time")]
        let now = Instant::now();
        assert!(now < deadline, "a sidecar does not listen");
        thread::sleep(Duration::from_millis(20));
    }
}
