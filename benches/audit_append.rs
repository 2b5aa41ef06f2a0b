//! What evidence costs: a record handed to the trail, and a permit's record made durable.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]

mod common;

use divan::Bencher;
use divan::counter::ItemsCount;
use myelin::audit::{Audit, Origin};
use myelin::config::AuditSettings;
use myelin::telemetry::metrics::Metrics;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

fn main() {
    divan::main();
}

/// A trail in the target directory: a scratch directory in memory would flatter it.
fn trail() -> (Runtime, TempDir, Audit) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings =
        AuditSettings { dir: dir.path().join("audit"), ..common::config(1, 0).audit.unwrap() };
    let audit = Audit::open(
        Some(&settings),
        Origin::new("hospital.example", "bench", "myelin.yaml"),
        Metrics::new().unwrap().audit(),
    )
    .unwrap();
    (Builder::new_current_thread().enable_all().build().unwrap(), dir, audit)
}

/// What the data path pays for a record that nobody waits for; the writer keeps up or it waits.
#[divan::bench]
fn noted(bencher: Bencher<'_, '_>) {
    let (runtime, _dir, audit) = trail();
    let record = common::record();
    bencher.counter(ItemsCount::new(1_000_usize)).bench_local(|| {
        runtime.block_on(async {
            for _ in 0..1_000 {
                audit.note(record.clone()).await;
            }
        })
    });
    runtime.block_on(audit.close());
}

/// Permits that ask at the same time share an `fdatasync`.
#[divan::bench(args = [1, 8, 64, 512])]
fn durable(bencher: Bencher<'_, '_>, at_once: usize) {
    let (runtime, _dir, audit) = trail();
    let record = common::record();
    bencher.counter(ItemsCount::new(at_once)).bench_local(|| {
        runtime.block_on(async {
            let permits = (0..at_once).map(|_| audit.permit(record.clone(), true));
            futures_util::future::try_join_all(permits).await.unwrap()
        })
    });
    runtime.block_on(audit.close());
}
