//! The trail as those who use it see it: on real disks.

mod failure;
mod flood;
mod keeping;
mod sealing;
mod taken;
mod tampering;
mod turns;

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::fixture::origin;
use super::line::encode::hash;
use super::*;
use crate::audit::read::files::{SegmentFile, files as files_of};
use crate::config::{Checkpoints, Keeping, KeyAlgorithm};
use crate::outcome::{DenyReason, Ending};
use crate::telemetry::metrics::Metrics;

const HOUR: Duration = Duration::from_secs(3600);
/// Everything stays as it was written.
const FOREVER: Keeping = Keeping {
    compress: false,
    retention: Duration::from_secs(100 * 365 * 24 * 3600),
    legal_hold: None,
};

/// Verifies the trail by what it says itself.
fn verify_alone(dir: &Path) -> Result<Verified, Broken> {
    verify(dir, &Kept::default())
}

fn settings(dir: &Path) -> AuditSettings {
    AuditSettings {
        dir: dir.to_owned(),
        on_failure: OnFailure::Block,
        segment_size: 64 << 20,
        keeping: FOREVER,
        pseudonyms: None,
        // Only at the end: when a checkpoint is due decides no test.
        checkpoints: Checkpoints {
            interval: HOUR,
            key_file: None,
            algorithm: KeyAlgorithm::Ed25519,
            key_lifetime: HOUR,
        },
        export: Vec::new(),
    }
}

fn open(dir: &Path) -> Audit {
    Audit::open(Some(&settings(dir)), origin(), Metrics::new().unwrap().audit()).unwrap()
}

fn allowed() -> Record {
    Record {
        connection: Some(Arc::new(fixture::connection())),
        rule: Some(fixture::rule()),
        ..Record::new(Action::ConnectionAllowed)
    }
}

fn denied() -> Record {
    Record::denied(Arc::new(fixture::connection()), DenyReason::NotListed, Some(fixture::rule()))
}

fn closed() -> Record {
    Record::closed(Arc::new(fixture::connection()), Ending::Finished, Traffic::default())
}

fn files(dir: &Path) -> Vec<PathBuf> {
    files_of(dir).unwrap().into_iter().map(|file| file.path).collect()
}

/// The whole trail, whatever form its files have.
fn text(dir: &Path) -> String {
    let read = |file: SegmentFile| io::read_to_string(file.open().unwrap()).unwrap();
    files_of(dir).unwrap().into_iter().map(read).collect()
}

fn lines(dir: &Path) -> Vec<Value> {
    text(dir).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Grants a permit once the trail works again: the first that comes after a change finds it.
async fn granted(audit: &Audit) {
    let granted = async {
        while audit.permit(allowed(), true).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), granted).await.unwrap();
}

/// What happened; checkpoints come whenever they are due.
fn actions(dir: &Path) -> Vec<String> {
    let actions =
        lines(dir).into_iter().map(|line| line["event"]["action"].as_str().unwrap().to_owned());
    actions.filter(|action| action != "checkpoint").collect()
}

/// How many records there are in a trail that fits, checkpoints not counted.
fn counted(dir: &Path) -> u64 {
    let verified = verify_alone(dir).unwrap();
    verified.records - verified.seals.checkpoints
}

/// A trail of one file with `records` permits between its start and its stop.
async fn trail_of(records: usize) -> TempDir {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());
    for _ in 0..records {
        audit.permit(allowed(), false).await.unwrap();
    }
    audit.close().await;
    dir
}

#[tokio::test]
async fn a_phi_permit_is_on_disk_when_it_is_granted() {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());
    let syncs = audit.status().syncs;

    audit.permit(allowed(), true).await.unwrap();

    assert_eq!(actions(dir.path()), ["recording-started", "connection-allowed"]);
    assert_eq!(audit.status().syncs, syncs + 1);
}

#[tokio::test]
async fn other_records_are_synced_within_a_second_without_being_asked_for() {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());
    let syncs = audit.status().syncs;

    audit.note(closed()).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;

    assert_eq!(audit.status().syncs, syncs + 1);
}

#[tokio::test]
async fn the_chain_can_be_checked_with_sha256sum() {
    let dir = trail_of(5).await;

    let text = fs::read_to_string(&files(dir.path())[0]).unwrap();

    let mut prev = "0".repeat(64);
    for (index, line) in text.lines().enumerate() {
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["myelin"]["prev"], prev.as_str());
        assert_eq!(value["event"]["sequence"], index + 1);
        prev = sha256sum(line);
    }
    assert_eq!(text.lines().count(), 8, "a start, five permits, a stop and a checkpoint");
    assert_eq!(verify_alone(dir.path()).unwrap().last_hash, prev);
}

