//! The control socket: who may speak there, what it tells, and what it changes.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::cli::myelin;
use crate::support::mesh::{Mesh, Setup, Spawned};
use crate::support::process::{Process, Said, needs, run};
use crate::support::workload::{Kind, Workload};
use crate::support::{eventually, until};

/// A user that is neither root nor the sidecar's.
const STRANGER: &str = "65534";

/// A sidecar of its own process, with a control socket.
struct Controlled {
    db: Spawned,
    setup: Setup,
    socket: PathBuf,
    _workload: Workload,
}

async fn controlled(mesh: &Mesh) -> Controlled {
    let workload = Workload::tcp(Kind::Echo).await;
    let socket = mesh.dir().join("control.sock");
    let admin = format!("listen: 127.0.0.1:0, socket: {}", socket.display());
    let setup = mesh.inbound("db").allow("web").forward(workload.target()).admin(&admin);
    let db = setup.spawn().await;
    Controlled { db, setup, socket, _workload: workload }
}

impl Controlled {
    async fn curl(&self, path: &str, args: &[&str]) -> (String, String) {
        let said = curl(&self.socket, path, args).await;
        assert_eq!(said.code, Some(0), "{said:#?}");
        let (body, status) = said.stdout.rsplit_once('\n').unwrap();
        (status.to_owned(), body.to_owned())
    }

    /// Runs a command of ours for this sidecar.
    async fn myelin(&self, args: &[&str]) -> Said {
        myelin(&[args, &["-c", self.setup.write().to_str().unwrap()]].concat()).await
    }
}

async fn curl(socket: &Path, path: &str, args: &[&str]) -> Said {
    let mut curl = Command::new(needs("curl", "curl"));
    curl.args(["-sS", "--max-time", "30", "-w", "\n%{http_code}", "--unix-socket"]).arg(socket);
    run(curl.args(args).arg(format!("http://localhost{path}")), "").await
}

fn is(status: &str, answer: &(String, String)) -> String {
    assert_eq!(answer.0, status, "{}", answer.1);
    answer.1.clone()
}

#[tokio::test]
async fn curl_reads_every_page_on_the_socket() {
    let mesh = Mesh::new();
    let db = controlled(&mesh).await;

    assert_eq!(db.socket.metadata().unwrap().mode() & 0o7777, 0o600);
    assert_eq!(is("200", &db.curl("/ready", &[]).await), "ready\n");
    let status: Value = serde_json::from_str(&is("200", &db.curl("/status", &[]).await)).unwrap();
    assert_eq!(status["service"], "db");
    assert!(is("200", &db.curl("/metrics", &[]).await).contains("myelin_build_info"));
    assert!(is("200", &db.curl("/", &[]).await).contains("POST /reload"));
    is("404", &db.curl("/nothing", &[]).await);
    is("405", &db.curl("/status", &["-X", "POST"]).await);
    is("405", &db.curl("/drain", &[]).await);
}

#[tokio::test]
async fn nothing_can_be_changed_over_tcp() {
    let mesh = Mesh::new();
    let db = controlled(&mesh).await;

    for (method, path) in [("POST", "/reload"), ("POST", "/drain"), ("PUT", "/log-level")] {
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = crate::support::admin::ask(db.db.admin, &head).await.unwrap();
        assert_eq!(answer.status, 405, "{method} {path}");
    }
    assert_eq!(db.db.page("/log-level").await.status, 404);
}

