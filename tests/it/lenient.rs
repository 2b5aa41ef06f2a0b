//! `mode: permissive` and `enforce: false` for HL7 messages and DICOM associations.

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::dicom::{asks, storescp, tls};
use crate::support::lenient::{FAR, SOON};
use crate::support::mesh::Mesh;
use crate::support::mllp::{Engine, ack, comes, exchange, message};
use crate::support::until;

/// Nothing comes any more.
async fn ends(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut rest = Vec::new();
    let _reset = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "{:?} came", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn messages_come_in_plaintext_and_over_tls_to_one_port() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().forward(engine.target());
    let ehr = setup.permissive(FAR).start().await;

    exchange(&mut TcpStream::connect(ehr.address()).await.unwrap(), "ADT^A01", "1").await;
    exchange(&mut mesh.connect("lab", &ehr).await.stream, "ADT^A01", "2").await;

    let allowed = ehr.trail().wait_for("message-allowed", 2).await;
    assert_eq!(allowed[0].field("myelin.plaintext"), &json!(true));
    assert!(allowed[0].field("myelin.peer").is_null());
    assert_eq!(allowed[1].text("myelin.peer"), "lab");
    assert!(allowed[1].field("myelin.plaintext").is_null());
}

#[tokio::test]
async fn a_message_in_plaintext_gets_its_acknowledgement_when_the_date_passes_meanwhile() {
    let mesh = Mesh::new();
    let engine = Engine::held_back().await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().forward(engine.target());
    let ehr = setup.clone().permissive(FAR).start().await;
    let mut old = TcpStream::connect(ehr.address()).await.unwrap();
    old.write_all(message("ADT^A01", "1").as_bytes()).await.unwrap();
    until("the message to arrive", || engine.received().len() == 1).await;
    ehr.turns_strict(&setup.permissive(SOON)).await;

    let withdrawn = ehr.trail().only("connection-withdrawn").await;
    engine.may_answer();

    assert_eq!(withdrawn.reason(), "not_tls");
    comes(&mut old, &ack("AA", "1")).await;
    ends(&mut old).await;
    assert_eq!(ehr.trail().only("connection-closed").await.reason(), "withdrawn");
}

#[tokio::test]
async fn a_message_that_no_rule_takes_goes_through_until_the_date_and_is_denied_from_then_on() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().with("messages: [ \"ORU^*\" ]");
    let setup = setup.forward(engine.target());
    let ehr = setup.clone().observing(FAR).start().await;
    let mut lab = mesh.connect("lab", &ehr).await;

    exchange(&mut lab.stream, "ORU^R01", "1").await;
    exchange(&mut lab.stream, "ADT^A01", "2").await;
    let allowed = ehr.trail().only("message-allowed").await; // of the other nothing is to be told
    let status = ehr.strictness().await;
    ehr.turns_strict(&setup.observing(SOON)).await;
    lab.send(message("ADT^A01", "3")).await;

    ends(&mut lab.stream).await;
    assert_eq!(allowed.text("myelin.would_deny"), "no_message_rule");
    assert_eq!(allowed.text("myelin.differs"), "message_type");
    assert_eq!(status["would_deny"]["count"], 1);
    let denied = ehr.trail().only("message-denied").await;
    assert_eq!(denied.reason(), "no_message_rule");
    assert_eq!(denied.text("rule.reference"), allowed.text("rule.reference"));
    assert_eq!(engine.received().len(), 2);
    let labels = [("listener", "ehr"), ("reason", "no_message_rule")];
    ehr.metric_is("myelin_would_deny_total", &labels, 1.0).await;
}

#[tokio::test]
async fn associations_come_in_plaintext_and_over_tls_to_one_port() {
    let (mesh, store) = (Mesh::new(), TempDir::new().unwrap());
    let (_scp, target) = storescp(store.path(), &[]).await;
    let setup = mesh.inbound("pacs").allow("ct").dicom().phi().forward(&target);
    let pacs = setup.permissive(FAR).start().await;

    let plain = asks("echoscu", &pacs, &[], &[]).await;
    let ct = mesh.pem("ct");
    let options = tls(&ct);
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let encrypted = asks("echoscu", &pacs, &options, &[]).await;

    assert_eq!((plain.code, encrypted.code), (Some(0), Some(0)), "{plain:#?} {encrypted:#?}");
    let allowed = pacs.trail().wait_for("association-allowed", 2).await;
    assert_eq!(allowed[0].field("myelin.plaintext"), &json!(true));
    assert_eq!(allowed[1].text("myelin.peer"), "ct");
}

#[tokio::test]
async fn an_association_that_no_rule_takes_goes_through_while_policy_is_observed() {
    let (mesh, store) = (Mesh::new(), TempDir::new().unwrap());
    let (_scp, target) = storescp(store.path(), &[]).await;
    let setup = mesh.inbound("pacs").allow("ct").dicom().forward(&target);
    let rules =
        "associations: [ { name: archive, calling_ae: CT9, called_ae: PACS, allow: [ct] } ]";
    let pacs = setup.with(rules).observing(FAR).start().await;
    let ct = mesh.pem("ct");
    let options = tls(&ct);
    let options: Vec<_> = options.iter().map(String::as_str).collect();

    let said = asks("echoscu", &pacs, &options, &[]).await;

    assert_eq!(said.code, Some(0), "{}", said.all());
    let allowed = pacs.trail().only("association-allowed").await;
    assert_eq!(allowed.text("myelin.would_deny"), "no_association_rule");
    assert_eq!(allowed.text("myelin.differs"), "calling_ae");
    assert!(allowed.text("myelin.nearest").contains("`archive`"), "{allowed:#?}");
    assert_eq!(pacs.shown("/observed").await.len(), 1);
}
