use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};

use super::*;

fn der(edit: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    edit(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn with_names(names: &[SanType]) -> Vec<u8> {
    der(|params| params.subject_alt_names = names.to_vec())
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

#[test]
fn what_a_certificate_says_is_read() {
    let der = der(|params| {
        params.subject_alt_names = vec![
            uri("spiffe://hospital.example/ehr"),
            dns("EHR.hospital.example"),
            dns("*.wards.hospital.example"),
            SanType::IpAddress("10.0.0.7".parse().unwrap()),
            SanType::IpAddress("fd00::7".parse().unwrap()),
            SanType::Rfc822Name("ehr@hospital.example".try_into().unwrap()),
        ];
        params.distinguished_name.push(DnType::CountryName, "DE");
        params.distinguished_name.push(DnType::OrganizationName, "Hospital, Süd");
        params.distinguished_name.push(DnType::OrganizationalUnitName, "IT");
        params.distinguished_name.push(DnType::CommonName, "ehr");
        params.serial_number = Some(SerialNumber::from(vec![0xab, 0x01, 0x00]));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = rcgen::date_time_ymd(2026, 1, 2);
        params.not_after = rcgen::date_time_ymd(2026, 2, 3);
    });

    let facts = PeerCertificate::parse(&der).unwrap();

    assert_eq!(facts.spiffe.unwrap().as_str(), "spiffe://hospital.example/ehr");
    assert_eq!(
        facts.dns,
        [
            DnsName::parse("ehr.hospital.example").unwrap(),
            DnsName::parse("*.wards.hospital.example").unwrap()
        ]
    );
    assert_eq!(
        facts.alternative_names,
        [
            "URI:spiffe://hospital.example/ehr",
            "DNS:EHR.hospital.example",
            "DNS:*.wards.hospital.example",
            "IP:10.0.0.7",
            "IP:fd00::7",
            "email:ehr@hospital.example",
        ]
    );
    assert_eq!(facts.subject.text, "C=DE, O=Hospital\\, Süd, OU=IT, CN=ehr");
    assert_eq!(facts.subject.common_names, ["ehr"]);
    assert_eq!(facts.subject.organizations, ["Hospital, Süd"]);
    assert_eq!(facts.subject.organizational_units, ["IT"]);
    assert_eq!(facts.issuer, facts.subject.text);
    assert_eq!(facts.serial, "AB0100");
    assert_eq!(facts.not_before, rcgen::date_time_ymd(2026, 1, 2));
    assert_eq!(facts.not_after, rcgen::date_time_ymd(2026, 2, 3));
    assert_eq!(facts.sha256, Fingerprint::of(&der));
    assert_eq!(
        facts.usage,
        LeafUse { client_auth: true, server_auth: true, names_purpose: true, ..LeafUse::default() }
    );
}

#[test]
fn an_authority_and_a_certificate_for_anything_say_so() {
    let authority = der(|params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
    });

    assert_eq!(
        PeerCertificate::parse(&authority).unwrap().usage,
        LeafUse {
            any_purpose: true,
            names_purpose: true,
            may_sign_certificates: true,
            is_ca: true,
            ..LeafUse::default()
        }
    );
    assert_eq!(PeerCertificate::parse(&der(|_| ())).unwrap().usage, LeafUse::default());
}

#[test]
fn a_spiffe_id_must_be_the_only_uri_and_the_refusal_still_says_everything() {
    for others in [
        ["spiffe://td/a", "spiffe://td/b"],
        ["spiffe://td/a", "https://td.example/"],
        ["urn:oid:1.2.3", "SPIFFE://td/a"],
    ] {
        let names = with_names(&others.map(uri));

        let error = PeerCertificate::parse(&names).unwrap_err();

        assert_eq!(error.refusal(), Refusal::SeveralSpiffeIds);
        assert_eq!(
            error.to_string(),
            "the certificate names a SPIFFE ID beside other URIs; it may name only one URI"
        );
        let facts = error.into_certificate().unwrap();
        assert_eq!(facts.spiffe, None);
        assert_eq!(facts.alternative_names, others.map(|uri| format!("URI:{uri}")));
    }
}

#[test]
fn uris_that_are_no_spiffe_ids_are_recorded_and_mean_nothing() {
    let names = with_names(&[uri("https://td.example/"), uri("urn:oid:1.2.3")]);

    let facts = PeerCertificate::parse(&names).unwrap();

    assert_eq!(facts.spiffe, None);
    assert_eq!(facts.alternative_names, ["URI:https://td.example/", "URI:urn:oid:1.2.3"]);
}

#[test]
fn a_name_that_breaks_its_standard_is_refused_and_not_skipped() {
    let error = |name: SanType| {
        let error = PeerCertificate::parse(&with_names(&[dns("good"), name])).unwrap_err();
        assert_eq!(error.refusal(), Refusal::MalformedName);
        crate::report::Report(&error).to_string()
    };

    assert_eq!(
        error(uri("spiffe://td/a/../b")),
        "the certificate has an alternative name that breaks its standard, \
         URI:spiffe://td/a/../b: a SPIFFE ID's path has no '.' or '..' segment"
    );
    assert_eq!(
        error(uri("SPIFFE://td/a")),
        "the certificate has an alternative name that breaks its standard, \
         URI:SPIFFE://td/a: a SPIFFE ID begins with spiffe://"
    );
    assert_eq!(
        error(dns("a\nb\u{0}")),
        "the certificate has an alternative name that breaks its standard, \
         DNS:a\\0Ab\\00: not a DNS name: labels of letters, digits, '-' and '_', joined by '.'"
    );
}

#[test]
fn a_refused_certificate_keeps_no_name_that_could_be_matched() {
    let names = with_names(&[dns("good"), dns("not good")]);

    let facts = PeerCertificate::parse(&names).unwrap_err().into_certificate().unwrap();

    assert_eq!(facts.dns, []);
    assert_eq!(facts.alternative_names, ["DNS:good", "DNS:not good"]);
}

#[test]
fn control_characters_in_a_subject_are_kept_and_escaped_in_its_text() {
    let der = der(|params| {
        params.distinguished_name.push(DnType::CommonName, "a\nadmin\u{202e}");
        params
            .distinguished_name
            .push(DnType::OrganizationName, DnValue::BmpString("Süd".try_into().unwrap()));
    });

    let subject = PeerCertificate::parse(&der).unwrap().subject;

    assert_eq!(subject.common_names, ["a\nadmin\u{202e}"]);
    assert_eq!(subject.organizations, ["Süd"]);
    assert_eq!(subject.text, "CN=a\\0Aadmin\\E2\\80\\AE, O=Süd");
}

#[test]
fn of_very_many_names_the_record_tells_the_number() {
    let names: Vec<SanType> = (0..130).map(|i| dns(&format!("h{i}.example"))).collect();

    let facts = PeerCertificate::parse(&with_names(&names)).unwrap();

    assert_eq!(facts.dns.len(), 130);
    assert_eq!(facts.alternative_names.len(), 101);
    assert_eq!(facts.alternative_names[100], "and 30 more");
}

#[test]
fn an_extension_that_is_malformed_or_there_twice_is_refused() {
    let extension =
        |oid: &[u64], content: &[u8]| CustomExtension::from_oid_content(oid, content.to_vec());
    let refused = |extensions: Vec<CustomExtension>| {
        let der = der(|params| params.custom_extensions = extensions);
        matches!(PeerCertificate::parse(&der), Err(CertificateError::Extension(_)))
    };

    for id in [15, 17, 19, 37] {
        assert!(refused(vec![extension(&[2, 5, 29, id], &[0x30, 0x05, 0x01])]), "2.5.29.{id}");
    }
    let names = [0x30, 0x03, 0x82, 0x01, b'a'];
    assert!(refused(vec![extension(&[2, 5, 29, 17], &names), extension(&[2, 5, 29, 17], &names)]));
}

#[test]
fn bytes_after_the_certificate_are_refused() {
    let mut der = der(|_| ());
    der.extend([0, 0, 0]);

    assert_eq!(
        PeerCertificate::parse(&der).unwrap_err().to_string(),
        "not an X.509 certificate alone: 3 bytes follow it"
    );
}

#[test]
fn a_certificate_cut_anywhere_is_an_error() {
    let der = with_names(&[uri("spiffe://td/a"), dns("a.example")]);

    for length in 0..der.len() {
        assert!(PeerCertificate::parse(&der[..length]).is_err(), "{length}");
    }
}

#[test]
fn serial_numbers_lose_the_padding_of_der_alone() {
    assert_eq!(serial(&[0x00, 0xff]), "FF");
    assert_eq!(serial(&[0x0a, 0x00]), "0A00");
    assert_eq!(serial(&[0x00]), "00");
    assert_eq!(serial(&[]), "00");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = PeerCertificate::parse(&bytes);
    }

    #[test]
    fn no_change_to_a_certificate_makes_it_panic_or_write_a_second_line(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = MUTATED.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let facts = match PeerCertificate::parse(&bytes) {
            Ok(facts) => Some(facts),
            Err(error) => error.into_certificate(),
        };
        if let Some(facts) = facts {
            let mut texts = facts.alternative_names;
            texts.extend([facts.subject.text, facts.issuer, facts.serial]);
            prop_assert!(texts.iter().all(|text| !text.contains(char::is_control)));
        }
    }
}

static MUTATED: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
    der(|params| {
        params.subject_alt_names = vec![uri("spiffe://td/a"), dns("a.example")];
        params.distinguished_name.push(DnType::CommonName, "ehr");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.is_ca = IsCa::ExplicitNoCa;
    })
});
