//! Several messages in a frame, and several acknowledgements.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::task::yield_now;

use super::stage::*;
use crate::outcome::Ending;

fn one(sender: &str, kind: &str, id: &str) -> String {
    format!("MSH|^~\\&|{sender}|MAIN|LAB|ANNEX|20261122||{kind}|{id}|P|2.5\rPID|1||4711\r")
}

fn answer(code: &str, id: &str) -> String {
    format!("MSH|^~\\&|LAB|ANNEX|ADT1|MAIN|20261122||ACK|A{id}|P|2.5\rMSA|{code}|{id}\r")
}

/// What is said at the ends of these messages, in one frame, that get this answer.
async fn completed_by(batch: &str, answer: &str) -> Vec<String> {
    let (batch, answer) = (framed(batch), framed(answer));
    let mut stage = Stage::new();
    stage.sends(&batch).await;
    stage.arrives(&batch).await;
    stage.answers(&answer).await;
    stage.comes_back(&answer).await;
    stage.peer.shutdown().await.unwrap();

    let (ending, _, _, said) = stage.over().await;
    assert_eq!(ending, Ending::Finished);
    let sizes = format!(" finished {}/{} batch", batch.len(), answer.len());
    let ends = said.iter().filter(|said| said.contains(&sizes));
    ends.map(|said| said.replace(&sizes, "")).collect()
}

#[tokio::test]
async fn each_type_and_sender_in_a_frame_comes_to_its_end_with_the_answer_to_all() {
    let batch = one("A", "ADT^A01", "1")
        + &one("A", "ADT^A08", "2")
        + &one("A", "ADT^A01", "3")
        + &one("B", "ADT^A01", "4");

    let completed = completed_by(&batch, &answer("AA", "1")).await;

    assert_eq!(completed, ["ADT 1 AA x2", "+ADT 2 AA", "+ADT 4 AA"]);
}

#[tokio::test]
async fn a_batch_of_acknowledgements_is_paired_message_by_message() {
    let batch = "BHS|^~\\&|A|MAIN|||||||B9\r".to_owned()
        + &one("A", "ADT^A01", "1")
        + &one("A", "ADT^A01", "2")
        + &one("A", "ADT^A08", "3")
        + "BTS|3\r";
    let answers = "BHS|^~\\&|LAB\r".to_owned()
        + &answer("AR", "2")
        + &answer("AA", "3")
        + &answer("AA", "1")
        + "BTS|3\r";

    let completed = completed_by(&batch, &answers).await;

    assert_eq!(completed, ["ADT 1 AR x2 101000", "+ADT 3 AA 100000"]);
}

#[tokio::test]
async fn an_answer_to_the_batch_is_the_answer_to_all_of_it() {
    let batch = "FHS|^~\\&|A|MAIN|||||||F1\rBHS|^~\\&|A|MAIN|||||||B9\r".to_owned()
        + &one("A", "ADT^A01", "1")
        + &one("A", "ADT^A08", "2");

    assert_eq!(completed_by(&batch, &answer("AE", "B9")).await, ["ADT 1 AE", "+ADT 2 AE"]);
    assert_eq!(completed_by(&batch, &answer("AA", "F1")).await, ["ADT 1 AA", "+ADT 2 AA"]);
}

#[tokio::test]
async fn one_frame_may_answer_messages_that_came_in_frames_of_their_own() {
    let mut stage = Stage::new();
    let all: String = ["1", "2", "3"].map(|id| message("ADT^A01", id)).concat();
    stage.sends(&all).await;
    stage.arrives(&all).await;
    let ids = [("AA", "3"), ("AE", "1"), ("AA", "2")];
    let answers = ids.map(|(code, id)| answer(code, id)).concat();

    stage.answers(framed(&format!("BHS|^~\\&|LAB\r{answers}BTS|3\r"))).await;
    stage.comes_back(&framed(&format!("BHS|^~\\&|LAB\r{answers}BTS|3\r"))).await;
    stage.peer.shutdown().await.unwrap();

    let (_, _, _, said) = stage.over().await;
    let completed: Vec<_> = said[3..].iter().map(|said| &said[..8]).collect();
    assert_eq!(completed, ["ADT 3 AA", "ADT 1 AE", "ADT 2 AA"]);
}

