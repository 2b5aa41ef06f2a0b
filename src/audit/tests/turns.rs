//! The trail changes hands between processes: nothing is lost, nothing is written twice, and no permit is granted that is not on it.

use tokio::task::JoinSet;

use super::*;

fn to_begin(dir: &Path) -> Audit {
    Audit::to_begin(Some(&settings(dir)), origin(), Metrics::new().unwrap().audit())
}

/// One that has left its trail, and another that goes on with it; the way between them.
async fn handed_over(dir: &Path) -> (Audit, Audit, JoinSet<()>) {
    let old = open(dir);
    old.permit(allowed(), true).await.unwrap();
    let left = old.leave().await.unwrap().unwrap();
    let new = to_begin(dir);
    new.begin().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    left.taken(ours);
    let mut receiving = JoinSet::new();
    receiving.spawn(new.clone().receive(theirs));
    (old, new, receiving)
}

#[tokio::test]
async fn records_of_the_old_process_are_written_by_the_new_one_in_one_chain() {
    let dir = TempDir::new().unwrap();
    let (old, new, mut receiving) = handed_over(dir.path()).await;

    let (one, other) = tokio::join!(old.permit(allowed(), true), new.permit(allowed(), true));
    one.unwrap();
    other.unwrap();
    let durable = text(dir.path());
    old.note(denied()).await;
    old.note(closed()).await;
    old.close().await;
    receiving.join_next().await.unwrap().unwrap();
    let denials = new.denials();
    new.close().await;

    assert_eq!(durable.matches("connection-allowed").count(), 3, "{durable}");
    let actions = actions(dir.path());
    let of = |action: &str| actions.iter().filter(|found| *found == action).count();
    assert_eq!(
        (of("connection-allowed"), of("connection-denied"), of("connection-closed")),
        (3, 1, 1)
    );
    assert_eq!((of("recording-started"), of("recording-stopped")), (2, 2));
    assert_eq!(denials.len(), 1);
    verify_alone(dir.path()).unwrap();
}

#[tokio::test]
async fn a_trail_that_comes_back_has_what_was_said_meanwhile() {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());
    let left = audit.leave().await.unwrap().unwrap();
    // Whoever was to go on has it for a while, and does not.
    let other = open(dir.path());

    let permit = audit.permit(allowed(), true);
    audit.note(closed()).await;
    drop(left);
    let (granted, ()) = tokio::join!(permit, other.close());
    granted.unwrap();
    audit.close().await;

    let actions = actions(dir.path());
    assert_eq!(
        actions[4..],
        ["recording-started", "connection-closed", "connection-allowed", "recording-stopped"]
    );
    verify_alone(dir.path()).unwrap();
}

#[tokio::test]
async fn a_trail_that_was_left_and_forgotten_comes_back() {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());

    drop(audit.leave().await.unwrap());

    audit.permit(allowed(), true).await.unwrap();
    audit.close().await;
    verify_alone(dir.path()).unwrap();
}

#[tokio::test]
async fn while_nobody_writes_the_trail_notes_wait_in_nobodys_way_and_are_on_record_once() {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());
    let noted = Noted::begin(dir.path(), "audit verify", Vec::new(), Reader::default());
    noted.unwrap().unwrap().finish(7).unwrap();
    let left = audit.leave().await.unwrap().unwrap();

    timeout(Duration::from_secs(2), audit.take_notes()).await.unwrap();
    drop(left);
    audit.permit(allowed(), true).await.unwrap();
    audit.take_notes().await;
    audit.close().await;

    let reads = actions(dir.path()).iter().filter(|action| *action == "log-read").count();
    assert_eq!(reads, 1);
}

#[tokio::test]
async fn a_trail_that_cannot_be_opened_again_says_what_mends_it_and_is_as_soon_as_that_is_done() {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());
    let left = audit.leave().await.unwrap().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();

    drop(left);
    let refused = audit.permit(allowed(), true).await.unwrap_err().to_string();
    audit.note(denied()).await;
    let failing = audit.failing().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    granted(&audit).await;
    audit.close().await;

    assert!(refused.contains("chmod 0700 mends it"), "{refused}");
    assert!(failing.ends_with("it is tried every second, and no restart is needed"), "{failing}");
    assert_eq!((audit.failing(), audit.status().lost), (None, 0));
    let actions = actions(dir.path());
    let of = |action: &str| actions.iter().filter(|found| *found == action).count();
    // The permit that was refused is not there.
    assert_eq!((of("connection-denied"), of("connection-allowed")), (1, 1));
    verify_alone(dir.path()).unwrap();
}

#[tokio::test]
async fn a_trail_that_cannot_be_opened_again_is_in_no_ends_way() {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());
    let left = audit.leave().await.unwrap().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
    drop(left);
    assert!(audit.permit(allowed(), true).await.is_err());

    timeout(Duration::from_secs(5), audit.close()).await.unwrap();

    assert_eq!(audit.permit(allowed(), true).await, Err(NotAudited::NoPlace));
}

#[tokio::test]
async fn the_trail_tells_of_a_record_of_a_newer_version_that_is_lost() {
    let dir = TempDir::new().unwrap();
    let audit = open(dir.path());
    let (mut newer, theirs) = UnixStream::pair().unwrap();
    let record = r#"{"number":1,"awaited":false,"action":"peer-teleported","page":null}"#;

    newer.write_all(format!("{record}\n{{\n").as_bytes()).unwrap();
    drop(newer);
    audit.clone().receive(theirs).await;
    audit.close().await;

    let lost: u64 =
        lines(dir.path()).iter().filter_map(|line| line["myelin"]["lost"].as_u64()).sum();
    assert_eq!((lost, audit.status().lost), (1, 1));
}

#[tokio::test]
async fn when_the_new_process_is_gone_the_old_one_grants_nothing() {
    let dir = TempDir::new().unwrap();
    let (old, _new, mut receiving) = handed_over(dir.path()).await;
    old.permit(allowed(), true).await.unwrap();

    receiving.shutdown().await;

    let refused = old.permit(allowed(), true).await.unwrap_err();
    assert!(refused.to_string().contains("since the hand-over is gone"), "{refused}");
    assert!(old.permit(allowed(), true).await.is_err());
    old.note(closed()).await;
    old.close().await;
    assert_eq!(old.status().lost, 1);
}
