use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::certs::Needs;
use crate::certs::openssl::{BOTH, OpenSsl};
use crate::config::{IdentitySource, Profile};
use crate::identity::TrustDomain;
use crate::live::{Live, live};

struct Running {
    live: Live<Material>,
    trigger: Trigger,
    shutdown: Shutdown,
    metrics: Metrics,
    events: Arc<Mutex<Vec<Rotation>>>,
    first: Material,
}

fn source(identity: &IdentitySource) -> Source {
    let needs = Needs { server: true, client: true, profile: Profile::Nist };
    Source::new(identity, &TrustDomain::parse("td").unwrap(), "ehr", needs).unwrap()
}

fn embedded(dir: &TempDir, ttl: Duration) -> IdentitySource {
    IdentitySource::Embedded { dir: dir.path().join("authority"), ttl }
}

fn files(pki: &OpenSsl) -> IdentitySource {
    IdentitySource::Files {
        cert: pki.path("leaf.crt"),
        key: pki.path("leaf.key"),
        trust_bundle: pki.path("root.crt"),
        crls: Vec::<PathBuf>::new(),
    }
}

fn run(source: Source) -> Running {
    let first = source.load().unwrap().material;
    let (publisher, live) = live(first.clone());
    let (trigger, triggered) = trigger();
    let (shutdown, metrics) = (Shutdown::default(), Metrics::new().unwrap());
    let events = Arc::new(Mutex::new(Vec::new()));
    let rotator = Rotator {
        source,
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
    let mut running = run(source(&embedded(&dir, Duration::from_secs(3))));

    let second = running.replaced().await;
    let third = running.replaced().await;

    assert!(second.not_after() > running.first.not_after() || !second.same_as(&running.first));
    assert!(third.not_after() > running.first.not_after());
    assert_ne!(second.facts.key_sha256, third.facts.key_sha256);
    assert_eq!(second.trust_bundle, running.first.trust_bundle);
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
    let mut running = run(source(&embedded(&dir, Duration::from_secs(3))));
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
    let mut running = run(source(&files(&pki)));
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
    let running = run(source(&files(&pki)));
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
    let running = run(source(&files(&pki)));
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
    let running = run(source(&files(&pki)));

    let facts = running.trigger.reload(None).await.unwrap();

    assert_eq!(facts.serial, running.first.facts.serial);
    assert_eq!(running.live.snapshot().generation.number(), 1);
    assert!(running.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_new_source_takes_over_only_if_it_is_good() {
    let pki = OpenSsl::with_leaf();
    let dir = TempDir::new().unwrap();
    let running = run(source(&files(&pki)));
    let missing = OpenSsl::new();

    running.trigger.reload(Some(source(&files(&missing)))).await.unwrap_err();
    running.trigger.reload(None).await.unwrap();
    assert!(running.live.snapshot().value.same_as(&running.first));

    let hour = Duration::from_secs(3600);
    running.trigger.reload(Some(source(&embedded(&dir, hour)))).await.unwrap();
    assert_eq!(running.live.snapshot().value.presented.cert.len(), 2);
}

#[tokio::test]
async fn draining_ends_the_task_and_later_requests_are_answered() {
    let pki = OpenSsl::with_leaf();
    let running = run(source(&files(&pki)));

    let drained = running.shutdown.run(Duration::from_secs(5)).await;

    assert_eq!(drained, crate::shutdown::Drained::Clean);
    assert!(matches!(running.trigger.reload(None).await, Err(MaterialError::BrokenOff)));
}
