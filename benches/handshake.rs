//! What a full mutual handshake costs over loopback, both sides together, by profile.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]

mod common;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use myelin::config::{CrlExpired, Profile, TlsSettings};
use myelin::tls::{self, Pins, Trust};
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

fn main() {
    divan::main();
}

const LIMIT: Duration = Duration::from_secs(10);

#[divan::bench(args = [Profile::Nist, Profile::Modern])]
fn full(bencher: Bencher<'_, '_>, profile: Profile) {
    let settings =
        TlsSettings { profile, cipher_suites: Vec::new(), crl_expired: CrlExpired::Refuse };
    let material = common::material("peer-0");
    let (trusted, pins) = (&material.trusted, Pins::default());
    let clients = Trust::of_clients(&settings, trusted, pins.clone()).unwrap();
    let servers = Trust::of_servers(&settings, trusted, pins).unwrap();
    let server = tls::server_config(&material, &settings, &clients, &[]).unwrap();
    let client = tls::client_config(&material, &settings, &servers, Arc::new(|_| Ok(()))).unwrap();
    let name = ServerName::try_from("bench.test").unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = listener.local_addr().unwrap();

    bencher.bench_local(|| {
        runtime.block_on(async {
            let accepting = async {
                let (socket, _) = listener.accept().await.unwrap();
                tls::accept(Arc::clone(&server), socket, LIMIT).await.unwrap()
            };
            let connecting = async {
                let socket = TcpStream::connect(address).await.unwrap();
                tls::connect(&client, name.clone(), socket, LIMIT).await.unwrap()
            };
            tokio::join!(accepting, connecting)
        })
    });
}
