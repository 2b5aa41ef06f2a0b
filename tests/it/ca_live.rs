//! `myelin ca` killed at any moment, and beside running sidecars.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::cli::myelin;
use crate::support::authority::Place;
use crate::support::client::{FirstRead, connect};
use crate::support::eventually;
use crate::support::mesh::Mesh;
use crate::support::workload::{Kind, Workload};

/// Runs the program and kills it after so long, if it is still running then. Whether it was done before.
fn kill_after(place: &Place, args: &[&str], pause: Option<Duration>) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_myelin"))
        .args(place.arguments(args))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    if let Some(pause) = pause {
        std::thread::sleep(pause);
        let _ended_before = child.kill();
    }
    let output = child.wait_with_output().unwrap();
    output.status.success()
}

/// The names of the files in the authority's directory that nobody is to know.
fn hidden(place: &Place) -> Vec<String> {
    let names = std::fs::read_dir(place.authority()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

/// So long the command takes on this machine now, with something to spare.
fn takes_so_long(place: &Place, args: &[&str]) -> Duration {
    let begun = tokio::time::Instant::now();
    assert!(kill_after(place, args, None), "{args:?}");
    begun.elapsed() * 5 / 4
}

#[tokio::test]
async fn killed_at_any_moment_it_has_recorded_whatever_it_gave_out() {
    const KILLS: u32 = 50;
    let place = Place::new().await;
    let out = place.out().display().to_string();
    let issue = ["issue", "--service", "ehr", "--out", &out];
    let whole = takes_so_long(&place, &issue);
    let mut done = 1;

    for step in 0..KILLS {
        let _new = std::fs::remove_dir_all(place.out());
        let finished = kill_after(&place, &issue, Some(whole * step / KILLS));

        let on_record = place.list().await;
        done += usize::from(finished);
        assert!(on_record.len() >= done, "an issue that was acknowledged is lost");
        if place.out().join("tls.crt").exists() {
            let serial = place.openssl("x509 -in out/tls.crt -noout -serial").await;
            let serial = serial.trim().trim_start_matches("serial=");
            assert!(on_record.iter().any(|it| it["serial"] == serial), "{serial} is not on record");
            assert!(place.takes().await);
        }
        assert_eq!(hidden(&place), [""; 0], "left behind, and may hold a key");
    }
    assert!(!place.issue("ehr").await.is_empty());
}

#[tokio::test]
async fn killed_while_it_revokes_record_and_list_agree_and_nothing_acknowledged_is_lost() {
    const KILLS: u32 = 25;
    let place = Place::new().await;
    let serial = place.issue("ehr").await;
    let whole = takes_so_long(&place, &["revoke", &serial]);

    for step in 0..KILLS {
        let serial = place.issue("ehr").await;
        let pause = Some(whole * step / KILLS);
        let acknowledged = kill_after(&place, &["revoke", &serial], pause);

        let list = place.list().await; // opens the authority, and so makes good what broke off
        let its = list.iter().find(|it| it["serial"] == serial.as_str()).unwrap();
        let revoked = its["state"] == "revoked";
        assert_eq!(place.takes().await, !revoked);
        assert!(revoked || !acknowledged, "{serial} was acknowledged and is lost");
    }
}

#[tokio::test]
async fn a_running_sidecar_refuses_whom_the_authority_revokes_without_being_told() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).spawn().await;
    let (stolen, good) = (mesh.pem("web"), mesh.pem("web"));
    connect(&stolen, db.address(), "db").await.unwrap().echoes("before").await;
    let authority = mesh.dir().join("authority").display().to_string();
    let cert = stolen.cert().display().to_string();

    let said = myelin(&["ca", "revoke", "--dir", &authority, "--cert", &cert]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    eventually("the revoked certificate to be refused", || async {
        let mut peer = connect(&stolen, db.address(), "db").await.unwrap();
        let _refused = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, b"after").await;
        // One that was let in just before is withdrawn instead, and that is no refusal yet.
        let revoked = FirstRead::Alert(rustls::AlertDescription::CertificateRevoked);
        (peer.first_read().await == revoked).then_some(())
    })
    .await;
    connect(&good, db.address(), "db").await.unwrap().echoes("the other one may").await;
    let record = db.trail().wait_for("connection-refused", 1).await.remove(0);
    assert_eq!(record.reason(), "revoked", "{record:#?}");
}

#[tokio::test]
async fn a_sidecar_whose_own_certificate_is_revoked_takes_another_at_once() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).spawn().await;
    let authority = mesh.dir().join("authority").display().to_string();
    mesh.connect("web", &db).await.echoes("before").await;

    let spiffe = "spiffe://hospital.example/db";
    let said = myelin(&["ca", "revoke", "--dir", &authority, "--spiffe", spiffe]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    db.trail().wait_for("certificate-rotated", 1).await;
    mesh.connect("web", &db).await.echoes("after").await;
    let list = myelin(&["ca", "list", "--dir", &authority, "--format", "json"]).await.stdout;
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    let states: Vec<_> =
        list.iter().filter(|it| it["spiffe"] == spiffe).map(|it| it["state"].clone()).collect();
    assert_eq!(states, ["revoked", "valid"]);
}
