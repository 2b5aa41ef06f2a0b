//! New key material takes effect without closing a connection; bad material changes nothing.

use std::time::Duration;

use time::OffsetDateTime;

use crate::support::client::{Peer, connect};
use crate::support::eventually;
use crate::support::gate::Gate;
use crate::support::mesh::{Mesh, Setup};
use crate::support::pki::{Ca, sha256};
use crate::support::workload::{Kind, Workload};

/// SHA-256 of the certificate that the sidecar presented.
fn presented(peer: &Peer) -> String {
    sha256(&peer.stream.get_ref().1.peer_certificates().unwrap()[0])
}

#[tokio::test]
async fn a_certificate_of_the_embedded_authority_is_renewed_by_itself_before_it_expires() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    let db = setup.start_with_ttl(Duration::from_secs(3)).await;
    let mut web = mesh.connect("web", &db).await;
    web.echoes("before").await;
    let first = presented(&web);

    let second = eventually("another certificate", || async {
        let now = presented(&mesh.connect("web", &db).await);
        (now != first).then_some(now)
    })
    .await;

    web.echoes("the open connection stays").await;
    let rotated = db.trail().wait_for("certificate-rotated", 1).await;
    assert!(rotated[0].text("message").contains(&second), "{rotated:?}");
    assert!(db.trail().all("connection-closed").iter().all(|r| r.reason() != "cut"));
    assert!(db.metric("myelin_certificate_rotations_total", &[("result", "ok")]).await >= 1.0);
    let status = db.page("/status").await.body;
    assert!(!status.contains(&first), "{status}");
}

fn files(gate: &Gate) -> Setup {
    let setup = gate.mesh.inbound("db").allow("web").forward(gate.workload.target());
    setup.files(&gate.identity, &[])
}

#[tokio::test]
async fn a_certificate_in_files_takes_effect_with_a_reload() {
    let gate = Gate::new().await;
    let web = gate.ca.issue("web");
    let open = connect(&web, gate.db.address(), "db").await.unwrap();
    let new = gate.ca.issue("db");

    gate.identity.replace_with(&new);
    gate.db.reload(&files(&gate)).await.unwrap();

    let next = connect(&web, gate.db.address(), "db").await.unwrap();
    assert_eq!(format!("sha256:{}", presented(&next)), new.pin());
    assert_ne!(presented(&open), presented(&next));
    let mut open = open;
    open.send("still here\n").await;
    assert_eq!(open.rest().await, b"you said still here\n");
    gate.db.trail().wait_for("certificate-rotated", 1).await;
}

#[tokio::test]
async fn a_certificate_that_peers_would_refuse_does_not_take_effect() {
    let gate = Gate::new().await;
    let old = gate.identity.pin();
    let expired = gate.ca.issue_with("db", |params| {
        params.not_before = OffsetDateTime::now_utc() - time::Duration::days(2);
        params.not_after = OffsetDateTime::now_utc() - time::Duration::days(1);
    });

    gate.identity.replace_with(&expired);
    let refused = gate.db.reload(&files(&gate)).await.unwrap_err();

    let refused = myelin::report::Report(&refused).to_string();
    assert!(refused.contains("expired"), "{refused}");
    let web = gate.ca.issue("web");
    let next = connect(&web, gate.db.address(), "db").await.unwrap();
    assert_eq!(format!("sha256:{}", presented(&next)), old);
    let rejected = gate.db.trail().only("certificate-rejected").await;
    assert!(rejected.text("message").contains("expired"), "{rejected:?}");
    gate.db
        .metric_is(
            "myelin_certificate_rotations_total",
            &[("result", "rejected"), ("reason", "expired")],
            1.0,
        )
        .await;
    assert!(gate.db.page("/status").await.body.contains("expired"));
}

#[tokio::test]
async fn a_new_trust_bundle_counts_for_the_next_connection() {
    let gate = Gate::new().await;
    let newcomer = Ca::new("Second CA");
    let bundle = gate.ca.pem() + &newcomer.pem();

    std::fs::write(gate.identity.trust_bundle(), bundle).unwrap();
    gate.db.reload(&files(&gate)).await.unwrap();

    let web = newcomer.issue("web");
    std::fs::write(web.trust_bundle(), gate.ca.pem()).unwrap();
    gate.admits(&web).await;
}

#[tokio::test]
async fn connections_come_and_go_while_certificates_rotate() {
    let gate = Gate::new().await;
    let web = gate.ca.issue("web");

    for _ in 0..10 {
        gate.identity.replace_with(&gate.ca.issue("db"));
        let setup = files(&gate);
        let (reloaded, said) =
            tokio::join!(gate.db.reload(&setup), connect(&web, gate.db.address(), "db"));
        reloaded.unwrap();
        let mut peer = said.unwrap();
        peer.send("hello\n").await;
        assert_eq!(peer.rest().await, b"you said hello\n");
    }

    assert_eq!(gate.workload.connections(), 10);
    assert!(gate.db.trail().all("connection-refused").is_empty());
}
