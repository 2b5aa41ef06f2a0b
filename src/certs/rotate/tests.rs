mod anchors;
mod rejections;

use std::fs;
use std::sync::Mutex;

use futures_util::future::{BoxFuture, FutureExt};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;
use crate::certs::check::Offered;
use crate::certs::openssl::{BOTH, OpenSsl};
use crate::certs::{Looked, Needs, Occasion, Source, Trigger, trigger};
use crate::config::{self, IdentitySource, Profile};
use crate::identity::TrustDomain;
use crate::live::{Live, live};

const HOUR: Duration = Duration::from_secs(3600);

struct Running {
    live: Live<Material>,
    standing: Live<Standing>,
    inventory: Inventory,
    trigger: Trigger,
    shutdown: Shutdown,
    metrics: Metrics,
    events: Arc<Mutex<Vec<Rotation>>>,
    first: Material,
}

pub(super) fn supply(identity: &IdentitySource) -> Supply {
    let needs = Needs { server: true, client: true, profile: Profile::Nist };
    Supply::new(identity, &TrustDomain::parse("td").unwrap(), "ehr", needs).unwrap()
}

pub(super) fn embedded(dir: &TempDir, ttl: Duration) -> IdentitySource {
    IdentitySource::Embedded(config::Embedded {
        dir: dir.path().join("authority"),
        ttl,
        key_types: vec![config::KeyType::P256],
    })
}

pub(super) fn files(pki: &OpenSsl) -> IdentitySource {
    IdentitySource::Files(pki.files(&[]))
}

/// Files of which it is told when they have changed.
#[derive(Debug)]
struct Told {
    files: Arc<dyn Source>,
    changed: Arc<Notify>,
}

impl Source for Told {
    fn offer<'a>(
        &'a self,
        occasion: Occasion<'a>,
    ) -> BoxFuture<'a, Result<Offered, MaterialError>> {
        self.files.offer(occasion)
    }

    fn look(&self) -> BoxFuture<'_, Result<Looked, MaterialError>> {
        self.files.look()
    }

    fn news(&self) -> BoxFuture<'_, ()> {
        self.changed.notified().boxed()
    }

    fn renews(&self) -> bool {
        false
    }
}

/// Runs with files, and rings when they have changed.
async fn run_told(pki: &OpenSsl) -> (Running, Arc<Notify>) {
    let changed = Arc::new(Notify::new());
    let supply = supply(&files(pki));
    let told = Told { files: supply.source(), changed: Arc::clone(&changed) };
    (run(supply.from(Arc::new(told))).await, changed)
}

async fn run(supply: Supply) -> Running {
    let first = supply.load().await.unwrap().material;
    let (standing_publisher, standing) = live(Standing::of(&supply, &first));
    let (publisher, live) = live(first.clone());
    let (trigger, triggered) = trigger();
    let (shutdown, metrics) = (Shutdown::default(), Metrics::new().unwrap());
    let inventory = Inventory::new(metrics.clone());
    let events = Arc::new(Mutex::new(Vec::new()));
    let rotator = Rotator {
        supply,
        current: first.clone(),
        publisher,
        triggered,
        shutdown: shutdown.clone(),
        metrics: metrics.clone(),
        standing: standing_publisher,
        inventory: inventory.clone(),
    };
    let heard = Arc::clone(&events);
    shutdown.spawn(rotator.run(move |event| heard.lock().unwrap().push(event)));
    Running { live, standing, inventory, trigger, shutdown, metrics, events, first }
}

impl Running {
    async fn replaced(&mut self) -> Material {
        let seen = self.live.snapshot().generation;
        let replaced = self.live.replaced_after(seen);
        assert!(timeout(Duration::from_secs(20), replaced).await.unwrap());
        self.live.snapshot().value.clone()
    }

    async fn rejected(&mut self) -> Rejected {
        let seen = self.standing.snapshot().generation;
        let replaced = self.standing.replaced_after(seen);
        assert!(timeout(Duration::from_secs(20), replaced).await.unwrap());
        self.standing.snapshot().value.rejected.clone().unwrap()
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
    running.shutdown.cut();
    running.shutdown.run(Duration::ZERO).await;
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
    running.shutdown.cut();
    running.shutdown.run(Duration::ZERO).await;
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
async fn where_it_comes_from_and_when_it_is_renewed_is_known() {
    let dir = TempDir::new().unwrap();
    let running = run(supply(&embedded(&dir, HOUR))).await;

    let standing = running.standing.snapshot().value.clone();

    assert_eq!(standing.source, "embedded");
    let left = running.first.not_after() - standing.renew_at.unwrap();
    assert!((15..=24).contains(&left.whole_minutes()), "{left}");
    assert_eq!((standing.rotated, standing.rejected), (None, None));
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
async fn what_was_prepared_for_nothing_takes_effect_by_itself() {
    let pki = OpenSsl::with_leaf();
    let mut running = run(supply(&files(&pki))).await;
    pki.sign("leaf", "root", BOTH, "-days 80");

    let prepared = running.trigger.prepare(None).await.unwrap();
    let serial = prepared.material().facts.serial.clone();
    drop(prepared);

    assert_eq!(running.replaced().await.facts.serial, serial);
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
    assert!(text.contains(&format!("not_after={}", rfc3339(facts.not_after))), "{text}");
    assert!(rfc3339(facts.not_after).ends_with('Z'));
}

#[tokio::test]
async fn a_cut_ends_the_task_and_later_requests_are_answered() {
    let pki = OpenSsl::with_leaf();
    let running = run(supply(&files(&pki))).await;

    running.shutdown.cut();
    running.shutdown.run(Duration::from_secs(5)).await;

    assert!(matches!(running.trigger.reload(None).await, Err(MaterialError::BrokenOff)));
}

#[tokio::test]
async fn while_it_drains_no_certificate_is_renewed() {
    let dir = TempDir::new().unwrap();
    let running = run(supply(&embedded(&dir, Duration::from_secs(3)))).await;

    running.shutdown.drain();
    let due = running.standing.snapshot().value.renew_at.unwrap();
    while clock::now() < due {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.trigger.reload(None).await.unwrap();

    assert!(running.live.snapshot().value.same_as(&running.first));
}

#[tokio::test]
async fn while_it_drains_what_peers_are_verified_with_is_followed() {
    let pki = OpenSsl::with_leaf();
    let (mut running, changed) = run_told(&pki).await;
    running.shutdown.drain();

    pki.sign("leaf", "root", BOTH, "-days 80");
    changed.notify_one();

    assert!(!running.replaced().await.same_as(&running.first));
}
