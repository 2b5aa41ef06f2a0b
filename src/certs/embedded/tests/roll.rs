//! Another root in the place of the old one.

use super::*;
use crate::certs::anchors;
use crate::certs::check::Needs;
use crate::certs::source::{Occasion, Source};
use crate::config::{self, KeyType};

fn open(dir: &Path) -> Authority {
    Authority::open(dir, &domain()).unwrap()
}

/// Whether a peer with this trust bundle takes this chain.
fn takes(bundle: &str, chain: &str) -> bool {
    let openssl = OpenSsl::new();
    openssl.write("root.crt", bundle);
    openssl.write("leaf.crt", chain);
    std::process::Command::new("openssl")
        .args("verify -CAfile root.crt -untrusted leaf.crt leaf.crt".split(' '))
        .current_dir(openssl.dir())
        .output()
        .unwrap()
        .status
        .success()
}

#[test]
fn at_no_step_does_a_peer_that_keeps_up_refuse_anybody() {
    let (_parent, dir) = place();
    let authority = Authority::open_or_create(&dir, &domain()).unwrap();
    let leaf = |authority: &Authority| authority.issue_pem(&ehr(), &[], HOUR).unwrap().chain;
    let (old_bundle, old_leaf) = (authority.trust_bundle_pem().to_owned(), leaf(&authority));
    assert_eq!(authority.roll().unwrap(), Roll::Settled);

    authority.begin_roll(None).unwrap();
    let begun = open(&dir);
    assert_eq!(begun.roll().unwrap(), Roll::Begun);
    let both = begun.trust_bundle_pem().to_owned();
    assert_eq!(both.matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(begun.trusted().bundle.len(), 2);
    assert!(takes(&old_bundle, &leaf(&begun)), "a peer that has not heard yet takes new leaves");

    begun.switch_roll().unwrap();
    let switched = open(&dir);
    assert_eq!(switched.roll().unwrap(), Roll::Switched);
    let new_leaf = leaf(&switched);
    assert!(takes(&both, &new_leaf) && takes(&both, &old_leaf));
    assert!(!takes(&old_bundle, &new_leaf), "it is under the new root");
    assert_eq!(switched.crl_count(), 2, "old leaves are still on a list");
    assert_eq!(switched.under_old_roots().unwrap().len(), 2);
    let refused = switched.finish_roll(false).unwrap_err().to_string();
    assert!(refused.starts_with("2 certificates under the old root are still valid"), "{refused}");

    switched.finish_roll(true).unwrap();
    let finished = open(&dir);
    assert_eq!(finished.roll().unwrap(), Roll::Settled);
    assert_eq!(finished.crl_count(), 1);
    assert!(takes(finished.trust_bundle_pem(), &new_leaf));
    assert!(!takes(finished.trust_bundle_pem(), &old_leaf));
    assert!(!dir.join("next.key").exists() && !dir.join("next.crt").exists());
}

#[test]
fn steps_out_of_order_are_refused_and_change_nothing() {
    let (_parent, dir) = place();
    let authority = Authority::open_or_create(&dir, &domain()).unwrap();
    let text = |result: Result<(), AuthorityError>| result.unwrap_err().to_string();

    assert!(text(authority.switch_roll()).contains("is not begun"));
    assert!(text(authority.finish_roll(true)).contains("is not begun"));
    authority.begin_roll(None).unwrap();
    assert!(text(open(&dir).finish_roll(true)).contains("is not switched"));
    open(&dir).switch_roll().unwrap();
    assert!(text(open(&dir).begin_roll(None).map(|_| ())).contains("is switched"));
    assert!(text(open(&dir).switch_roll()).contains("is not begun"));
}

#[test]
fn a_step_that_broke_off_is_repeated() {
    let (_parent, dir) = place();
    let authority = Authority::open_or_create(&dir, &domain()).unwrap();
    let first = authority.begin_roll(None).unwrap();
    fs::write(dir.join("root.crt"), authority.trust_bundle_pem()).unwrap();

    let second = open(&dir).begin_roll(None).unwrap();
    assert_eq!(first, second, "the same new root");
    assert_eq!(open(&dir).trusted().bundle.len(), 2);

    // The machine dies when the new key is in place, and the certificates are not.
    fs::copy(dir.join("next.key"), dir.join("root.key")).unwrap();
    open(&dir).issue(&ehr(), &[], HOUR).unwrap();
    open(&dir).switch_roll().unwrap();

    let switched = open(&dir);
    assert_eq!(switched.fingerprint(), first);
    assert_eq!(switched.crl_count(), 2);
    switched.issue(&ehr(), &[], HOUR).unwrap();
}

#[tokio::test]
async fn a_sidecar_follows_step_by_step_and_refuses_a_root_that_comes_from_nowhere() {
    let (_parent, dir) = place();
    let config = config::Embedded { dir: dir.clone(), ttl: HOUR, key_types: vec![KeyType::P256] };
    let source = Embedded::new(config, domain(), ehr(), "ehr");
    let material = |offered| {
        let needs = Needs { server: true, client: true, profile: config::Profile::Nist };
        crate::certs::check::check(offered, needs, &ehr(), None, clock::now()).unwrap().0
    };
    let settled = material(source.offer(Occasion::Start).await.unwrap());

    open(&dir).begin_roll(None).unwrap();
    let begun = material(source.offer(Occasion::Refresh(&settled)).await.unwrap());
    assert_eq!(begun.trusted.bundle.len(), 2);
    assert_eq!(begun.facts.serial, settled.facts.serial);
    open(&dir).switch_roll().unwrap();
    let switched = material(source.offer(Occasion::Renew(&begun)).await.unwrap());
    assert_ne!(switched.facts.issuer, settled.facts.issuer);
    open(&dir).finish_roll(true).unwrap();
    let finished = material(source.offer(Occasion::Refresh(&switched)).await.unwrap());
    assert_eq!(finished.trusted.bundle.len(), 1);
    let kept: Vec<_> = finished.trusted.bundle.iter().collect();
    assert!(anchors::lost(&settled.trusted.bundle, &kept).is_some());

    let behind = source.offer(Occasion::Refresh(&settled)).await.err().unwrap();
    assert!(behind.to_string().contains("holds another authority than the one in use"), "{behind}");
}