#[tokio::test]
async fn a_frame_of_very_many_types_keeps_no_more_than_its_share() {
    let kinds = (0..100).map(|number| one("A", &format!("ADT^Z{number}"), &number.to_string()));

    let completed = completed_by(&kinds.collect::<String>(), &answer("AA", "0")).await;

    assert_eq!(completed.len(), 64, "the others are told of as soon as they pass");
}

#[tokio::test]
async fn who_a_batch_says_it_is_from_is_judged_before_anything_of_it_passes() {
    let mut stage = Stage::new();
    let batch = format!("FHS|^~\\&|A\rBHS|^~\\&|PACS\r{}BTS|1\r", one("A", "ADT^A01", "1"));

    stage.sends(framed(&batch)).await;

    let (ending, _, to_workload, said) = stage.over().await;
    assert_eq!((ending, to_workload.as_str()), (Ending::Denied, ""));
    assert_eq!(said, ["batch of A", "batch of PACS"]);
}

#[tokio::test]
async fn another_batch_further_below_is_judged_before_it_passes() {
    for blank in ["", " ", "\n", "\u{a0}"] {
        let mut stage = Stage::new();
        let first = one("A", "ADT^A01", "1");

        stage.sends(framed(&format!("{first}{blank}BHS|^~\\&|PACS\r{first}"))).await;

        let (ending, _, to_workload, said) = stage.over().await;
        assert_eq!((ending, to_workload), (Ending::Denied, format!("\x0b{first}{blank}")));
        assert_eq!(said[..2], ["ADT 1 allowed", "+batch of PACS"], "{blank:?}");
    }
}

#[tokio::test]
async fn where_no_rule_asks_who_sends_another_batch_further_below_passes_unasked() {
    let judge = Judge { binds_senders: false, ..Judge::default() };
    let mut stage = Stage::with(64 * 1024, HOUR, judge);
    let first = one("A", "ADT^A01", "1");
    let batch = framed(&format!("{first}BHS|^~\\&|PACS\r{first}BTS|1\r"));

    stage.sends(&batch).await;
    stage.arrives(&batch).await;

    assert_eq!(stage.said(), ["ADT 1 allowed", "+ADT 1 allowed"]);
}

#[tokio::test]
async fn others_get_their_turn_between_two_messages_of_a_batch_that_take_long_to_judge() {
    let judge = Judge { takes_long: true, ..Judge::default() };
    let mut stage = Stage::with(64 * 1024, HOUR, judge);
    let judge = Arc::clone(&stage.judge);
    let batch = framed(&one("A", "ADT^A01", "1").repeat(50));

    stage.sends(&batch).await; // before the relay has had a turn, so it reads all of it at once
    let mut seen = BTreeSet::new();
    while seen.last() != Some(&50) {
        seen.insert(judge.said.lock().unwrap().len());
        yield_now().await;
    }

    assert!(seen.len() > 25, "judged between two turns of the other: {seen:?}");
}

#[tokio::test]
async fn identifiers_of_very_many_batches_are_not_all_remembered_and_messages_are_paired_all_the_same()
 {
    let mut stage = Stage::new();
    for frame in 0..10 {
        let batches = (0..500).map(|n| format!("BHS|^~\\&|||||||||{frame}-{n}\r"));
        let batch = batches.collect::<String>() + &one("A", "ADT^A01", &format!("M{frame}"));
        stage.sends(framed(&batch)).await;
        stage.arrives(&framed(&batch)).await;
    }

    for id in ["0-499", "9-499", "M9"] {
        stage.answers(ack("AA", id)).await;
        stage.comes_back(&ack("AA", id)).await;
    }
    stage.end.cut();

    let (_, _, _, said) = stage.over().await;
    let answered: Vec<_> = said.iter().filter(|said| said.contains(" AA finished")).collect();
    assert_eq!(answered.len(), 2, "{answered:?}");
    assert!(answered[0].starts_with("ADT M0 ") && answered[1].starts_with("ADT M9 "));
}
