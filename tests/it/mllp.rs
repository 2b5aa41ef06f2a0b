//! `protocol: mllp`: HL7 v2 messages, each judged, recorded, and paired with its acknowledgement.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::mesh::{Mesh, Running};
use crate::support::mllp::{
    Engine, PHI, ack, comes, content, exchange, frame, framed, message, message_from,
};
use crate::support::trail::Record;

/// What the trail says of a message, in a line.
fn hl7(record: &Record) -> String {
    let text = |path: &str| record.text(&format!("myelin.hl7.{path}")).to_owned();
    format!(
        "{} {} {} {}/{} {}",
        record.action(),
        record.reason(),
        text("type"),
        text("sending.application"),
        text("receiving.facility"),
        text("acknowledgement")
    )
}

/// The trails, the denials and the metrics of a sidecar have nothing of the patient.
async fn nothing_of_the_patient(sidecar: &Running) {
    let said = [
        sidecar.trail().text(),
        sidecar.page("/denials").await.body,
        sidecar.page("/metrics").await.body,
        sidecar.page("/status").await.body,
    ]
    .concat();
    for token in PHI {
        assert!(!said.contains(token), "{token} is in\n{said}");
    }
}

#[tokio::test]
async fn a_message_goes_through_a_pair_and_is_on_record_on_both_sides() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let ehr = mesh.inbound("ehr").allow("lab").mllp().phi().forward(engine.target()).start().await;
    let lab = mesh.outbound("lab").allow("ehr").mllp().phi().to(ehr.address()).start().await;

    let mut sender = TcpStream::connect(lab.address()).await.unwrap();
    exchange(&mut sender, "ADT^A01^ADT_A01", "1").await;
    exchange(&mut sender, "ORU^R01", "2").await;
    drop(sender);

    assert_eq!(
        engine.received(),
        [content("LIS", "ADT^A01^ADT_A01", "1"), content("LIS", "ORU^R01", "2")]
    );
    let mut connections = Vec::new();
    for sidecar in [&ehr, &lab] {
        let allowed = sidecar.trail().wait_for("message-allowed", 2).await;
        let completed = sidecar.trail().wait_for("message-completed", 2).await;
        assert_eq!(hl7(&allowed[0]), "message-allowed  ADT^A01 LIS/WARD 3 ");
        assert_eq!(hl7(&completed[0]), "message-completed finished ADT^A01 LIS/WARD 3 AA");
        assert_eq!(hl7(&completed[1]), "message-completed finished ORU^R01 LIS/WARD 3 AA");
        assert_eq!(allowed[1].number("myelin.hl7.number"), 2);
        assert_eq!(allowed[0].text("myelin.hl7.version"), "2.5.1");
        assert_eq!(allowed[0].text("myelin.hl7.processing_id"), "P");
        assert_eq!(*allowed[0].field("myelin.hl7.control_id"), serde_json::Value::Null);
        let is_receiver = std::ptr::eq(sidecar, &raw const ehr);
        let from = if is_receiver { "peer" } else { "workload" };
        assert_eq!(allowed[0].text("myelin.hl7.from"), from);
        let sent = message("ADT^A01^ADT_A01", "1").len() as u64;
        assert_eq!(completed[0].number("source.bytes"), sent);
        assert_eq!(completed[0].number("destination.bytes"), ack("AA", "1").len() as u64);
        assert!(completed[0].number("event.duration") > 0);
        assert_eq!(completed[0].text("event.outcome"), "success");
        connections.push(allowed[0].connection().to_owned());
        nothing_of_the_patient(sidecar).await;
        let name = if is_receiver { "ehr" } else { "lab" };
        let labels = [("listener", name), ("kind", "ADT"), ("decision", "allowed")];
        sidecar.metric_is("myelin_messages_total", &labels, 1.0).await;
        let labels = [("listener", name), ("code", "AA")];
        sidecar.metric_is("myelin_acknowledgements_total", &labels, 2.0).await;
        sidecar.ended("finished", 1.0).await;
    }
    assert_eq!(connections[0], connections[1]);
}

