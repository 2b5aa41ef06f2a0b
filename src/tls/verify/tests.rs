//! What a verdict rests on, and what becomes of it.

use std::collections::HashSet;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::CertificateRevocationListDer;
use time::macros::datetime;

use super::*;
use crate::config::Profile;
use crate::identity::Fingerprint;

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

fn in_days(days: i64) -> OffsetDateTime {
    NOW + time::Duration::days(days)
}

/// An authority: its key, and its own certificate until some day.
struct Authority {
    key: KeyPair,
    params: CertificateParams,
    certificate: Certificate,
}

impl Authority {
    fn root(name: &str, days: i64) -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), authority(name, days));
        let certificate = params.self_signed(&key).unwrap();
        Self { key, params, certificate }
    }

    fn below(&self, name: &str, days: i64) -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), authority(name, days));
        let certificate = params.signed_by(&key, &self.issuer()).unwrap();
        Self { key, params, certificate }
    }

    /// Another certificate for the key of `other`.
    fn vouches_for(&self, other: &Self, days: i64) -> CertificateDer<'static> {
        let mut params = other.params.clone();
        params.not_after = in_days(days);
        params.signed_by(&other.key, &self.issuer()).unwrap().der().clone()
    }

    fn leaf(&self, days: i64) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI("spiffe://td/billing".try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = in_days(-1);
        params.not_after = in_days(days);
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.issuer()).unwrap().der().clone()
    }

    fn list(&self, days: i64) -> CertificateRevocationListDer<'static> {
        let params = CertificateRevocationListParams {
            this_update: in_days(-1),
            next_update: in_days(days),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer()).unwrap().der().clone()
    }

    fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

fn authority(name: &str, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = in_days(-1);
    params.not_after = in_days(days);
    params
}

fn settings(crl_expired: CrlExpired) -> TlsSettings {
    TlsSettings { profile: Profile::Nist, cipher_suites: Vec::new(), crl_expired }
}

fn trust(roots: &[&Authority], crls: Vec<CertificateRevocationListDer<'static>>) -> Arc<Trust> {
    let bundle = roots.iter().map(|root| root.der()).collect();
    let trusted = Arc::new(Trusted { bundle, crls, ..Trusted::default() });
    Trust::of_clients(&settings(CrlExpired::Refuse), &trusted, Pins::default()).unwrap()
}

