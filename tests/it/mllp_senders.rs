//! Who sends, by what a message says of itself: what receivers may read in two ways passes as nobody's.

use crate::support::mesh::{Mesh, Running};
use crate::support::mllp::{Engine, ack, comes, content, exchange, framed, message, message_from};

/// A workload for which `lab` may send everything but `ADT^A23`, and as everybody but `PACS`.
async fn with_rules_for_the_rest(mesh: &Mesh, engine: &Engine) -> Running {
    let messages = "messages: [ { name: delete, types: [\"ADT^A23\"], allow: [other] }, \"*\" ]";
    let senders =
        "senders: [ { application: PACS, allow: [other] }, { facility: MAIN, allow: [lab] } ]";
    let setup = mesh.inbound("ehr").allow("lab").allow("other").mllp().phi();
    setup.with(messages).with(senders).forward(engine.target()).start().await
}

#[tokio::test]
async fn a_type_or_a_sender_behind_an_escape_does_not_pass_as_one_of_the_rest() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let ehr = with_rules_for_the_rest(&mesh, &engine).await;

    for (count, (sent, reason, says)) in [
        (message("ADT^A\\X32\\3", "1"), "no_message_rule", "no code of HL7's form"),
        (message("ADT^A23&1", "1"), "no_message_rule", "no code of HL7's form"),
        (message_from("P\\X41\\CS", "ADT^A01", "1"), "unknown_sender", "escaped or divided"),
        (message_from("PACS~LIS", "ADT^A01", "1"), "unknown_sender", "escaped or divided"),
        (
            message_from("P!X41!CS", "ADT^A01", "1").replace("^~\\&", "^~!&"),
            "unknown_sender",
            "escaped or divided",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut lab = mesh.connect("lab", &ehr).await;
        exchange(&mut lab.stream, "ADT^A01", "0").await;
        lab.send(&sent).await;

        assert_eq!(lab.rest().await, b"", "{sent:?}");
        let denied = ehr.trail().wait_for("message-denied", count + 1).await.remove(count);
        assert_eq!(denied.reason(), reason, "{sent:?}");
        assert!(denied.text("myelin.nearest").contains(says), "{denied:#?}");
        assert_eq!(engine.received().len(), count + 1, "{sent:?} passed");
    }
}

#[tokio::test]
async fn a_batch_says_who_sends_and_must_say_what_the_peer_is_bound_to() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let senders =
        "senders: [ { application: LIS, allow: [lab] }, { application: PACS, allow: [other] } ]";
    let setup = mesh.inbound("ehr").allow("lab").allow("other").mllp().phi().with(senders);
    let ehr = setup.forward(engine.target()).start().await;
    let own = content("LIS", "ADT^A01", "1");
    let batch = |file: &str, batch: &str, last: &str| {
        let header = |name: &str, from: &str| format!("{name}|^~\\&|{from}|MAIN\r");
        let (file, batch, last) = (header("FHS", file), header("BHS", batch), header("BHS", last));
        framed(&format!("{file}{batch}{own}BTS|1\r{last}{own}BTS|1\rFTS|2\r"))
    };

    for (count, (sent, reason)) in [
        (batch("PACS", "LIS", "LIS"), "unknown_sender"),
        (batch("LIS", "PACS", "LIS"), "unknown_sender"),
        (batch("LIS", "LIS", "PACS"), "unknown_sender"),
        (batch("LIS", "LIS", "L\\X49\\S"), "unknown_sender"),
        (framed(&format!("{own}BHS of the throat\r{own}")), "unknown_sender"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut lab = mesh.connect("lab", &ehr).await;
        lab.send(&sent).await;

        assert_eq!(lab.rest().await, b"", "{sent:?}");
        let denied = ehr.trail().wait_for("message-denied", count + 1).await.remove(count);
        assert_eq!(denied.reason(), reason, "{sent:?}");
        assert_eq!(denied.field("myelin.hl7.batch"), true);
    }
    assert_eq!(engine.received(), Vec::<String>::new());

    let mut lab = mesh.connect("lab", &ehr).await;
    lab.send(batch("LIS^1.2.3^ISO", "LIS", "LIS")).await;
    comes(&mut lab.stream, "\x0b").await;
    assert_eq!(engine.received().len(), 1);
}

#[tokio::test]
async fn where_no_sender_is_bound_a_batch_and_a_text_may_begin_as_they_like() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().with("messages: [ \"ADT^*\" ]");
    let ehr = setup.forward(engine.target()).start().await;
    let own = content("LIS", "ADT^A01", "1") + "OBX|1|TX|||swab:\nBHS, group A\n";

    let mut lab = mesh.connect("lab", &ehr).await;
    lab.send(framed(&(own.clone() + "BHS|^~\\&|PACS\r" + &own))).await;

    comes(&mut lab.stream, &ack("AA", "1")).await;
    assert_eq!(engine.received().len(), 1);
}
