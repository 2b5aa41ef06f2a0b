//! Revocation, told by openssl.

use std::fs;

use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;

use super::*;
use crate::certs::check::Unfit;
use crate::certs::keys::{self, Key, Names};
use crate::config::KeyType;

const DAY: time::Duration = time::Duration::days(1);

struct Place {
    _parent: TempDir,
    dir: PathBuf,
    openssl: OpenSsl,
}

impl Place {
    fn new() -> (Self, Authority) {
        let (parent, dir) = place();
        let authority = Authority::open_or_create(&dir, &domain()).unwrap();
        (Self { _parent: parent, dir, openssl: OpenSsl::new() }, authority)
    }

    fn open(&self) -> Authority {
        Authority::open(&self.dir, &domain()).unwrap()
    }

    fn open_at(&self, at: OffsetDateTime) -> Authority {
        Authority::open_or_create_at(&self.dir, &domain(), at).unwrap()
    }

    /// Whether openssl still takes a leaf, by the list that the authority offers.
    fn takes(&self, chain: &str) -> bool {
        let authority = self.open();
        self.openssl.write("root.crt", authority.trust_bundle_pem());
        self.openssl.write("ca.crl", authority.crl_pem());
        self.openssl.write("leaf.crt", chain);
        let output = std::process::Command::new("openssl")
            .args("verify -crl_check -CAfile root.crt -CRLfile ca.crl -untrusted".split(' '))
            .args(["leaf.crt", "leaf.crt"])
            .current_dir(self.openssl.dir())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() || text.contains("certificate revoked"), "{text}");
        output.status.success()
    }

    /// What openssl reads in the first list.
    fn list(&self) -> String {
        self.openssl.write("ca.crl", self.open().crl_pem());
        self.openssl.run("crl -in ca.crl -noout -text")
    }

    fn number(&self) -> String {
        self.openssl.write("ca.crl", self.open().crl_pem());
        self.openssl.run("crl -in ca.crl -noout -crlnumber")
    }
}

fn issue(authority: &Authority) -> IssuedPem {
    authority.issue_pem(&ehr(), &[], HOUR).unwrap()
}

fn leaf_der(pem: &IssuedPem) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.chain.as_bytes()).unwrap()
}

