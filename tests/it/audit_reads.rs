//! Whoever reads the trail is on record in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use crate::cli::myelin;
use crate::support::mesh::Mesh;
use crate::support::process::{needs, run};
use crate::support::trail::{Record, Trail};
use crate::support::until;
use crate::support::workload::{Kind, Workload};

async fn query(trail: &Trail, more: &[&str]) -> crate::support::process::Said {
    let dir = trail.dir().to_str().unwrap();
    myelin(&[&["audit", "query", "--audit", dir], more].concat()).await
}

fn filters(read: &Record) -> Vec<&str> {
    let filters = read.field("myelin.read.filters").as_array().unwrap();
    filters.iter().map(|name| name.as_str().unwrap()).collect()
}

#[tokio::test]
async fn who_reads_the_trail_is_on_record_with_what_was_asked_and_how_much_was_seen() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).phi().start().await;
    mesh.connect("web", &db).await.echoes("hello").await;
    db.trail().wait_for("connection-closed", 1).await;

    let asked = ["--action", "connection-allowed", "--peer", "web", "--from", "1d"];
    let said = query(db.trail(), &asked).await;
    assert_eq!((said.code, said.stdout.lines().count()), (Some(0), 1), "{said:#?}");
    let read = db.trail().only("log-read").await;

    assert_eq!(read.text("myelin.read.command"), "audit query");
    assert_eq!(filters(&read), ["from", "peer", "action"]);
    assert_eq!(read.number("myelin.read.records"), 1);
    assert_eq!(read.number("myelin.read.by.uid"), u64::from(rustix::process::getuid().as_raw()));
    let id = Command::new(needs("id", "coreutils")).arg("-un").output().unwrap();
    assert_eq!(read.text("myelin.read.by.name"), String::from_utf8(id.stdout).unwrap().trim());
    assert!(!read.field("myelin.read").to_string().contains("web"), "values are not told");
    let notes = db.trail().dir().join("reads");
    until("its note is gone", || fs::read_dir(&notes).unwrap().count() == 0).await;
}

#[tokio::test]
async fn what_was_read_while_no_sidecar_ran_is_on_record_when_one_does() {
    let mesh = Mesh::new();
    let setup = mesh.inbound("db").allow("web");
    let db = setup.start().await;
    let trail = db.trail().clone();
    db.stop().await;

    let mut sudo = Command::new(env!("CARGO_BIN_EXE_myelin"));
    sudo.args(["audit", "verify"]).arg(trail.dir()).env("SUDO_USER", "mallory");
    let said = run(&mut sudo, "").await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:#?}");
    assert!(trail.all("log-read").is_empty());
    let db = setup.start().await;

    let read = trail.only("log-read").await;
    assert_eq!(read.text("myelin.read.command"), "audit verify");
    assert_eq!(read.text("myelin.read.by.sudo"), "mallory");
    assert!(read.text("myelin.read.at")[..19] <= read.text("@timestamp")[..19]);
    db.stop().await;
}

#[tokio::test]
async fn a_read_that_cannot_be_noted_is_told_and_a_copy_is_read_without_a_note() {
    let mesh = Mesh::new();
    let db = mesh.inbound("db").allow("web").start().await;
    let trail = db.trail().clone();
    db.stop().await;
    fs::write(trail.dir().join("reads"), "in the way").unwrap();

    let said = query(&trail, &["--count"]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(
        said.stderr.contains("warning: this read of the trail will not be on record"),
        "{said:#?}"
    );

    fs::remove_file(trail.dir().join("reads")).unwrap();
    let elsewhere = mesh.dir().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, trail.dir().join("reads")).unwrap();
    let said = query(&trail, &["--count"]).await;
    assert!(said.stderr.contains("reads: cannot be written: Not a directory"), "{said:#?}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "root is led nowhere by a link");

    let copy = mesh.dir().join("copy");
    fs::create_dir(&copy).unwrap();
    for file in trail.segments() {
        fs::copy(&file, copy.join(file.file_name().unwrap())).unwrap();
    }
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o500)).unwrap();
    let said = query(&Trail::new(&copy), &["--count"]).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:#?}");
}
