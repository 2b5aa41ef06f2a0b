//! Peers that are known by one certificate or one key, whoever signed it.

use rcgen::{CertificateParams, KeyPair};
use time::OffsetDateTime;

use crate::refusals::Gate;
use crate::support::mesh::Setup;
use crate::support::pki::{Ca, Identity, spiffe};

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
        params.subject_alt_names = vec![crate::support::pki::uri(&spiffe("web"))];
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
    let adjust = |setup: Setup, _: &Ca| {
        setup.peer("ct-2", &entry).also(
            "{ name: pacs, listen: 127.0.0.1:0, forward: 127.0.0.1:9, protocol: tcp, allow: [ct-2] }",
        )
    };
    let gate = Gate::with(adjust).await;

    gate.refuses(&modality, "unknown_issuer", 48).await;
}

#[tokio::test]
async fn whoever_has_copied_a_pinned_certificate_and_not_its_key_is_refused() {
    let modality = Identity::self_signed(|_| {});
    let gate = pinned(format!("pin: \"{}\"", modality.pin())).await;
    let stolen = std::fs::read_to_string(modality.cert()).unwrap();
    // openssl refuses a key that does not fit; a certificate over our key with their bytes cannot be had,
    // so the nearest that a thief can do is another certificate over another key.
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::default().self_signed(&key).unwrap();
    let thief = Identity::new(&(own.pem() + &stolen), &key.serialize_pem(), &stolen);

    gate.refuses(&thief, "unknown_issuer", 48).await;
}