#[tokio::test]
async fn a_type_that_no_rule_has_is_denied_and_the_sender_keeps_its_message() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let rules = "messages: [ \"ADT^*\", { name: results, types: [\"ORU^R01\"], allow: [other] } ]";
    let setup = mesh.inbound("ehr").allow("lab").allow("other").mllp().phi().with(rules);
    let ehr = setup.forward(engine.target()).start().await;

    for (count, (kind, reason, differs, rule)) in [
        ("ORM^O01", "no_message_rule", "message_type", "ehr"),
        ("ORU^R01", "not_listed_for_message", "peer", "ehr/results"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut lab = mesh.connect("lab", &ehr).await;
        exchange(&mut lab.stream, "ADT^A08", "1").await;
        lab.send(message(kind, "2") + &message("ADT^A01", "3")).await;

        assert_eq!(lab.rest().await, b"", "{kind}: no acknowledgement, and an orderly end");
        let denied = ehr.trail().wait_for("message-denied", count + 1).await.remove(count);
        assert_eq!(denied.reason(), reason);
        assert!(denied.text("myelin.hl7.type") == kind, "{denied:#?}");
        assert_eq!(denied.text("myelin.differs"), differs);
        assert!(denied.text("rule.name").starts_with(rule), "{denied:#?}");
        assert!(!denied.text("myelin.nearest").is_empty());
        assert_eq!(denied.text("myelin.peer"), "lab");
        let labels = [("listener", "ehr"), ("reason", reason)];
        ehr.metric_is("myelin_connections_denied_total", &labels, 1.0).await;
    }
    ehr.ended("denied", 2.0).await;
    let labels = [("listener", "ehr"), ("kind", "ORM"), ("decision", "denied")];
    ehr.metric_is("myelin_messages_total", &labels, 1.0).await;
    assert_eq!(engine.received(), [content("LIS", "ADT^A08", "1"), content("LIS", "ADT^A08", "1")]);
    nothing_of_the_patient(&ehr).await;
}

#[tokio::test]
async fn a_denied_message_may_be_rejected_and_then_the_connection_goes_on() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().with("messages: [ \"ADT^*\" ]");
    let ehr = setup.with("on_denied: nack").forward(engine.target()).start().await;
    let mut lab = mesh.connect("lab", &ehr).await;

    lab.send(message("ORU^R01", "1")).await;
    let rejection = frame(&mut lab.stream).await;
    exchange(&mut lab.stream, "ADT^A01", "2").await;

    let fields: Vec<_> = rejection.split('|').collect();
    assert_eq!(fields[..6], ["MSH", "^~\\&", "EHR", "WARD 3", "LIS", "MAIN"], "{rejection}");
    assert_eq!((fields[6].len(), fields[7], fields[8]), (14, "", "ACK^R01^ACK"), "{rejection}");
    assert_eq!(fields[10..], ["P", "2.5.1\rMSA", "AR", "PHIMRN1\r"], "{rejection}");
    assert_eq!(engine.received(), [content("LIS", "ADT^A01", "2")]);
    assert_eq!(ehr.trail().only("message-denied").await.reason(), "no_message_rule");
    ehr.trail().only("message-completed").await;
}

#[tokio::test]
async fn a_sender_that_a_message_names_is_bound_to_the_peer() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let senders =
        "senders: [ { application: LIS, allow: [lab] }, { application: PACS, allow: [other] } ]";
    let setup = mesh.inbound("ehr").allow("lab").allow("other").mllp().with(senders);
    let ehr = setup.forward(engine.target()).start().await;

    let mut lab = mesh.connect("lab", &ehr).await;
    exchange(&mut lab.stream, "ADT^A01", "1").await;
    lab.send(message_from("PACS^1.2.3^ISO", "ADT^A01", "2")).await;

    assert_eq!(lab.rest().await, b"");
    let denied = ehr.trail().only("message-denied").await;
    assert_eq!(denied.reason(), "unknown_sender");
    assert_eq!(engine.received().len(), 1);
}

#[tokio::test]
async fn another_message_in_the_same_frame_does_not_pass_unjudged() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().with("messages: [ \"ADT^*\" ]");
    let ehr = setup.forward(engine.target()).start().await;
    let adt = content("LIS", "ADT^A01", "1");

    for between in ["", "\n", "\r\n", "\x0c", "BTS|1\r"] {
        let mut lab = mesh.connect("lab", &ehr).await;
        lab.send(framed(&format!("{adt}{between}{}", content("LIS", "ORU^R01", "2")))).await;
        assert_eq!(lab.rest().await, b"", "{between:?}");
    }

    let denied = ehr.trail().wait_for("message-denied", 5).await;
    assert!(denied.iter().all(|denied| denied.text("myelin.hl7.type") == "ORU^R01"), "{denied:#?}");
    assert_eq!(denied[0].field("myelin.hl7.batch"), true);
    assert_eq!(engine.received(), Vec::<String>::new(), "half a frame is no message");
}

