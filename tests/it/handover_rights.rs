//! What the process before still has open after a hand-over has no more rights than what the new one lets in.

use std::process::Command;

use tokio::net::{TcpListener, UnixStream};

use crate::support::client::{FirstRead, connect};
use crate::support::mesh::Mesh;
use crate::support::process::run;
use crate::support::until;
use crate::support::ward::{Cause, Ward, whatever_the_cause};
use crate::support::workload::{Kind, Workload};

const LONG: &str = "limits: { drain_timeout: 5m }";

#[tokio::test]
async fn a_right_that_is_lost_after_a_hand_over_is_lost_in_both_processes() {
    whatever_the_cause(|cause| async move {
        let workload = Workload::tcp(Kind::Echo).await;
        let mut ward = Ward::inbound(cause, |setup| setup.forward(workload.target()).file(LONG));
        let ehr = ward.spawn(|setup| setup).await;
        let mut web = connect(&ward.web(), ehr.address(), "ehr").await.unwrap();
        web.echoes("before").await;
        let mut lab = connect(&ward.lab, ehr.address(), "ehr").await.unwrap();
        lab.echoes("before").await;
        ehr.hands_over(1).await;

        if let Some(setup) = ward.lost() {
            setup.write();
            ehr.process.signal("HUP");
        }

        let read = lab.first_read().await;
        assert!(matches!(read, FirstRead::Closed | FirstRead::Lost), "{read:?}");
        let withdrawn = ehr.trail().only("connection-withdrawn").await;
        ward.is_over(&ehr, &withdrawn).await;
        web.echoes("still here").await;
    })
    .await;
}

#[tokio::test]
async fn a_hand_over_to_a_configuration_without_a_peer_takes_its_right_away() {
    let workload = Workload::tcp(Kind::Echo).await;
    let mut ward =
        Ward::inbound(Cause::TakenOffTheList, |setup| setup.forward(workload.target()).file(LONG));
    let ehr = ward.spawn(|setup| setup).await;
    let mut web = connect(&ward.web(), ehr.address(), "ehr").await.unwrap();
    web.echoes("before").await;
    let mut lab = connect(&ward.lab, ehr.address(), "ehr").await.unwrap();
    lab.echoes("before").await;

    ward.lost().unwrap().write();
    ehr.hands_over(1).await;

    let read = lab.first_read().await;
    assert!(matches!(read, FirstRead::Closed | FirstRead::Lost), "{read:?}");
    assert_eq!(ehr.trail().only("connection-withdrawn").await.reason(), "not_listed");
    web.echoes("still here").await;
}

#[tokio::test]
async fn a_listener_that_has_become_another_under_its_name_keeps_nothing_open() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target()).file(LONG);
    let db = setup.spawn().await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("before").await;

    setup.http().write();
    db.hands_over(1).await;

    let read = web.first_read().await;
    assert!(matches!(read, FirstRead::Closed | FirstRead::Lost), "{read:?}");
}

#[tokio::test]
async fn what_can_not_be_judged_any_more_is_cut() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target()).file(LONG);
    let mut db = setup.spawn().await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("before").await;
    let old = db.worker();
    db.hands_over(1).await;
    // The new process has read it, and accepts; when the old one reads it, it is not there.
    let text = setup.text();
    std::fs::remove_file(&db.config).unwrap();
    let fifo = Command::new("mkfifo").arg(&db.config).status().unwrap();
    assert!(fifo.success());

    db.process.signal("HUP");
    // Whoever opens it to write waits for the reader, and each reader gets what is written for it alone.
    tokio::fs::write(&db.config, &text).await.unwrap();
    db.process.says("configuration reloaded").await;
    tokio::fs::write(&db.config, "nonsense: 1\n").await.unwrap();

    let read = web.first_read().await;
    assert!(matches!(read, FirstRead::Closed | FirstRead::Lost), "{read:?}");
    db.process.says("cannot be judged by the configuration, and is cut").await;
    until("the old process to be gone", || !db.process.children().contains(&old)).await;
    mesh.connect("web", &db).await.echoes("by the new one").await;
}

#[tokio::test]
async fn what_is_cut_at_the_end_of_a_drain_is_told_by_the_old_process() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let mut db = setup.file("limits: { drain_timeout: 200ms }").spawn().await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("before").await;

    db.hands_over(1).await;

    db.process.says("stopped; what had not finished was cut").await;
    assert!(!db.process.output().contains("everything had finished"));
}

#[tokio::test]
async fn a_drain_over_the_control_socket_waits_for_what_an_older_process_has_open() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let socket = mesh.dir().join("control.sock");
    let setup = mesh.inbound("db").allow("web").forward(workload.target()).file(LONG);
    let setup = setup.admin(&format!("listen: 127.0.0.1:0, socket: {}", socket.display()));
    // Without a trail in common the new process has no reason of its own to wait.
    let mut command = setup.command();
    let text = setup.text();
    let text: Vec<_> = text.lines().filter(|line| !line.starts_with("audit:")).collect();
    std::fs::write(setup.write(), text.join("\n")).unwrap();
    let mut db = setup.spawn_by(&mut command).await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("before").await;
    db.hands_over(1).await;
    let old = *db.process.children().first().unwrap();

    let mut drain = Command::new(env!("CARGO_BIN_EXE_myelin"));
    let drain = run(drain.args(["drain", "--socket"]).arg(&socket), "").await;

    assert_eq!(drain.code, Some(0), "{drain:#?}");
    until("the new process to be gone", || db.process.children() == [old]).await;
    web.echoes("still here").await;
    web.end().await;
    web.rest().await;
    assert_eq!(db.process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_hand_over_that_comes_to_nothing_leaves_unix_sockets_where_they_are() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let ehr = mesh.inbound("ehr").allow("web").forward(workload.target()).spawn().await;
    let path = mesh.dir().join("out.sock");
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let setup = mesh.outbound("web").allow("ehr").to(ehr.address());
    let setup = setup.listen(&format!("unix:{}", path.display()));
    let mut web = setup.spawn().await;

    setup
        .also(&format!(
            "{{ name: other, listen: \"{}\", to: [\"{}\"], protocol: tcp, expect: [ehr] }}",
            taken.local_addr().unwrap(),
            ehr.address()
        ))
        .write();
    web.process.signal("USR2");
    web.process.says("the hand-over is off").await;
    until("the new process to be gone", || web.process.children().len() == 1).await;

    UnixStream::connect(&path).await.unwrap();
    web.process.signal("TERM");
    web.process.ended().await;
    assert!(!path.exists());
}
