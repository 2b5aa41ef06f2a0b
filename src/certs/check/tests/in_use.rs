//! What is in use already may be over, and holds back nothing that is new of whom to trust.

use super::*;

/// Put in use while it was good.
fn used(pki: &OpenSsl, config: &config::Files) -> Material {
    beside(pki, config, None, NIST, Duration::ZERO).unwrap().0
}

fn with(pki: &OpenSsl, name: &str, crls: &[&str]) -> config::Files {
    let pair = pki.pem(&format!("{name}.crt"), &format!("{name}.key"));
    config::Files { pair, ..pki.files(crls) }
}

#[test]
fn a_list_that_revokes_what_is_in_use_takes_effect_with_a_warning() {
    let pki = OpenSsl::with_leaf();
    let leaf = used(&pki, &pki.files(&[]));
    pki.crl("list", "root", &["leaf"], "");
    let news = pki.files(&["list.crl"]);

    let (material, warned) = beside(&pki, &news, Some(&leaf), NIST, Duration::ZERO).unwrap();

    assert_eq!(material.trusted.crls.len(), 1);
    assert_eq!(material.presents(), leaf.presents());
    let revoked = "leaf.crt: is revoked by a list of O=Hospital, CN=root";
    assert_eq!(warned, [format!("{revoked}: it stays in use until there is another one")]);
    assert_eq!(judged(&pki, &news, NIST, Duration::ZERO).unwrap_err(), [revoked], "at a start");
}

#[test]
fn what_is_newly_offered_and_revoked_is_refused() {
    let pki = OpenSsl::with_leaf();
    let leaf = used(&pki, &pki.files(&[]));
    pki.leaf("new", "root", BOTH);
    pki.crl("list", "root", &["leaf", "new"], "");
    let offered = with(&pki, "new", &["list.crl"]);

    let refused = beside(&pki, &offered, Some(&leaf), NIST, Duration::ZERO).unwrap_err();

    assert_eq!(refused, ["new.crt: is revoked by a list of O=Hospital, CN=root"]);
}

#[test]
fn a_certificate_that_expired_in_use_holds_back_no_list_and_no_authority() {
    let pki = OpenSsl::with_leaf();
    let leaf = used(&pki, &pki.files(&[]));
    pki.root("second");
    pki.write("root.crt", pki.read("root.crt") + &pki.read("second.crt"));
    pki.crl("list", "root", &[], "-crldays 365");
    let (news, later) = (pki.files(&["list.crl"]), Duration::days(91));

    let (material, warned) = beside(&pki, &news, Some(&leaf), NIST, later).unwrap();

    assert_eq!((material.trusted.bundle.len(), material.trusted.crls.len()), (2, 1));
    let [warning, ..] = warned.as_slice() else { panic!("nothing is warned of") };
    assert!(warning.starts_with("leaf.crt: expired at "), "{warned:?}");
    assert!(warning.ends_with(": it stays in use until there is another one"), "{warned:?}");
    assert!(judged(&pki, &news, NIST, later).is_err(), "at a start");
}

#[test]
fn with_several_pairs_the_one_that_is_new_is_looked_at_in_full() {
    let pki = OpenSsl::with_leaf();
    pki.leaf("new", "root", BOTH);
    pki.crl("list", "root", &["leaf", "new"], "");
    let leaf = used(&pki, &pki.files(&[]));
    let others = vec![pki.pem("new.crt", "new.key")];
    let offered = config::Files { others, ..pki.files(&["list.crl"]) };

    let refused = beside(&pki, &offered, Some(&leaf), NIST, Duration::ZERO).unwrap_err();

    assert_eq!(refused, ["new.crt: is revoked by a list of O=Hospital, CN=root"]);
}

#[test]
fn what_was_wrong_with_it_from_the_beginning_is_still_refused() {
    let pki = OpenSsl::with_leaf();
    let leaf = used(&pki, &pki.files(&[]));
    pki.root("stranger");
    let news = config::Files { trust_bundle: pki.path("stranger.crt"), ..pki.files(&[]) };

    let refused = beside(&pki, &news, Some(&leaf), NIST, Duration::ZERO).unwrap_err();

    assert!(refused[0].starts_with("leaf.crt: no chain to stranger.crt: "), "{refused:?}");
}