#[tokio::test]
async fn a_batch_passes_where_all_of_its_messages_may() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().with("messages: [ \"ADT^*\" ]");
    let ehr = setup.forward(engine.target()).start().await;
    let (first, second) = (content("LIS", "ADT^A01", "1"), content("LIS", "ADT^A08", "2"));
    let batch = format!("FHS|^~\\&|LIS|MAIN\rBHS|^~\\&|LIS|MAIN\r{first}{second}BTS|2\rFTS|1\r");

    let mut lab = mesh.connect("lab", &ehr).await;
    lab.send(framed(&batch)).await;
    lab.receive(10).await;

    assert_eq!(engine.received(), [batch]);
    let allowed = ehr.trail().wait_for("message-allowed", 2).await;
    let types: Vec<_> = allowed.iter().map(|allowed| allowed.text("myelin.hl7.type")).collect();
    assert_eq!(types, ["ADT^A01", "ADT^A08"]);
    assert_eq!(allowed[0].field("myelin.hl7.batch"), true);
    let completed = ehr.trail().wait_for("message-completed", 2).await;
    assert_eq!(hl7(&completed[0]), "message-completed finished ADT^A01 LIS/WARD 3 AA");
    assert_eq!(hl7(&completed[1]), "message-completed finished ADT^A08 LIS/WARD 3 AA");
    assert_eq!(completed[1].number("myelin.hl7.messages"), 1);
}

#[tokio::test]
async fn a_large_batch_of_one_type_is_recorded_once_and_counted_in_full() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().with("messages: [ \"ADT^*\" ]");
    let ehr = setup.forward(engine.target()).start().await;
    let batch = content("LIS", "ADT^A01", "1").repeat(2_000);

    let mut lab = mesh.connect("lab", &ehr).await;
    lab.send(framed(&batch)).await;
    lab.receive(10).await;

    assert_eq!(engine.received(), [batch]);
    let completed = ehr.trail().only("message-completed").await;
    assert_eq!(completed.field("myelin.hl7.batch"), true);
    assert_eq!(completed.number("myelin.hl7.messages"), 2_000);
    assert_eq!(ehr.trail().all("message-allowed").len(), 1);
    let labels = [("kind", "ADT"), ("decision", "allowed")];
    ehr.metric_is("myelin_messages_total", &labels, 2_000.0).await;
}

#[tokio::test]
async fn what_is_no_hl7_is_denied() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let ehr = mesh.inbound("ehr").allow("lab").mllp().forward(engine.target()).start().await;

    for words in [
        framed("<ClinicalDocument>PHIDOE</ClinicalDocument>"),
        "GET /PHI4711 HTTP/1.1\r\nHost: ehr.hospital.example\r\nUser-Agent: something-long/1.0\r\n\r\n".into(),
        content("LIS", "ADT^A01", "1"),
        format!("{}{}", &message("ADT^A01", "1")[..80], "x".repeat(3)).replace("MSH", "PID"),
    ] {
        let mut lab = mesh.connect("lab", &ehr).await;
        lab.send(&words).await;
        assert_eq!(lab.rest().await, b"", "{words:?}");
    }

    let denied = ehr.trail().wait_for("message-denied", 4).await;
    for denied in &denied {
        assert_eq!(denied.reason(), "malformed_request");
        assert!(!denied.text("message").is_empty());
    }
    assert_eq!(engine.received(), Vec::<String>::new());
    ehr.ended("protocol_error", 4.0).await;
    nothing_of_the_patient(&ehr).await;
}

#[tokio::test]
async fn fifty_megabytes_go_through_a_pair_in_one_message() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let ehr = mesh.inbound("ehr").allow("lab").mllp().phi().forward(engine.target()).start().await;
    let lab = mesh.outbound("lab").allow("ehr").mllp().to(ehr.address()).start().await;
    let document = "JVBERi0xLjcKMSBN".repeat(50 << 16);
    let large = content("LIS", "MDM^T02", "1")
        + "OBX|1|ED|PDF||^application^pdf^Base64^"
        + &document
        + "\r";

    let mut sender = TcpStream::connect(lab.address()).await.unwrap();
    sender.write_all(framed(&large).as_bytes()).await.unwrap();
    comes(&mut sender, &ack("AA", "1")).await;

    assert!(engine.received() == [large.clone()], "not what was sent");
    let completed = ehr.trail().only("message-completed").await;
    assert_eq!(completed.number("source.bytes"), large.len() as u64 + 3);
}

