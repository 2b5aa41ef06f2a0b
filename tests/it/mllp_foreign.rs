//! MLLP with programs that nobody here wrote: python-hl7 as client and server, its `mllp_send`, and hl7apy.

use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::lenient::FAR;
use crate::support::mesh::{Mesh, Running};
use crate::support::mllp::{Engine, PHI, content, exchange, framed};
use crate::support::node;
use crate::support::process::{Process, needs, run};
use crate::support::python::{finishes, peer, serves};
use crate::support::trail::Record;

/// python-hl7's server behind a pair of sidecars that let `ADT` and `ORU^R01` through.
async fn pair(kind: &str, package: &str) -> (Mesh, Process, Running, Running) {
    let (mesh, (server, _), ehr, lab) = behind(kind, package).await;
    (mesh, server, ehr, lab)
}

/// The same, with the server's own address.
async fn behind(kind: &str, package: &str) -> (Mesh, (Process, String), Running, Running) {
    let mesh = Mesh::new();
    let (server, target) = serves(peer("mllp_peer", package, &[kind])).await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().forward(&target);
    let ehr = setup.with("messages: [ \"ADT^*\", \"ORU^R01\" ]").start().await;
    let lab = mesh.outbound("lab").allow("ehr").mllp().phi().to(ehr.address()).start().await;
    (mesh, (server, target), ehr, lab)
}

#[tokio::test]
async fn python_hl7_talks_to_itself_through_a_pair() {
    let (_mesh, mut server, ehr, lab) = pair("server", "hl7").await;
    let port = lab.address().port().to_string();

    let types = ["ADT^A01^ADT_A01", "ORU^R01", "ORM^O01", "ADT^A08"];
    let args = ["client", &port].into_iter().chain(types).collect::<Vec<_>>();
    let said = finishes(peer("mllp_peer", "hl7", &args)).await;

    assert_eq!(said.stdout, "answer MSA|AA|PHIMRN0\nanswer MSA|AA|PHIMRN1\nclosed\n");
    let output = server.says("received ORU^R01").await;
    assert!(!output.contains("ORM"), "{output}");
    assert_eq!(ehr.trail().only("message-denied").await.text("myelin.hl7.type"), "ORM^O01");
    assert_eq!(ehr.trail().wait_for("message-completed", 2).await.len(), 2);
    let trail = ehr.trail().text() + &lab.trail().text();
    assert!(PHI.iter().all(|token| !trail.contains(token)), "{trail}");
}

#[tokio::test]
async fn python_hl7_with_tls_of_its_own_talks_to_one_sidecar() {
    let mesh = Mesh::new();
    let (_server, target) = serves(peer("mllp_peer", "hl7", &["server"])).await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().forward(&target);
    let ehr = setup.with("messages: [ \"ADT^*\" ]").start().await;
    let identity = mesh.pem("lab");
    let path = |path: std::path::PathBuf| path.display().to_string();
    let (cert, key, ca) =
        (path(identity.cert()), path(identity.key()), path(identity.trust_bundle()));

    let port = ehr.address().port().to_string();
    let args = ["tls", &port, "ehr", &cert, &key, &ca, "ADT^A01", "ADT^A31", "ORU^R01"];
    let said = finishes(peer("mllp_peer", "hl7", &args)).await;

    assert_eq!(said.stdout, "answer MSA|AA|PHIMRN0\nanswer MSA|AA|PHIMRN1\nclosed\n");
    ehr.ended("denied", 1.0).await;
}

#[tokio::test]
async fn python_hl7_in_plaintext_may_send_what_some_rule_lets_somebody_send() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().with("messages: [ \"ADT^*\" ]");
    let ehr = setup.permissive(FAR).forward(engine.target()).start().await;
    let mut lab = mesh.connect("lab", &ehr).await;
    exchange(&mut lab.stream, "ADT^A01", "9").await;

    let port = ehr.address().port().to_string();
    let said = finishes(peer("mllp_peer", "hl7", &["client", &port, "ADT^A08", "ORU^R01"])).await;

    assert_eq!(said.stdout, "answer MSA|AA|PHIMRN0|PHIDOE is welcome\nclosed\n");
    let allowed = ehr.trail().wait_for("message-allowed", 2).await;
    assert!(allowed[0].field("myelin.plaintext").is_null(), "{allowed:#?}");
    assert_eq!(allowed[1].field("myelin.plaintext"), true);
    assert_eq!(allowed[1].text("myelin.hl7.type"), "ADT^A08");
    let denied = ehr.trail().only("message-denied").await;
    assert_eq!((denied.reason(), denied.text("myelin.peer")), ("no_message_rule", ""));
    assert_eq!(denied.field("myelin.plaintext"), true);
    let listener = [("listener", "ehr")];
    ehr.metric_is("myelin_plaintext_connections_total", &listener, 1.0).await;
    assert_eq!(engine.received().len(), 2);
}

