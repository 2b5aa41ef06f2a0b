//! What becomes of segments that nothing is written to any more.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::audit::read::index::{self, Index};
use crate::config::{
    Endpoint, ExportFeed, ExportSettings, ExportTo, LegalHold, SyslogExport, SyslogFormat,
};

/// Two segments of years ago, the first of four records. The name and the last hash of that.
async fn aged() -> (TempDir, String, String) {
    let dir = trail_of(1).await;
    let last = verify_alone(dir.path()).unwrap().last_hash;
    let name = begun(&dir, 0, "20200101");
    open(dir.path()).close().await; // another day: a segment of its own
    begun(&dir, 1, "20200102");
    assert_eq!(files(dir.path()).len(), 2);
    (dir, name, last)
}

/// Gives a segment the name that it would have if it had been begun on that day.
fn begun(dir: &TempDir, index: usize, day: &str) -> String {
    let file = &files(dir.path())[index];
    let name = file.file_name().unwrap().to_str().unwrap();
    let begun = format!("trail-{day}T000000Z-{}", name.split_once("Z-").unwrap().1);
    fs::rename(file, dir.path().join(&begun)).unwrap();
    begun
}

/// Of a trail whose older segments are kept like this.
fn open_keeping(dir: &Path, keeping: Keeping) -> Audit {
    let settings = AuditSettings { keeping, ..settings(dir) };
    Audit::open(Some(&settings), origin(), Metrics::new().unwrap().audit()).unwrap()
}

fn a_year() -> Keeping {
    Keeping { retention: Duration::from_secs(365 * 24 * 3600), ..FOREVER }
}

fn removed(dir: &Path) -> Vec<Value> {
    let removed = |line: &Value| line["event"]["action"] == "segments-removed";
    lines(dir).into_iter().filter(removed).collect()
}

/// Notes records until the oldest segment is not `name` any more.
async fn until_gone(audit: &Audit, dir: &Path, name: &str) {
    let gone = async {
        while dir.join(name).exists() || dir.join(format!("{name}.zst")).exists() {
            audit.note(closed()).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), gone).await.unwrap();
}

#[tokio::test]
async fn what_is_past_its_retention_is_removed_and_what_follows_still_fits() {
    let (dir, name, last) = aged().await;
    let beside = index::beside(&dir.path().join(&name));
    index::make(&dir.path().join(&name), &AtomicBool::new(false)).unwrap();
    assert!(beside.exists());

    let audit = open_keeping(dir.path(), a_year());
    until_gone(&audit, dir.path(), &name).await;
    assert!(!beside.exists(), "its index goes with it");
    audit.close().await;

    let told = &removed(dir.path())[0]["myelin"]["removed"];
    let peaks = &lines(dir.path())[0]["myelin"]["segment"]["peaks"];
    assert_eq!(
        *told,
        json!([{
            "file": name, "first_sequence": 1, "last_sequence": 4, "last_hash": last, "peaks": peaks,
        }])
    );
    let verified = verify_alone(dir.path()).unwrap();
    assert_eq!(verified.first_sequence, 5);
    assert_eq!(verified.removal_on_record, Some(true));
    assert!(verified.to_string().contains("was removed when its retention was over"));
}

#[tokio::test]
async fn under_a_legal_hold_everything_stays_until_it_is_lifted() {
    let (dir, name, _) = aged().await;
    let hold = LegalHold { reason: "case 2026-114".into(), since: None };

    let audit = open_keeping(dir.path(), Keeping { legal_hold: Some(hold), ..a_year() });
    audit.permit(allowed(), true).await.unwrap();
    audit.close().await; // the keeper has looked: it ends after what it was told to do
    assert!(dir.path().join(&name).exists());
    assert!(removed(dir.path()).is_empty());

    let audit = open(dir.path());
    audit.keep(&a_year());
    until_gone(&audit, dir.path(), &name).await;
    audit.close().await;
    assert_eq!(removed(dir.path()).len(), 1);
}

#[tokio::test]
async fn what_somebody_still_needs_stays_until_he_has_had_it() {
    let (dir, name, _) = aged().await;
    let audit = open(dir.path());
    audit.keep_needed(Arc::new(|| Some(4))); // its last record
    audit.keep(&a_year());
    audit.permit(allowed(), true).await.unwrap();
    audit.close().await;
    assert!(dir.path().join(&name).exists());

    let audit = open(dir.path());
    audit.keep_needed(Arc::new(|| Some(5)));
    audit.keep(&a_year());
    until_gone(&audit, dir.path(), &name).await;
    audit.close().await;
}

