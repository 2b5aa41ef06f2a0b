//! MLLP connections end between two messages: in a drain, and when their right is gone.

use myelin::shutdown::Drained;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::audit::SmallDisk;
use crate::support::admin::get;
use crate::support::client::connect;
use crate::support::mesh::Mesh;
use crate::support::mllp::{Engine, ack, comes, content, exchange, framed, message};
use crate::support::ward::{Ward, whatever_the_cause};
use crate::support::{eventually, until};

#[tokio::test]
async fn a_drain_waits_for_the_acknowledgement_of_a_message_in_flight() {
    let mesh = Mesh::new();
    let engine = Engine::held_back().await;
    let ehr = mesh.inbound("ehr").allow("lab").mllp().phi().forward(engine.target()).start().await;
    let mut lab = mesh.connect("lab", &ehr).await;
    lab.send(message("ADT^A01", "1")).await;
    until("the message", || engine.received().len() == 1).await;
    let (trail, admin) = (ehr.trail().clone(), ehr.admin);

    let stopping = tokio::spawn(ehr.stop());
    eventually("the drain", || async move {
        let ready = get(admin, "/ready").await;
        ready.map_or(Some(()), |answer| (answer.status != 200).then_some(()))
    })
    .await;
    engine.may_answer();
    comes(&mut lab.stream, &ack("AA", "1")).await;

    assert_eq!(stopping.await.unwrap(), Drained::Clean);
    assert_eq!(lab.rest().await, b"");
    assert_eq!(trail.only("message-completed").await.reason(), "finished");
}

#[tokio::test]
async fn a_drain_lets_a_message_that_has_begun_come_to_its_end() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let ehr = mesh.inbound("ehr").allow("lab").mllp().forward(engine.target()).start().await;
    let lab = mesh.outbound("lab").allow("ehr").mllp().to(ehr.address()).start().await;
    let mut sender = TcpStream::connect(lab.address()).await.unwrap();
    let sent = message("ADT^A01", "1");
    let (first, second) = sent.split_at(100);
    sender.write_all(first.as_bytes()).await.unwrap();
    until("the first part", || engine.begun() > 0).await;

    let stopping = tokio::spawn(async move { (lab.stop().await, ehr.stop().await) });
    tokio::task::yield_now().await;
    sender.write_all(second.as_bytes()).await.unwrap();
    comes(&mut sender, &ack("AA", "1")).await;

    assert_eq!(sender.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(stopping.await.unwrap(), (Drained::Clean, Drained::Clean));
    assert_eq!(engine.received(), [content("LIS", "ADT^A01", "1")]);
}

#[tokio::test]
async fn an_idle_connection_keeps_no_drain_waiting() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let ehr = mesh.inbound("ehr").allow("lab").mllp().forward(engine.target()).start().await;
    let lab = mesh.outbound("lab").allow("ehr").mllp().to(ehr.address()).start().await;
    let mut sender = TcpStream::connect(lab.address()).await.unwrap();
    exchange(&mut sender, "ADT^A01", "1").await;

    assert_eq!(lab.stop().await, Drained::Clean);

    assert_eq!(sender.read(&mut [0]).await.unwrap(), 0);
    ehr.ended("finished", 1.0).await;
}

#[tokio::test]
async fn a_message_that_is_never_acknowledged_is_cut() {
    let mesh = Mesh::new();
    let engine = Engine::held_back().await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().limits("drain_timeout: 200ms");
    let ehr = setup.forward(engine.target()).start().await;
    let mut lab = mesh.connect("lab", &ehr).await;
    lab.send(message("ADT^A01", "1")).await;
    until("the message", || engine.received().len() == 1).await;
    let trail = ehr.trail().clone();

    ehr.stop().await;

    let mut rest = Vec::new();
    let _reset = lab.stream.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
    assert_eq!(trail.only("message-completed").await.reason(), "cut");
}

#[tokio::test]
async fn a_peer_that_loses_its_right_gets_the_acknowledgement_of_what_it_had_sent_and_no_more() {
    whatever_the_cause(|cause| async move {
        let engine = Engine::held_back().await;
        let mut ward = Ward::inbound(cause, |setup| setup.mllp().phi().forward(engine.target()));
        let ehr = ward.start(|setup| setup).await;
        let mut lab = connect(&ward.lab, ehr.address(), "ehr").await.unwrap();
        lab.send(message("ADT^A01", "1")).await;
        until("the message", || engine.received().len() == 1).await;
        let mut web = connect(&ward.web(), ehr.address(), "ehr").await.unwrap();
        web.send(message("ADT^A01", "2")).await;
        until("the other message", || engine.received().len() == 2).await;

        let withdrawn = ward.strike(&ehr).await;
        lab.send(message("ADT^A01", "3")).await;
        engine.may_answer();
        engine.may_answer();

        comes(&mut lab.stream, &ack("AA", "1")).await;
        assert_eq!(lab.rest().await, b"");
        ward.is_over(&ehr, &withdrawn).await;
        comes(&mut web.stream, &ack("AA", "2")).await;
        assert_eq!(engine.received().len(), 2);
        ehr.ended("withdrawn", 1.0).await;
    })
    .await;
}