#[tokio::test]
async fn a_server_that_closes_after_each_message_gets_a_connection_for_each() {
    let (_mesh, mut server, ehr, lab) = pair("once", "hl7apy").await;
    let port = lab.address().port().to_string();

    for _ in 0..3 {
        let said = finishes(peer("mllp_peer", "hl7", &["client", &port, "ADT^A01"])).await;
        assert_eq!(said.stdout, "answer MSA|AA|PHIMRN0\n");
    }

    server.says("received PHIMRN0").await;
    ehr.ended("finished", 3.0).await;
    let completed = ehr.trail().wait_for("message-completed", 3).await;
    assert!(completed.iter().all(|c| c.text("myelin.hl7.acknowledgement") == "AA"));
}

/// Sends a frame, and reads to the first answer's end, or the connection's.
async fn sends(address: impl tokio::net::ToSocketAddrs, frame: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(frame.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\x1c\r") {
        let mut piece = [0; 512];
        match stream.read(&mut piece).await {
            Ok(count) if count > 0 => answer.extend_from_slice(&piece[..count]),
            Ok(_) | Err(_) => break,
        }
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn python_hl7_sees_a_message_behind_a_blank_of_unicode_and_the_sidecar_does_too() {
    for blank in ["\u{a0}", "\u{85}", "\u{3000}"] {
        let (_mesh, (mut server, target), ehr, lab) = behind("batches", "hl7").await;
        let [allowed, other] = ["ADT^A01", "ORM^O01"].map(|kind| content("LIS", kind, "1"));
        let hidden = framed(&format!("{allowed}{blank}{other}"));

        let answer = sends(lab.address(), &hidden).await;
        assert_eq!(answer, "", "{blank:?}");
        assert_eq!(ehr.trail().only("message-denied").await.text("myelin.hl7.type"), "ORM^O01");
        sends(lab.address(), &framed(&allowed.replace("A01", "A08"))).await;
        let received = server.says("received ADT^A08").await;
        assert!(!received.contains("ORM"), "{received}");

        // Without sidecars it gets there, which is what this is about.
        sends(&target, &hidden).await;
        server.says("received ORM^O01").await;
    }
}

/// Medplum's interface engine, a program of Node.
fn medplum(args: &[&str]) -> Command {
    node::peer("medplum", args)
}

#[tokio::test]
async fn medplum_sends_many_at_once_and_gets_both_acknowledgements_of_each() {
    let mesh = Mesh::new();
    let (_server, target) = serves(medplum(&["server", "enhanced"])).await;
    let ehr = mesh.inbound("ehr").allow("lab").mllp().phi().forward(&target).start().await;
    let lab = mesh.outbound("lab").allow("ehr").mllp().to(ehr.address()).start().await;

    let port = lab.address().port().to_string();
    let said = finishes(medplum(&["client", &port, "20"])).await;

    let answers: String = (0..20).map(|number| format!("answer AA PHIMRN{number}\n")).collect();
    assert_eq!(said.stdout, answers);
    let completed = ehr.trail().wait_for("message-completed", 20).await;
    let is_paired = |c: &Record| {
        let accepted = c.text("myelin.hl7.accept_acknowledgement.code");
        let after = c.number("myelin.hl7.accept_acknowledgement.duration");
        c.text("myelin.hl7.acknowledgement") == "AA"
            && accepted == "CA"
            && (1..=c.number("event.duration")).contains(&after)
    };
    assert!(completed.iter().all(is_paired), "{completed:#?}");
    ehr.ended("finished", 1.0).await;
}

#[tokio::test]
async fn mllp_send_sends_a_file_of_messages_with_all_kinds_of_line_ends() {
    let (mesh, mut server, ehr, lab) = pair("server", "hl7").await;
    let file = mesh.dir().join("messages.hl7");
    let messages: String = ["ADT^A01", "ADT^A02", "ORU^R01"]
        .map(|kind| framed(&content("LIS", kind, kind).replace('\r', "\n")) + "\n")
        .concat();
    std::fs::write(&file, messages).unwrap();

    let mut command = Command::new(needs("mllp_send", "pip: hl7"));
    command.args(["--port", &lab.address().port().to_string(), "--file"]).arg(&file);
    let said = run(command.args(["--quiet", "127.0.0.1"]), "").await;

    assert_eq!(said.code, Some(0), "{}", said.stderr);
    server.says("received ORU^R01").await;
    assert_eq!(ehr.trail().wait_for("message-completed", 3).await.len(), 3);
}
