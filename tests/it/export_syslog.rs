//! The trail goes out by syslog: everything arrives, in order, whatever becomes of receivers and sidecars.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::eventually;
use crate::support::mesh::{Mesh, Setup};
use crate::support::outside::Outside;
use crate::support::process::run;
use crate::support::python::peer;
use crate::support::syslog::{Kind, Message, Receiver};
use crate::support::trail::Trail;
use crate::support::workload::{Kind as Serves, Workload};

/// A sidecar's setup whose trail goes to `port` of this machine. `more`: other keys of the export.
fn exports(mesh: &Mesh, workload: &Workload, port: u16, more: &str) -> Setup {
    let dir = mesh.dir().join("db/audit");
    mesh.inbound("db").allow("web").forward(workload.target()).phi().audit(&format!(
        "dir: {}, export: [{{ syslog: {{ name: arr, address: \"localhost:{port}\", {more} }} }}]",
        dir.display()
    ))
}

const JSON: &str = "format: json, confirm: 1s";

/// Some accesses, each with two records.
async fn accesses(mesh: &Mesh, db: &Outside, count: usize) {
    for _ in 0..count {
        mesh.connect("web", db).await.echoes("hello").await;
    }
}

fn last(trail: &Trail) -> u64 {
    trail.lines().last().unwrap().number("event.sequence")
}

/// What arrived, each record once: they came in order but for repetitions, which begin at an earlier one.
fn without_repetitions(messages: &[Message]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let new: Vec<_> = messages.iter().filter(|m| seen.insert(m.sequence())).collect();
    let numbers: Vec<_> = new.iter().map(|message| message.sequence()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    new.into_iter().map(|message| message.text.clone()).collect()
}

fn lines(trail: &Trail) -> Vec<String> {
    trail.text().lines().map(str::to_owned).collect()
}

async fn everything_arrives_once_and_as_it_is(kind: Kind) {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let receiver = Receiver::start(kind, &mesh.pem("localhost")).await;
    let db = exports(&mesh, &workload, receiver.port, JSON).start().await;

    accesses(&mesh, &db, 5).await;
    let trail = db.trail().clone();
    trail.wait_for("connection-closed", 5).await;
    db.stop().await;

    let messages = receiver.has(last(&trail)).await;
    let texts: Vec<_> = messages.iter().map(|message| message.text.clone()).collect();
    assert_eq!(texts, lines(&trail));
    let allowed = messages.iter().find(|message| message.id == "connection-allowed").unwrap();
    assert_eq!(allowed.pri, 13 * 8 + 5);
    assert!(messages.iter().any(|message| message.id == "checkpoint"));
}

#[tokio::test]
async fn everything_arrives_once_and_as_it_is_at_rsyslog_with_openssl() {
    everything_arrives_once_and_as_it_is(Kind::RsyslogOpenssl).await;
}

#[tokio::test]
async fn everything_arrives_once_and_as_it_is_at_rsyslog_with_gnutls() {
    everything_arrives_once_and_as_it_is(Kind::RsyslogGnutls).await;
}

#[tokio::test]
async fn everything_arrives_once_and_as_it_is_at_syslog_ng() {
    everything_arrives_once_and_as_it_is(Kind::SyslogNg).await;
}

async fn nothing_is_lost_while_it_goes_down_and_up(kind: Kind) {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let mut receiver = Receiver::start(kind, &mesh.pem("localhost")).await;
    // Nothing is confirmed by the time: what is sent again is all that was sent.
    let setup = exports(&mesh, &workload, receiver.port, "format: json, confirm: 1h");
    let db = setup.start().await;

    for round in 0..3 {
        accesses(&mesh, &db, 5).await;
        match round {
            0 => receiver.kill(),
            1 => receiver.stop(),
            _ => {
                // It takes what comes and reads none of it, and then it is gone.
                receiver.signal("STOP");
                accesses(&mesh, &db, 5).await;
                db.trail().wait_for("connection-closed", 20).await;
                receiver.kill();
            }
        }
        accesses(&mesh, &db, 5).await;
        receiver.up().await;
    }
    let trail = db.trail().clone();
    trail.wait_for("connection-closed", 35).await;
    // Without waiting for an attempt that may be seconds away, the last one is made at the end.
    db.stop().await;

    let messages = receiver.has(last(&trail)).await;
    assert_eq!(without_repetitions(&messages), lines(&trail));
}

#[tokio::test]
async fn nothing_is_lost_while_rsyslog_with_openssl_goes_down_and_up() {
    nothing_is_lost_while_it_goes_down_and_up(Kind::RsyslogOpenssl).await;
}

#[tokio::test]
async fn nothing_is_lost_while_rsyslog_with_gnutls_goes_down_and_up() {
    nothing_is_lost_while_it_goes_down_and_up(Kind::RsyslogGnutls).await;
}

#[tokio::test]
async fn nothing_is_lost_while_syslog_ng_goes_down_and_up() {
    nothing_is_lost_while_it_goes_down_and_up(Kind::SyslogNg).await;
}

#[tokio::test]
async fn nothing_is_lost_while_our_certificate_rotates_and_what_was_sent_before_is_confirmed() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let receiver = Receiver::start(Kind::RsyslogOpenssl, &mesh.pem("localhost")).await;
    let own = mesh.pem("db");
    // The rotation alone ends a connection.
    let setup = exports(&mesh, &workload, receiver.port, "format: json, confirm: 1h");
    let setup = setup.files(&own, &[]);
    let db = setup.start().await;

    for round in 1..=4 {
        accesses(&mesh, &db, 5).await;
        let closed = db.trail().wait_for("connection-closed", 10 * round - 5).await;
        let sent = closed.last().unwrap().number("event.sequence");
        receiver.has(sent).await;
        own.replace_with(&mesh.pem("db"));
        let (reloaded, ()) = tokio::join!(db.reload(&setup), accesses(&mesh, &db, 5));
        reloaded.unwrap();
        eventually("what was sent to be confirmed", || async {
            let status: Value = serde_json::from_str(&db.page("/status").await.body).unwrap();
            let delivered = status["audit"]["export"][0]["delivered"].as_u64().unwrap();
            (delivered >= sent).then_some(())
        })
        .await;
        db.trail().wait_for("connection-closed", 10 * round).await;
    }
    let trail = db.trail().clone();
    db.stop().await;

    let messages = receiver.has(last(&trail)).await;
    let texts: Vec<_> = messages.into_iter().map(|message| message.text).collect();
    assert_eq!(texts, lines(&trail));
}

