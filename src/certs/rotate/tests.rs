use std::fs;
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::certs::openssl::{BOTH, OpenSsl};
use crate::certs::{Needs, Trigger, trigger};
use crate::config::{self, IdentitySource, Profile};
use crate::identity::TrustDomain;
use crate::live::{Live, live};

const HOUR: Duration = Duration::from_secs(3600);

struct Running {
    live: Live<Material>,
    trigger: Trigger,
    shutdown: Shutdown,
    metrics: Metrics,
    events: Arc<Mutex<Vec<Rotation>>>,
    first: Material,
}

fn supply(identity: &IdentitySource) -> Supply {
    let needs = Needs { server: true, client: true, profile: Profile::Nist };
    Supply::new(identity, &TrustDomain::parse("td").unwrap(), "ehr", needs).unwrap()
}

fn embedded(dir: &TempDir, ttl: Duration) -> IdentitySource {
    IdentitySource::Embedded(config::Embedded {
        dir: dir.path().join("authority"),
        ttl,
        key_types: vec![config::KeyType::P256],
    })
}

fn files(pki: &OpenSsl) -> IdentitySource {
    IdentitySource::Files(pki.files(&[]))
}

async fn run(supply: Supply) -> Running {
    let first = supply.load().await.unwrap().material;
    let (publisher, live) = live(first.clone());
    let (trigger, triggered) = trigger();
    let (shutdown, metrics) = (Shutdown::default(), Metrics::new().unwrap());
    let events = Arc::new(Mutex::new(Vec::new()));
    let rotator = Rotator {
        supply,
        current: first.clone(),
        publisher,
        triggered,
        shutdown: shutdown.clone(),
        metrics: metrics.clone(),
    };
    let heard = Arc::clone(&events);
    shutdown.spawn(rotator.run(move |event| heard.lock().unwrap().push(event)));
    Running { live, trigger, shutdown, metrics, events, first }
}

impl Running {
    async fn replaced(&mut self) -> Material {
        let seen = self.live.snapshot().generation;
        let replaced = self.live.replaced_after(seen);
        assert!(timeout(Duration::from_secs(20), replaced).await.unwrap());
        self.live.snapshot().value.clone()
    }

    fn problems(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let Some(Rotation::Rejected { problems }) = events.last() else { panic!("{events:?}") };
        problems.clone()
    }
}