fn judged(
    trust: &Trust,
    chain: &[CertificateDer<'static>],
    at: OffsetDateTime,
) -> Result<(PeerIdentity, Grounds), Refusal> {
    let certificate = Arc::new(PeerCertificate::parse(&chain[0]).unwrap());
    trust.judge_again(chain, &certificate, at).map_err(|(refusal, _)| refusal)
}

#[test]
fn a_verdict_is_good_until_the_first_of_what_it_rests_on_ends() {
    for (leaf, between, root, list, first) in
        [(5, 9, 9, 9, 5), (9, 5, 9, 9, 5), (9, 9, 5, 9, 5), (9, 9, 9, 5, 5)]
    {
        let root = Authority::root("Root", root);
        let between = root.below("Between", between);
        let trust = trust(&[&root], vec![between.list(list), root.list(9)]);

        let (_, grounds) = judged(&trust, &[between.leaf(leaf), between.der()], NOW).unwrap();

        assert_eq!(grounds.until, in_days(first));
    }
}

#[test]
fn at_its_end_a_certificate_has_ended_and_not_a_second_before() {
    let root = Authority::root("Root", 9);
    let (trust, chain) = (trust(&[&root], Vec::new()), [root.leaf(5)]);
    let end = judged(&trust, &chain, NOW).unwrap().1.until;

    assert!(judged(&trust, &chain, end - time::Duration::seconds(2)).is_ok());
    assert_eq!(judged(&trust, &chain, end).unwrap_err(), Refusal::Expired);
}

#[test]
fn an_overdue_list_does_not_count_as_an_end_where_it_ends_nothing() {
    let root = Authority::root("Root", 9);
    let bundle = vec![root.der()];
    let trusted = Arc::new(Trusted { bundle, crls: vec![root.list(2)], ..Trusted::default() });
    let warn = settings(CrlExpired::Warn);
    let trust = Trust::of_clients(&warn, &trusted, Pins::default()).unwrap();
    let chain = [root.leaf(5)];

    assert_eq!(judged(&trust, &chain, NOW).unwrap().1.until, in_days(5));
    assert_eq!(judged(&trust, &chain, in_days(3)).unwrap().1.until, in_days(5));
}

#[test]
fn the_anchor_is_told_by_its_fingerprint_and_a_pin_has_none() {
    let (root, other) = (Authority::root("Root", 9), Authority::root("Other", 9));
    let (trust, chain) = (trust(&[&other, &root], Vec::new()), [root.leaf(5)]);
    let certificate = PeerCertificate::parse(&chain[0]).unwrap();
    let pins = Pins { certificates: HashSet::from([certificate.sha256]), ..Pins::default() };
    let trusted = Arc::new(Trusted { bundle: vec![other.der()], ..Trusted::default() });
    let pinning = Trust::of_clients(&settings(CrlExpired::Refuse), &trusted, pins).unwrap();

    let (by_chain, grounds) = judged(&trust, &chain, NOW).unwrap();
    let (by_pin, pinned) = judged(&pinning, &chain, NOW).unwrap();

    let anchor = PeerCertificate::parse(&root.der()).unwrap().sha256;
    assert_eq!((by_chain.proof, grounds.anchor), (Proof::Chain, Some(anchor)));
    assert_eq!((by_pin.proof, pinned.anchor), (Proof::Pin, None));
    assert_eq!(pinned.until, in_days(5));
}

#[test]
fn when_one_path_ends_another_carries() {
    let (old, new) = (Authority::root("Old", 2), Authority::root("New", 9));
    let between = old.below("Between", 2);
    let chain = [between.leaf(5), between.der(), new.vouches_for(&between, 9)];
    let trust = trust(&[&old, &new], Vec::new());
    let later = judged(&trust, &chain, in_days(3)).unwrap().1;

    assert_eq!(later.until, in_days(5));
    assert_eq!(later.anchor, Some(PeerCertificate::parse(&new.der()).unwrap().sha256));
}

#[test]
fn trust_is_the_same_only_if_nothing_of_it_has_changed() {
    let root = Authority::root("Root", 9);
    let (refuse, warn) = (settings(CrlExpired::Refuse), settings(CrlExpired::Warn));
    let trusted = Arc::new(Trusted { bundle: vec![root.der()], ..Trusted::default() });
    let listed = Trusted { crls: vec![root.list(2)], ..Trusted::clone(&trusted) };
    let trust = Trust::of_clients(&refuse, &trusted, Pins::default()).unwrap();
    let pins = Pins { keys: HashSet::from([Fingerprint([1; 32])]), ..Pins::default() };

    let same = |settings, trusted: &Arc<Trusted>, pins| {
        Arc::ptr_eq(&trust, &trust.renewed(settings, trusted, pins).unwrap())
    };
    assert!(same(&refuse, &Arc::new(Trusted::clone(&trusted)), Pins::default()));
    assert!(!same(&warn, &trusted, Pins::default()));
    assert!(!same(&refuse, &Arc::new(listed), Pins::default()));
    assert!(!same(&refuse, &trusted, pins));
}

#[test]
fn a_known_signature_hides_no_change_of_what_it_rests_on() {
    let (root, other) = (Authority::root("Root", 9), Authority::root("Other", 9));
    let chain = [root.leaf(5)];
    let trust = trust(&[&root, &other], Vec::new());
    judged(&trust, &chain, NOW).unwrap();

    let without = Arc::new(Trusted { bundle: vec![other.der()], ..Trusted::default() });
    let listed = vec![root.list(2)];
    let listing = Arc::new(Trusted { crls: listed, ..Trusted::clone(&trust.trusted) });
    let refuse = settings(CrlExpired::Refuse);
    let without = trust.renewed(&refuse, &without, Pins::default()).unwrap();
    let listing = trust.renewed(&refuse, &listing, Pins::default()).unwrap();

    assert_eq!(judged(&without, &chain, NOW).unwrap_err(), Refusal::UnknownIssuer);
    assert_eq!(judged(&listing, &chain, NOW).unwrap().1.until, in_days(2));
    assert_eq!(judged(&listing, &chain, in_days(3)).unwrap_err(), Refusal::CrlExpired);
    assert_eq!(judged(&trust, &chain, in_days(5)).unwrap_err(), Refusal::Expired);
}

#[test]
fn a_chain_that_is_long_is_not_looked_at_and_one_with_some_ballast_is() {
    let root = Authority::root("Root", 9);
    let (trust, between) = (trust(&[&root], Vec::new()), root.below("Between", 9));
    let chain = |behind: usize| {
        let mut chain = vec![between.leaf(5)];
        chain.extend((0..behind).map(|_| between.der()));
        chain
    };

    assert!(judged(&trust, &chain(MOST_INTERMEDIATES), NOW).is_ok());
    let refused = judged(&trust, &chain(MOST_INTERMEDIATES + 1), NOW).unwrap_err();
    assert_eq!(refused, Refusal::BadCertificate);
}
