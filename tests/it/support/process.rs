//! Other programs. Each is ended by its id when a test is over, however that is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::{eventually, until};

/// Where a program is. Debian keeps servers where not everybody looks.
///
/// # Panics
///
/// When it is not installed: a test that cannot be made must not pass.
pub(crate) fn needs(program: &str, package: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{program} is not installed: apt-get install {package}"))
}

/// A program that runs beside the test.
pub(crate) struct Process {
    child: Child,
    name: String,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts it, and keeps what it says.
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // Held open: some programs take its end for a reason to stop.
        command.stdin(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let output = Arc::new(Mutex::new(String::new()));
        let readers = vec![
            keep(child.stdout.take().unwrap(), &output),
            keep(child.stderr.take().unwrap(), &output),
        ];
        Self { child, name, output, readers }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The ids of the processes that it has started itself, the oldest first.
    pub(crate) fn children(&self) -> Vec<u32> {
        let id = self.id();
        let listed = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        listed.split_whitespace().map(|id| id.parse().unwrap()).collect()
    }

    /// All that it said until now, on both of its outputs.
    pub(crate) fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Waits until it says so.
    pub(crate) async fn says(&mut self, words: &str) -> String {
        let what = format!("{} to say {words:?}", self.name);
        eventually(&what, || {
            let ended = self.has_ended();
            let output = self.output();
            assert!(
                ended.is_none() || output.contains(words),
                "{} ended ({ended:?}) without saying {words:?}:\n{output}",
                self.name
            );
            std::future::ready(output.contains(words).then_some(output))
        })
        .await
    }

    /// Waits until somebody listens on `address`.
    pub(crate) async fn listens(&mut self, address: SocketAddr) {
        let what = format!("{} to listen on {address}", self.name);
        eventually(&what, || {
            let ended = self.has_ended();
            assert!(ended.is_none(), "{} ended: {ended:?}\n{}", self.name, self.output());
            async move { TcpStream::connect(address).await.ok().map(|_| ()) }
        })
        .await;
    }

    /// Writes a line to its standard input.
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{line}").and_then(|()| input.flush()).unwrap();
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.id().to_string()]).status();
        assert!(sent.unwrap().success(), "{} is gone:\n{}", self.name, self.output());
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let what = format!("{} to end; it said\n{}", self.name, self.output());
        until(&what, || self.has_ended().is_some()).await;
        self.child.wait().unwrap()
    }

    /// Asks it to end and waits for a while: a program with children of its own must not simply be killed.
    pub(crate) fn stop(&mut self, signal: &str) {
        self.signal(signal);
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.has_ended().is_none()
    }

    /// How it has ended, if it has; then all that it said has been read.
    fn has_ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().unwrap()?;
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        Some(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _status = self.child.wait();
        // What it has started holds its outputs, and may hold files that the next test needs.
        let deadline = Instant::now() + Duration::from_secs(5);
        let has_ended = |reader: &JoinHandle<()>| reader.is_finished();
        while !self.readers.iter().all(has_ended) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}", self.name, self.output());
        }
    }
}

fn keep(from: impl Read + Send + 'static, to: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let to = Arc::clone(to);
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n') {
            let Ok(line) = line else { return };
            let mut to = to.lock().unwrap();
            to.push_str(&String::from_utf8_lossy(&line));
            to.push('\n');
        }
    })
}

/// What a program that has ended said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs a program to its end, with `input` as its standard input.
pub(crate) async fn run(command: &mut Command, input: &str) -> Said {
    use tokio::io::AsyncWriteExt;

    let mut command = tokio::process::Command::from(std::mem::replace(command, Command::new("")));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let feed = async move {
        let _it_does_not_read = stdin.write_all(input.as_bytes()).await;
    };
    let wait = tokio::time::timeout(super::PATIENCE, child.wait_with_output());
    let ((), output) = tokio::join!(feed, wait);
    let output = output.expect("the program does not end").unwrap();
    Said {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A port on which nobody listens, outside the range from which the kernel takes ports by itself.
pub(crate) fn free_port() -> u16 {
    let mut random = [0; 2];
    for _ in 0..1000 {
        aws_lc_rs::rand::fill(&mut random).unwrap();
        let port = 10_000 + u16::from_be_bytes(random) % 22_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Writes a file for another program.
pub(crate) fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}
