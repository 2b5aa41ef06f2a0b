//! The whole path by way of the library: an authority, a service, a sidecar on either side, a request.
//!
//! ```text
//! request ──plaintext──▶ [sidecar of billing] ══ mutual TLS ══▶ [sidecar of ehr] ──plaintext──▶ service
//! ```
//!
//! `cargo run --example two_sidecars`

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use myelin::config::{self, ListenAddr};
use myelin::runtime::Sidecar;
use myelin::{audit, report};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let Passed { answer, seen, trail } = pass_a_request(dir.path())?;
    println!("the caller got:\n{answer}\n\nthe service saw:\n{seen}\n\nthe trail of ehr: {trail}");
    Ok(())
}

/// What came of a request.
pub(crate) struct Passed {
    /// What the caller got.
    pub(crate) answer: String,
    /// What the service saw.
    pub(crate) seen: String,
    /// What the sidecar of the service has put on record.
    pub(crate) trail: audit::Verified,
}

/// Brings up both sidecars in `dir`, passes one request, and takes them down.
pub(crate) fn pass_a_request(dir: &Path) -> Result<Passed, Box<dyn Error>> {
    // A service that knows no TLS.
    let service = TcpListener::bind("127.0.0.1:0")?;
    let behind = service.local_addr()?.to_string();
    let serving = thread::spawn(move || serve_once(&service));

    // The sidecar beside it. With port 0 the kernel chooses; `started` says what.
    let ehr = start(dir, "ehr", &EHR.replace("{forward}", &behind))?;
    let mutual_tls = address(&ehr)?;

    // The sidecar beside its caller.
    let billing = start(dir, "billing", &BILLING.replace("{to}", &mutual_tls))?;
    let plaintext = address(&billing)?;

    // The caller knows no TLS either.
    let mut caller = TcpStream::connect(&plaintext)?;
    write!(caller, "GET /chart HTTP/1.1\r\nHost: ehr\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    caller.read_to_string(&mut answer)?;
    let seen = serving.join().map_err(|_panicked| "the service came to a bad end")??;

    // Draining finishes what is open, and closes the trails.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { tokio::join!(billing.stop(), ehr.stop()) });
    Ok(Passed {
        answer,
        seen,
        trail: audit::verify(&dir.join("trail-of-ehr"), &audit::Kept::default())?,
    })
}

const EHR: &str = r#"
version: 1
service: ehr
trust_domain: hospital.example
identity: { embedded: { dir: authority } }
peers:
  billing: { spiffe: spiffe://hospital.example/billing }
inbound:
  - name: charts
    listen: 127.0.0.1:0
    forward: {forward}
    protocol: http
    phi: true
    allow: [billing]
audit: { dir: trail-of-ehr }
admin: { listen: off }
"#;

const BILLING: &str = r#"
version: 1
service: billing
trust_domain: hospital.example
identity: { embedded: { dir: authority } }
peers:
  ehr: { spiffe: spiffe://hospital.example/ehr }
outbound:
  - name: to-ehr
    listen: 127.0.0.1:0
    to: [{to}]
    expect: [ehr]
    protocol: http
admin: { listen: off }
"#;

/// Writes a configuration and starts a sidecar from it, as `myelin run` does.
fn start(dir: &Path, service: &str, text: &str) -> Result<Sidecar, Box<dyn Error>> {
    let path = dir.join(format!("{service}.yaml"));
    fs::write(&path, text)?;
    let config = config::load(&path, &|_no_environment| None).map_err(|p| p.to_string())?;
    Sidecar::start(config).map_err(|error| report::Report(&error).to_string().into())
}

/// Where a sidecar's first listener listens.
fn address(sidecar: &Sidecar) -> Result<String, &'static str> {
    match sidecar.started().listeners.first() {
        Some((_, ListenAddr::Tcp(address))) => Ok(address.to_string()),
        Some((_, ListenAddr::Unix(_) | ListenAddr::Redirected)) | None => Err("no listener on TCP"),
    }
}

/// Answers one request, and tells what it saw of it.
fn serve_once(service: &TcpListener) -> io::Result<String> {
    let (mut caller, _) = service.accept()?;
    let mut seen = String::new();
    for line in BufReader::new(&caller).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        seen.push_str(&line);
        seen.push('\n');
    }
    write!(caller, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nhello, chart\n")?;
    Ok(seen)
}
