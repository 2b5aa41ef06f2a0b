//! The process from its start to its end: what it says, how it drains, how it exits.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::admin::get;
use crate::support::client::FirstRead;
use crate::support::eventually;
use crate::support::mesh::{Mesh, Setup, Spawned};
use crate::support::pki::spiffe;
use crate::support::process::Process;
use crate::support::trail::Record;
use crate::support::workload::{Kind, Workload};

/// A sidecar of its own process before an echo.
async fn echo(mesh: &Mesh, adjust: impl FnOnce(Setup) -> Setup) -> (Spawned, Workload) {
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    (adjust(setup).spawn().await, workload)
}

#[tokio::test]
async fn sigterm_lets_open_connections_finish_and_takes_no_new_ones() {
    let mesh = Mesh::new();
    let (mut db, _workload) = echo(&mesh, |setup| setup).await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("before").await;
    assert_eq!(db.page("/ready").await.status, 200);

    db.process.signal("TERM");
    db.process.says("draining").await;
    eventually("/ready to say so", || async {
        let ready = get(db.admin, "/ready").await.ok()?;
        (ready.status == 503 && ready.body.contains("draining")).then_some(())
    })
    .await;
    eventually("the port to be closed", || async {
        TcpStream::connect(db.address()).await.err().map(|_| ())
    })
    .await;
    assert_eq!(db.page("/live").await.status, 200);
    web.echoes("still here").await;
    web.end().await;
    web.rest().await;

    assert_eq!(db.process.ended().await.code(), Some(0));
    assert!(db.process.output().contains("everything had finished"));
    assert_eq!(db.trail().only("connection-closed").await.reason(), "finished");
    let records = db.trail().records();
    assert_eq!(records.first().unwrap().action(), "recording-started");
    assert_eq!(records.last().unwrap().action(), "recording-stopped");
}