fn sha256sum(text: &str) -> String {
    let mut program =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    program.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = program.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

#[tokio::test]
async fn the_trail_ends_with_a_stop_and_goes_on_in_the_same_file() {
    let dir = trail_of(1).await;

    open(dir.path()).close().await;

    assert_eq!(
        actions(dir.path()),
        [
            "recording-started",
            "connection-allowed",
            "recording-stopped",
            "recording-started",
            "recording-stopped"
        ]
    );
    assert_eq!(files(dir.path()).len(), 1);
    assert_eq!(counted(dir.path()), 5);
}

#[tokio::test]
async fn nothing_that_was_handed_in_before_the_close_is_missing() {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());

    for _ in 0..5000 {
        audit.note_now(closed());
    }
    audit.close().await;
    audit.note_now(closed());

    assert_eq!(counted(dir.path()), 5002);
    assert_eq!(audit.status().lost, 1);
    assert_eq!(audit.permit(allowed(), true).await, Err(NotAudited::NoPlace));
}

#[tokio::test]
async fn permits_that_come_together_share_a_sync() {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());
    let before = audit.status().syncs;

    let permits = join_all((0..200).map(|_| audit.permit(allowed(), true))).await;

    assert!(permits.iter().all(Result::is_ok));
    let syncs = audit.status().syncs - before;
    assert!(syncs < 50, "{syncs} syncs for 200 permits");
}

#[tokio::test]
async fn a_permit_that_is_not_waited_for_stays_on_record() {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());

    for _ in 0..20 {
        let impatient = audit.permit(allowed(), true);
        let _dropped = timeout(Duration::ZERO, impatient).await;
    }
    audit.permit(allowed(), true).await.unwrap();
    audit.close().await;

    assert_eq!(counted(dir.path()), 23);
    assert_eq!(audit.status().lost, 0);
}

#[tokio::test]
async fn a_torn_end_is_kept_aside_and_put_on_record() {
    let dir = trail_of(1).await;
    let file = &files(dir.path())[0];
    let torn = br#"{"@timestamp":"2026-11-22T06:1"#;
    OpenOptions::new().append(true).open(file).unwrap().write_all(torn).unwrap();
    assert_eq!(verify_alone(dir.path()).unwrap().unfinished_bytes, 30);

    open(dir.path()).close().await;

    let lines = lines(dir.path());
    assert_eq!(lines[4]["event"]["action"], "trail-truncated");
    assert_eq!(lines[4]["myelin"]["truncated"]["bytes"], 30);
    assert_eq!(lines[5]["event"]["action"], "recording-started");
    let kept = lines[4]["myelin"]["truncated"]["kept"].as_str().unwrap();
    assert_eq!(fs::read(dir.path().join(kept)).unwrap(), torn);
    assert_eq!(counted(dir.path()), 6);
}

#[tokio::test]
async fn two_processes_cannot_write_one_trail() {
    let dir = TempDir::new().unwrap();
    let _first = open(dir.path());

    let second =
        Audit::open(Some(&settings(dir.path())), origin(), Metrics::new().unwrap().audit());

    let error = second.err().unwrap().to_string();
    assert_eq!(
        error,
        format!(
            "another process writes the audit trail in {}; each needs a directory of its own",
            dir.path().display()
        )
    );
}

#[tokio::test]
async fn the_trail_is_private_and_stays_so() {
    let dir = TempDir::new().unwrap();
    let made = dir.path().join("a/b");
    open(&made).close().await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&made), mode(&files(&made)[0])), (0o700, 0o600));

    fs::set_permissions(&made, fs::Permissions::from_mode(0o770)).unwrap();
    let exposed = Audit::open(Some(&settings(&made)), origin(), Metrics::new().unwrap().audit());

    let error = exposed.err().unwrap().to_string();
    assert!(error.contains("has mode 0770: others could change the audit trail"), "{error}");
}

#[tokio::test]
async fn denials_are_shown_as_they_stand_in_the_trail() {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());

    audit.note(denied()).await;
    audit.permit(allowed(), true).await.unwrap();

    assert_eq!(audit.denials(), [lines(dir.path())[1].clone()]);
}

#[tokio::test]
async fn without_a_trail_denials_are_shown_and_phi_is_blocked() {
    let metrics = Metrics::new().unwrap();
    let audit = Audit::open(None, origin(), metrics.audit()).unwrap();

    audit.note(denied()).await;

    assert_eq!(audit.denials()[0]["event"]["reason"], "not_listed");
    assert_eq!(audit.permit(allowed(), false).await, Ok(()));
    assert_eq!(audit.permit(allowed(), true).await, Err(NotAudited::NoTrail));
    assert!(
        metrics.render().contains(r#"myelin_audit_records_total{action="connection-denied"} 1"#)
    );
    audit.close().await;
}