#[tokio::test]
async fn leaves_are_renewed_before_they_end_without_being_asked() {
    let dir = TempDir::new().unwrap();
    let mut running = run(supply(&embedded(&dir, Duration::from_secs(3)))).await;

    let second = running.replaced().await;
    let third = running.replaced().await;

    assert!(second.not_after() > running.first.not_after() || !second.same_as(&running.first));
    assert!(third.not_after() > running.first.not_after());
    assert_ne!(second.facts.key_sha256, third.facts.key_sha256);
    assert_eq!(second.trusted.bundle, running.first.trusted.bundle);
    let text = running.metrics.render();
    assert!(text.contains(r#"myelin_certificate_rotations_total{result="ok"} 2"#), "{text}");
    let not_after = third.not_after().unix_timestamp();
    assert!(
        text.contains(&format!("myelin_certificate_not_after_timestamp_seconds {not_after}")),
        "{text}"
    );
    running.shutdown.run(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_failed_renewal_keeps_the_last_good_material_and_is_tried_again() {
    let dir = TempDir::new().unwrap();
    let mut running = run(supply(&embedded(&dir, Duration::from_secs(3)))).await;
    let root = dir.path().join("authority/root.crt");
    let kept = fs::read(&root).unwrap();
    fs::write(&root, "nonsense").unwrap();

    while running.events.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(running.live.snapshot().value.same_as(&running.first));
    assert!(running.problems()[0].ends_with("root.crt: is damaged: restore it"));
    fs::write(&root, kept).unwrap();

    assert!(!running.replaced().await.same_as(&running.first));
    running.shutdown.run(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn files_are_loaded_when_asked_and_the_asker_learns_the_result() {
    let pki = OpenSsl::with_leaf();
    let mut running = run(supply(&files(&pki))).await;
    pki.sign("leaf", "root", BOTH, "-days 80");

    let facts = running.trigger.reload(None).await.unwrap();

    assert_ne!(facts.serial, running.first.facts.serial);
    assert_eq!(running.live.snapshot().value.facts.serial, facts.serial);
    assert!(matches!(running.events.lock().unwrap().as_slice(), [Rotation::Rotated { .. }]));
    let news = timeout(Duration::from_millis(100), running.replaced()).await;
    assert!(news.is_err(), "published more than once");
}

#[tokio::test]
async fn a_name_that_the_new_certificate_lost_is_warned_of() {
    let pki = OpenSsl::with_leaf();
    let running = run(supply(&files(&pki))).await;
    pki.sign("leaf", "root", &BOTH.replace("DNS:ehr", "DNS:ehr2"), "-days 90");

    running.trigger.reload(None).await.unwrap();

    let events = running.events.lock().unwrap();
    let Rotation::Rotated { warnings, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!(
        warnings.as_slice(),
        ["the new certificate no longer names ehr: peers that know us by it will refuse us"]
    );
}

#[tokio::test]
async fn bad_files_change_nothing_and_the_asker_learns_why() {
    let pki = OpenSsl::with_leaf();
    let running = run(supply(&files(&pki))).await;
    pki.write("leaf.crt", pki.read("leaf.csr"));

    let error = running.trigger.reload(None).await.unwrap_err();

    assert!(error.to_string().contains("holds a certificate request, not a certificate"));
    assert!(running.live.snapshot().value.same_as(&running.first));
    assert_eq!(running.problems(), error.problems());
    let text = running.metrics.render();
    assert!(text.contains(r#"myelin_certificate_rotations_total{result="rejected"} 1"#), "{text}");
}

#[tokio::test]
async fn files_that_did_not_change_are_no_rotation() {
    let pki = OpenSsl::with_leaf();
    let running = run(supply(&files(&pki))).await;

    let facts = running.trigger.reload(None).await.unwrap();

    assert_eq!(facts.serial, running.first.facts.serial);
    assert_eq!(running.live.snapshot().generation.number(), 1);
    assert!(running.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_new_source_takes_over_only_if_it_is_good() {
    let pki = OpenSsl::with_leaf();
    let dir = TempDir::new().unwrap();
    let running = run(supply(&embedded(&dir, HOUR))).await;
    let missing = OpenSsl::new();

    running.trigger.reload(Some(supply(&files(&missing)))).await.unwrap_err();
    running.trigger.reload(None).await.unwrap();
    assert!(running.live.snapshot().value.same_as(&running.first));

    running.trigger.reload(Some(supply(&files(&pki)))).await.unwrap();
    let root = running.live.snapshot().value.trusted.bundle.clone();
    running.trigger.reload(None).await.unwrap();
    assert_ne!(root, running.first.trusted.bundle);
    assert_eq!(running.live.snapshot().value.trusted.bundle, root);
}

#[tokio::test]
async fn an_embedded_leaf_that_is_not_due_stays_at_a_reload() {
    let dir = TempDir::new().unwrap();
    let running = run(supply(&embedded(&dir, HOUR))).await;

    let facts = running.trigger.reload(None).await.unwrap();
    let again = Some(supply(&embedded(&dir, HOUR)));
    running.trigger.reload(again).await.unwrap();

    assert_eq!(facts.serial, running.first.facts.serial);
    assert_eq!(running.live.snapshot().generation.number(), 1);
    assert!(running.events.lock().unwrap().is_empty());

    running.trigger.reload(Some(supply(&embedded(&dir, HOUR * 2)))).await.unwrap();
    assert_eq!(running.live.snapshot().generation.number(), 2);
}

#[tokio::test]
async fn an_authority_that_is_gone_is_not_made_anew_while_its_leaf_is_in_use() {
    let dir = TempDir::new().unwrap();
    let mut running = run(supply(&embedded(&dir, Duration::from_secs(3)))).await;
    let (authority, away) = (dir.path().join("authority"), dir.path().join("away"));
    fs::rename(&authority, &away).unwrap();

    let error = running.trigger.reload(None).await.unwrap_err();
    while running.events.lock().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(50)).await; // a renewal finds the same
    }

    assert_eq!(
        error.to_string(),
        format!(
            "{}: no authority here: put back the one that was, or make a new one with `myelin init`",
            authority.display()
        )
    );
    assert_eq!(running.problems(), error.problems());
    assert!(!authority.exists());
    assert!(running.live.snapshot().value.same_as(&running.first));
    fs::rename(&away, &authority).unwrap();
    assert_eq!(running.replaced().await.trusted.bundle, running.first.trusted.bundle);
}

#[tokio::test]
async fn an_authority_is_not_exchanged_for_another() {
    let dir = TempDir::new().unwrap();
    let running = run(supply(&embedded(&dir, HOUR))).await;
    let authority = dir.path().join("authority");
    fs::rename(&authority, dir.path().join("away")).unwrap();
    supply(&embedded(&dir, HOUR)).load().await.unwrap();

    let error = running.trigger.reload(None).await.unwrap_err().to_string();

    let begin = format!(
        "{}: holds another authority than the one in use, O=td, CN=Myelin root ",
        authority.display()
    );
    assert!(error.starts_with(&begin) && error.contains(" (sha256 "), "{error}");
    assert!(running.live.snapshot().value.same_as(&running.first));
    assert_eq!(running.problems(), [error]);
}

#[tokio::test]
async fn a_trust_anchor_that_is_taken_out_of_the_bundle_is_warned_of() {
    let pki = OpenSsl::with_leaf();
    pki.root("former");
    let root = pki.read("root.crt");
    let bundle = pki.write("root.crt", pki.read("former.crt") + &root);
    let running = run(supply(&files(&pki))).await;
    pki.write("root.crt", root);

    running.trigger.reload(None).await.unwrap();

    let events = running.events.lock().unwrap();
    let Rotation::Rotated { warnings, .. } = &events[0] else { panic!("{events:?}") };
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    let begin = format!("{}: no longer holds O=Hospital, CN=former (sha256 ", bundle.display());
    assert!(warning.starts_with(&begin), "{warning}");
    assert!(
        warning.ends_with("): peers with certificates from there are refused from now on"),
        "{warning}"
    );
}

#[tokio::test]
async fn what_is_prepared_changes_nothing_unless_it_is_put_in_place() {
    let pki = OpenSsl::with_leaf();
    let dir = TempDir::new().unwrap();
    let running = run(supply(&embedded(&dir, HOUR))).await;
    let other = || Some(supply(&files(&pki)));

    let prepared = running.trigger.prepare(other()).await.unwrap();
    assert_ne!(prepared.material().facts.serial, running.first.facts.serial);
    drop(prepared);
    running.trigger.reload(None).await.unwrap();
    assert_eq!(running.live.snapshot().generation.number(), 1);
    assert!(running.events.lock().unwrap().is_empty());

    let prepared = running.trigger.prepare(other()).await.unwrap();
    let serial = prepared.material().facts.serial.clone();
    prepared.put_in_place().await.unwrap();
    assert_eq!(running.live.snapshot().value.facts.serial, serial);
    assert_eq!(running.events.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn no_renewal_comes_between_preparing_and_putting_in_place() {
    let dir = TempDir::new().unwrap();
    let mut running = run(supply(&embedded(&dir, Duration::from_secs(3)))).await;

    let prepared = running.trigger.prepare(None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(running.live.snapshot().generation.number(), 1);
    prepared.put_in_place().await.unwrap();

    assert!(!running.replaced().await.same_as(&running.first));
}

#[tokio::test(start_paused = true)]
async fn what_is_prepared_and_forgotten_holds_up_nobody_for_ever() {
    let pki = OpenSsl::with_leaf();
    let running = run(supply(&files(&pki))).await;
    pki.sign("leaf", "root", BOTH, "-days 80");

    let forgotten = running.trigger.prepare(None).await.unwrap();
    let next = running.trigger.reload(None).await.unwrap();

    assert_eq!(running.live.snapshot().value.facts.serial, next.serial);
    assert!(matches!(forgotten.put_in_place().await, Err(MaterialError::BrokenOff)));
    assert_eq!(running.live.snapshot().generation.number(), 2);
}

#[tokio::test]
async fn whoever_asks_and_goes_away_holds_up_nobody() {
    let pki = OpenSsl::with_leaf();
    let running = run(supply(&files(&pki))).await;

    {
        let mut asking = std::pin::pin!(running.trigger.prepare(None));
        let asked = std::future::poll_fn(|cx| std::task::Poll::Ready(asking.as_mut().poll(cx)));
        assert!(asked.await.is_pending(), "it has asked, and goes away before the answer");
    }

    timeout(Duration::from_secs(20), running.trigger.reload(None)).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_log_says_until_when_the_new_certificate_is_valid_in_rfc_3339() {
    let pki = OpenSsl::with_leaf();
    let log = tempfile::NamedTempFile::new().unwrap();
    let written = Mutex::new(log.reopen().unwrap());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(written).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let running = run(supply(&files(&pki))).await;
    pki.sign("leaf", "root", BOTH, "-days 80");

    let facts = running.trigger.reload(None).await.unwrap();

    let text = fs::read_to_string(log.path()).unwrap();
    assert!(text.contains(&format!("not_after={}", moment(facts.not_after))), "{text}");
    assert!(moment(facts.not_after).ends_with('Z'));
}

#[tokio::test]
async fn draining_ends_the_task_and_later_requests_are_answered() {
    let pki = OpenSsl::with_leaf();
    let running = run(supply(&files(&pki))).await;

    let drained = running.shutdown.run(Duration::from_secs(5)).await;

    assert_eq!(drained, crate::shutdown::Drained::Clean);
    assert!(matches!(running.trigger.reload(None).await, Err(MaterialError::BrokenOff)));
}
