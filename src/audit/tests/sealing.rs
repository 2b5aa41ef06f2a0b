//! Checkpoints, the keys that sign them, and what they betray.

use super::*;
use crate::audit::seal::{Checkpoint, Note, Signer, Tree, Verifier, leaf};

/// As [`settings`], with a key that has lived its time when this has gone by.
fn aged(dir: &Path, key_lifetime: Duration) -> AuditSettings {
    let settings = settings(dir);
    let checkpoints = Checkpoints { key_lifetime, ..settings.checkpoints };
    AuditSettings { checkpoints, ..settings }
}

fn open_with(settings: &AuditSettings) -> Audit {
    Audit::open(Some(settings), origin(), Metrics::new().unwrap().audit()).unwrap()
}

/// The checkpoints on record, the earliest first.
fn checkpoints(dir: &Path) -> Vec<Value> {
    let checkpoint = |line: Value| line["myelin"].get("checkpoint").cloned();
    lines(dir).into_iter().filter_map(checkpoint).collect()
}

/// Keeps the last checkpoint elsewhere, as an auditor does.
fn keep(dir: &Path, elsewhere: &Path) -> PathBuf {
    let path = elsewhere.join("kept");
    let last = checkpoints(dir).pop().unwrap();
    fs::write(&path, last["note"].as_str().unwrap()).unwrap();
    path
}

fn key(dir: &Path) -> String {
    lines(dir)[0]["myelin"]["segment"]["key"].as_str().unwrap().to_owned()
}

fn compared(dir: &Path, keys: &[String], checkpoints: &[PathBuf]) -> Result<Verified, Broken> {
    verify(dir, &Kept::read(keys, checkpoints).unwrap())
}

/// Writes the trail of one file anew, as whoever has its key can: changed, chained and sealed again.
fn rewrite(dir: &Path, signer: &Signer, change: impl Fn(&str) -> String) {
    let file = &files(dir)[0];
    let (mut tree, mut prev, mut text) = (Tree::default(), "0".repeat(64), String::new());
    for line in fs::read_to_string(file).unwrap().lines() {
        let mut record: Value = serde_json::from_str(&change(line)).unwrap();
        record["myelin"]["prev"] = prev.into();
        if record["myelin"]["segment"]["key"].is_string() {
            record["myelin"]["segment"]["key"] = signer.verifier().to_string().into();
        }
        if record["event"]["action"] == "checkpoint" {
            let checkpoint = Checkpoint::of(&signer.verifier().key_id().name, &tree);
            let note = Note::sign(checkpoint.to_string(), &[signer]).unwrap();
            record["myelin"]["checkpoint"] =
                json!({ "size": tree.size(), "note": note.to_string() });
        }
        let line = serde_json::to_string(&record).unwrap();
        tree.push(leaf(line.as_bytes()));
        prev = hex::encode(hash(line.as_bytes()));
        text += &(line + "\n");
    }
    fs::write(file, text).unwrap();
}

#[tokio::test]
async fn a_checkpoint_covers_all_records_before_it_and_is_signed_with_the_announced_key() {
    let dir = trail_of(3).await;

    let sealed = &checkpoints(dir.path())[0];
    let note = Note::parse(sealed["note"].as_str().unwrap()).unwrap();
    let key = Verifier::parse(&key(dir.path())).unwrap();

    let mut tree = Tree::default();
    let text = fs::read_to_string(&files(dir.path())[0]).unwrap();
    text.lines().take(5).for_each(|line| tree.push(leaf(line.as_bytes())));
    assert!(note.is_signed_by(&key));
    assert_eq!(Checkpoint::parse(note.text()), Ok(Checkpoint::of(&key.key_id().name, &tree)));
    assert_eq!(sealed["size"], 5);
    assert!(key.key_id().name.starts_with("hospital.example/ehr/"), "{key}");
}

#[tokio::test]
async fn a_checkpoint_is_made_after_a_thousand_records_without_waiting_for_the_interval() {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());
    for _ in 0..1000 {
        audit.permit(allowed(), false).await.unwrap();
    }
    audit.permit(allowed(), true).await.unwrap(); // durable: so is all before it

    assert!(audit.status().checkpoint.is_some_and(|sealed| sealed.size >= 1000));
}

#[tokio::test]
async fn without_news_there_is_no_checkpoint() {
    let dir = TempDir::new().unwrap();
    let settings = settings(dir.path());
    let interval = Duration::from_millis(1);
    let checkpoints = Checkpoints { interval, ..settings.checkpoints };
    let audit = open_with(&AuditSettings { checkpoints, ..settings });

    audit.permit(allowed(), true).await.unwrap();
    audit.close().await;

    let actions: Vec<_> =
        lines(dir.path()).into_iter().map(|line| line["event"]["action"].clone()).collect();
    assert!(!actions.windows(2).any(|two| two[0] == "checkpoint" && two[1] == "checkpoint"));
    assert_eq!(actions.last().unwrap(), "checkpoint");
}

