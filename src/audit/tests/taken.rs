//! Files that somebody takes away, or writes to, while the trail is written.

use super::*;

/// What the trail says of its failures, each once. Lines that somebody has damaged say nothing.
fn failures(dir: &Path) -> Vec<String> {
    let text = text(dir);
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told = records.filter_map(|record| record["message"].as_str().map(ToOwned::to_owned));
    let mut told: Vec<_> =
        told.filter(|told| told.starts_with("goes on after a failure")).collect();
    told.dedup(); // a segment's first record says it, too
    told
}

#[tokio::test]
async fn a_file_that_is_removed_is_put_back_as_it_was_and_no_permit_is_granted_on_it() {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());
    audit.permit(allowed(), true).await.unwrap();
    let (file, before) = (files(dir.path()).remove(0), text(dir.path()));

    fs::remove_file(&file).unwrap();
    let refused = audit.permit(allowed(), true).await.unwrap_err();
    granted(&audit).await;
    audit.close().await;

    assert!(
        refused.to_string().ends_with("it was removed or replaced under this sidecar"),
        "{refused}"
    );
    assert!(text(dir.path()).starts_with(&before));
    assert_eq!(failures(dir.path()).len(), 1);
    assert_eq!(verify_alone(dir.path()).unwrap().first_sequence, 1);
}

#[tokio::test]
async fn a_directory_that_is_removed_is_made_again_with_what_is_known_of_the_trail() {
    let above = TempDir::new().unwrap();
    let dir = above.path().join("trail");
    let audit = open(&dir);
    audit.permit(allowed(), true).await.unwrap();
    let key = fs::read(dir.join("checkpoint-key")).unwrap();

    fs::remove_dir_all(&dir).unwrap();
    assert!(audit.permit(allowed(), true).await.is_err());
    granted(&audit).await;
    let second = Audit::open(Some(&settings(&dir)), origin(), Metrics::new().unwrap().audit());
    assert!(matches!(second, Err(OpenError::Locked { .. })), "it is locked again");
    audit.close().await;

    assert_eq!(verify_alone(&dir).unwrap().first_sequence, 1);
    assert_eq!(fs::read(dir.join("checkpoint-key")).unwrap(), key);
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn another_trail_in_the_place_of_this_one_is_left_alone_and_nothing_is_granted() {
    let above = TempDir::new().unwrap();
    let (dir, away) = (above.path().join("trail"), above.path().join("away"));
    let audit = open(&dir);
    audit.permit(allowed(), true).await.unwrap();
    let other = trail_of(2).await;

    fs::rename(&dir, &away).unwrap();
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
    for file in files(other.path()) {
        fs::copy(&file, dir.join(file.file_name().unwrap())).unwrap();
    }
    let others = text(&dir);
    for _ in 0..3 {
        assert!(audit.permit(allowed(), true).await.is_err());
    }
    assert_eq!(text(&dir), others);
    assert!(audit.failing().unwrap().contains("another trail was put in its place"));

    fs::remove_dir_all(&dir).unwrap();
    fs::rename(&away, &dir).unwrap();
    granted(&audit).await;
    audit.close().await;
    assert_eq!(verify_alone(&dir).unwrap().first_sequence, 1);
}

#[tokio::test]
async fn what_something_else_appends_is_cut_off_and_what_it_cuts_is_missed_by_verify() {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());
    audit.permit(allowed(), true).await.unwrap();
    let file = files(dir.path()).remove(0);

    OpenOptions::new().append(true).open(&file).unwrap().write_all(b"patient: Smith\n").unwrap();
    assert!(audit.permit(allowed(), true).await.is_err());
    granted(&audit).await;
    assert!(!text(dir.path()).contains("Smith"));
    verify_alone(dir.path()).unwrap();

    let file = files(dir.path()).pop().unwrap();
    OpenOptions::new().write(true).open(&file).unwrap().set_len(10).unwrap();
    assert!(audit.permit(allowed(), true).await.is_err());
    granted(&audit).await;
    audit.close().await;
    assert!(failures(dir.path()).pop().unwrap().contains("something else writes to it"));
    verify_alone(dir.path()).unwrap_err();
}
