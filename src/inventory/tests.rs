use time::macros::datetime;

use super::*;
use crate::identity::{LeafUse, Subject};

const DAY: Duration = Duration::DAY;

fn certificate(number: u8, not_before: OffsetDateTime, life: Duration) -> Arc<PeerCertificate> {
    Arc::new(PeerCertificate {
        spiffe: None,
        dns: Vec::new(),
        alternative_names: Vec::new(),
        subject: Subject::default(),
        issuer: "CN=Hospital CA".to_owned(),
        serial: format!("{number:02X}"),
        sha256: Fingerprint([number; 32]),
        key_sha256: Fingerprint([number; 32]),
        not_before,
        not_after: not_before + life,
        usage: LeafUse::default(),
    })
}

/// An inventory of the peers `lab` and `vendor`.
fn inventory() -> (Inventory, PeerName, PeerName) {
    let inventory = Inventory::new(Metrics::new().unwrap());
    let (lab, vendor) = (PeerName::new("lab"), PeerName::new("vendor"));
    inventory.of_peers([&lab, &vendor].into_iter());
    (inventory, lab, vendor)
}

fn see(
    inventory: &Inventory,
    peer: &PeerName,
    certificate: &Arc<PeerCertificate>,
    anchor: Option<u8>,
) {
    inventory.seen(Sighting {
        peer,
        certificate,
        anchor: anchor.map(|number| Fingerprint([number; 32])),
        listener: &ListenerName::new("fhir"),
        direction: Direction::Inbound,
        version: "1.3",
        cipher: "TLS_AES_256_GCM_SHA384",
    });
}

fn year(number: u8) -> Arc<PeerCertificate> {
    certificate(number, clock::now() - DAY, DAY * 365)
}

