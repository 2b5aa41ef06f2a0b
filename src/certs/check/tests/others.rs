//! Further certificates, for peers that cannot verify the first.

use super::*;

/// With further pairs, in this order.
fn with_others(pki: &OpenSsl, others: &[&str]) -> config::Files {
    let pair = |name: &&str| pki.pem(&format!("{name}.crt"), &format!("{name}.key"));
    config::Files { others: others.iter().map(pair).collect(), ..pki.files(&[]) }
}

fn rsa(pki: &OpenSsl, name: &str, extensions: &str, validity: &str) {
    pki.run(&format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out {name}.key"));
    pki.sign(name, "root", extensions, validity);
}

#[test]
fn every_further_pair_is_looked_at_like_the_first() {
    let pki = OpenSsl::with_leaf();
    pki.root("stranger");
    rsa(&pki, "rsa", BOTH, "-days 90");
    pki.leaf("server", "root", &BOTH.replace(",clientAuth", ""));
    pki.leaf("foreign", "stranger", BOTH);
    pki.write("wrong.crt", pki.read("leaf.crt"));
    pki.write("wrong.key", pki.read("rsa.key"));
    let config = with_others(&pki, &["rsa", "server", "foreign", "wrong"]);

    let problems = judged(&pki, &config, NIST, Duration::ZERO).unwrap_err();

    assert_eq!(
        problems,
        [
            "server.crt: does not name clientAuth (extended key usage), which outbound listeners need",
            "foreign.crt: no chain to root.crt: its issuer, O=Hospital, CN=stranger, is not in it: put \
             missing intermediates behind the leaf, or the authority into the bundle",
            "wrong.key: the key does not fit the certificate in wrong.crt",
        ]
    );
    assert_eq!(judged(&pki, &with_others(&pki, &["rsa"]), NIST, Duration::ZERO), Ok(vec![]));
}

#[test]
fn a_further_pair_must_name_what_the_first_names() {
    let pki = OpenSsl::with_leaf();
    let purposes = "extendedKeyUsage=serverAuth,clientAuth\n";
    rsa(&pki, "nobody", &format!("{purposes}subjectAltName=DNS:other\n"), "-days 90");
    let more = "subjectAltName=URI:spiffe://td/ehr,DNS:ehr,DNS:more\n";
    rsa(&pki, "more", &format!("{purposes}{more}"), "-days 90");

    assert_eq!(
        judged(&pki, &with_others(&pki, &["nobody", "more"]), NIST, Duration::ZERO).unwrap_err(),
        [
            "nobody.crt: does not name spiffe://td/ehr, ehr, as leaf.crt does: peers that get this one \
          instead would not know us"
        ]
    );
}

#[test]
fn the_certificate_that_ends_first_counts_whichever_it_is() {
    let pki = OpenSsl::with_leaf();
    rsa(&pki, "rsa", BOTH, "-days 30");
    let config = with_others(&pki, &["rsa"]);
    let offered = files::read(&config, &mut files::Contents::default()).unwrap();
    let expected = SpiffeId::parse("spiffe://td/ehr").unwrap();
    let days = |end: OffsetDateTime| (end - clock::now() + Duration::minutes(1)).whole_days();

    let (material, _) = check(offered, NIST, &expected, None, clock::now()).unwrap();
    let later = judged(&pki, &config, NIST, Duration::days(25)).unwrap();
    let expired = judged(&pki, &config, NIST, Duration::days(31)).unwrap_err();

    assert_eq!((days(material.not_after()), days(material.facts.not_after)), (30, 90));
    assert!(later.len() == 1 && later[0].starts_with("rsa.crt: expires soon, at "), "{later:?}");
    assert!(expired.len() == 1 && expired[0].starts_with("rsa.crt: expired at "), "{expired:?}");
}

#[test]
fn a_pair_that_no_peer_will_ever_get_is_warned_of() {
    let pki = OpenSsl::with_leaf();
    pki.leaf("twin", "root", BOTH);
    rsa(&pki, "rsa", BOTH, "-days 90");

    let warned = judged(&pki, &with_others(&pki, &["rsa", "twin"]), NIST, Duration::ZERO).unwrap();

    assert_eq!(
        warned,
        [
            "twin.crt: is never presented: its key is of the same kind as the one of leaf.crt, which \
          comes first"
        ]
    );
}
