//! SIGUSR2 puts another binary or configuration in place, and nobody who connects, asks or waits notices.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use crate::support::load::Load;
use crate::support::mesh::{Mesh, Setup, Spawned};
use crate::support::mllp::{Engine, message};
use crate::support::outside::Outside;
use crate::support::process::{Process, needs, run};
use crate::support::until;
use crate::support::workload::{Kind, Workload};

async fn verified(sidecar: &Outside) {
    let mut verify = Command::new(env!("CARGO_BIN_EXE_myelin"));
    verify.args(["audit", "verify"]).arg(sidecar.trail().dir());
    let said = run(&mut verify, "").await;
    assert_eq!(said.code, Some(0), "{said:#?}");
}

/// Callers that never stop, each question of which must be answered.
#[derive(Default)]
struct Callers {
    enough: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    callers: Vec<JoinHandle<()>>,
}

impl Callers {
    /// A connection of twenty lines to an echo, and then the next: one that is open stays open.
    fn lines(mut self, address: SocketAddr) -> Self {
        let (enough, answered) = (Arc::clone(&self.enough), Arc::clone(&self.answered));
        self.callers.push(tokio::spawn(async move {
            while !enough.load(Ordering::SeqCst) {
                let mut caller = TcpStream::connect(address).await.unwrap();
                for _ in 0..20 {
                    caller.write_all(b"line\n").await.unwrap();
                    let mut back = [0; 5];
                    caller.read_exact(&mut back).await.unwrap();
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            }
        }));
        self
    }

    /// Message after message on one connection; when that is closed between two, the next is sent on another, as HL7
    /// interfaces do. Nothing is refused, and every message is acknowledged.
    fn messages(mut self, address: SocketAddr) -> Self {
        let (enough, answered) = (Arc::clone(&self.enough), Arc::clone(&self.answered));
        self.callers.push(tokio::spawn(async move {
            let mut number = 0;
            while !enough.load(Ordering::SeqCst) {
                let mut caller = TcpStream::connect(address).await.unwrap();
                while !enough.load(Ordering::SeqCst) {
                    let message = message("ADT^A01", &number.to_string());
                    let sent = caller.write_all(message.as_bytes()).await;
                    if sent.is_err() || !acknowledged(&mut caller).await {
                        break;
                    }
                    number += 1;
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            }
        }));
        self
    }

    async fn end(self) -> usize {
        self.enough.store(true, Ordering::SeqCst);
        for caller in self.callers {
            caller.await.unwrap();
        }
        self.answered.load(Ordering::SeqCst)
    }
}

async fn acknowledged(caller: &mut TcpStream) -> bool {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\x1c\r") {
        match caller.read_buf(&mut answer).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return false,
        }
    }
    assert!(String::from_utf8_lossy(&answer).contains("MSA|AA|"));
    true
}

