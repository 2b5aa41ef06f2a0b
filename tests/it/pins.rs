//! Peers that are known by one certificate or one key, whoever signed it.

use std::sync::Arc;

use rustls::sign::{CertifiedKey, SingleCertAndKey};
use time::OffsetDateTime;

use crate::outbound::ask;
use crate::support::client::{self, FirstRead};
use crate::support::gate::Gate;
use crate::support::mesh::{Mesh, Setup};
use crate::support::openssl::{SClient, s_server};
use crate::support::pki::{Ca, Identity, spiffe, uri};
use crate::support::process::{free_port, loopback};
use crate::support::workload::{Kind, Workload};

async fn pinned(entry: String) -> Gate {
    let adjust = |setup: Setup, _: &Ca| setup.peer("ct-2", &entry).allow_known("ct-2");
    Gate::with(adjust).await
}

#[tokio::test]
async fn a_self_signed_certificate_is_let_in_by_its_pin() {
    let modality = Identity::self_signed(|_| {});
    let gate = pinned(format!("pin: \"{}\"", modality.pin())).await;

    let allowed = gate.admits(&modality).await;

    assert_eq!(allowed.text("myelin.peer"), "ct-2");
    assert_eq!(allowed.text("myelin.identity"), modality.pin());
}

#[tokio::test]
async fn a_self_signed_certificate_is_let_in_by_the_pin_of_its_key() {
    let modality = Identity::self_signed(|_| {});
    let gate = pinned(format!("spki: \"{}\"", modality.key_pin())).await;

    let allowed = gate.admits(&modality).await;

    assert_eq!(allowed.text("myelin.peer"), "ct-2");
}

#[tokio::test]
async fn another_self_signed_certificate_with_the_same_names_is_refused() {
    let modality = Identity::self_signed(|_| {});
    let gate = pinned(format!("pin: \"{}\"", modality.pin())).await;

    gate.refuses(&Identity::self_signed(|_| {}), "unknown_issuer", 48).await;
}

#[tokio::test]
async fn a_pinned_certificate_that_claims_a_listed_spiffe_id_is_not_that_peer() {
    let impostor = Identity::self_signed(|params| {
        params.subject_alt_names = vec![uri(&spiffe("web"))];
    });
    let gate = pinned(format!("pin: \"{}\"", impostor.pin())).await;

    let allowed = gate.admits(&impostor).await;

    assert_eq!(allowed.text("myelin.peer"), "ct-2");
    assert_eq!(allowed.text("myelin.identity"), impostor.pin());
}

#[tokio::test]
async fn a_pinned_certificate_that_has_expired_is_refused() {
    let expired = Identity::self_signed(|params| {
        params.not_before = OffsetDateTime::now_utc() - time::Duration::days(20);
        params.not_after = OffsetDateTime::now_utc() - time::Duration::days(10);
    });
    let gate = pinned(format!("pin: \"{}\"", expired.pin())).await;

    gate.refuses(&expired, "expired", 45).await;
}

#[tokio::test]
async fn a_pin_counts_on_its_own_listener_only() {
    let modality = Identity::self_signed(|_| {});
    let entry = format!("pin: \"{}\"", modality.pin());
    let pacs = Workload::tcp(Kind::Line).await;
    let adjust = |setup: Setup, _: &Ca| {
        let listener = "name: pacs, listen: 127.0.0.1:0, protocol: tcp, allow: [ct-2]";
        let item = format!("{{ {listener}, forward: {} }}", pacs.target());
        setup.peer("ct-2", &entry).also(&item)
    };
    let gate = Gate::with(adjust).await;

    gate.refuses(&modality, "unknown_issuer", 48).await;

    let there = SClient::to(gate.db.address_of("pacs")).identity(&modality);
    assert!(there.send("hello\n").await.stdout.contains("you said hello"));
}

#[tokio::test]
async fn a_server_is_believed_by_its_pin_too() {
    let mesh = Mesh::new();
    let modality = Identity::self_signed(|_| {});
    let port = free_port();
    let mut server = s_server(&modality, port, &["-Verify", "3", "-rev"]);
    server.says("ACCEPT").await;
    let setup = mesh.outbound("web").peer("ct-2", &format!("pin: \"{}\"", modality.pin()));
    let web = setup.allow_known("ct-2").to(loopback(port)).start().await;

    assert_eq!(ask(&web, "hello\n").await, "olleh\n");

    let allowed = web.trail().only("connection-allowed").await;
    assert_eq!(allowed.text("myelin.peer"), "ct-2");
}

#[tokio::test]
async fn whoever_has_copied_a_pinned_certificate_and_not_its_key_is_refused() {
    let modality = Identity::self_signed(|_| {});
    let gate = pinned(format!("pin: \"{}\"", modality.pin())).await;
    let other = gate.ca.issue("thief");
    let mut stolen = client::config(&other);
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&other.private_key()).unwrap();
    let certified = CertifiedKey::new(modality.chain(), key);
    stolen.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));

    let mut thief = client::connect_with(stolen, gate.db.address(), "db").await.unwrap();

    assert!(matches!(thief.first_read().await, FirstRead::Alert(_)));
    let refused = gate.db.trail().only("connection-refused").await;
    assert_eq!(refused.reason(), "bad_certificate");
    assert_eq!(refused.text("tls.client.subject"), "CN=self-signed");
    gate.nothing_passed();
}