fn gauge(inventory: &Inventory, peer: &str) -> Option<String> {
    let text = inventory.metrics.render();
    let name = format!(r#"myelin_peer_certificate_not_after_timestamp_seconds{{peer="{peer}"}} "#);
    text.lines().find_map(|line| line.strip_prefix(&name)).map(str::to_owned)
}

#[test]
fn a_peer_that_never_came_is_there_all_the_same() {
    let (inventory, lab, vendor) = inventory();
    see(&inventory, &vendor, &year(1), None);

    let partners = inventory.partners();

    assert_eq!(partners.iter().map(|partner| &partner.name).collect::<Vec<_>>(), [&lab, &vendor]);
    assert!(partners[0].certificates.is_empty());
    assert_eq!(partners[1].certificates.len(), 1);
}

#[test]
fn the_same_certificate_is_remembered_once_with_first_and_last_time() {
    let (inventory, lab, _) = inventory();
    let first = year(1);

    see(&inventory, &lab, &first, None);
    see(&inventory, &lab, &first, None);

    let [seen] = inventory.partners().remove(0).certificates.try_into().unwrap();
    assert_eq!(seen.connections, 2);
    assert!(seen.first_seen < seen.last_seen);
    assert_eq!((seen.version, seen.cipher.as_str()), ("1.3", "TLS_AES_256_GCM_SHA384"));
    assert_eq!(seen.expires_in_days(clock::now()), 363);
}

#[test]
fn the_gauge_follows_the_certificate_that_was_presented_last() {
    let (inventory, lab, _) = inventory();
    let (old, new) = (year(1), certificate(2, clock::now(), DAY * 700));

    see(&inventory, &lab, &old, None);
    assert_eq!(gauge(&inventory, "lab"), Some(old.not_after.unix_timestamp().to_string()));
    see(&inventory, &lab, &new, None);
    assert_eq!(gauge(&inventory, "lab"), Some(new.not_after.unix_timestamp().to_string()));
    see(&inventory, &lab, &old, None);
    assert_eq!(gauge(&inventory, "lab"), Some(old.not_after.unix_timestamp().to_string()));
}

#[test]
fn of_many_certificates_those_that_were_seen_last_are_remembered() {
    let (inventory, lab, _) = inventory();
    for number in 0..40 {
        see(&inventory, &lab, &year(number), None);
    }
    see(&inventory, &lab, &year(25), None);

    let remembered: Vec<_> = inventory.partners()[0]
        .certificates
        .iter()
        .map(|presented| presented.certificate.sha256.0[0])
        .collect();

    assert_eq!(remembered.len(), CERTIFICATES);
    assert_eq!(remembered[..3], [25, 39, 38]);
}

#[test]
fn whoever_is_no_longer_configured_is_forgotten() {
    let (inventory, lab, vendor) = inventory();
    see(&inventory, &lab, &year(1), Some(7));
    see(&inventory, &vendor, &year(2), Some(8));

    inventory.of_peers([&vendor].into_iter());
    see(&inventory, &lab, &year(1), Some(7));

    assert_eq!(inventory.partners().len(), 1);
    assert_eq!(inventory.partners()[0].certificates.len(), 1, "what is known of others stays");
    assert_eq!(inventory.use_of(&[Fingerprint([7; 32])]), None);
    assert!(inventory.use_of(&[Fingerprint([8; 32])]).is_some());
    assert_eq!(gauge(&inventory, "lab").as_deref(), Some("NaN"), "no alert goes on about it");
}

#[test]
fn an_anchor_knows_who_came_last_and_when() {
    let (inventory, lab, vendor) = inventory();
    see(&inventory, &lab, &year(1), Some(7));
    see(&inventory, &vendor, &year(2), Some(8));
    see(&inventory, &lab, &year(3), Some(8));

    let old = inventory.use_of(&[Fingerprint([7; 32])]).unwrap();
    let both = inventory.use_of(&[Fingerprint([7; 32]), Fingerprint([8; 32])]).unwrap();

    assert_eq!(old.peers, std::slice::from_ref(&lab));
    assert_eq!(both.peers, [lab, vendor], "each once, the last first");
    assert!(both.last_seen > old.last_seen);
    assert_eq!(inventory.use_of(&[Fingerprint([9; 32])]), None);
}

#[test]
fn anchors_are_bounded_and_those_of_long_ago_go_first() {
    let (inventory, lab, _) = inventory();
    let mut anchor = [0; 32];
    for number in 0..=ANCHORS {
        anchor[..8].copy_from_slice(&number.to_le_bytes());
        inventory.memory().anchored(Fingerprint(anchor), &lab, clock::now());
    }

    assert_eq!(inventory.memory().anchors.len(), ANCHORS);
    assert_eq!(inventory.use_of(&[Fingerprint([0; 32])]), None);
    assert!(inventory.use_of(&[Fingerprint(anchor)]).is_some());
}

#[test]
fn a_certificate_that_ends_soon_is_told_of_once_a_day() {
    let (inventory, _, vendor) = inventory();
    let start = datetime!(2027-01-01 00:00 UTC);
    see(&inventory, &vendor, &certificate(0xAB, start, DAY * 90), None);

    assert!(inventory.ending(start + DAY * 75).is_empty());
    let told = inventory.ending(start + DAY * 78);
    assert_eq!(
        told,
        [format!(
            "peer `vendor`: its certificate (serial AB, sha256 {}) expires in 12 days, at \
             2027-04-01T00:00:00Z",
            "ab".repeat(32)
        )]
    );
    assert!(inventory.ending(start + DAY * 78 + Duration::hours(23)).is_empty());
    assert!(inventory.ending(start + DAY * 79)[0].contains("expires in 11 days"));
    assert!(inventory.ending(start + DAY * 89)[0].contains("expires in 1 day,"));
    assert!(inventory.ending(start + DAY * 91)[0].contains("expired at 2027-04-01T00:00:00Z"));
    assert!(inventory.ending(start + DAY * 200).is_empty(), "it has long been known");
}

#[test]
fn a_new_certificate_ends_the_telling() {
    let (inventory, _, vendor) = inventory();
    let start = datetime!(2027-01-01 00:00 UTC);
    see(&inventory, &vendor, &certificate(1, start, DAY * 90), None);
    assert_eq!(inventory.ending(start + DAY * 85).len(), 1);

    see(&inventory, &vendor, &certificate(2, start + DAY * 85, DAY * 90), None);

    assert!(inventory.ending(start + DAY * 87).is_empty());
}

#[test]
fn certificates_that_renew_themselves_are_not_told_of() {
    let (inventory, lab, _) = inventory();
    let start = datetime!(2027-01-01 00:00 UTC);
    see(&inventory, &lab, &certificate(1, start, DAY), None);

    assert!(inventory.ending(start + Duration::hours(23)).is_empty());
}
