use super::*;
use crate::certs::openssl::OpenSsl;
use crate::clock;

const AUTHORITY: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign";

fn der(pki: &OpenSsl, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(pki.path(&format!("{name}.crt"))).unwrap()
}

/// Two roots, an authority under the first, and a leaf under that.
fn pki() -> OpenSsl {
    let pki = OpenSsl::new();
    pki.root("root");
    pki.root("next");
    pki.leaf("issuing", "root", AUTHORITY);
    pki.leaf("leaf", "issuing", "basicConstraints=CA:FALSE");
    pki
}

#[test]
fn roots_are_trusted_and_without_one_the_authority_itself_and_no_more() {
    let pki = pki();
    let (root, next, issuing) = (der(&pki, "root"), der(&pki, "next"), der(&pki, "issuing"));
    let now = clock::now();
    let of = |chains: &[&[CertificateDer<'static>]]| anchors(chains.iter().copied(), now);

    assert_eq!(of(&[&[issuing.clone(), root.clone()]]), vec![root.clone()]);
    assert_eq!(of(&[std::slice::from_ref(&issuing)]), vec![issuing.clone()]);
    let both = of(&[&[issuing.clone(), root.clone()], std::slice::from_ref(&next)]);
    assert_eq!(both, of(&[std::slice::from_ref(&next), &[issuing, root]]), "in any order");
    assert_eq!(both.len(), 2);
}

#[test]
fn a_root_that_is_over_is_left_out() {
    let pki = pki();
    let root = der(&pki, "root");
    let later = clock::now() + time::Duration::days(366);

    assert!(anchors(std::iter::once(&[root][..]), later).is_empty());
}

#[test]
fn a_certificate_on_a_list_of_its_own_authority_is_revoked_and_on_no_other() {
    let pki = pki();
    pki.crl("own", "issuing", &["leaf"], "-crldays 7");
    pki.crl("empty", "issuing", &[], "-crldays 7");
    pki.crl("other", "next", &["leaf"], "-crldays 7");
    let leaf = der(&pki, "leaf");
    let trust = |names: &[&str]| {
        let list = |name: &&str| {
            CertificateRevocationListDer::from_pem_file(pki.path(&format!("{name}.crl"))).unwrap()
        };
        let crls = names.iter().map(list).collect();
        let lists = names.iter().map(|&name| name.to_owned()).collect();
        let trusted = Trusted { crls, ..Trusted::default() };
        Trust { trusted, lists, warnings: Vec::new() }
    };

    assert!(trust(&["other", "own"]).revokes(&leaf));
    assert!(!trust(&["other", "empty"]).revokes(&leaf));
    assert_eq!(trust(&["own"]).uncovered(&leaf), None);
    let told = trust(&["other"]).uncovered(&leaf).unwrap();
    assert!(
        told.contains("no revocation list of CN=issuing, who issued our certificate"),
        "{told}"
    );
}

#[test]
fn a_list_is_told_to_end_soon_when_an_eighth_of_its_life_is_left() {
    let pki = pki();
    pki.crl("list", "root", &[], "-crldays 8");
    let list = CertificateRevocationListDer::from_pem_file(pki.path("list.crl")).unwrap();
    let trusted = Trusted { crls: vec![list], ..Trusted::default() };
    let trust = Trust { trusted, lists: vec!["https://bao/crl".to_owned()], warnings: Vec::new() };
    let after =
        |days: i64| trust.ending("pki", clock::now() + time::Duration::hours(24 * days + 1));

    assert!(after(6).is_empty());
    let told = after(7).concat();
    assert!(told.contains("`bao read pki/crl/rotate` makes a new one"), "{told}");
    assert!(after(9).is_empty(), "what is over is told with every check");
}