#[tokio::test]
async fn a_check_that_connects_and_leaves_is_no_denial() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let ehr = mesh.inbound("ehr").allow("lab").mllp().phi().forward(engine.target()).start().await;

    let mut lab = mesh.connect("lab", &ehr).await;
    lab.end().await;
    assert_eq!(lab.rest().await, b"");

    ehr.ended("finished", 1.0).await;
    let actions: Vec<_> = ehr.trail().records().iter().map(|r| r.action().to_owned()).collect();
    assert!(
        !actions.iter().any(|action| action.starts_with("message-") || action.ends_with("denied")),
        "{actions:?}"
    );
}

#[tokio::test]
async fn a_workload_that_is_not_there_acknowledges_nothing() {
    let mesh = Mesh::new();
    let ehr = mesh.inbound("ehr").allow("lab").mllp().phi().start().await;
    let lab = mesh.outbound("lab").allow("ehr").mllp().to(ehr.address()).start().await;

    let mut sender = TcpStream::connect(lab.address()).await.unwrap();
    let _gone_before = sender.write_all(message("ADT^A01", "1").as_bytes()).await;
    let mut answer = Vec::new();
    let _reset = sender.read_to_end(&mut answer).await;

    assert_eq!(answer, b"");
    ehr.ended("upstream_unreachable", 1.0).await;
    assert_eq!(ehr.trail().all("message-allowed"), []);
}

#[tokio::test]
async fn a_message_that_is_not_acknowledged_is_recorded_as_such() {
    let mesh = Mesh::new();
    let engine = Engine::that_closes().await;
    let ehr = mesh.inbound("ehr").allow("lab").mllp().phi().forward(engine.target()).start().await;

    let mut lab = mesh.connect("lab", &ehr).await;
    lab.send(message("ADT^A01", "1")).await;
    assert_eq!(lab.rest().await, b"");

    let completed = ehr.trail().only("message-completed").await;
    assert_eq!(completed.reason(), "upstream_lost");
    assert_eq!(completed.text("event.outcome"), "failure");
    assert_eq!(completed.field("myelin.hl7.acknowledgement"), &serde_json::Value::Null);
    ehr.metric_is("myelin_acknowledgements_total", &[("code", "none")], 1.0).await;
}

#[tokio::test]
async fn what_would_be_denied_passes_while_policy_is_observed_and_is_told_of() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().with("messages: [ \"ADT^*\" ]");
    let until = time::OffsetDateTime::now_utc() + time::Duration::days(2);
    let setup = setup.with("enforce: false").with(&format!("until: {}", until.date()));
    let ehr = setup.forward(engine.target()).start().await;

    let mut lab = mesh.connect("lab", &ehr).await;
    exchange(&mut lab.stream, "ORU^R01", "1").await;

    let allowed = ehr.trail().only("message-allowed").await;
    assert_eq!(allowed.text("myelin.would_deny"), "no_message_rule");
    assert!(!allowed.text("myelin.nearest").is_empty());
    ehr.metric_is("myelin_would_deny_total", &[("reason", "no_message_rule")], 1.0).await;
}

#[tokio::test]
async fn what_the_workload_says_by_itself_is_on_record_too() {
    let mesh = Mesh::new();
    let asks = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = asks.local_addr().unwrap().to_string();
    let ehr = mesh.inbound("ehr").allow("lab").mllp().phi().forward(&target).start().await;
    let mut lab = mesh.connect("lab", &ehr).await;
    let (mut workload, _) = asks.accept().await.unwrap();

    workload.write_all(message("ORU^R01", "9").as_bytes()).await.unwrap();
    comes(&mut lab.stream, &message("ORU^R01", "9")).await;
    lab.send(ack("AE", "9")).await;
    comes(&mut workload, &ack("AE", "9")).await;

    let allowed = ehr.trail().only("message-allowed").await;
    assert_eq!(hl7(&allowed), "message-allowed  ORU^R01 LIS/WARD 3 ");
    assert_eq!(allowed.text("myelin.hl7.from"), "workload");
    let completed = ehr.trail().only("message-completed").await;
    assert_eq!(hl7(&completed), "message-completed finished ORU^R01 LIS/WARD 3 AE");
    assert_eq!(completed.text("event.outcome"), "failure");
    assert_eq!(completed.number("destination.bytes"), message("ORU^R01", "9").len() as u64);
}
