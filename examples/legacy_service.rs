//! A legacy service to put a sidecar beside: plaintext HTTP on loopback, and no idea of TLS.
//!
//! ```text
//! cargo run --example legacy_service                    # listens on 127.0.0.1:8080
//! cargo run -- init --service ehr --allow billing --dir /tmp/ehr
//! cargo run -- run -c /tmp/ehr/myelin.yaml              # its sidecar, which forwards to that port
//! ```
//!
//! It answers every request with what it sees of it, `x-forwarded-client-cert` included: that is how the
//! sidecar tells it who the caller is.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(&address)?;
    println!("listening on {}", listener.local_addr()?);
    serve(&listener)
}

/// Answers callers, each on a thread of its own.
pub(crate) fn serve(listener: &TcpListener) -> io::Result<()> {
    for caller in listener.incoming() {
        let caller = caller?;
        thread::spawn(move || {
            if let Err(error) = answer(&caller) {
                println!("a caller went away: {error}");
            }
        });
    }
    Ok(())
}

/// One request a connection: enough for an example.
fn answer(mut caller: &TcpStream) -> io::Result<()> {
    caller.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut seen = String::new();
    for line in BufReader::new(caller).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        seen.push_str(&line);
        seen.push('\n');
    }
    write!(
        caller,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{seen}",
        seen.len()
    )
}