#[tokio::test]
async fn a_trail_goes_on_with_its_tree_and_its_key() {
    let dir = trail_of(2).await;
    let key = key(dir.path());
    open(dir.path()).close().await;
    open(dir.path()).close().await;

    let verified = compared(dir.path(), std::slice::from_ref(&key), &[]).unwrap();

    assert_eq!((verified.seals.checkpoints, verified.seals.vouched), (3, 1));
    assert_eq!(verified.seals.keys, [key]);
}

#[tokio::test]
async fn a_key_that_has_lived_its_time_introduces_the_next_and_is_gone() {
    let dir = TempDir::new().unwrap();
    for _ in 0..3 {
        open_with(&aged(dir.path(), Duration::ZERO)).close().await;
    }

    let verified = verify_alone(dir.path()).unwrap();
    let kept = fs::read_to_string(dir.path().join("checkpoint-key")).unwrap();

    let last = Signer::parse(&kept).unwrap().verifier().to_string();
    assert_eq!((verified.seals.keys.len(), verified.seals.keys.last()), (4, Some(&last)));
    assert!(!dir.path().join("checkpoint-key.next").exists());
}

#[tokio::test]
async fn a_key_that_was_introduced_just_before_a_crash_takes_its_place_at_the_next_start() {
    let dir = TempDir::new().unwrap();
    open_with(&aged(dir.path(), Duration::ZERO)).close().await;
    let (kept, next) = (dir.path().join("checkpoint-key"), dir.path().join("checkpoint-key.next"));
    fs::rename(&kept, &next).unwrap();
    let stale = Signer::generate("stale", KeyAlgorithm::Ed25519).unwrap();
    fs::write(&kept, stale.text().as_bytes()).unwrap();
    fs::set_permissions(&kept, PermissionsExt::from_mode(0o600)).unwrap();

    open(dir.path()).close().await;

    assert_eq!(verify_alone(dir.path()).unwrap().seals.keys.len(), 2);
}

#[tokio::test]
async fn a_successor_that_was_torn_by_a_crash_is_made_anew() {
    let dir = trail_of(1).await;
    fs::write(dir.path().join("checkpoint-key.next"), "PRIVATE+KEY+").unwrap();

    open_with(&aged(dir.path(), Duration::ZERO)).close().await;

    assert_eq!(verify_alone(dir.path()).unwrap().seals.keys.len(), 2);
}

#[tokio::test]
async fn where_no_successor_can_be_written_the_old_key_goes_on() {
    let dir = trail_of(1).await;
    fs::create_dir(dir.path().join("checkpoint-key.next")).unwrap();
    let audit = open_with(&aged(dir.path(), Duration::ZERO));

    audit.permit(allowed(), true).await.unwrap();
    audit.close().await;

    let seals = verify_alone(dir.path()).unwrap().seals;
    assert_eq!((seals.keys.len(), seals.checkpoints, audit.failing()), (1, 2, None));
}

#[tokio::test]
async fn a_trail_whose_key_is_lost_goes_on_and_verify_names_the_place() {
    let dir = trail_of(2).await;
    fs::remove_file(dir.path().join("checkpoint-key")).unwrap();
    open(dir.path()).close().await;

    let error = verify_alone(dir.path()).unwrap_err();

    assert!(
        error.to_string().contains(":1: from here on the trail is sealed by hospital.example/ehr/"),
        "{error}"
    );
}

#[tokio::test]
async fn a_key_that_others_may_read_is_not_used() {
    let dir = trail_of(1).await;
    let key = dir.path().join("checkpoint-key");
    fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();

    let refused =
        Audit::open(Some(&settings(dir.path())), origin(), Metrics::new().unwrap().audit());

    let said = crate::report::Report(&refused.err().unwrap()).to_string();
    assert!(said.contains("has mode 0644") && said.contains("chmod 0600"), "{said}");
}

#[tokio::test]
async fn an_end_that_was_cut_off_is_found_with_a_checkpoint_that_was_kept() {
    let (dir, elsewhere) = (trail_of(8).await, TempDir::new().unwrap());
    let kept = keep(dir.path(), elsewhere.path());
    let file = &files(dir.path())[0];
    let text = fs::read_to_string(file).unwrap();
    let cut: Vec<_> = text.lines().take(7).collect();
    fs::write(file, cut.join("\n") + "\n").unwrap();

    verify_alone(dir.path()).unwrap(); // what is left fits
    let error = compared(dir.path(), &[], &[kept]).unwrap_err().to_string();

    assert!(error.ends_with("it is of 10 records, and the trail has 7: its end is cut off, or it was set back to an earlier state"), "{error}");
}