#[tokio::test]
async fn twenty_hand_overs_under_load_fail_and_refuse_nobody_and_every_request_is_on_record_once() {
    let mesh = Mesh::new();
    let (http, echo) = (Workload::tcp(Kind::Http).await, Workload::tcp(Kind::Echo).await);
    let engine = Engine::start().await;
    let also = |name: &str, protocol: &str, target: &str| {
        format!(
            "{{ name: {name}, listen: 127.0.0.1:0, forward: {target}, protocol: {protocol}, phi: true, \
             allow: [web] }}"
        )
    };
    let ehr = mesh.inbound("ehr").allow("web").http().phi().forward(http.target());
    let ehr = ehr.also(&also("echo", "tcp", echo.target()));
    let mut ehr = ehr.also(&also("adt", "mllp", engine.target())).spawn().await;
    let to = |name: &str, protocol: &str| {
        format!(
            "{{ name: to-{name}, listen: 127.0.0.1:0, to: [\"{}\"], protocol: {protocol}, expect: [ehr] }}",
            ehr.address_of(name)
        )
    };
    let web = mesh.outbound("web").allow("ehr").http().to(ehr.address());
    let web = web.also(&to("echo", "tcp")).also(&to("adt", "mllp"));
    let mut web = web.spawn().await;

    let mut wrk = Command::new(needs("wrk", "wrk"));
    wrk.args(["-t", "1", "-c", "4", "-d", "600"]).arg(format!("http://{}/kept", web.address()));
    let mut wrk = Process::start(&mut wrk);
    let fresh = Load::default().fresh(web.address(), 1);
    let callers =
        Callers::default().lines(web.address_of("to-echo")).messages(web.address_of("to-adt"));
    fresh.goes_on(5).await;
    for nth in 1..=10 {
        ehr.hands_over(nth).await;
        web.hands_over(nth).await;
        fresh.goes_on(5).await;
    }
    let (fresh, answered) = (fresh.ends().await, callers.end().await);
    wrk.signal("INT");
    wrk.ended().await;
    for sidecar in [&mut web, &mut ehr] {
        sidecar.process.signal("TERM");
        assert_eq!(sidecar.process.ended().await.code(), Some(0));
    }

    assert!(fresh > 50 && answered > 100, "{fresh} and {answered}");
    let said = wrk.output();
    assert!(said.contains("requests in"), "{said}");
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    verified(&ehr).await;
    verified(&web).await;
    let asked = String::from_utf8_lossy(&http.received()).matches("GET /").count();
    for action in ["request-allowed", "request-completed"] {
        let records = ehr.trail().all(action);
        let ids: BTreeSet<_> =
            records.iter().map(|record| record.text("http.request.id")).collect();
        assert_eq!(records.len(), ids.len(), "{action}");
        // wrk leaves its four last questions without waiting: they may have been let through, and not sent on any more.
        assert!((asked..=asked + 4).contains(&ids.len()), "{action}: {} of {asked}", ids.len());
    }
    let messages = ehr.trail().all("message-completed").len();
    assert_eq!(messages, engine.received().len());
    for sidecar in [&ehr, &web] {
        let stopped = sidecar.trail().all("sidecar-stopped");
        assert_eq!(sidecar.trail().all("sidecar-started").len(), 11);
        assert_eq!(stopped.len(), 11);
        let handed_over = stopped.iter().filter(|record| record.field("event.reason").is_string());
        assert_eq!(handed_over.count(), 10);
    }
}

async fn echo(mesh: &Mesh) -> (Setup, Spawned, Workload) {
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").phi().forward(workload.target());
    let db = setup.spawn().await;
    (setup, db, workload)
}

#[tokio::test]
async fn a_new_configuration_takes_effect_and_the_old_process_finishes_what_is_open() {
    let mesh = Mesh::new();
    let (setup, db, _workload) = echo(&mesh).await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("before").await;
    let old = db.worker();

    // What a reload cannot change: another address of a listener that is there.
    setup.allow("lab").file("limits: { drain_timeout: 20s }").write();
    db.hands_over(1).await;

    let mut lab = mesh.connect("lab", &db).await;
    lab.echoes("the new rules").await;
    assert_ne!(db.worker(), old);
    db.metric_is("myelin_handovers_total", &[("result", "ok")], 1.0).await;
    web.echoes("still here").await;
    web.end().await;
    web.rest().await;
    let closed = db.trail().wait_for("connection-closed", 1).await;
    assert_eq!(closed[0].reason(), "finished");
    let stopped = db.trail().only("sidecar-stopped").await;
    assert_eq!(stopped.reason(), "handed_over");
    assert_eq!(stopped.number("myelin.sidecar.process"), u64::from(old));
    until("the old process to be gone", || db.process.children().len() == 1).await;
    verified(&db).await;
}

#[tokio::test]
async fn a_broken_configuration_changes_nothing_and_says_so() {
    let mesh = Mesh::new();
    let (setup, mut db, _workload) = echo(&mesh).await;
    let mut web = mesh.connect("web", &db).await;
    let old = db.worker();

    let text = setup.text().replace("allow: [web]", "allow: [wbe]");
    std::fs::write(&db.config, text).unwrap();
    db.process.signal("USR2");
    db.process.says("the hand-over is off").await;

    until("the new process to be gone", || db.process.children() == [old]).await;
    web.echoes("as before").await;
    mesh.connect("web", &db).await.echoes("as before").await;
    let rejected = db.trail().only("config-rejected").await;
    assert!(rejected.text("message").contains("wbe"), "{rejected:?}");
    assert!(db.page("/status").await.body.contains("wbe"));
    db.metric_is("myelin_handovers_total", &[("result", "rejected")], 1.0).await;
    setup.write();
    db.hands_over(1).await;
    mesh.connect("web", &db).await.echoes("and it is mended").await;
}