#[test]
fn there_is_a_list_before_anything_is_revoked_and_openssl_takes_it() {
    let (place, authority) = Place::new();
    let leaf = issue(&authority);

    assert!(place.takes(&leaf.chain));
    let text = place.list();

    for expected in [
        "Version 2 (0x1)",
        "Issuer: O = hospital.example, CN = Myelin issuing ",
        "No Revoked Certificates",
        "X509v3 CRL Number",
        "X509v3 Authority Key Identifier",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    place.openssl.write("issuing.crt", fs::read_to_string(place.dir.join("issuing.crt")).unwrap());
    place.openssl.run("crl -in ca.crl -CAfile issuing.crt -noout");
    assert_eq!(authority.crl_der(), Some(&authority.trusted().crls[0]));
    assert_eq!(mode(&place.dir.join("ca.crl")), 0o644);
}

#[test]
fn a_revoked_certificate_is_on_the_list_with_its_reason_and_others_are_not() {
    let (place, mut authority) = Place::new();
    let (stolen, other) = (issue(&authority), issue(&authority));
    let before = place.number();

    let record = authority.revoke(&stolen.record.serial, Reason::KeyCompromise).unwrap();

    assert_eq!(record, place.open().find(&record.serial).unwrap().unwrap().record);
    assert!(!place.takes(&stolen.chain));
    assert!(place.takes(&other.chain));
    let text = place.list();
    assert!(text.contains(&format!("Serial Number: {}", record.serial)), "{text}");
    assert!(text.contains("Key Compromise"), "{text}");
    assert!(place.number() > before, "{before}");
    let standing = |serial| place.open().find(serial).unwrap().unwrap().standing;
    assert_eq!(standing(&record.serial).label(), "revoked");
    assert_eq!(standing(&other.record.serial), Standing::Valid);
    let again = authority.revoke(&record.serial, Reason::Superseded).unwrap_err();
    assert_eq!(again.to_string(), format!("certificate {} is revoked already", record.serial));
}

#[test]
fn all_certificates_of_a_service_are_revoked_together() {
    let (place, mut authority) = Place::new();
    let (one, two) = (issue(&authority), issue(&authority));
    let billing = SpiffeId::parse("spiffe://hospital.example/billing").unwrap();
    let other = authority.issue_pem(&billing, &[], HOUR).unwrap();

    let revoked = authority.revoke_all_of(&ehr(), Reason::CessationOfOperation).unwrap();

    assert_eq!(revoked, [one.record, two.record]);
    assert!(!place.takes(&one.chain) && !place.takes(&two.chain) && place.takes(&other.chain));
    assert_eq!(
        authority.revoke_all_of(&ehr(), Reason::default()).unwrap_err().to_string(),
        "no certificate of spiffe://hospital.example/ehr that is valid is on record here: see `myelin \
         ca list`"
    );
}

/// A certificate that is had by renewing the one with this serial number.
fn renewed(authority: &Authority, serial: &Serial) -> Result<Issued, AuthorityError> {
    let key = Key::make(KeyType::P256).unwrap();
    let request = keys::request(&key, Names::default()).unwrap();
    let grant = Grant { spiffe: ehr(), dns: Vec::new(), ttl: HOUR };
    let authorized = Authorized::Reenrolment { serial: serial.clone() };
    authority.sign_request(&request, &grant, &authorized)
}

#[test]
fn what_was_had_by_renewing_a_stolen_certificate_is_revoked_along_and_nothing_else() {
    let (place, mut authority) = Place::new();
    let (stolen, other) = (issue(&authority), issue(&authority));
    let serial = stolen.record.serial.clone();
    let next = renewed(&authority, &serial).unwrap();
    let thief = renewed(&authority, &serial).unwrap();
    let last = renewed(&authority, &thief.record.serial).unwrap();
    let apart = renewed(&authority, &other.record.serial).unwrap();
    // Between the stolen one and the last there is one that is revoked already.
    authority.revoke(&thief.record.serial, Reason::default()).unwrap();

    let revoked = authority.revoke_with_renewals(&serial, Reason::KeyCompromise).unwrap();

    assert_eq!(revoked, [serial.clone(), next.record.serial, last.record.serial]);
    assert!(!place.takes(&stolen.chain) && !place.takes(&next.pem) && !place.takes(&last.pem));
    assert!(place.takes(&other.chain) && place.takes(&apart.pem));
    let again = authority.revoke_with_renewals(&serial, Reason::default()).unwrap_err();
    assert!(matches!(again, AuthorityError::AlreadyRevoked { .. }), "{again}");
    let unknown = Serial::parse("1a2b").unwrap();
    let unknown = authority.revoke_with_renewals(&unknown, Reason::default()).unwrap_err();
    assert!(matches!(unknown, AuthorityError::NotIssued { .. }), "{unknown}");
}

#[test]
fn renewals_of_a_certificate_that_is_revoked_already_are_revoked_when_it_is_said_again() {
    let (place, mut authority) = Place::new();
    let stolen = issue(&authority);
    let next = renewed(&authority, &stolen.record.serial).unwrap();
    authority.revoke_certificate(&leaf_der(&stolen), Reason::default()).unwrap();
    assert!(place.takes(&next.pem));

    let revoked =
        authority.revoke_certificate_with_renewals(&leaf_der(&stolen), Reason::default()).unwrap();

    assert_eq!(revoked, [next.record.serial]);
    assert!(!place.takes(&next.pem));
    let again = authority.revoke_certificate_with_renewals(&leaf_der(&stolen), Reason::default());
    assert!(matches!(again, Err(AuthorityError::AlreadyRevoked { .. })), "{again:?}");
}

#[test]
fn a_renewal_that_a_revocation_overtook_is_not_signed() {
    let (place, mut authority) = Place::new();
    let stolen = issue(&authority);
    // As the enrolment server does: it has looked at the certificate, and signs only now.
    let found = authority.find(&stolen.record.serial).unwrap().unwrap();
    assert_eq!(found.standing, Standing::Valid);
    authority.revoke_with_renewals(&stolen.record.serial, Reason::default()).unwrap();

    let late = renewed(&authority, &stolen.record.serial).unwrap_err();

    assert!(matches!(late, AuthorityError::AlreadyRevoked { .. }), "{late}");
    assert_eq!(place.open().issued().unwrap().len(), 1);
}

#[test]
fn a_certificate_older_than_the_record_can_be_revoked_and_a_strangers_cannot() {
    let (place, mut authority) = Place::new();
    let (_other, other) = super::place();
    let stranger = issue(&Authority::open_or_create(&other, &domain()).unwrap());
    let old = issue(&authority);
    fs::remove_file(place.dir.join("issued.jsonl")).unwrap();

    authority.revoke_certificate(&leaf_der(&old), Reason::default()).unwrap();

    assert!(!place.takes(&old.chain));
    let text = authority.revoke_certificate(&leaf_der(&stranger), Reason::default()).unwrap_err();
    assert!(
        text.to_string().contains("issued by O=hospital.example, CN=Myelin issuing "),
        "{text}"
    );
    let text = authority.revoke_certificate(b"nonsense", Reason::default()).unwrap_err();
    assert!(text.to_string().contains("cannot be used"), "{text}");
}

#[test]
fn lists_are_made_anew_after_a_third_of_their_life_with_a_greater_number() {
    let (place, authority) = Place::new();
    let now = clock::now();
    let first = authority.crl_pem().to_owned();

    let young = place.open_at(now + DAY * 2);
    let old = place.open_at(now + DAY * 3);

    assert_eq!(young.crl_pem(), first);
    assert_ne!(old.crl_pem(), first);
    assert!(old.crl_due() < now + DAY * 6 && old.crl_due() > now + DAY * 5);
    assert!(old.trusted().crl_next_update().unwrap() > now + DAY * 9);
}

#[test]
fn a_list_of_the_future_made_by_a_wrong_clock_is_made_anew_and_its_number_still_grows() {
    let (place, mut authority) = Place::new();
    let leaf = issue(&authority);
    authority.revoke(&leaf.record.serial, Reason::default()).unwrap();
    place.open_at(clock::now() + DAY * 200);
    fs::copy(place.dir.join("ca.crl"), place.openssl.path("ca.crl")).unwrap();
    let ahead = place.openssl.run("crl -in ca.crl -noout -crlnumber");

    let back = place.number();

    assert!(back > ahead, "{back} {ahead}");
    assert!(!place.takes(&leaf.chain), "what is revoked stays revoked");
}

#[test]
fn leaves_of_a_replaced_issuing_authority_are_still_on_a_list_of_its_own() {
    let (place, authority) = Place::new();
    let (good, stolen) = (issue(&authority), issue(&authority));
    let now = clock::now();
    let mut next = place.open_at(now + DAY * 250);
    assert_ne!(next.issuing.certificate.der, authority.issuing.certificate.der);

    next.revoke(&stolen.record.serial, Reason::KeyCompromise).unwrap();

    assert_eq!(next.crl_count(), 2);
    let lists: Vec<_> = next.lists.all.iter().map(|list| list.issuer.clone()).collect();
    assert_eq!(lists, [next.issuing.id(), authority.issuing.id()]);
    assert!(next.stands_by(&leaf_der(&good)));
    assert!(!next.stands_by(&leaf_der(&stolen)));
}

#[test]
fn a_revocation_that_broke_off_before_the_list_was_made_is_made_good() {
    let (place, mut authority) = Place::new();
    let leaf = issue(&authority);
    let old_list = fs::read(place.dir.join("ca.crl")).unwrap();
    authority.revoke(&leaf.record.serial, Reason::default()).unwrap();
    assert!(!place.dir.join("ca.crl.stale").exists());

    // As if the machine had died between record and list.
    fs::write(place.dir.join("ca.crl.stale"), "").unwrap();
    fs::write(place.dir.join("ca.crl"), old_list).unwrap();

    assert!(!place.takes(&leaf.chain));
    assert!(!place.dir.join("ca.crl.stale").exists());
}

#[test]
fn a_lost_or_damaged_list_is_made_anew_from_the_record() {
    let (place, mut authority) = Place::new();
    let leaf = issue(&authority);
    authority.revoke(&leaf.record.serial, Reason::default()).unwrap();
    let other = super::place();
    let stranger = Authority::open_or_create(&other.1, &domain()).unwrap();

    for damage in ["", "nonsense", &authority.crl_pem()[..200], stranger.crl_pem()] {
        fs::write(place.dir.join("ca.crl"), damage).unwrap();
        assert!(!place.takes(&leaf.chain), "{damage}");
    }
    fs::remove_file(place.dir.join("ca.crl")).unwrap();
    assert!(!place.takes(&leaf.chain));
}

#[test]
fn what_is_only_looked_at_is_not_written() {
    let (place, mut authority) = Place::new();
    let leaf = issue(&authority);
    authority.revoke(&leaf.record.serial, Reason::default()).unwrap();
    fs::remove_file(place.dir.join("ca.crl")).unwrap();
    let record = fs::read(place.dir.join("issued.jsonl")).unwrap();

    let looked = Authority::look(&place.dir, &domain()).unwrap();
    let unkept = looked.issue(&ehr(), &[], HOUR).unwrap();

    assert!(!looked.stands_by(&leaf_der(&leaf)));
    assert_eq!(unkept.trusted.crls.len(), 1);
    assert_eq!(fs::read(place.dir.join("issued.jsonl")).unwrap(), record);
    assert!(!place.dir.join("ca.crl").exists());
}

#[test]
fn the_pre_flight_refuses_a_leaf_of_ours_that_is_revoked() {
    let (place, mut authority) = Place::new();
    let material = authority.issue(&ehr(), &[], HOUR).unwrap();
    let serial = Serial::parse(&material.facts.serial).unwrap();
    authority.revoke(&serial, Reason::default()).unwrap();

    let offered = place.open().offer_again(&material);
    let needs =
        crate::certs::Needs { server: true, client: true, profile: crate::config::Profile::Nist };
    let error = crate::certs::check::check(offered, needs, &ehr(), None, clock::now()).unwrap_err();

    assert!(
        matches!(error, crate::certs::MaterialError::Unfit(Unfit::Revoked { .. })),
        "{error:?}"
    );
}
