//! Who sends, by what a message says of itself: what receivers may read in two ways passes as nobody's.

use crate::support::mesh::{Mesh, Running};
use crate::support::mllp::{Engine, exchange, message, message_from};

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
