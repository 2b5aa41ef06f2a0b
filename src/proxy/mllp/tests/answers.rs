use super::stage::*;

/// What is said of a message that got this answer.
async fn answered_by(answer: &str) -> String {
    let mut stage = Stage::new();
    stage.sends(message("ADT^A01", "1")).await;
    stage.arrives(&message("ADT^A01", "1")).await;

    stage.answers(answer).await;
    stage.comes_back(answer).await;
    stage.end.drain();

    let (_, _, _, said) = stage.over().await;
    said.last().unwrap().split(' ').nth(2).unwrap().to_owned()
}

#[tokio::test]
async fn any_answer_that_says_to_what_it_answers_is_understood() {
    let header = "MSH|^~\\&|LAB|ANNEX|ADT1|MAIN|20261122||ACK^A01|9|P|2.5";
    for (answer, code) in [
        (framed(&format!("{header}\rMSA|aa|1\r")), "AA"),
        (framed(&format!("{header}\nMSA|CE|1")), "CE"),
        (framed(&format!("{header}\rSFT|x\rMSA|AE|1\r")), "AE"),
        (framed(&format!("{header}\rMSA|AR\r")), "AR"),
        (framed(header), "-"),
        (format!("\x0b{header}\rMSA|AA|1\r\x1c"), "AA"),
        (
            framed(&header.replace("ACK^A01", "RSP^K21"))
                .replace("\x1c", "\rMSA|AA|1\rPID|1\r\x1c"),
            "AA",
        ),
    ] {
        assert_eq!(answered_by(&answer).await, code, "{answer:?}");
    }
}

#[tokio::test]
async fn a_reply_of_release_two_is_an_answer_where_no_other_comes() {
    assert_eq!(answered_by("\x0b\x06\x1c\r").await, "CA");
    assert_eq!(answered_by("\x0b\x15\x1c\r").await, "CR");
}

#[tokio::test]
async fn what_the_workload_says_by_itself_is_told_of_and_answered_without_being_judged() {
    let mut stage = Stage::new();

    stage.answers(message("ORU^R01", "W1").replace("ORU", "OUL")).await;
    stage.comes_back(&message("OUL^R01", "W1")).await;
    stage.sends(ack("AA", "W1")).await;
    stage.arrives(&ack("AA", "W1")).await;
    stage.end.drain();

    let (_, _, _, said) = stage.over().await;
    assert_eq!(said[0], "down OUL W1 allowed");
    assert!(said[1].starts_with("down OUL W1 AA finished"), "{said:?}");
    assert_eq!(said.len(), 2);
}

#[tokio::test]
async fn an_acknowledgement_of_nothing_is_a_message_like_others() {
    let mut stage = Stage::new();

    stage.sends(ack("AA", "nothing")).await;
    stage.arrives(&ack("AA", "nothing")).await;

    assert_eq!(stage.said(), ["ACK Anothing allowed"]);
}

#[tokio::test]
async fn words_outside_of_frames_come_back_as_they_are() {
    let mut stage = Stage::new();

    stage.answers("220 interface engine ready\r\n").await;

    stage.comes_back("220 interface engine ready\r\n").await;
}

#[tokio::test]
async fn senders_that_want_no_acknowledgements_may_send_any_number() {
    let mut stage = Stage::new();

    for id in 0..300 {
        let message = message("ADT^A01", &id.to_string());
        stage.sends(&message).await;
        stage.arrives(&message).await;
    }

    let said = stage.said();
    let given_up = said.iter().filter(|said| said.contains(" - finished")).count();
    assert_eq!(given_up, 300 - 256);
    assert_eq!(said.len(), 300 + given_up);
}

/// What is said of a message that asks for such acknowledgements (MSH-15, MSH-16), and gets these.
async fn enhanced(asks: &str, codes: &[&str]) -> Vec<String> {
    let mut stage = Stage::new();
    let sent = message("ADT^A01", "1").replace("|2.5\r", &format!("|2.5|||{asks}\r"));
    stage.sends(&sent).await;
    stage.arrives(&sent).await;
    for code in codes {
        stage.answers(ack(code, "1")).await;
        stage.comes_back(&ack(code, "1")).await;
    }
    stage.end.drain();

    let (_, _, _, said) = stage.over().await;
    said[1..].iter().map(|said| said.split(' ').skip(2).collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test]
async fn an_accept_acknowledgement_and_the_applications_own_belong_to_one_message() {
    let (one, both) = (ack("CA", "1").len(), ack("CA", "1").len() + ack("AE", "1").len());
    let sent = |asks: &str| message("ADT^A01", "1").len() + 3 + asks.len();

    for asks in ["|", "AL|AL", "AL|ER", "|AL"] {
        let said = enhanced(asks, &["CA", "AE"]).await;
        assert_eq!(said, [format!("CAAE finished {}/{both}", sent(asks))], "{asks}");
    }
    for asks in ["AL|NE", "AL|", "ER|NE"] {
        let said = enhanced(asks, &["CA"]).await;
        assert_eq!(said, [format!("CA finished {}/{one}", sent(asks))], "{asks}");
    }
}

#[tokio::test]
async fn an_accept_acknowledgement_is_the_last_word_where_none_follows_or_it_says_no() {
    assert_eq!(enhanced("AL|AL", &["CA"]).await[0].split(' ').next(), Some("CA"));
    let refused = enhanced("AL|AL", &["CR"]).await;
    assert_eq!(refused[0].split(' ').next(), Some("CR"));
}

#[tokio::test]
async fn a_message_that_is_to_be_paired_is_complete_as_soon_as_nothing_more_will_come() {
    for (asks, code, completed) in [("AL|NE", "CA", 1), ("AL|AL", "CA", 0), ("AL|AL", "CE", 1)] {
        let mut stage = Stage::new();
        let sent = message("ADT^A01", "1").replace("|2.5\r", &format!("|2.5|||{asks}\r"));
        stage.sends(&sent).await;
        stage.arrives(&sent).await;
        stage.answers(ack(code, "1")).await;
        stage.comes_back(&ack(code, "1")).await;
        stage.exchange("2").await;

        let said = stage.said();
        let ended =
            said.iter().filter(|said| said.starts_with("ADT 1") && said.contains("finished"));
        assert_eq!(ended.count(), completed, "{asks} {code} {said:?}");
    }
}

#[tokio::test]
async fn both_acknowledgements_may_come_at_once() {
    let mut stage = Stage::new();
    stage.sends(message("ADT^A01", "1")).await;
    stage.arrives(&message("ADT^A01", "1")).await;

    stage.answers(ack("CA", "1") + &ack("AA", "1")).await;
    stage.comes_back(&(ack("CA", "1") + &ack("AA", "1"))).await;
    stage.end.drain();

    let (_, _, _, said) = stage.over().await;
    assert!(said[1].starts_with("ADT 1 CAAA finished"), "{said:?}");
}
