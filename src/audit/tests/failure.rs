//! Disks that fill up and disks that fail.

use super::*;
use crate::audit::trail::Trail;

/// A file system of 64 KiB of its own, gone when dropped.
struct SmallDisk {
    mountpoint: TempDir,
}

impl SmallDisk {
    /// `None`, loudly, where mounting is not allowed.
    fn mount() -> Option<Self> {
        let mountpoint = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k,mode=0700", "none"])
            .arg(mountpoint.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self { mountpoint });
        }
        eprintln!(
            "NOT TESTED: mounting a small tmpfs is not permitted here, so no disk can fill up"
        );
        None
    }

    fn fill(&self) {
        let mut ballast = fs::File::create(self.mountpoint.path().join("ballast")).unwrap();
        while ballast.write_all(&[0; 512]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.mountpoint.path().join("ballast")).unwrap();
    }

    fn path(&self) -> &Path {
        self.mountpoint.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.mountpoint.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

/// Notes records until the trail fails, and returns how many.
async fn note_until_it_fails(audit: &Audit) -> u64 {
    let mut noted = 0;
    while audit.failing().is_none() {
        audit.note(closed()).await;
        noted += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(noted < 1000);
    }
    noted
}

async fn until_it_works(audit: &Audit) {
    let works = async {
        while audit.failing().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), works).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_blocks_phi_and_loses_no_record() {
    let Some(disk) = SmallDisk::mount() else { return };
    let metrics = Metrics::new().unwrap();
    let audit = Audit::open(Some(&settings(disk.path())), origin(), metrics.audit()).unwrap();
    disk.fill();
    let mut noted = note_until_it_fails(&audit).await;

    let refused = audit.permit(allowed(), true).await.unwrap_err();
    audit.note(Record::denied(Arc::new(fixture::connection()), DenyReason::NotAudited, None)).await;
    noted += 1;

    let why = audit.failing().unwrap();
    assert!(why.starts_with("cannot append to trail-") && why.contains("No space left"), "{why}");
    assert_eq!(refused.to_string(), format!("the audit trail fails: {why}"));
    assert!(!metrics.render().contains("myelin_audit_failures_total 0"));
    assert_eq!(verify_alone(disk.path()).unwrap().unfinished_bytes, 0);

    disk.free();
    until_it_works(&audit).await;
    audit.permit(allowed(), true).await.unwrap();
    audit.close().await;

    let lines = lines(disk.path());
    let count =
        |action: &str| lines.iter().filter(|line| line["event"]["action"] == action).count() as u64;
    assert_eq!(count("connection-closed") + count("connection-denied"), noted);
    assert_eq!(count("connection-allowed"), 1); // the refused one is not there
    assert_eq!(count("recording-started"), 2);
    verify_alone(disk.path()).unwrap();
    assert_eq!(audit.status().lost, 0);
    assert_eq!(audit.denials().len(), 1);
}

#[tokio::test]
async fn a_note_that_waits_while_the_disk_is_full_is_on_record_once() {
    let Some(disk) = SmallDisk::mount() else { return };
    let settings = AuditSettings { on_failure: OnFailure::Allow, ..settings(disk.path()) };
    let audit = Audit::open(Some(&settings), origin(), Metrics::new().unwrap().audit()).unwrap();
    let noted = Noted::begin(disk.path(), "audit verify", Vec::new(), Reader::default());
    noted.unwrap().unwrap().finish(7).unwrap();
    disk.fill();
    note_until_it_fails(&audit).await;

    for _ in 0..3 {
        audit.take_notes().await;
    }
    disk.free();
    until_it_works(&audit).await;
    audit.take_notes().await;
    audit.close().await;

    let reads = actions(disk.path()).iter().filter(|a| *a == "log-read").count();
    assert_eq!(reads, 1);
}

#[tokio::test]
async fn a_full_disk_lets_phi_pass_where_the_operator_says_so() {
    let Some(disk) = SmallDisk::mount() else { return };
    let settings = AuditSettings { on_failure: OnFailure::Allow, ..settings(disk.path()) };
    let audit = Audit::open(Some(&settings), origin(), Metrics::new().unwrap().audit()).unwrap();
    disk.fill();
    note_until_it_fails(&audit).await;

    audit.permit(allowed(), true).await.unwrap();

    assert_eq!(audit.status().passed_unrecorded, 1);
    disk.free();
    audit.close().await;
    let late = actions(disk.path()).iter().filter(|a| *a == "connection-allowed").count();
    assert_eq!(late, 1);
    verify_alone(disk.path()).unwrap();
}

#[tokio::test]
async fn a_trail_opens_on_a_full_disk_and_says_that_it_fails() {
    let Some(disk) = SmallDisk::mount() else { return };
    open(disk.path()).close().await;
    disk.fill();

    let mut audit = open(disk.path());
    while audit.failing().is_none() {
        audit.close().await; // the last page had room for a few records
        drop(audit);
        audit = open(disk.path());
    }

    assert!(audit.failing().is_some());
    assert!(matches!(audit.permit(allowed(), true).await, Err(NotAudited::Failing(_))));
    disk.free();
    until_it_works(&audit).await;
    audit.permit(allowed(), true).await.unwrap();
}

/// A trail without a thread, to be driven by hand.
fn by_hand(dir: &Path) -> Trail {
    let shared = Arc::new(Shared::new(Some(dir.into()), Metrics::new().unwrap().audit()));
    Trail::open(&settings(dir), origin(), shared).unwrap()
}

#[test]
fn after_a_failed_sync_everything_unsynced_is_written_again_elsewhere() {
    let dir = TempDir::new().unwrap();
    let mut trail = by_hand(dir.path());
    trail.take(handed(allowed()));
    trail.attempt(true);
    (0..3).for_each(|_| trail.take(handed(closed())));
    trail.attempt(false);
    assert_eq!(lines(dir.path()).len(), 5);

    trail.fail_sync();
    trail.take(handed(denied()));
    trail.attempt(true);
    trail.finish();

    assert_eq!(files(dir.path()).len(), 2);
    assert_eq!(
        actions(dir.path()),
        [
            "recording-started",
            "connection-allowed",
            "recording-started", // the segment
            "recording-started", // the failure
            "connection-closed",
            "connection-closed",
            "connection-closed",
            "connection-denied",
            "recording-stopped",
        ]
    );
    let note = lines(dir.path())[3]["message"].as_str().unwrap().to_owned();
    assert!(note.starts_with("goes on after a failure: cannot sync trail-"), "{note}");
    verify_alone(dir.path()).unwrap();
}

#[test]
fn what_the_backlog_cannot_hold_is_counted_and_the_trail_says_so() {
    let dir = TempDir::new().unwrap();
    let mut trail = by_hand(dir.path());

    (0..65_540).for_each(|_| trail.take(handed(Record::new(Action::ConfigLoaded))));
    trail.attempt(true);

    let told: Vec<Value> = lines(dir.path())
        .into_iter()
        .filter(|line| line["myelin"]["lost"] != Value::Null)
        .collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["myelin"]["lost"], 4);
    assert_eq!(counted(dir.path()), 65_536 + 2);
}
