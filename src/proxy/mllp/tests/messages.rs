use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::stage::*;
use crate::outcome::Ending;

#[tokio::test]
async fn a_message_passes_and_its_acknowledgement_comes_back() {
    let mut stage = Stage::new();

    stage.exchange("1").await;
    stage.exchange("2").await;
    stage.peer.shutdown().await.unwrap();

    let (ending, _, _, said) = stage.over().await;
    assert_eq!(ending, Ending::Finished);
    let (up, down) = (message("ADT^A01", "1").len(), ack("AA", "1").len());
    assert_eq!(
        said,
        [
            "ADT 1 allowed".to_owned(),
            format!("ADT 1 AA finished {up}/{down}"),
            "ADT 2 allowed".to_owned(),
            format!("ADT 2 AA finished {up}/{down}"),
        ]
    );
}

#[tokio::test]
async fn nothing_passes_before_the_verdict() {
    let judge = Judge { disk: Semaphore::new(0), ..Judge::default() };
    let mut stage = Stage::with(64 * 1024, HOUR, judge);

    stage.sends(message("ADT^A01", "1")).await;
    let mut byte = [0];
    tokio::select! {
        biased;
        () = async { for _ in 0..100 { tokio::task::yield_now().await } } => {}
        _ = stage.workload.read(&mut byte) => panic!("a byte passed"),
    }
    stage.judge.disk.add_permits(1);

    stage.arrives(&message("ADT^A01", "1")).await;
}

#[tokio::test]
async fn a_message_may_come_byte_by_byte_through_narrow_pipes() {
    let mut stage = Stage::with(1, HOUR, Judge::default());
    let sent = message("ADT^A01", "1");

    let Stage { peer, workload, .. } = &mut stage;
    let (_, arrived) = tokio::join!(peer.write_all(sent.as_bytes()), async {
        let mut arrived = vec![0; sent.len()];
        workload.read_exact(&mut arrived).await.unwrap();
        arrived
    });

    assert_eq!(arrived, sent.as_bytes());
    assert_eq!(stage.said(), ["ADT 1 allowed"]);
}

#[tokio::test]
async fn a_message_that_is_denied_ends_the_connection_without_an_answer() {
    let mut stage = Stage::new();

    stage.exchange("1").await;
    stage.sends(message("ORU^R01", "2") + &message("ADT^A01", "3")).await;

    let (ending, to_peer, to_workload, said) = stage.over().await;
    assert_eq!(ending, Ending::Denied);
    assert_eq!((to_peer.as_str(), to_workload.as_str()), ("", ""));
    assert_eq!(said.last().unwrap(), "ORU 2 denied");
}

#[tokio::test]
async fn what_came_before_a_message_that_is_denied_gets_its_acknowledgement() {
    let mut stage = Stage::new();

    stage.sends(message("ADT^A01", "1") + &message("ORU^R01", "2")).await;
    stage.arrives(&message("ADT^A01", "1")).await;
    stage.answers(ack("AA", "1")).await;

    let (ending, to_peer, to_workload, _) = stage.over().await;
    assert_eq!(ending, Ending::Denied);
    assert_eq!((to_peer, to_workload), (ack("AA", "1"), String::new()));
}

#[tokio::test]
async fn a_rejected_message_is_answered_and_the_connection_goes_on() {
    let mut stage = Stage::new();

    stage.sends(message("ORM^O01", "1")).await;
    let rejection =
        "\x0bMSH|^~\\&|LAB|ANNEX|ADT1|MAIN|20261122||ACK^O01^ACK|N|P|2.5\rMSA|AR|1\r\x1c\r";
    stage.comes_back(rejection).await;
    stage.exchange("2").await;

    assert_eq!(stage.said()[..2], ["ORM 1 rejected", "ADT 2 allowed"]);
}

#[tokio::test]
async fn a_rejection_waits_for_the_acknowledgements_of_what_came_before() {
    let mut stage = Stage::new();

    stage.sends(message("ADT^A01", "1") + &message("ORM^O01", "2")).await;
    stage.arrives(&message("ADT^A01", "1")).await;
    stage.answers(ack("AA", "1")).await;

    stage.comes_back(&ack("AA", "1")).await;
    stage.comes_back("\x0bMSH|^~\\&|LAB").await;
}

#[tokio::test]
async fn a_second_message_in_a_frame_does_not_slip_through() {
    let mut stage = Stage::new();
    let first = "MSH|^~\\&|ADT1|MAIN|LAB|ANNEX|20261122||ADT^A01|1|P|2.5\rPID|1\r";
    let second = "MSH|^~\\&|ADT1|MAIN|LAB|ANNEX|20261122||ORU^R01|2|P|2.5\rOBX|1\r";

    stage.sends(framed(&format!("{first}{second}"))).await;

    let (ending, _, to_workload, said) = stage.over().await;
    assert_eq!(ending, Ending::Denied);
    assert_eq!(to_workload, format!("\x0b{first}"));
    let passed = first.len() + 1;
    assert_eq!(
        said,
        [
            "ADT 1 allowed".to_owned(),
            "+ORU 2 denied".to_owned(),
            format!("ADT 1 - denied {passed}/0"),
        ]
    );
}

#[tokio::test]
async fn what_is_no_message_ends_the_connection() {
    for (sent, why) in [
        (framed("<ClinicalDocument/>"), "1 NoHeader"),
        (
            "MSH|^~\\&|ADT1|MAIN|LAB|ANNEX|20261122||ADT^A01|1|P|2.5\rPID|1||4711\r".into(),
            "1 NoStart",
        ),
    ] {
        let mut stage = Stage::new();

        stage.sends(&sent).await;

        let (ending, to_peer, to_workload, said) = stage.over().await;
        assert_eq!(ending, Ending::ProtocolError);
        assert_eq!((to_peer.as_str(), to_workload.as_str()), ("", ""));
        assert_eq!(said, [why]);
    }
}

#[tokio::test]
async fn many_messages_at_once_are_paired_with_their_acknowledgements_in_any_order() {
    let mut stage = Stage::new();
    let all: String = ["1", "2", "3"].map(|id| message("ADT^A01", id)).concat();

    stage.sends(&all).await;
    stage.arrives(&all).await;
    for (code, id) in [("AE", "2"), ("AA", "1"), ("AR", "3")] {
        stage.answers(ack(code, id)).await;
        stage.comes_back(&ack(code, id)).await;
    }
    stage.peer.shutdown().await.unwrap();

    let (_, _, _, said) = stage.over().await;
    let completed: Vec<_> = said[3..].iter().map(|said| &said[..8]).collect();
    assert_eq!(completed, ["ADT 2 AE", "ADT 1 AA", "ADT 3 AR"]);
}
