//! Socket activation: `systemd-socket-activate` has opened the sockets before there is a sidecar.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::support::eventually;
use crate::support::mesh::{Mesh, Setup};
use crate::support::process::{Process, free_port, loopback, needs};
use crate::support::until;
use crate::support::workload::{Kind, Workload};

/// The command that opens `sockets`, and at the first connection becomes the sidecar.
fn activated(setup: &Setup, sockets: &[String], names: &str) -> Command {
    let sidecar = setup.command();
    let mut command = Command::new(needs("systemd-socket-activate", "systemd"));
    for socket in sockets {
        command.args(["--listen", socket]);
    }
    command.arg(format!("--fdname={names}")).arg("--setenv=MYELIN_LOG_FORMAT=json");
    command.arg(sidecar.get_program()).args(sidecar.get_args());
    command
}

/// Connects, and waits there: somebody listens already.
async fn knock(address: SocketAddr) -> TcpStream {
    let what = format!("systemd-socket-activate to listen on {address}");
    eventually(&what, || async move { TcpStream::connect(address).await.ok() }).await
}

/// Whether the process holds a socket that a new one could not be bound beside.
fn is_taken(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_err()
}

#[tokio::test]
async fn who_connects_before_there_is_a_sidecar_is_served_and_so_is_everybody_after_hand_overs_and_reloads()
 {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let (db, admin) = (loopback(free_port()), loopback(free_port()));
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let setup = setup.listen(&db.to_string()).admin(&format!("listen: '{admin}'"));
    let mut command = activated(&setup, &[db.to_string(), admin.to_string()], "db:admin");

    let (mut db, first) = tokio::join!(setup.spawn_by(&mut command), knock(db));
    drop(first);

    mesh.connect("web", &db).await.echoes("served").await;
    assert_eq!(db.admin, admin);
    assert_eq!(db.page("/ready").await.status, 200);
    let old = db.worker();
    db.process.signal("USR2");
    until("the next worker alone", || {
        let workers = db.process.children();
        workers.len() == 1 && workers != [old]
    })
    .await;
    mesh.connect("web", &db).await.echoes("by another worker").await;

    setup.clone().forget("web").allow("lab").write();
    db.process.signal("HUP");
    db.process.says("configuration reloaded").await;
    mesh.connect("lab", &db).await.echoes("by other rules").await;

    // A configuration that leaves the manager's socket to nobody is refused, for the socket would still be there.
    let text = setup.text().replace(&db.address().to_string(), "127.0.0.1:0");
    std::fs::write(&db.config, text).unwrap();
    db.process.signal("HUP");
    let said = db.process.says("which is the `listen` of no listener").await;
    assert!(said.contains("`db`") && said.contains("reload refused"), "{said}");
    mesh.connect("lab", &db).await.echoes("as before").await;

    assert!(is_taken(db.address()));
    db.process.signal("TERM");
    assert_eq!(db.process.ended().await.code(), Some(0));
    assert!(!is_taken(db.address()));
}

#[tokio::test]
async fn the_file_of_a_unix_socket_is_the_managers_and_stays() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let ehr = mesh.inbound("ehr").allow("web").forward(workload.target()).spawn().await;
    let path = mesh.dir().join("out.sock");
    let setup = mesh.outbound("web").allow("ehr").to(ehr.address());
    let setup = setup.listen(&format!("unix:{}", path.display()));
    let mut command = activated(&setup, &[path.display().to_string()], "out");
    let caller = eventually_there(&path);

    let (mut web, mut caller) = tokio::join!(setup.spawn_by(&mut command), caller);

    caller.write_all(b"x").await.unwrap();
    assert_eq!(caller.read_u8().await.unwrap(), b'x', "who came first is served");
    drop(caller);
    web.process.signal("TERM");
    web.process.ended().await;
    assert!(path.exists());
    assert!(UnixListener::bind(&path).is_err());
}

async fn eventually_there(path: &Path) -> UnixStream {
    eventually("somebody to listen", || async move { UnixStream::connect(path).await.ok() }).await
}

#[tokio::test]
async fn a_socket_that_fits_no_listener_is_named_and_nothing_starts() {
    let mesh = Mesh::new();
    let stranger = loopback(free_port());
    let setup = mesh.inbound("db").allow("web").forward("127.0.0.1:9");

    let mut sidecar = Process::start(&mut activated(&setup, &[stranger.to_string()], "hl7.socket"));
    let _knocked = knock(stranger).await;

    assert_eq!(sidecar.ended().await.code(), Some(3));
    let said = sidecar.output();
    assert!(
        said.contains("`hl7.socket` listens on") && said.contains(&stranger.to_string()),
        "{said}"
    );
}