#[tokio::test]
async fn what_an_export_has_not_delivered_stays_from_the_start_on() {
    let (dir, name, _) = aged().await;
    let export = ExportSettings {
        name: "arr".into(),
        feed: ExportFeed::All,
        trust_bundle: None,
        keep_undelivered: true,
        to: ExportTo::Syslog(SyslogExport {
            address: Endpoint { host: "arr.example".into(), port: 6514 },
            format: SyslogFormat::Json,
            plaintext: false,
            confirm: HOUR,
        }),
    };
    let short = AuditSettings { keeping: a_year(), export: vec![export], ..settings(dir.path()) };
    let open = || Audit::open(Some(&short), origin(), Metrics::new().unwrap().audit()).unwrap();

    for delivered in [None, Some(3)] {
        if let Some(sequence) = delivered {
            cursor::save(dir.path(), "arr", cursor::Mark::of(sequence, b"")).unwrap();
        }
        let audit = open();
        audit.permit(allowed(), true).await.unwrap();
        audit.close().await; // the keeper has looked: it ends after what it was told to do
        assert!(dir.path().join(&name).exists(), "{delivered:?}");
    }
    cursor::save(dir.path(), "arr", cursor::Mark::of(4, b"")).unwrap();
    let audit = open();
    until_gone(&audit, dir.path(), &name).await;
    audit.close().await;
}

#[tokio::test]
async fn a_closed_segment_is_compressed_and_indexed_and_the_trail_reads_and_goes_on_as_before() {
    let (dir, name, last) = aged().await;
    let before = text(dir.path());
    let compressed = dir.path().join(format!("{name}.zst"));

    let audit = open_keeping(dir.path(), Keeping { compress: true, ..FOREVER });
    let done = async {
        while dir.path().join(&name).exists() || Index::of(&compressed).is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), done).await.unwrap();
    audit.close().await;

    assert!(text(dir.path()).starts_with(&before));
    let verified = verify_alone(dir.path()).unwrap();
    assert_eq!((verified.first_sequence, verified.segments), (1, 3));
    let script = r#"zstdcat "$0" | tail -n 1 | tr -d '\n' | sha256sum"#;
    let by_hand = Command::new("sh").args(["-c", script]).arg(&compressed).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&by_hand.stdout).split(' ').next(), Some(&*last));
    let mode = compressed.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    open(dir.path()).close().await;
    verify_alone(dir.path()).unwrap();
}

#[tokio::test]
async fn a_segment_that_cannot_be_compressed_or_indexed_is_in_no_others_way() {
    let (dir, name, _) = aged().await;
    let second = files(dir.path())[1].clone();
    // In the way of its copy, and of its index.
    fs::create_dir(dir.path().join(format!("{name}.zst.new"))).unwrap();
    let index = index::beside(&dir.path().join(&name));
    let _none = fs::remove_file(&index);
    fs::create_dir_all(index.join("full")).unwrap();

    let audit = open_keeping(dir.path(), Keeping { compress: true, ..FOREVER });
    let compressed = PathBuf::from(format!("{}.zst", second.display()));
    let done = async {
        while second.exists() || Index::of(&compressed).is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), done).await.unwrap();
    audit.close().await;

    assert!(dir.path().join(&name).exists());
}

#[tokio::test]
async fn a_segment_ends_at_its_size_and_the_next_one_goes_on() {
    let dir = TempDir::new().unwrap();
    let keeping = Keeping { compress: true, ..FOREVER };
    let small = AuditSettings { segment_size: 64 << 10, keeping, ..settings(dir.path()) };
    let audit = Audit::open(Some(&small), origin(), Metrics::new().unwrap().audit()).unwrap();
    for _ in 0..20 {
        join_all((0..20).map(|_| audit.permit(allowed(), true))).await;
    }
    audit.close().await;

    let verified = verify_alone(dir.path()).unwrap();
    assert!(verified.segments > 5, "{verified:?}");
    assert_eq!(actions(dir.path()).iter().filter(|a| *a == "connection-allowed").count(), 400);
}
