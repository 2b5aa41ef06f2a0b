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
    left.back();
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
async fn when_the_new_process_is_gone_the_old_one_grants_nothing() {
    let dir = TempDir::new().unwrap();
    let (old, _new, mut receiving) = handed_over(dir.path()).await;
    old.permit(allowed(), true).await.unwrap();

    receiving.shutdown().await;

    let refused = old.permit(allowed(), true).await.unwrap_err();
    assert!(refused.to_string().contains("since the hand-over is gone"), "{refused}");
    assert!(old.permit(allowed(), true).await.is_err());
    old.close().await;
}