#[tokio::test]
async fn another_user_is_refused_by_the_file_and_by_the_kernels_word_and_told_of() {
    let mesh = Mesh::new();
    let mut db = controlled(&mesh).await;
    let as_stranger = |socket: &Path| {
        let mut curl = Command::new(needs("setpriv", "util-linux"));
        curl.args(["--reuid", STRANGER, "--clear-groups", "curl", "-sS", "--unix-socket"]);
        curl.arg(socket).args(["-X", "POST", "http://localhost/drain"]);
        curl
    };
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(mesh.dir(), 0o755);

    let by_the_file = run(&mut as_stranger(&db.socket), "").await;
    open(&db.socket, 0o666);
    let by_the_kernel = run(&mut as_stranger(&db.socket), "").await;

    assert_eq!((by_the_file.code, by_the_file.stdout.as_str()), (Some(7), ""), "{by_the_file:#?}");
    assert_eq!(by_the_kernel.stdout, "only the sidecar's user and root may speak here\n");
    let said = db.db.process.says("may speak there").await;
    assert!(said.contains("uid 65534"), "{said}");
    assert_eq!(is("200", &db.curl("/ready", &[]).await), "ready\n");
}

#[tokio::test]
async fn a_reload_answers_when_the_configuration_is_in_place_and_tells_who_asked() {
    let mesh = Mesh::new();
    let db = controlled(&mesh).await;
    let file = db.setup.write();
    let text = std::fs::read_to_string(&file).unwrap();
    db.db.trail().wait_for("config-loaded", 1).await;

    std::fs::write(&file, text.replace("limits:", "limitz:") + "nonsense: 1\n").unwrap();
    let refused = is("409", &db.curl("/reload", &["-X", "POST"]).await);
    std::fs::write(&file, text + "limits: { idle_timeout: 10m }\n").unwrap();
    let done = is("200", &db.curl("/reload", &["-X", "POST"]).await);

    assert!(refused.contains("not reloaded: ") && refused.contains("nonsense"), "{refused}");
    assert_eq!(done, "reloaded\n");
    let rejected = db.db.trail().only("config-rejected").await;
    let loaded = db.db.trail().wait_for("config-loaded", 2).await.pop().unwrap();
    for record in [rejected, loaded] {
        let uid = u64::from(rustix::process::getuid().as_raw());
        assert_eq!(record.number("myelin.asked_by.uid"), uid);
        assert!(record.number("myelin.asked_by.process") > 0);
        assert!(record.text("message").contains("; asked for by "), "{}", record.text("message"));
    }
}

#[tokio::test]
async fn the_commands_say_what_the_sidecar_says() {
    let mesh = Mesh::new();
    let db = controlled(&mesh).await;

    let reloaded = db.myelin(&["reload"]).await;
    let level = db.myelin(&["log-level"]).await;
    let slip = db.myelin(&["log-level", "inof"]).await;

    assert_eq!((reloaded.code, reloaded.stdout.as_str()), (Some(0), "reloaded\n"), "{reloaded:#?}");
    assert_eq!((level.code, level.stdout.as_str()), (Some(0), "info\n"), "{level:#?}");
    assert_eq!(slip.code, Some(1), "{slip:#?}");
    assert!(slip.stderr.contains("`inof` is neither a level"), "{slip:#?}");
}

#[tokio::test]
async fn a_level_is_changed_live_and_on_record() {
    let mesh = Mesh::new();
    let mut db = controlled(&mesh).await;
    let told = |db: &Controlled| db.db.process.output().matches("connection-denied").count();
    mesh.connect("mallory", &db.db).await;
    db.db.trail().wait_for("connection-denied", 1).await;
    assert_eq!(told(&db), 0);

    let changed = db.myelin(&["log-level", "myelin=debug,info"]).await;
    mesh.connect("mallory", &db.db).await;

    assert_eq!(changed.stdout, "myelin=debug,info\n", "{changed:#?}");
    db.db.process.says("connection-denied").await;
    let record = &db.db.trail().wait_for("config-loaded", 2).await[1];
    assert_eq!(record.reason(), "log_level");
    let message = record.text("message");
    assert!(
        message.starts_with("the log's filter is `myelin=debug,info`; it was `info`;"),
        "{message}"
    );
    assert_eq!(record.number("myelin.asked_by.uid"), u64::from(rustix::process::getuid().as_raw()));
}

