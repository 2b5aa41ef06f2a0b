//! Exports whose receiver, trail or configuration is not as it should be: nothing goes to a stranger, nothing is
//! passed over in silence, and traffic goes on.

use crate::support::eventually;
use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::pki::{Ca, Identity};
use crate::support::process::free_port;
use crate::support::syslog::{Kind, Receiver};
use crate::support::workload::{Kind as Serves, Workload};

fn exports(mesh: &Mesh, workload: &Workload, port: u16, more: &str) -> Setup {
    let dir = mesh.dir().join("db/audit");
    mesh.inbound("db").allow("web").forward(workload.target()).phi().audit(&format!(
        "dir: {}, export: [{{ syslog: {{ address: \"localhost:{port}\", format: json, {more} }} }}]",
        dir.display()
    ))
}

/// Why the export fails, as `/status` says.
async fn why(db: &Running) -> String {
    eventually("the export to fail", || async {
        let status: serde_json::Value =
            serde_json::from_str(&db.page("/status").await.body).unwrap();
        status["audit"]["export"][0]["failing"]["why"].as_str().map(ToOwned::to_owned)
    })
    .await
}

async fn failures(db: &Running, reason: &str) -> f64 {
    let labels = [("exporter", "syslog"), ("reason", reason)];
    db.metric("myelin_audit_export_failures_total", &labels).await
}

#[tokio::test]
async fn an_export_that_reaches_nobody_is_in_nobodys_way_and_is_told() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let db = exports(&mesh, &workload, free_port(), "").start().await;

    mesh.connect("web", &db).await.echoes("hello").await;

    let why = why(&db).await;
    assert!(why.starts_with("cannot be connected to: Connection refused"), "{why}");
    let ready = db.page("/ready").await;
    assert_eq!((ready.status, ready.body.lines().next()), (200, Some("ready")));
    assert!(ready.body.contains("export syslog: cannot be connected to"), "{}", ready.body);
    assert!(failures(&db, "unreachable").await >= 1.0);
}

#[tokio::test]
async fn a_receiver_of_another_authority_or_name_gets_nothing() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    for (own, words) in [
        (Ca::new("Others").issue("localhost"), "UnknownIssuer"),
        (mesh.pem("elsewhere"), "the export is to go to localhost"),
    ] {
        let receiver = Receiver::start(Kind::RsyslogOpenssl, &own).await;
        let db = exports(&mesh, &workload, receiver.port, "").start().await;

        let why = why(&db).await;

        assert!(why.contains("TLS handshake") && why.contains(words), "{why}");
        assert!(failures(&db, "untrusted").await >= 1.0);
        db.stop().await;
        assert!(receiver.messages().is_empty());
    }
}

#[tokio::test]
async fn a_receiver_with_a_bundle_of_its_own_is_trusted_by_that() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let others = Ca::new("Others").issue("localhost");
    let ours = mesh.pem("db");
    // It presents a certificate of its own authority and takes ours.
    let own = Identity::new(
        &std::fs::read_to_string(others.cert()).unwrap(),
        &std::fs::read_to_string(others.key()).unwrap(),
        &std::fs::read_to_string(ours.trust_bundle()).unwrap(),
    );
    let receiver = Receiver::start(Kind::RsyslogOpenssl, &own).await;
    let bundle = format!("trust_bundle: {}", others.trust_bundle().display());

    let db = exports(&mesh, &workload, receiver.port, &bundle).start().await;

    receiver.has(1).await;
    db.stop().await;
}

#[tokio::test]
async fn a_receiver_that_does_not_take_our_certificate_is_told_apart() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let others = Ca::new("Others").issue("localhost");
    let receiver = Receiver::start(Kind::RsyslogOpenssl, &others).await;
    let bundle = format!("trust_bundle: {}", others.trust_bundle().display());

    let db = exports(&mesh, &workload, receiver.port, &bundle).start().await;

    let why = why(&db).await;
    assert!(why.contains("alert UnknownCA: it has to trust the authority of this"), "{why}");
    assert!(failures(&db, "refused").await >= 1.0);
    assert!(receiver.messages().is_empty());
}

#[tokio::test]
async fn a_trail_that_is_not_the_one_that_was_delivered_is_not_sent_before_somebody_has_decided() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let receiver = Receiver::start(Kind::RsyslogOpenssl, &mesh.pem("localhost")).await;
    let setup = exports(&mesh, &workload, receiver.port, "");
    setup.start().await.stop().await;
    let before = receiver.messages().len();
    let cursor = setup.trail().dir().join("export-syslog.cursor");
    let kept = std::fs::read(&cursor).unwrap();
    std::fs::remove_dir_all(setup.trail().dir()).unwrap();
    setup
        .clone()
        .audit(&format!("dir: {}", setup.trail().dir().display()))
        .start()
        .await
        .stop()
        .await;
    std::fs::write(&cursor, kept).unwrap();

    let db = setup.start().await;

    let why = why(&db).await;
    assert!(why.contains("is not the one that was delivered: this is another trail"), "{why}");
    assert!(why.contains(&format!("remove {}", cursor.display())), "{why}");
    assert!(failures(&db, "other_trail").await >= 1.0);
    db.stop().await;
    assert_eq!(receiver.messages().len(), before);
}

#[tokio::test]
async fn a_reload_adds_and_removes_exports() {
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Serves::Echo).await);
    let receiver = Receiver::start(Kind::RsyslogOpenssl, &mesh.pem("localhost")).await;
    let with = exports(&mesh, &workload, receiver.port, "");
    let without = with.clone().audit(&format!("dir: {}", with.trail().dir().display()));
    let db = without.start().await;

    db.reload(&with).await.unwrap();
    receiver.has(1).await;
    db.reload(&without).await.unwrap();

    let status = db.page("/status").await.body;
    assert!(status.contains("\"export\": []"), "{status}");
    let cursor = with.trail().dir().join("export-syslog.cursor");
    crate::support::until("the export to end", || cursor.exists()).await;
    db.stop().await;
}
