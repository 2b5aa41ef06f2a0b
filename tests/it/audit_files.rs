//! The life of the trail's files: they end, are compressed, and are removed when their time is over.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::myelin;
use crate::support::client::connect;
use crate::support::mesh::{Mesh, Setup};
use crate::support::process::needs;
use crate::support::trail::Trail;
use crate::support::until;
use crate::support::workload::{Kind, Workload};

fn phi(mesh: &Mesh, workload: &Workload) -> Setup {
    mesh.inbound("db").allow("web").forward(workload.target()).phi()
}

fn audit(mesh: &Mesh, more: &str) -> String {
    format!("dir: {}/db/audit, {more}", mesh.dir().display())
}

/// Gives the trail's newest file the name that it would have if it had been begun on that day, and says which.
fn begun(trail: &Trail, day: &str) -> PathBuf {
    let file = trail.segments().pop().unwrap();
    let number = file.file_name().unwrap().to_str().unwrap().split_once("Z-").unwrap().1;
    let begun = file.with_file_name(format!("trail-{day}T000000Z-{number}"));
    fs::rename(&file, &begun).unwrap();
    begun
}

#[tokio::test]
async fn a_file_of_another_day_is_compressed_and_an_auditor_reads_it_with_zstdcat() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = phi(&mesh, &workload).start().await;
    mesh.connect("web", &db).await.echoes("hello").await;
    let trail = db.trail().clone();
    db.stop().await;
    let before = trail.text();
    let file = begun(&trail, "20190101");

    let db = phi(&mesh, &workload).start().await;
    let copy = file.with_extension("jsonl.zst");
    until("the file to be compressed", || copy.exists() && !file.exists()).await;
    mesh.connect("web", &db).await.echoes("hello again").await;
    db.stop().await;

    let back = Command::new(needs("zstdcat", "zstd")).arg(&copy).output().unwrap();
    assert_eq!(String::from_utf8(back.stdout).unwrap(), before);
    assert!(trail.text().starts_with(&before));
    let said = myelin(&["audit", "verify", trail.dir().to_str().unwrap()]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    let asked = ["audit", "query", "--action", "connection-allowed", "--count", "--audit"];
    let said = myelin(&[&asked[..], &[trail.dir().to_str().unwrap()]].concat()).await;
    assert_eq!(said.stdout.trim(), "2", "{said:#?}");
}

#[tokio::test]
async fn a_legal_hold_keeps_what_is_past_its_retention_until_a_reload_lifts_it() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = phi(&mesh, &workload).start().await;
    let trail = db.trail().clone();
    db.stop().await;
    let file = begun(&trail, "20190101");
    let hold = audit(&mesh, "retention: 6y, compress: off, legal_hold: { reason: case 114 }");
    let setup = phi(&mesh, &workload).audit(&hold);
    setup.start().await.stop().await;
    begun(&trail, "20190102");

    let db = setup.start().await;
    mesh.connect("web", &db).await.echoes("hello").await;
    trail.wait_for("connection-closed", 1).await;
    assert!(file.exists() && trail.all("segments-removed").is_empty());
    let lifted = audit(&mesh, "retention: 6y, compress: off");
    db.reload(&phi(&mesh, &workload).audit(&lifted)).await.unwrap();
    until("the old file to be gone", || !file.exists()).await;
    db.stop().await;

    let removed = trail.only("segments-removed").await;
    let name = file.file_name().unwrap().to_str().unwrap();
    let first = &removed.field("myelin.removed")[0];
    assert_eq!((first["file"].as_str(), first["first_sequence"].as_u64()), (Some(name), Some(1)));
    let said = myelin(&["audit", "verify", trail.dir().to_str().unwrap()]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.stdout.contains("was removed when its retention was over"), "{said:#?}");
}

#[tokio::test]
async fn a_retention_of_less_than_six_years_is_warned_of_where_there_is_phi() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let short = audit(&mesh, "retention: 5y");
    let with_phi = phi(&mesh, &workload).audit(&short).write();
    let said = myelin(&["check", "--config", with_phi.to_str().unwrap()]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(
        said.all().contains("so long HIPAA has documentation kept (45 CFR 164.316(b)(2))"),
        "{said:#?}"
    );
    let without = mesh.inbound("db").allow("web").forward(workload.target()).audit(&short).write();
    let said = myelin(&["check", "--config", without.to_str().unwrap()]).await;
    assert!(!said.all().contains("HIPAA"), "{said:#?}");
}

/// Callers that say something to the workload, each time over a new connection, until they are told to end.
pub(crate) fn callers(
    mesh: &Mesh,
    address: std::net::SocketAddr,
    enough: &Arc<AtomicBool>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let caller = |_number| {
        let (identity, enough) = (mesh.pem("web"), Arc::clone(enough));
        tokio::spawn(async move {
            while !enough.load(Ordering::SeqCst) {
                let Ok(mut web) = connect(&identity, address, "db").await else { continue };
                let _cut = tokio::io::AsyncWriteExt::write_all(&mut web.stream, b"x").await;
                let _cut = web.first_read().await;
            }
        })
    };
    (0..8).map(caller).collect()
}

#[tokio::test]
async fn whenever_a_sidecar_is_killed_each_access_that_reached_the_workload_is_on_record() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = phi(&mesh, &workload).audit(&audit(&mesh, "segment_size: 64KiB"));

    for round in 0..4 {
        let mut db = setup.spawn().await;
        let enough = Arc::new(AtomicBool::new(false));
        let calling = callers(&mesh, db.address(), &enough);
        let wanted = workload.connections() + 100 + 37 * round;
        until("accesses", || workload.connections() >= wanted).await;
        db.process.signal("KILL");
        db.process.ended().await;
        enough.store(true, Ordering::SeqCst);
        for caller in calling {
            caller.await.unwrap();
        }
        let recorded = setup.trail().all("connection-allowed").len();
        assert!(recorded >= workload.connections(), "{recorded} of {}", workload.connections());
    }

    setup.start().await.stop().await;
    let trail = setup.trail();
    assert!(trail.segments().len() > 4, "{:?}", trail.segments());
    assert!(trail.segments().iter().any(|file| file.to_string_lossy().ends_with(".zst")));
    let said = myelin(&["audit", "verify", trail.dir().to_str().unwrap()]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
}