#[tokio::test]
async fn a_trail_that_was_set_back_and_went_on_is_found_with_a_checkpoint_that_was_kept() {
    let (dir, elsewhere) = (trail_of(3).await, TempDir::new().unwrap());
    let file = files(dir.path()).remove(0);
    let earlier = fs::read(&file).unwrap();
    let audit = open(dir.path());
    audit.permit(allowed(), true).await.unwrap();
    audit.close().await;
    let kept = keep(dir.path(), elsewhere.path());
    fs::write(&file, earlier).unwrap(); // a snapshot of the disk is put back, the key included
    let audit = open(dir.path());
    for _ in 0..5 {
        audit.permit(denied(), true).await.unwrap();
    }
    audit.close().await;

    verify_alone(dir.path()).unwrap(); // nothing in it betrays it
    let error = compared(dir.path(), &[], &[kept]).unwrap_err().to_string();

    assert!(
        error.ends_with(
            "the first 9 records are not those that it was made of: the trail was written anew"
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_trail_that_was_written_anew_with_its_own_key_is_found_with_a_checkpoint_that_was_kept() {
    let (dir, elsewhere) = (trail_of(8).await, TempDir::new().unwrap());
    let kept = keep(dir.path(), elsewhere.path());
    let signer = fs::read_to_string(dir.path().join("checkpoint-key")).unwrap();
    rewrite(dir.path(), &Signer::parse(&signer).unwrap(), |line| {
        line.replace("10.20.0.52", "10.20.0.53")
    });

    verify_alone(dir.path()).unwrap(); // nothing in it betrays it
    let error = compared(dir.path(), &[], &[kept]).unwrap_err().to_string();

    assert!(
        error.ends_with(
            "the first 10 records are not those that it was made of: the trail was written anew"
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_history_that_was_sealed_anew_with_a_later_key_is_found() {
    let (dir, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let audit = open(dir.path());
    audit.permit(allowed(), true).await.unwrap();
    audit.close().await;
    let (first, kept) = (key(dir.path()), keep(dir.path(), elsewhere.path()));
    open_with(&aged(dir.path(), Duration::ZERO)).close().await;
    let signer = fs::read_to_string(dir.path().join("checkpoint-key")).unwrap();
    rewrite(dir.path(), &Signer::parse(&signer).unwrap(), str::to_owned);

    verify_alone(dir.path()).unwrap();
    let by_checkpoint = compared(dir.path(), &[], &[kept]).unwrap_err().to_string();
    let by_key = compared(dir.path(), std::slice::from_ref(&first), &[]).unwrap_err().to_string();

    assert!(
        by_checkpoint.contains("or the trail was sealed anew with a later key"),
        "{by_checkpoint}"
    );
    assert!(
        by_key.contains(&format!("the key {first} has sealed nothing of this trail")),
        "{by_key}"
    );
}

#[tokio::test]
async fn a_forged_checkpoint_is_named() {
    let dir = trail_of(3).await;
    let stranger = Signer::generate(
        &Verifier::parse(&key(dir.path())).unwrap().key_id().name,
        KeyAlgorithm::Ed25519,
    )
    .unwrap();
    let file = &files(dir.path())[0];
    let mut lines: Vec<String> =
        fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect();
    let mut record: Value = serde_json::from_str(&lines[5]).unwrap();
    let note = Note::parse(record["myelin"]["checkpoint"]["note"].as_str().unwrap()).unwrap();
    let forged = Note::sign(note.text().to_owned(), &[&stranger]).unwrap();
    record["myelin"]["checkpoint"]["note"] = forged.to_string().into();
    lines[5] = serde_json::to_string(&record).unwrap();
    fs::write(file, lines.join("\n") + "\n").unwrap();

    let error = verify_alone(dir.path()).unwrap_err().to_string();

    assert!(
        error.ends_with(":6: the checkpoint is not signed by the key that seals the trail here"),
        "{error}"
    );
}

#[tokio::test]
async fn a_trail_whose_beginning_is_gone_is_still_sealed() {
    let dir = trail_of(2).await;
    let oldest = files(dir.path()).pop().unwrap();
    let name = oldest.file_name().unwrap().to_str().unwrap();
    let old =
        dir.path().join(format!("trail-20200101T000000Z-{}", name.split_once("Z-").unwrap().1));
    fs::rename(&oldest, &old).unwrap();
    open(dir.path()).close().await;
    fs::remove_file(&old).unwrap();

    let verified = verify_alone(dir.path()).unwrap();

    assert_eq!((verified.first_sequence, verified.seals.checkpoints), (6, 1));
}
