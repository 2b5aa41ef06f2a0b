//! What moving bytes costs, without sockets: the relay's own work, and that of TLS around it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]

mod common;

use std::time::Duration;

use divan::{Bencher, counter::BytesCount};
use myelin::authz::Permit;
use myelin::identity::ListenerName;
use myelin::outcome::Direction;
use myelin::proxy::l4;
use myelin::telemetry::metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};

fn main() {
    divan::main();
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Sends `pieces` of `size` bytes through the relay, one way, each answered by one byte if `answered`.
async fn send(permit: &Permit, metrics: &Metrics, size: usize, pieces: usize, answered: bool) {
    let metrics = metrics.listener(&ListenerName::new("bench"), Direction::Inbound);
    let (mut client, downstream) = duplex(256 * 1024);
    let (upstream, mut server) = duplex(256 * 1024);
    let mut moved = l4::Moved::default();
    let relay =
        l4::relay(permit, downstream, upstream, Duration::from_secs(60), &mut moved, &metrics);
    let sending = async {
        let piece = vec![7; size];
        for _ in 0..pieces {
            client.write_all(&piece).await.unwrap();
            if answered {
                client.read_u8().await.unwrap();
            }
        }
        client.shutdown().await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
    };
    let receiving = async {
        let mut buffer = vec![0; 256 * 1024];
        while server.read(&mut buffer).await.unwrap() > 0 {
            if answered {
                server.write_u8(1).await.unwrap();
            }
        }
        server.shutdown().await.unwrap();
    };
    tokio::join!(relay, sending, receiving);
}

/// Many bytes one way.
#[divan::bench(args = [1_024, 16_384, 131_072])]
fn bulk(bencher: Bencher<'_, '_>, size: usize) {
    const TOTAL: usize = 16 << 20;
    let (runtime, permit, metrics) = (runtime(), common::permit(), Metrics::new().unwrap());
    bencher
        .counter(BytesCount::new(TOTAL))
        .bench(|| runtime.block_on(send(&permit, &metrics, size, TOTAL / size, false)));
}

/// A thousand small messages, each answered.
#[divan::bench]
fn thousand_exchanges(bencher: Bencher<'_, '_>) {
    let (runtime, permit, metrics) = (runtime(), common::permit(), Metrics::new().unwrap());
    bencher.bench(|| runtime.block_on(send(&permit, &metrics, 200, 1_000, true)));
}
