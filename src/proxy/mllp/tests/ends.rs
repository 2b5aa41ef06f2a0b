use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stage::*;
use crate::outcome::Ending;

#[tokio::test]
async fn a_connection_without_a_message_in_flight_ends_at_once() {
    let mut stage = Stage::new();
    stage.exchange("1").await;

    stage.end.drain();

    let (ending, to_peer, to_workload, _) = stage.over().await;
    assert_eq!(ending, Ending::Finished);
    assert_eq!((to_peer.as_str(), to_workload.as_str()), ("", ""));
}

#[tokio::test]
async fn a_message_in_flight_is_finished_and_acknowledged_and_no_other_begins() {
    let mut stage = Stage::new();
    let sent = message("ADT^A01", "1");
    let (first, second) = sent.split_at(70);
    stage.sends(first).await;
    stage.arrives(first).await;

    stage.end.drain();
    stage.sends(second.to_owned() + &message("ADT^A01", "2")).await;
    stage.arrives(second).await;
    stage.answers(ack("AA", "1")).await;

    let (ending, to_peer, to_workload, said) = stage.over().await;
    assert_eq!(ending, Ending::Finished);
    assert_eq!((to_peer, to_workload), (ack("AA", "1"), String::new()));
    assert_eq!(said.len(), 2, "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_that_has_begun_behind_another_comes_to_its_end() {
    let mut stage = Stage::new();
    let both = message("ADT^A01", "1") + &message("ADT^A01", "2");
    stage.sends(&both).await;
    stage.arrives(&both).await;
    let second = ack("AA", "2");
    let (begun, rest) = second.split_at(second.len() - 2);
    let first = ack("AA", "1") + begun;
    stage.answers(&first).await;
    stage.comes_back(&first).await;

    stage.end.drain();
    tokio::time::sleep(Duration::from_secs(1)).await; // the clock stands until nobody has anything to do
    stage.answers(rest).await;

    let (ending, to_peer, _, said) = stage.over().await;
    assert_eq!((ending, to_peer.as_str()), (Ending::Finished, rest));
    assert!(said[3].starts_with("ADT 2 AA finished"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_that_does_not_come_is_not_waited_for_for_ever() {
    let mut stage = Stage::new();
    stage.sends(message("ADT^A01", "1")).await;
    stage.arrives(&message("ADT^A01", "1")).await;

    stage.end.drain();

    let (_, _, _, said) = stage.over().await;
    assert!(said[1].starts_with("ADT 1 - cut"), "{said:?}");
}

#[tokio::test]
async fn a_cut_ends_a_message_in_the_middle() {
    let mut stage = Stage::new();
    stage.sends("\x0bMSH|^~\\&|ADT1|MAIN|LAB|ANNEX|20261122||ADT^A01|1|P|2.5\rPID").await;
    stage.arrives("\x0bMSH|^~\\&|ADT1|MAIN|LAB|ANNEX|20261122||ADT^A01|1|P|2.5\rPID").await;

    stage.end.cut();

    let (ending, _, _, said) = stage.over().await;
    assert_eq!(ending, Ending::Cut);
    assert!(said[1].starts_with("ADT 1 - cut"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_moves_ends() {
    let mut stage = Stage::with(64 * 1024, Duration::from_secs(60), Judge::default());
    stage.exchange("1").await;

    let (ending, _, _, _) = stage.over().await;

    assert_eq!(ending, Ending::Idle);
}

#[tokio::test]
async fn a_sender_that_has_ended_its_side_still_gets_its_acknowledgement() {
    let mut stage = Stage::new();
    stage.sends(message("ADT^A01", "1")).await;
    stage.peer.shutdown().await.unwrap();
    stage.arrives(&message("ADT^A01", "1")).await;

    stage.answers(ack("AA", "1")).await;

    let (ending, to_peer, _, said) = stage.over().await;
    assert_eq!(ending, Ending::Finished);
    assert_eq!(to_peer, ack("AA", "1"));
    assert!(said[1].starts_with("ADT 1 AA finished"), "{said:?}");
}

#[tokio::test]
async fn a_workload_that_closes_after_a_message_ends_the_connection() {
    let mut stage = Stage::new();
    stage.exchange("1").await;

    stage.workload.shutdown().await.unwrap();

    let mut rest = String::new();
    stage.peer.read_to_string(&mut rest).await.unwrap();
    let (ending, _, _, _) = stage.over().await;
    assert_eq!((ending, rest.as_str()), (Ending::Finished, ""));
}

#[tokio::test]
async fn a_workload_that_closes_without_an_acknowledgement_is_to_blame() {
    let mut stage = Stage::new();
    stage.sends(message("ADT^A01", "1")).await;
    stage.arrives(&message("ADT^A01", "1")).await;

    stage.workload.shutdown().await.unwrap();

    let (_, _, _, said) = stage.over().await;
    assert!(said[1].starts_with("ADT 1 - upstream_lost"), "{said:?}");
}

#[tokio::test]
async fn a_check_that_connects_and_leaves_is_nothing_to_talk_about() {
    let mut stage = Stage::new();

    stage.peer.shutdown().await.unwrap();

    let (ending, _, _, said) = stage.over().await;
    assert_eq!(ending, Ending::Finished);
    assert_eq!(said, Vec::<String>::new());
}