#[tokio::test]
async fn the_start_and_the_end_of_a_process_are_on_record_and_a_kill_leaves_no_end() {
    let mesh = Mesh::new();
    let (mut db, _workload) = echo(&mesh, |setup| setup).await;
    let process = u64::from(db.worker());
    db.process.signal("TERM");
    db.process.ended().await;

    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for action in ["sidecar-started", "sidecar-stopped"] {
        let record = db.trail().only(action).await;
        assert_eq!(record.text("observer.hostname"), host.trim());
        assert_eq!(record.text("observer.version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(record.text("myelin.sidecar.identity"), spiffe("db"));
        assert_eq!(record.number("myelin.sidecar.process"), process);
    }
    let records = db.trail().records();
    let actions: Vec<_> = records.iter().map(Record::action).collect();
    assert_eq!(actions[..3], ["recording-started", "sidecar-started", "config-loaded"]);
    assert_eq!(actions[actions.len() - 2..], ["sidecar-stopped", "recording-stopped"]);

    let (mut db, _workload) = echo(&mesh, |setup| setup).await;
    // What nobody waits for is written a few milliseconds later: a kill would come before it.
    db.trail().wait_for("sidecar-started", 2).await;
    db.process.signal("KILL");
    db.process.ended().await;
    assert_eq!(db.trail().all("sidecar-stopped").len(), 1);
}

#[tokio::test]
async fn a_second_sigterm_cuts_at_once() {
    let mesh = Mesh::new();
    let (mut db, _workload) = echo(&mesh, |setup| setup).await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("before").await;

    db.process.signal("TERM");
    db.process.says("draining").await;
    assert!(db.process.is_running());
    let second = Instant::now();
    db.process.signal("TERM");

    assert_eq!(db.process.ended().await.code(), Some(0));
    assert!(second.elapsed() < Duration::from_secs(5), "{:?}", second.elapsed());
    assert!(!matches!(web.first_read().await, FirstRead::Bytes(_)));
    assert_eq!(db.trail().only("connection-closed").await.reason(), "cut");
    assert_eq!(db.trail().records().last().unwrap().action(), "recording-stopped");
}

#[tokio::test]
async fn what_does_not_finish_within_drain_timeout_is_cut() {
    let mesh = Mesh::new();
    let limits = "limits: { drain_timeout: 500ms }";
    let (mut db, _workload) = echo(&mesh, |setup| setup.file(limits)).await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("before").await;

    let begun = Instant::now();
    db.process.signal("TERM");

    assert_eq!(db.process.ended().await.code(), Some(0));
    assert!(begun.elapsed() >= Duration::from_millis(490), "{:?}", begun.elapsed());
    assert!(db.process.output().contains("was cut"), "{}", db.process.output());
    assert_eq!(db.trail().only("connection-closed").await.reason(), "cut");
}

#[tokio::test]
async fn sigint_drains_as_sigterm_does() {
    let mesh = Mesh::new();
    let (mut db, _workload) = echo(&mesh, |setup| setup).await;

    db.process.signal("INT");

    assert_eq!(db.process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn sighup_lets_in_a_peer_that_was_added_and_no_longer_one_that_was_removed() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let mut db = setup.spawn().await;
    mesh.connect("web", &db).await.echoes("hello").await;

    setup.forget("web").allow("lab").write();
    db.process.signal("HUP");
    db.process.says("configuration reloaded").await;

    mesh.connect("lab", &db).await.echoes("hello").await;
    let mut web = mesh.connect("web", &db).await;
    assert!(!matches!(web.first_read().await, FirstRead::Bytes(_)));
    db.metric_is("myelin_connections_denied_total", &[("reason", "unknown_peer")], 1.0).await;
    let loaded = db.trail().wait_for("config-loaded", 2).await;
    let rules = db.trail().wait_for("connection-allowed", 2).await;
    assert!(loaded[1].text("message").contains(rules[1].text("rule.version")));
    assert_ne!(rules[0].text("rule.version"), rules[1].text("rule.version"));
}

#[tokio::test]
async fn sighup_with_a_bad_file_keeps_the_old_configuration_and_says_so() {
    let mesh = Mesh::new();
    let (mut db, _workload) = echo(&mesh, |setup| setup).await;
    let text = std::fs::read_to_string(&db.config).unwrap();

    std::fs::write(&db.config, text.replace("allow: [web]", "allow: [wbe]\n    alow: []")).unwrap();
    db.process.signal("HUP");
    db.process.says("reload refused, the old configuration stays").await;

    mesh.connect("web", &db).await.echoes("hello").await;
    let said = db.process.output();
    assert!(said.contains("did you mean"), "{said}");
    let rejected = db.trail().only("config-rejected").await;
    assert!(rejected.text("message").contains("wbe"), "{rejected:?}");
    db.metric_is("myelin_config_reloads_total", &[("result", "rejected")], 1.0).await;
    assert!(db.page("/status").await.body.contains("wbe"), "not on /status");
    assert_eq!(db.page("/ready").await.status, 200);
}

#[tokio::test]
async fn sighup_while_draining_changes_nothing() {
    let mesh = Mesh::new();
    let (mut db, _workload) = echo(&mesh, |setup| setup).await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("before").await;

    db.process.signal("TERM");
    db.process.says("draining").await;
    db.process.signal("HUP");
    web.echoes("still here").await;
    web.end().await;
    web.rest().await;

    assert_eq!(db.process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn sigterm_ends_at_once_a_start_that_waits_for_its_key_material() {
    let mesh = Mesh::new();
    let setup = mesh.inbound("db").allow("web");
    // Another process holds the authority: that is waited for.
    let lock = std::fs::File::open(mesh.dir().join("authority/lock")).unwrap();
    lock.lock().unwrap();
    let mut db = Process::start(&mut setup.command());
    setup.trail().wait_for("recording-started", 1).await;

    let begun = Instant::now();
    db.signal("TERM");

    assert_eq!(db.ended().await.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(db.output().contains("stopped before anything had started"), "{}", db.output());
    assert_eq!(setup.trail().records().last().unwrap().action(), "recording-stopped");
}

#[tokio::test]
async fn a_workload_that_is_gone_is_told_once_and_once_more_when_it_is_back() {
    let mesh = Mesh::new();
    let place = mesh.dir().join("workload.sock");
    let target = format!("unix:{}", place.display());
    let mut db = mesh.inbound("db").allow("web").forward(&target).spawn().await;
    for _ in 0..3 {
        let mut turned_away = mesh.connect("web", &db).await;
        assert!(!matches!(turned_away.first_read().await, FirstRead::Bytes(_)));
    }
    db.trail().wait_for("connection-closed", 3).await;

    let _workload = Workload::unix(Kind::Echo, &place);
    mesh.connect("web", &db).await.echoes("hello").await;

    let said = db.process.says("the workload is reached again").await;
    assert_eq!(said.matches("the workload is not reached").count(), 1, "{said}");
}
