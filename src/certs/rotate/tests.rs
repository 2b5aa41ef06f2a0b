use std::fs;
use std::sync::Mutex;

use futures_util::future::{BoxFuture, FutureExt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;
use crate::certs::check::Offered;
use crate::certs::openssl::{BOTH, OpenSsl};
use crate::certs::{Looked, Needs, Occasion, Preflight, Source, Trigger, trigger};
use crate::config::{self, IdentitySource, Profile};
use crate::identity::{Fingerprint, ListenerName, PeerName, TrustDomain};
use crate::inventory::Sighting;
use crate::live::{Live, live};
use crate::outcome::Direction;

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
async fn a_name_that_the_new_certificate_lost_is_warned_of_when_somebody_asked_for_it() {
    let pki = OpenSsl::with_leaf();
    let running = run(supply(&files(&pki))).await;
    pki.sign("leaf", "root", &BOTH.replace("DNS:ehr", "DNS:ehr2"), "-days 90");

    running.trigger.reload(None).await.unwrap();

    let events = running.events.lock().unwrap();
    let Rotation::Rotated { warnings, changed, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!(
        warnings.as_slice(),
        ["the new certificate no longer names ehr: peers that know us by it will refuse us"]
    );
    assert_eq!(changed, &["certificate"]);
}

#[tokio::test]
async fn a_name_is_not_lost_while_nobody_looks() {
    let pki = OpenSsl::with_leaf();
    let (mut running, changed) = run_told(&pki).await;
    pki.sign("leaf", "root", &BOTH.replace("DNS:ehr", "DNS:ehr2"), "-days 90");

    changed.notify_one();
    let Rejected { problems, .. } = running.rejected().await;

    let begin = "the new certificate, serial ";
    let end = ", no longer names ehr: peers that know us by it would refuse us; if that is meant, \
               SIGHUP or a restart puts it in use";
    assert!(problems[0].starts_with(begin) && problems[0].ends_with(end), "{problems:?}");
    assert!(running.live.snapshot().value.same_as(&running.first));
    let counted = r#"myelin_certificate_rotations_total{result="rejected",reason="names"} 1"#;
    assert!(running.metrics.render().contains(counted));

    running.trigger.reload(None).await.unwrap();
    assert!(!running.live.snapshot().value.same_as(&running.first));
    let standing = &running.standing.snapshot().value;
    assert_eq!(standing.rejected, None, "the next success clears it");
    assert!(standing.rotated.is_some());
}

#[tokio::test]
async fn the_same_rejection_is_counted_each_time_and_told_once() {
    let pki = OpenSsl::with_leaf();
    let (mut running, changed) = run_told(&pki).await;
    let good = pki.read("leaf.crt");
    pki.sign("leaf", "root", BOTH, "-days 0");

    changed.notify_one();
    let first = running.rejected().await;
    let second = running.rejected().await;

    assert_ne!(first.problems, second.problems, "the text says the time by our clock");
    assert_eq!(first.since, second.since);
    assert!(first.at < second.at);
    assert_eq!(running.events.lock().unwrap().len(), 1);
    let counted = r#"myelin_certificate_rotations_total{result="rejected",reason="expired"} 2"#;
    assert!(running.metrics.render().contains(counted));

    pki.write("leaf.crt", pki.read("leaf.csr"));
    let other = running.rejected().await;
    assert!(other.problems[0].contains("holds a certificate request"), "{other:?}");
    assert_eq!(running.events.lock().unwrap().len(), 2, "another problem is told at once");

    pki.write("leaf.crt", good);
    let seen = running.standing.snapshot().generation;
    assert!(running.standing.replaced_after(seen).await);
    assert_eq!(running.standing.snapshot().value.rejected, None);
    assert_eq!(running.standing.snapshot().value.rotated, None, "it is the one in use");
}

#[tokio::test]
async fn what_fails_in_a_handshake_with_itself_is_rejected_and_says_where_it_came_from() {
    let pki = OpenSsl::with_leaf();
    let first = supply(&files(&pki));
    let running = run(first).await;
    pki.sign("leaf", "root", BOTH, "-days 80");
    let picky = Preflight::new(|_, _| Err("nobody would shake its hand".to_owned()));

    let tried = supply(&files(&pki)).tried_out_by(picky);
    let error = running.trigger.reload(Some(tried)).await.unwrap_err();

    let at = pki.path("leaf.crt");
    assert_eq!(error.to_string(), format!("{}: nobody would shake its hand", at.display()));
    assert!(running.live.snapshot().value.same_as(&running.first));
    let counted = r#"myelin_certificate_rotations_total{result="rejected",reason="handshake"} 1"#;
    assert!(running.metrics.render().contains(counted));
}

#[tokio::test]
async fn every_reason_of_a_rejection_is_counted_from_zero() {
    let dir = TempDir::new().unwrap();
    let running = run(supply(&embedded(&dir, HOUR))).await;

    let text = running.metrics.render();

    for label in crate::outcome::Rejection::ALL.map(crate::outcome::Rejection::label) {
        let line = format!(
            r#"myelin_certificate_rotations_total{{result="rejected",reason="{label}"}} 0"#
        );
        assert!(text.contains(&line), "{line}");
    }
    assert!(text.contains(r#"myelin_certificate_rotations_total{result="ok"} 0"#), "{text}");
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
async fn bad_files_change_nothing_and_the_asker_learns_why() {
    let pki = OpenSsl::with_leaf();
    let running = run(supply(&files(&pki))).await;
    pki.write("leaf.crt", pki.read("leaf.csr"));

    let error = running.trigger.reload(None).await.unwrap_err();

    assert!(error.to_string().contains("holds a certificate request, not a certificate"));
    assert!(running.live.snapshot().value.same_as(&running.first));
    assert_eq!(running.problems(), error.problems());
    let text = running.metrics.render();
    assert!(
        text.contains(
            r#"myelin_certificate_rotations_total{result="rejected",reason="unreadable"} 1"#
        ),
        "{text}"
    );
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
    let asked = running.standing.snapshot().value.rejected.clone().unwrap();
    let renewal = running.rejected().await;
    assert_eq!(renewal.problems, asked.problems, "a renewal finds the same");

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

/// A bundle of two roots, of which `former` was in use by `lab`; the text is what is said when it goes.
async fn without_former(see: impl FnOnce(&Inventory, Fingerprint)) -> String {
    let pki = OpenSsl::with_leaf();
    pki.root("former");
    let root = pki.read("root.crt");
    pki.write("root.crt", pki.read("former.crt") + &root);
    let running = run(supply(&files(&pki))).await;
    let former = running.first.trusted.anchors()[0].clone();
    assert_eq!(former.subject, "O=Hospital, CN=former");
    see(&running.inventory, former.sha256);
    pki.write("root.crt", root);

    running.trigger.reload(None).await.unwrap();

    let events = running.events.lock().unwrap();
    let Rotation::Rotated { warnings, changed, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!(changed, &["trust bundle"]);
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    let begin = format!(
        "the trust bundle no longer holds O=Hospital, CN=former (sha256 {}), ",
        former.sha256
    );
    let end = ": peers with certificates from there are refused from now on";
    warning.strip_prefix(&begin).unwrap().strip_suffix(end).unwrap().to_owned()
}

#[tokio::test]
async fn a_trust_anchor_that_is_taken_out_of_the_bundle_is_warned_of() {
    assert_eq!(without_former(|_, _| {}).await, "not seen in use since the start");
}

#[tokio::test]
async fn a_trust_anchor_that_is_taken_out_while_in_use_is_told_with_its_peers() {
    let said = without_former(|inventory, anchor| {
        let lab = PeerName::new("lab");
        inventory.of_peers(std::iter::once(&lab));
        inventory.seen(Sighting {
            peer: &lab,
            certificate: &Arc::new(PeerCertificate::parse(&leaf()).unwrap()),
            anchor: Some(anchor),
            listener: &ListenerName::new("fhir"),
            direction: Direction::Inbound,
            version: "1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
        });
    })
    .await;

    assert!(said.starts_with("last seen in use at 20") && said.ends_with("Z, by lab"), "{said}");
}

fn leaf() -> CertificateDer<'static> {
    CertificateDer::from_pem_file(OpenSsl::with_leaf().path("leaf.crt")).unwrap()
}

#[tokio::test]
async fn authorities_of_the_same_name_stand_beside_each_other_and_a_renewed_one_is_the_same() {
    let pki = OpenSsl::with_leaf();
    let (root, key) = (pki.read("root.crt"), pki.read("root.key"));
    pki.run("x509 -in root.crt -signkey root.key -days 700 -out renewed.crt");
    let renewed = pki.read("renewed.crt");
    pki.root("root"); // the same name, another key
    let namesake = pki.read("root.crt");
    pki.leaf("namesake", "root", BOTH);
    pki.write("root.crt", namesake.clone() + &root + &renewed);
    let running = run(supply(&files(&pki))).await;
    let warnings = |count| {
        let events = running.events.lock().unwrap();
        assert_eq!(events.len(), count, "{events:?}");
        let Rotation::Rotated { warnings, .. } = &events[count - 1] else { panic!("{events:?}") };
        warnings.clone()
    };
    let anchors = running.first.trusted.anchors();
    assert_eq!(anchors[0].same_authority(&anchors).len(), 1);
    assert_eq!(anchors[1].same_authority(&anchors).len(), 2);

    pki.write("root.crt", namesake.clone() + &renewed);
    running.trigger.reload(None).await.unwrap();
    assert_eq!(warnings(1), Vec::<String>::new(), "its name and key are still there");

    fs::rename(pki.path("namesake.crt"), pki.path("leaf.crt")).unwrap();
    fs::rename(pki.path("namesake.key"), pki.path("leaf.key")).unwrap();
    running.trigger.reload(None).await.unwrap();
    assert_eq!(warnings(2), Vec::<String>::new());

    pki.write("root.crt", namesake);
    running.trigger.reload(None).await.unwrap();
    assert!(warnings(3)[0].contains(&anchors[2].sha256.to_string()));
    drop(key);
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
