//! `myelin status`: what a running sidecar is doing, as a person sees it.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::cli::myelin;
use crate::support::mesh::{Mesh, Running};
use crate::support::pki::spiffe;
use crate::support::process::{Process, Said, run};
use crate::support::python::peer;
use crate::support::workload::{Kind, Workload};

const MYELIN: &str = env!("CARGO_BIN_EXE_myelin");

async fn db(mesh: &Mesh) -> (Running, Workload) {
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let admin = format!("listen: 127.0.0.1:0, socket: {}", socket(mesh));
    (setup.admin(&admin).start().await, workload)
}

fn socket(mesh: &Mesh) -> String {
    mesh.dir().join("control.sock").display().to_string()
}

async fn status(mesh: &Mesh, more: &[&str]) -> Said {
    myelin(&[&["status", "--socket", &socket(mesh)], more].concat()).await
}

#[tokio::test]
async fn everything_that_matters_is_on_one_page() {
    let mesh = Mesh::new();
    let (db, _workload) = db(&mesh).await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("hello").await;
    mesh.connect("mallory", &db).await;
    db.trail().wait_for("connection-denied", 1).await;

    let said = status(&mesh, &[]).await;

    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:#?}");
    let page = &said.stdout;
    assert!(page.starts_with("db  ready  myelin "), "{page}");
    let identity = spiffe("db");
    let trail = db.trail().dir().display().to_string();
    for told in [
        identity.as_str(),
        "expires in 23h",
        "renewed in 1",
        "authority",
        trail.as_str(),
        "of them sealed",
        "configuration 1 since the start",
        "LISTENER",
        "OPEN",
        "DENIED/s",
        "web",
        "DENIALS OF THE LAST 15m",
        "connection-denied",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    let listener =
        page.lines().find(|line| line.starts_with("db ") && line.contains("inbound")).unwrap();
    let cells: Vec<_> = listener.split_whitespace().collect();
    assert_eq!(cells[..5], ["db", "inbound", &db.address().to_string(), "tcp", "1"], "{page}");
    assert!(!page.contains('\u{1b}'), "no terminal, no colours: {page}");
}

#[tokio::test]
async fn for_programs_it_is_what_the_sidecar_says() {
    let mesh = Mesh::new();
    let (_db, _workload) = db(&mesh).await;

    let said = status(&mesh, &["--format", "json"]).await;
    let all: Value = serde_json::from_str(&said.stdout).unwrap();

    assert_eq!(
        (said.code, &all["ready"], &all["readiness"]),
        (Some(0), &true.into(), &"ready".into())
    );
    assert_eq!(all["status"]["service"], "db");
    assert!(all["denials"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn without_a_socket_the_administrative_listener_is_asked() {
    let mesh = Mesh::new();
    let port = crate::support::process::free_port();
    let setup = mesh.inbound("db").allow("web").admin(&format!("listen: 127.0.0.1:{port}"));
    let db = setup.start().await;

    let file = db.config.to_str().unwrap();
    let up = myelin(&["status", "-c", file]).await;
    let change = myelin(&["drain", "-c", file]).await;
    let file = db.config.clone();
    db.stop().await;
    let down = myelin(&["status", "-c", file.to_str().unwrap()]).await;

    assert_eq!(up.code, Some(0), "{up:#?}");
    assert!(up.stdout.starts_with("db  ready"), "{up:#?}");
    assert_eq!(change.code, Some(1), "{change:#?}");
    assert!(change.stderr.contains("no admin.socket"), "{change:#?}");
    assert_eq!(down.code, Some(1), "{down:#?}");
    assert!(down.stderr.contains("nobody answers on 127.0.0.1"), "{down:#?}");
}

#[tokio::test]
async fn a_peers_name_cannot_steer_the_terminal() {
    let mesh = Mesh::new();
    let foreign = crate::support::pki::Ca::new("CA \u{1b}[2J\u{202e}evil");
    let identity = foreign.issue("db");
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target()).files(&identity, &[]);
    let _db = setup.admin(&format!("listen: 127.0.0.1:0, socket: {}", socket(&mesh))).start().await;

    let said = status(&mesh, &[]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.stdout.contains("evil"), "{said:#?}");
    assert!(!said.stdout.contains(['\u{1b}', '\u{202e}']), "{said:#?}");
}

/// What a person sees of `status --watch` on a terminal of 100 columns.
async fn watched(mesh: &Mesh, resized: &str, end: &str, env: &[(&str, &str)]) -> Value {
    let mut screen: Command = peer("screen", "pyte", &["LISTENER", resized, end, MYELIN]);
    screen.args(["status", "--watch", "--socket"]).arg(Path::new(&socket(mesh)));
    let said = run(screen.env("TERM", "xterm-256color").envs(env.iter().copied()), "").await;
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:#?}"))
}

#[tokio::test]
async fn watch_draws_on_the_other_screen_and_gives_the_first_one_back_however_it_ends() {
    let mesh = Mesh::new();
    let (_db, _workload) = db(&mesh).await;

    for end in ["\\x03", "q", "TERM"] {
        let seen = watched(&mesh, "0", end, &[("NO_COLOR", "")]).await;

        assert_eq!(seen["code"], 0, "{end}: {seen}");
        assert_eq!((&seen["entered"], &seen["left"]), (&1.into(), &1.into()), "{end}: {seen}");
        assert_eq!(
            (&seen["cursor_back"], &seen["colours"]),
            (&true.into(), &true.into()),
            "{end}: {seen}"
        );
        let shown = seen["shown"].as_array().unwrap();
        assert!(shown[0].as_str().unwrap().starts_with("db  ready  myelin "), "{seen:#}");
        assert!(!seen["shown"].to_string().contains("what was there before"), "{seen:#}");
    }
}

#[tokio::test]
async fn watch_hears_its_keys_while_a_sidecar_does_not_answer() {
    let mesh = Mesh::new();
    let (hangs, looked) = (UnixListener::bind(socket(&mesh)).unwrap(), mesh.dir().join("looked"));
    let begun = Instant::now();
    let mut screen: Command = peer("screen", "pyte", &[looked.to_str().unwrap(), "0", "q", MYELIN]);
    screen.args(["status", "--watch", "--socket", &socket(&mesh)]).env("TERM", "xterm-256color");

    let asked = std::thread::spawn(move || {
        let asked = hangs.accept().unwrap();
        std::fs::write(looked, "").unwrap();
        asked
    });
    let said = run(&mut screen, "").await;

    let _never_answered = asked.join().unwrap();
    let seen: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:#?}"));
    assert_eq!((&seen["code"], &seen["left"]), (&0.into(), &1.into()), "{seen}");
    assert!(begun.elapsed() < Duration::from_secs(5), "it has not waited for an answer");
}

#[tokio::test]
async fn watch_keeps_to_the_width_of_the_terminal_and_to_no_color() {
    let mesh = Mesh::new();
    let (_db, _workload) = db(&mesh).await;

    let seen = watched(&mesh, "40", "q", &[("NO_COLOR", "1")]).await;

    assert_eq!((&seen["code"], &seen["colours"]), (&0.into(), &false.into()), "{seen}");
    let narrow: Vec<_> =
        seen["narrow"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(narrow[0].starts_with("db  ready  myelin "), "{seen:#}");
    assert!(narrow.iter().all(|line| line.chars().count() <= 40), "{seen:#}");
    assert!(narrow.iter().any(|line| line.ends_with('…')), "{seen:#}");
}

#[tokio::test]
async fn without_a_terminal_watch_tells_a_line_each_time_and_of_an_end_too() {
    let mesh = Mesh::new();
    let (db, _workload) = db(&mesh).await;
    let mut command = Command::new(MYELIN);
    let mut watch = Process::start(command.args(["status", "--watch", "--socket", &socket(&mesh)]));

    watch.says(" db: ready, 0 open, ").await;
    db.stop().await;
    watch.says("no answer: nobody answers on").await;
    watch.signal("TERM");

    assert_eq!(watch.ended().await.code(), Some(0));
}
