//! A new configuration takes effect as a whole, or not at all.

use tokio::net::TcpStream;

use crate::support::client::{FirstRead, connect};
use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::process::{free_port, loopback};
use crate::support::workload::{Kind, Workload};
use crate::support::{eventually, until};

async fn echo(mesh: &Mesh) -> (Setup, Running, Workload) {
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.start().await;
    (setup, db, workload)
}

async fn refused(db: &Running, setup: &Setup) -> String {
    let error = db.reload(setup).await.unwrap_err();
    myelin::report::Report(&error).to_string()
}

#[tokio::test]
async fn a_listener_can_be_added_and_taken_away() {
    let mesh = Mesh::new();
    let (setup, db, workload) = echo(&mesh).await;
    let address = loopback(free_port());
    let listener = format!("name: more, listen: {address}, protocol: tcp, allow: [web]");
    let with = setup.clone().also(&format!("{{ {listener}, forward: {} }}", workload.target()));

    db.reload(&with).await.unwrap();
    let mut web = connect(&mesh.pem("web"), address, "db").await.unwrap();
    web.echoes("hello").await;
    db.reload(&setup).await.unwrap();

    eventually("the port to be closed", || async { TcpStream::connect(address).await.err() }).await;
    web.echoes("an open connection may finish").await;
    mesh.connect("web", &db).await.echoes("the other listener stays").await;
}

#[tokio::test]
async fn a_listener_moves_to_another_port_and_open_connections_stay() {
    let mesh = Mesh::new();
    let (setup, db, _workload) = echo(&mesh).await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("hello").await;
    let address = loopback(free_port());

    db.reload(&setup.listen(&address.to_string())).await.unwrap();

    connect(&mesh.pem("web"), address, "db").await.unwrap().echoes("hello").await;
    web.echoes("still here").await;
    eventually("the old port to be closed", || async {
        TcpStream::connect(db.address()).await.err()
    })
    .await;
}

#[tokio::test]
async fn several_listeners_on_ports_that_the_kernel_chose_stay_where_they_are() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let listener = "name: more, listen: 127.0.0.1:0, protocol: tcp, allow: [web]";
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let setup = setup.also(&format!("{{ {listener}, forward: {} }}", workload.target()));
    let db = setup.start().await;

    db.reload(&setup.allow("lab")).await.unwrap();

    for name in ["db", "more"] {
        let mut web = connect(&mesh.pem("web"), db.address_of(name), "db").await.unwrap();
        web.echoes("hello").await;
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_bound_changes_nothing() {
    let mesh = Mesh::new();
    let (setup, db, _workload) = echo(&mesh).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let item = format!("name: more, listen: {address}, forward: 127.0.0.1:9, protocol: tcp");

    let said = refused(&db, &setup.forget("web").also(&format!("{{ {item} }}"))).await;

    assert!(said.contains(&address), "{said}");
    mesh.connect("web", &db).await.echoes("the old list holds").await;
}

#[tokio::test]
async fn what_only_a_restart_can_change_is_named_and_changes_nothing() {
    let mesh = Mesh::new();
    let (setup, db, _workload) = echo(&mesh).await;
    let elsewhere = format!("dir: {}", mesh.dir().join("elsewhere").display());

    let said = refused(&db, &setup.forget("web").audit(&elsewhere)).await;

    assert!(said.contains("restart") && said.contains("audit"), "{said}");
    mesh.connect("web", &db).await.echoes("the old list holds").await;
    assert!(!mesh.dir().join("elsewhere").exists());
}

#[tokio::test]
async fn the_workload_can_move() {
    let mesh = Mesh::new();
    let (setup, db, old) = echo(&mesh).await;
    let new = Workload::tcp(Kind::Echo).await;
    let mut open = mesh.connect("web", &db).await;
    open.echoes("hello").await;

    db.reload(&setup.forward(new.target())).await.unwrap();

    mesh.connect("web", &db).await.echoes("hello").await;
    open.echoes("still with the old one").await;
    assert_eq!((old.connections(), new.connections()), (1, 1));
}

#[tokio::test]
async fn an_outbound_listener_expects_another_server_from_now_on() {
    let mesh = Mesh::new();
    let (_, db, workload) = echo(&mesh).await;
    let setup = mesh.outbound("web").allow("db").to(db.address());
    let web = setup.start().await;
    assert_eq!(crate::outbound::ask(&web, "hello\n").await, "hello\n");

    web.reload(&setup.forget("db").allow("lis")).await.unwrap();

    assert_eq!(crate::outbound::ask(&web, "hello\n").await, "");
    assert_eq!(workload.connections(), 1);
    assert_eq!(web.trail().only("connection-refused").await.reason(), "unexpected_server");
}

#[tokio::test]
async fn nobody_is_lost_while_configurations_change_under_load() {
    let mesh = Mesh::new();
    let (setup, db, workload) = echo(&mesh).await;
    let (identity, address) = (std::sync::Arc::new(mesh.pem("web")), db.address());
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let identity = std::sync::Arc::clone(&identity);
            tokio::spawn(async move {
                for _ in 0..15 {
                    let mut web = connect(&identity, address, "db").await.unwrap();
                    web.echoes("hello").await;
                    web.end().await;
                    web.rest().await;
                }
            })
        })
        .collect();

    for number in 0..15 {
        db.reload(&setup.clone().allow(&format!("peer{number}"))).await.unwrap();
    }
    for caller in callers {
        caller.await.unwrap();
    }

    assert_eq!(workload.connections(), 60);
    until("all to be over", || workload.open() == 0).await;
    assert!(db.trail().all("connection-refused").is_empty());
    db.trail().wait_for("connection-closed", 60).await;
}

#[tokio::test]
async fn a_peer_that_was_removed_is_kept_out_and_let_in_again_when_it_is_back() {
    let mesh = Mesh::new();
    let (setup, db, workload) = echo(&mesh).await;

    db.reload(&setup.clone().forget("web")).await.unwrap();
    let read = mesh.connect("web", &db).await.first_read().await;
    assert!(!matches!(read, FirstRead::Bytes(_)), "{read:?}");
    assert_eq!(workload.connections(), 0);
    db.reload(&setup).await.unwrap();

    mesh.connect("web", &db).await.echoes("hello").await;
}