#[tokio::test]
async fn a_restarted_sidecar_goes_on_where_it_was() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let receiver = Receiver::start(Kind::RsyslogOpenssl, &mesh.pem("localhost")).await;
    let setup = exports(&mesh, &workload, receiver.port, JSON);

    for _ in 0..3 {
        let db = setup.start().await;
        accesses(&mesh, &db, 2).await;
        db.stop().await;
    }

    let messages = receiver.has(last(&setup.trail())).await;
    let texts: Vec<_> = messages.into_iter().map(|message| message.text).collect();
    assert_eq!(texts, lines(&setup.trail()));
}

#[tokio::test]
async fn a_sidecar_that_is_killed_sends_again_what_it_did_not_know_to_be_delivered() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let receiver = Receiver::start(Kind::RsyslogOpenssl, &mesh.pem("localhost")).await;
    let setup = exports(&mesh, &workload, receiver.port, "format: json, confirm: 1h");

    let mut first = setup.spawn().await;
    accesses(&mesh, &first, 5).await;
    let closed = first.trail().wait_for("connection-closed", 5).await;
    receiver.has(closed[4].number("event.sequence")).await;
    first.process.stop("KILL");
    let second = setup.start().await;
    accesses(&mesh, &second, 1).await;
    second.stop().await;

    let messages = receiver.has(last(&setup.trail())).await;
    assert_eq!(without_repetitions(&messages), lines(&setup.trail()));
}

#[tokio::test]
async fn a_feed_of_failures_has_no_access_that_succeeded_and_all_checkpoints() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let receiver = Receiver::start(Kind::RsyslogOpenssl, &mesh.pem("localhost")).await;
    let more = format!("{JSON}, feed: failures");
    let db = exports(&mesh, &workload, receiver.port, &more).start().await;

    accesses(&mesh, &db, 3).await;
    mesh.connect("stranger", &db).await;
    let trail = db.trail().clone();
    trail.wait_for("connection-denied", 1).await;
    db.stop().await;

    let messages = receiver.has(last(&trail)).await;
    let arrived = |action| messages.iter().filter(|message| message.id == action).count();
    assert_eq!((arrived("connection-allowed"), arrived("connection-denied")), (0, 1));
    assert_eq!(arrived("checkpoint"), trail.all("checkpoint").len());
    assert_eq!(arrived("recording-stopped"), 1);
}

#[tokio::test]
async fn an_audit_record_repository_gets_messages_that_the_schemas_of_dicom_and_ipf_take() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let receiver = Receiver::start(Kind::RsyslogOpenssl, &mesh.pem("localhost")).await;
    let db = exports(&mesh, &workload, receiver.port, "format: atna").start().await;

    accesses(&mesh, &db, 1).await;
    mesh.connect("stranger", &db).await;
    let trail = db.trail().clone();
    trail.wait_for("connection-denied", 1).await;
    db.stop().await;

    let all = lines(&trail).len();
    crate::support::until("all messages to arrive", || receiver.messages().len() == all).await;
    let messages = receiver.messages();
    let failed = trail.lines().iter().filter(|r| r.text("event.outcome") == "failure").count();
    assert!(messages.iter().all(|message| message.id == "IHE+RFC-3881"), "{messages:#?}");
    assert_eq!(messages.iter().filter(|message| message.pri == 84).count(), failed);
    assert!(messages.iter().all(|message| message.text.len() < 8000), "{messages:#?}");
    let texts: String = messages.iter().map(|message| format!("{}\n", message.text)).collect();
    let said = run(&mut peer("forms_peer", "lxml, rnc2rng", &["atna"]), &texts).await;
    assert_eq!((said.code, said.stdout), (Some(0), format!("valid {all}\n")), "{}", said.stderr);
}