/// A sidecar that is started from a file of its own, which can be replaced.
async fn from_own_file(mesh: &Mesh) -> (std::path::PathBuf, Spawned, Workload) {
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").phi().forward(workload.target());
    let program = mesh.dir().join("myelin");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_myelin"), &program).unwrap();
    let usual = setup.command();
    let mut command = Command::new(&program);
    command.args(usual.get_args());
    command.envs(usual.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let db = setup.spawn_by(&mut command).await;
    (program, db, workload)
}

fn replace(program: &Path, script: &str) {
    let new = program.with_extension("new");
    std::fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&new, program).unwrap();
}

#[tokio::test]
async fn a_binary_that_ends_at_once_or_cannot_be_run_changes_nothing() {
    let mesh = Mesh::new();
    let (program, mut db, _workload) = from_own_file(&mesh).await;
    let mut web = mesh.connect("web", &db).await;

    replace(&program, "exit 7");
    db.process.signal("USR2");
    db.process.says("the new worker has ended before it served").await;
    db.trail().wait_for("config-rejected", 1).await;
    std::fs::remove_file(&program).unwrap();
    db.process.signal("USR2");
    db.process.says("the new worker cannot be started").await;
    db.trail().wait_for("config-rejected", 2).await;

    web.echoes("as before").await;
    // The same binary again stands for a new one: whatever is at the path is started.
    replace(&program, &format!("exec {} \"$@\"", env!("CARGO_BIN_EXE_myelin")));
    db.hands_over(1).await;
    mesh.connect("web", &db).await.echoes("handed over").await;
    verified(&db).await;
}

#[tokio::test]
async fn a_new_process_that_hangs_is_in_nobodys_way_and_a_second_hand_over_waits_for_its_end() {
    let mesh = Mesh::new();
    let (program, mut db, _workload) = from_own_file(&mesh).await;
    let old = db.worker();
    replace(&program, "exec sleep 1000");

    db.process.signal("USR2");
    until("the new process", || db.process.children().len() == 2).await;
    db.process.signal("USR2");
    db.process.says("no second hand-over: one is under way").await;
    mesh.connect("web", &db).await.echoes("as before").await;
    let new = db.process.children().into_iter().find(|child| *child != old).unwrap();
    let killed = Command::new("kill").args(["-s", "KILL", &new.to_string()]).status().unwrap();

    assert!(killed.success());
    db.process.says("the hand-over is off").await;
    mesh.connect("web", &db).await.echoes("as before").await;
    db.process.signal("TERM");
    db.process.ended().await;
    verified(&db).await;
}

#[tokio::test]
async fn sigterm_during_a_hand_over_ends_both() {
    let mesh = Mesh::new();
    let (program, mut db, _workload) = from_own_file(&mesh).await;
    replace(&program, "exec sleep 1000");
    db.process.signal("USR2");
    until("the new process", || db.process.children().len() == 2).await;

    db.process.signal("TERM");

    assert_eq!(db.process.ended().await.code(), Some(0));
    assert_eq!(db.trail().records().last().unwrap().action(), "recording-stopped");
    verified(&db).await;
}

#[tokio::test]
async fn unix_sockets_stay_in_their_places() {
    let mesh = Mesh::new();
    let (_setup, ehr, _workload) = echo(&mesh).await;
    let path = mesh.dir().join("out.sock");
    let control = mesh.dir().join("control.sock");
    let web = mesh.outbound("web").allow("db").to(ehr.address());
    let web = web.admin(&format!("listen: 127.0.0.1:0, socket: {}", control.display()));
    let mut web = web.listen(&format!("unix:{}", path.display())).spawn().await;
    let mut before = UnixStream::connect(&path).await.unwrap();
    before.write_all(b"x").await.unwrap();
    before.read_u8().await.unwrap();

    web.hands_over(1).await;
    drop(before);
    until("the old process to be gone", || web.process.children().len() == 1).await;

    let mut after = UnixStream::connect(&path).await.unwrap();
    after.write_all(b"y").await.unwrap();
    assert_eq!(after.read_u8().await.unwrap(), b'y');
    drop(after);
    UnixStream::connect(&control).await.unwrap();
    web.process.signal("TERM");
    web.process.ended().await;
    assert!(!path.exists() && !control.exists());
}
