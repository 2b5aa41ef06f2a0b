//! The authority as the source of a sidecar's own certificates.

use futures_util::future::FutureExt;
use tokio::time::timeout;

use super::*;
use crate::certs::check::{Needs, Offered, check};
use crate::certs::source::{Occasion, Source};
use crate::certs::{Material, MaterialError};
use crate::config::{self, KeyType, Profile};

const NEEDS: Needs = Needs { server: true, client: true, profile: Profile::Nist };
/// Longer than it takes to see a change in the directory.
const SOON: Duration = Duration::from_secs(20);

fn source(dir: &Path, key_types: &[KeyType]) -> Embedded {
    let (dir, key_types) = (dir.to_owned(), key_types.to_vec());
    Embedded::new(config::Embedded { dir, ttl: HOUR, key_types }, domain(), ehr(), "ehr")
}

fn checked(offered: Offered) -> Material {
    check(offered, NEEDS, &ehr(), None, clock::now()).unwrap().0
}

async fn start(source: &Embedded) -> Material {
    checked(source.offer(Occasion::Start).await.unwrap())
}

async fn refresh(source: &Embedded, in_use: &Material) -> Material {
    checked(source.offer(Occasion::Refresh(in_use)).await.unwrap())
}

fn on_record(dir: &Path) -> usize {
    Authority::open(dir, &domain()).unwrap().issued().unwrap().len()
}

#[tokio::test]
async fn there_is_a_certificate_for_each_kind_of_key_and_each_is_on_record() {
    let (_parent, dir) = place();
    let source = source(&dir, &[KeyType::P384, KeyType::Rsa2048, KeyType::Ed25519]);

    let material = start(&source).await;

    let authority = Authority::open(&dir, &domain()).unwrap();
    let kinds: Vec<_> =
        authority.issued().unwrap().into_iter().map(|it| it.record.key_type).collect();
    assert_eq!(kinds, ["ECDSA P-384", "RSA 2048", "Ed25519"]);
    assert_eq!(material.others.len(), 2);
    for pair in std::iter::once(&material.presented).chain(&material.others) {
        pair.keys_match().unwrap();
        assert_eq!(pair.cert.len(), 2);
    }
}

#[tokio::test]
async fn a_refresh_issues_nothing_and_a_renewal_does() {
    let (_parent, dir) = place();
    let source = source(&dir, &[KeyType::P256]);
    let first = start(&source).await;

    let kept = refresh(&source, &first).await;
    assert!(kept.same_as(&first));
    assert_eq!(on_record(&dir), 1);

    let renewed = checked(source.offer(Occasion::Renew(&first)).await.unwrap());
    assert_ne!(renewed.facts.serial, first.facts.serial);
    assert_eq!(on_record(&dir), 2);
}

#[tokio::test]
async fn a_look_issues_nothing_that_anybody_could_use() {
    let (_parent, dir) = place();
    let source = source(&dir, &[KeyType::P256]);
    Authority::open_or_create(&dir, &domain()).unwrap();

    source.look().await.unwrap();

    assert_eq!(on_record(&dir), 0);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_news_and_so_is_nothing_else() {
    let (_parent, dir) = place();
    let source = source(&dir, &[KeyType::P256]);
    let material = start(&source).await;
    let mut authority = Authority::open(&dir, &domain()).unwrap();
    let other = authority.issue_pem(&ehr(), &[], HOUR).unwrap();
    // What the start itself has written may be told once.
    let _told = timeout(Duration::from_secs(5), source.news()).await;
    refresh(&source, &material).await;
    let quiet = timeout(Duration::from_secs(5), source.news()).await;
    assert!(quiet.is_err(), "nothing has changed");

    authority.revoke(&other.record.serial, Reason::default()).unwrap();
    timeout(SOON, source.news()).await.unwrap();

    let refreshed = refresh(&source, &material).await;
    assert_eq!(refreshed.facts.serial, material.facts.serial, "the leaf stays");
    assert_ne!(refreshed.trusted.crls, material.trusted.crls);
}

#[test]
fn news_that_a_look_finds_when_nobody_waits_for_it_any_more_are_told_to_the_next() {
    let one_at_a_time = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .max_blocking_threads(1)
        .build()
        .unwrap();
    one_at_a_time.block_on(async {
        let (_parent, dir) = place();
        let source = source(&dir, &[KeyType::P256]);
        let material = start(&source).await;
        let mut authority = Authority::open(&dir, &domain()).unwrap();
        let other = authority.issue_pem(&ehr(), &[], HOUR).unwrap();
        refresh(&source, &material).await; // has seen all but what comes now
        authority.revoke(&other.record.serial, Reason::default()).unwrap();

        let (go_on, held_up) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || held_up.recv());
        let mut news = source.news();
        assert!((&mut news).now_or_never().is_none());
        tokio::time::advance(SOON).await;
        assert!((&mut news).now_or_never().is_none(), "the look has begun and is held up");
        drop(news);
        go_on.send(()).unwrap();
        busy.await.unwrap().unwrap();

        timeout(SOON, source.news()).await.unwrap();
        assert!(timeout(SOON, source.news()).await.is_err(), "they are told once");
    });
}

#[tokio::test]
async fn a_leaf_of_an_issuing_authority_that_was_lost_is_replaced_at_once() {
    let (_parent, dir) = place();
    let source = source(&dir, &[KeyType::P256]);
    let material = start(&source).await;
    fs::remove_file(dir.join("issuing.key")).unwrap();
    Authority::open(&dir, &domain()).unwrap();

    let refreshed = refresh(&source, &material).await;

    assert_ne!(refreshed.facts.issuer, material.facts.issuer);
}

#[tokio::test]
async fn what_cannot_be_put_on_record_is_not_handed_out() {
    let (_parent, dir) = place();
    let source = source(&dir, &[KeyType::P256]);
    let material = start(&source).await;
    fs::remove_file(dir.join("issued.jsonl")).unwrap();
    fs::create_dir(dir.join("issued.jsonl")).unwrap();

    let refused = source.offer(Occasion::Renew(&material)).await.err().unwrap();

    assert!(matches!(refused, MaterialError::Authority(_)), "{refused}");
    assert!(refused.to_string().contains("issued.jsonl: cannot be opened"), "{refused}");
}