#[tokio::test]
async fn a_level_for_a_while_returns_by_itself_and_a_later_one_stays() {
    let mesh = Mesh::new();
    let db = controlled(&mesh).await;

    let changed = db.myelin(&["log-level", "warn", "--for", "1s"]).await;
    assert!(changed.stdout.starts_with("warn until 20"), "{changed:#?}");
    assert!(changed.stdout.ends_with("Z, then info\n"), "{changed:#?}");
    eventually("the level to return", || async {
        (db.myelin(&["log-level"]).await.stdout == "info\n").then_some(())
    })
    .await;
    let records = db.db.trail().wait_for("config-loaded", 3).await;
    assert_eq!(records[2].text("message"), "the log's filter is `info` again: the time is over");

    db.myelin(&["log-level", "debug", "--for", "1s"]).await;
    db.myelin(&["log-level", "error"]).await;
    db.myelin(&["log-level", "warn", "--for", "2s"]).await;
    eventually("the level to return", || async {
        (db.myelin(&["log-level"]).await.stdout == "error\n").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_drain_is_followed_to_its_end_while_a_connection_is_open() {
    let mesh = Mesh::new();
    let mut db = controlled(&mesh).await;
    let mut web = mesh.connect("web", &db.db).await;
    web.echoes("before").await;
    let file = db.setup.write();
    let mut drain = Command::new(env!("CARGO_BIN_EXE_myelin"));
    let mut drain = Process::start(drain.args(["drain", "--wait", "-c"]).arg(&file));

    drain.says("draining: 1 connection open").await;
    web.echoes("still here").await;
    let again = db.myelin(&["drain"]).await;
    assert!(drain.is_running());
    web.end().await;
    web.rest().await;

    assert_eq!(drain.ended().await.code(), Some(0));
    assert!(!db.db.process.is_running(), "it returned before the sidecar had ended");
    assert_eq!(db.db.process.ended().await.code(), Some(0));
    let said = drain.output();
    assert!(
        said.ends_with("everything that was open has ended\nstopped: the audit trail is closed\n"),
        "{said}"
    );
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), "draining: 1 connection open\n"));
    let stopped = db.db.trail().only("sidecar-stopped").await;
    assert_eq!(
        stopped.number("myelin.asked_by.uid"),
        u64::from(rustix::process::getuid().as_raw())
    );
    assert!(!db.socket.exists());
}

#[tokio::test]
async fn who_cannot_be_asked_is_named_with_the_mend() {
    let mesh = Mesh::new();
    let socket = mesh.dir().join("control.sock");
    let nowhere = myelin(&["reload", "--socket", socket.to_str().unwrap()]).await;
    let without = mesh.inbound("db").allow("web").write();
    let without = myelin(&["drain", "-c", without.to_str().unwrap()]).await;

    assert_eq!(nowhere.code, Some(1), "{nowhere:#?}");
    assert!(
        nowhere.stderr.contains("nobody answers on") && nowhere.stderr.contains("control.sock")
    );
    assert_eq!(without.code, Some(1), "{without:#?}");
    assert!(without.stderr.contains("add `admin: { socket: "), "{without:#?}");
}

#[tokio::test]
async fn a_dead_processs_socket_is_replaced_and_a_living_ones_is_not() {
    let mesh = Mesh::new();
    let mut db = controlled(&mesh).await;

    let other = format!("dir: {} ", mesh.dir().join("other-trail").display());
    let second = db.setup.clone().audit(&other).write();
    let second = myelin(&["run", "-c", second.to_str().unwrap()]).await;
    assert_eq!(second.code, Some(1), "{second:#?}");
    assert!(second.stderr.contains("admin.socket: cannot listen on unix:"), "{second:#?}");
    assert!(second.stderr.contains("another process listens there"), "{second:#?}");
    db.db.process.signal("KILL");
    db.db.process.ended().await;
    until("nobody to listen", || std::os::unix::net::UnixStream::connect(&db.socket).is_err())
        .await;
    assert!(db.socket.exists());
    let db = db.setup.spawn().await;

    assert_eq!(db.page("/ready").await.status, 200);
}