#[tokio::test]
async fn a_message_that_cannot_be_put_on_record_does_not_pass() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let disk = SmallDisk::new();
    let audit = format!("dir: {}", disk.trail().display());
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().with("on_denied: nack");
    let ehr = setup.forward(engine.target()).audit(&audit).start().await;
    let mut lab = mesh.connect("lab", &ehr).await;
    exchange(&mut lab.stream, "ADT^A01", "1").await;

    disk.fill();
    let mut passed = 1;
    loop {
        // What is left of the file's last page may take a record or two.
        lab.send(message("ADT^A01", "2")).await;
        let mut byte = [0];
        if lab.stream.read(&mut byte).await.unwrap() == 0 {
            break; // neither acknowledged nor rejected: the sender keeps it
        }
        comes(&mut lab.stream, &ack("AA", "2")[1..]).await;
        passed += 1;
        assert!(passed < 100, "the disk is full, and all passes");
    }

    assert_eq!(engine.received().len(), passed);
    let labels = [("listener", "ehr"), ("reason", "not_audited")];
    ehr.metric_is("myelin_connections_denied_total", &labels, 1.0).await;
}

#[tokio::test]
async fn more_than_a_peer_may_send_is_not_acknowledged() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let rules = "messages: [ { name: adt, types: [\"ADT^*\"], allow: [lab], limits: { rate: 2/h, burst: 2 } } ]";
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().with(rules).with("on_denied: nack");
    let ehr = setup.forward(engine.target()).start().await;
    let mut lab = mesh.connect("lab", &ehr).await;
    exchange(&mut lab.stream, "ADT^A01", "1").await;
    exchange(&mut lab.stream, "ADT^A01", "2").await;

    lab.send(message("ADT^A01", "3")).await;

    assert_eq!(lab.rest().await, b"", "a rejection would have the sender drop it");
    let denied = ehr.trail().only("message-denied").await;
    assert_eq!(denied.reason(), "rate_limit");
    assert_eq!(engine.received().len(), 2);
}

#[tokio::test]
async fn a_batch_larger_than_the_burst_is_charged_once_and_comes_whole() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let rules = "messages: [ { name: adt, types: [\"ADT^*\"], allow: [lab], limits: { rate: 2/h, burst: 2 } } ]";
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().with(rules);
    let ehr = setup.forward(engine.target()).start().await;
    let mut lab = mesh.connect("lab", &ehr).await;
    let batch = content("LIS", "ADT^A01", "1").repeat(5);

    for _ in 0..2 {
        lab.send(framed(&batch)).await;
        comes(&mut lab.stream, &ack("AA", "1")).await;
    }
    lab.send(framed(&batch)).await;

    assert_eq!(lab.rest().await, b"");
    assert_eq!(ehr.trail().only("message-denied").await.reason(), "rate_limit");
    assert_eq!(engine.received(), [batch.clone(), batch]);
}

#[tokio::test]
async fn a_limit_is_no_less_for_a_message_behind_another_in_its_frame() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let rules = "messages: [ \"ADT^*\", { name: results, types: [\"ORU^*\"], allow: [lab], \
                 limits: { rate: 1/h, burst: 1 } } ]";
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().with(rules);
    let ehr = setup.forward(engine.target()).start().await;
    let mut lab = mesh.connect("lab", &ehr).await;
    let result = content("LIS", "ORU^R01", "2").repeat(3);
    let batch = content("LIS", "ADT^A01", "1") + &result;

    lab.send(framed(&batch)).await;
    comes(&mut lab.stream, &ack("AA", "1")).await;
    lab.send(framed(&batch)).await;

    assert_eq!(lab.rest().await, b"");
    let denied = ehr.trail().only("message-denied").await;
    assert_eq!((denied.reason(), denied.text("rule.name")), ("rate_limit", "ehr/results"));
    assert_eq!(engine.received(), [batch]);
}

#[tokio::test]
async fn a_frame_has_no_more_messages_than_one_may_have() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().limits("batch_messages: 3");
    let ehr = setup.forward(engine.target()).start().await;
    let mut lab = mesh.connect("lab", &ehr).await;
    let message = content("LIS", "ADT^A01", "1");

    for _ in 0..2 {
        lab.send(framed(&message.repeat(3))).await;
        comes(&mut lab.stream, &ack("AA", "1")).await;
    }
    lab.send(framed(&message.repeat(4))).await;

    assert_eq!(lab.rest().await, b"");
    let denied = ehr.trail().only("message-denied").await;
    assert_eq!(denied.reason(), "batch_too_large");
    assert_eq!(
        denied.text("myelin.nearest"),
        "more than 3 messages in one frame: send smaller batches, or raise `limits.batch_messages`"
    );
    assert_eq!(engine.received().len(), 2);
    let labels = [("listener", "ehr"), ("reason", "batch_too_large")];
    ehr.metric_is("myelin_connections_denied_total", &labels, 1.0).await;
}
