//! What it costs to check a trail: its chain, its tree, and its checkpoints.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]

mod common;

use std::fs;
use std::sync::LazyLock;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use myelin::audit::{self, Audit, Kept, Origin};
use myelin::config::AuditSettings;
use myelin::telemetry::metrics::Metrics;
use tempfile::TempDir;
use tokio::runtime::Builder;

/// Records of the trail that is checked, about.
const RECORDS: usize = 500_000;

fn main() {
    divan::main();
}

/// A trail as a busy sidecar leaves it, and its length.
static TRAIL: LazyLock<(TempDir, u64)> = LazyLock::new(|| {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings =
        AuditSettings { dir: dir.path().to_owned(), ..common::config(1, 0).audit.unwrap() };
    let origin = Origin::new("hospital.example", "bench", "myelin.yaml");
    let audit = Audit::open(Some(&settings), origin, Metrics::new().unwrap().audit()).unwrap();
    let record = common::record();
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        for _ in 0..RECORDS {
            audit.note(record.clone()).await;
        }
        audit.close().await;
    });
    let lengths =
        fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    let length = lengths.sum();
    (dir, length)
});

/// Every line, on all cores.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn verified(bencher: Bencher<'_, '_>) {
    let (dir, length) = &*TRAIL;
    bencher
        .counter(ItemsCount::new(RECORDS))
        .counter(BytesCount::new(*length))
        .bench(|| audit::verify(dir.path(), &Kept::default()).unwrap());
}
