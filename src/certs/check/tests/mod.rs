mod in_use;
mod others;

use rustls::pki_types::pem::PemObject;

use super::*;
use crate::certs::files;
use crate::certs::openssl::{BOTH, OpenSsl};
use crate::{clock, config};

const NIST: Needs = Needs { server: true, client: true, profile: Profile::Nist };
const COMPATIBLE: Needs = Needs { profile: Profile::Compatible, ..NIST };

struct Files<'a> {
    cert: &'a str,
    key: &'a str,
    bundle: &'a str,
    crls: &'a [&'a str],
}

const LEAF: Files<'static> =
    Files { cert: "leaf.crt", key: "leaf.key", bundle: "root.crt", crls: &[] };

/// The warnings, or the problems.
fn checked(
    pki: &OpenSsl,
    files: &Files<'_>,
    needs: Needs,
    later: Duration,
) -> Result<Vec<String>, Vec<String>> {
    let config = config::Files {
        pair: pki.pem(files.cert, files.key),
        trust_bundle: pki.path(files.bundle),
        ..pki.files(files.crls)
    };
    judged(pki, &config, needs, later)
}

fn judged(
    pki: &OpenSsl,
    config: &config::Files,
    needs: Needs,
    later: Duration,
) -> Result<Vec<String>, Vec<String>> {
    beside(pki, config, None, needs, later).map(|(_, warnings)| warnings)
}

/// The same while `in_use` is in use; also what it is made into.
fn beside(
    pki: &OpenSsl,
    config: &config::Files,
    in_use: Option<&Material>,
    needs: Needs,
    later: Duration,
) -> Result<(Material, Vec<String>), Vec<String>> {
    let offered = files::read(config, &mut files::Contents::default()).unwrap();
    let expected = SpiffeId::parse("spiffe://td/ehr").unwrap();
    let short = |texts: Vec<String>| texts.iter().map(|text| pki.short(text)).collect();
    check(offered, needs, &expected, in_use, clock::now() + later)
        .map(|(material, warnings)| (material, short(warnings)))
        .map_err(|error| short(error.problems()))
}

fn problems(pki: &OpenSsl, files: &Files<'_>, needs: Needs) -> Vec<String> {
    checked(pki, files, needs, Duration::ZERO).unwrap_err()
}

fn warnings(pki: &OpenSsl, files: &Files<'_>) -> Vec<String> {
    checked(pki, files, NIST, Duration::ZERO).unwrap()
}

#[test]
fn a_good_pair_passes_without_a_word() {
    let pki = OpenSsl::with_leaf();

    assert_eq!(warnings(&pki, &LEAF), [""; 0]);
}

#[test]
fn pairs_of_every_kind_of_key_pass() {
    let pki = OpenSsl::with_leaf();
    for (name, kind) in [
        ("rsa", "RSA -pkeyopt rsa_keygen_bits:2048"),
        ("p384", "EC -pkeyopt ec_paramgen_curve:P-384"),
        ("ed25519", "Ed25519"),
    ] {
        pki.run(&format!("genpkey -algorithm {kind} -out {name}.key"));
        pki.sign(name, "root", BOTH, "-days 90");
        let (cert, key) = (format!("{name}.crt"), format!("{name}.key"));

        assert_eq!(warnings(&pki, &Files { cert: &cert, key: &key, ..LEAF }), [""; 0], "{name}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let pki = OpenSsl::with_leaf();

    assert_eq!(
        problems(&pki, &Files { key: "root.key", ..LEAF }, NIST),
        ["root.key: the key does not fit the certificate in leaf.crt"]
    );
}

#[test]
fn a_chain_in_the_wrong_order_is_told_as_such() {
    let pki = OpenSsl::with_leaf();
    pki.leaf("other", "root", BOTH);
    pki.write("turned.crt", pki.read("other.crt") + &pki.read("leaf.crt"));

    assert_eq!(
        problems(&pki, &Files { cert: "turned.crt", ..LEAF }, NIST),
        ["turned.crt: the key fits certificate 2, not the first: put the leaf first"]
    );
}

#[test]
fn certificates_are_refused_after_their_end_and_before_their_beginning() {
    let pki = OpenSsl::with_leaf();
    let at = |later| checked(&pki, &LEAF, NIST, later).unwrap_err().join("\n");
    let leaf = CertificateDer::from_pem_file(pki.path("leaf.crt")).unwrap();
    let facts = PeerCertificate::parse(&leaf).unwrap();

    let expired = at(Duration::days(91));
    let early = at(Duration::days(-1));

    let end = format!("leaf.crt: expired at {}; it is ", rfc3339(facts.not_after));
    assert!(expired.starts_with(&end), "{expired}");
    let begin = format!("leaf.crt: not valid before {}; it is ", rfc3339(facts.not_before));
    assert!(early.starts_with(&begin) && early.ends_with(" now: is the clock right?"), "{early}");
}

#[test]
fn a_certificate_of_another_authority_is_refused_with_its_issuers_name() {
    let pki = OpenSsl::with_leaf();
    pki.root("stranger");

    assert_eq!(
        problems(&pki, &Files { bundle: "stranger.crt", ..LEAF }, NIST),
        ["leaf.crt: no chain to stranger.crt: its issuer, O=Hospital, CN=root, is not in it: put \
          missing intermediates behind the leaf, or the authority into the bundle"]
    );
}

#[test]
fn an_authority_made_anew_under_its_old_name_is_told_as_such() {
    let pki = OpenSsl::with_leaf();
    let old = pki.read("root.crt");
    pki.root("root");
    pki.write("new.crt", pki.read("root.crt"));
    pki.write("root.crt", old);

    assert_eq!(
        problems(&pki, &Files { bundle: "new.crt", ..LEAF }, NIST),
        ["leaf.crt: no chain to new.crt: a signature does not hold: was the authority made anew \
          under its old name?"]
    );
}

#[test]
fn a_leaf_must_name_the_purposes_that_listeners_need() {
    let pki = OpenSsl::with_leaf();
    pki.leaf("server", "root", "subjectAltName=URI:spiffe://td/ehr\nextendedKeyUsage=serverAuth\n");
    let server = Files { cert: "server.crt", key: "server.key", ..LEAF };

    let missing =
        "server.crt: does not name clientAuth (extended key usage), which outbound listeners need";
    assert_eq!(problems(&pki, &server, NIST), [missing]);
    assert_eq!(problems(&pki, &server, COMPATIBLE), [missing]);
    let inbound_only = Needs { client: false, ..NIST };
    assert!(checked(&pki, &server, inbound_only, Duration::ZERO).is_ok());
}

#[test]
fn a_leaf_without_a_purpose_passes_in_the_compatible_profile_alone() {
    let pki = OpenSsl::with_leaf();
    pki.leaf("plain", "root", "subjectAltName=URI:spiffe://td/ehr\n");
    let plain = Files { cert: "plain.crt", key: "plain.key", ..LEAF };

    assert_eq!(
        problems(&pki, &plain, NIST),
        ["plain.crt: names no purpose (extended key usage): it must name serverAuth and \
          clientAuth, or tls.profile be compatible"]
    );
    assert!(checked(&pki, &plain, COMPATIBLE, Duration::ZERO).is_ok());
}

#[test]
fn a_leaf_that_is_good_for_too_much_is_refused() {
    let pki = OpenSsl::with_leaf();
    let name = "subjectAltName=URI:spiffe://td/ehr\n";
    pki.leaf(
        "any",
        "root",
        &format!("{name}extendedKeyUsage=anyExtendedKeyUsage,serverAuth,clientAuth\n"),
    );
    pki.leaf("signer", "root", &format!("{BOTH}keyUsage=keyCertSign,digitalSignature\n"));
    pki.leaf("ca", "root", &format!("{BOTH}basicConstraints=CA:TRUE\n"));

    for (name, text) in [
        ("any", "any.crt: is good for any purpose (extended key usage), which tls.profile refuses"),
        (
            "signer",
            "signer.crt: may sign certificates (key usage keyCertSign), which tls.profile refuses \
             in a leaf",
        ),
    ] {
        let (cert, key) = (format!("{name}.crt"), format!("{name}.key"));
        let files = Files { cert: &cert, key: &key, ..LEAF };
        assert_eq!(problems(&pki, &files, NIST), [text]);
        assert!(checked(&pki, &files, COMPATIBLE, Duration::ZERO).is_ok(), "{name}");
    }
    assert_eq!(
        problems(&pki, &Files { cert: "ca.crt", key: "ca.key", ..LEAF }, COMPATIBLE),
        [
            "ca.crt: is an authority's (basic constraints): a leaf is wanted",
            "ca.crt: no chain to root.crt: the leaf is an authority's certificate",
        ]
    );
}

#[test]
fn a_name_that_cannot_be_an_identity_is_refused() {
    let pki = OpenSsl::with_leaf();
    pki.leaf("two", "root", "subjectAltName=URI:spiffe://td/a,URI:spiffe://td/b\n");

    assert_eq!(
        problems(&pki, &Files { cert: "two.crt", key: "two.key", ..LEAF }, NIST),
        ["two.crt: cannot be used as an identity: the certificate names a SPIFFE ID beside other \
          URIs; it may name only one URI"]
    );
}

#[test]
fn another_name_than_the_services_is_warned_of() {
    let pki = OpenSsl::with_leaf();
    let purposes = "extendedKeyUsage=serverAuth,clientAuth\n";
    pki.leaf("web", "root", &format!("{purposes}subjectAltName=URI:spiffe://td/web\n"));
    pki.leaf("dns", "root", &format!("{purposes}subjectAltName=DNS:ehr.example\n"));
    pki.leaf("cn", "root", purposes);

    for (name, named) in [
        ("web", "spiffe://td/web"),
        ("dns", "the DNS name ehr.example"),
        ("cn", "the subject \"CN=cn\""),
    ] {
        let (cert, key) = (format!("{name}.crt"), format!("{name}.key"));
        assert_eq!(
            warnings(&pki, &Files { cert: &cert, key: &key, ..LEAF }),
            [format!("{name}.crt: names {named}, not spiffe://td/ehr: peers know us by it")]
        );
    }
}

#[test]
fn what_ends_soon_and_authorities_that_ended_are_warned_of() {
    let pki = OpenSsl::with_leaf();
    pki.run(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -keyout short.key \
         -out short.crt -subj /CN=short",
    );
    pki.write("bundle.crt", pki.read("root.crt") + &pki.read("short.crt"));
    let files = Files { bundle: "bundle.crt", ..LEAF };

    let soon = warnings(&pki, &files);
    let later = checked(&pki, &files, NIST, Duration::days(85)).unwrap();

    assert!(
        soon.len() == 1
            && soon[0].starts_with("bundle.crt: certificate 2, CN=short, expires soon, at ")
    );
    assert!(later[0].starts_with("leaf.crt: expires soon, at "), "{later:?}");
    assert!(later[1].starts_with("bundle.crt: certificate 2, CN=short, expired at "), "{later:?}");
}

#[test]
fn a_certificate_in_the_bundle_that_is_no_authoritys_is_warned_of() {
    let pki = OpenSsl::with_leaf();
    pki.write("bundle.crt", pki.read("root.crt") + &pki.read("leaf.crt"));

    assert_eq!(
        warnings(&pki, &Files { bundle: "bundle.crt", ..LEAF }),
        ["bundle.crt: certificate 2, CN=leaf, is no authority's, and yet may sign for peers"]
    );
}

#[test]
fn a_revoked_certificate_is_refused() {
    let pki = OpenSsl::with_leaf();
    pki.leaf("other", "root", BOTH);
    pki.crl("ours", "root", &["leaf"], "");
    pki.crl("others", "root", &["other"], "");

    assert_eq!(
        problems(&pki, &Files { crls: &["ours.crl"], ..LEAF }, NIST),
        ["leaf.crt: is revoked by a list of O=Hospital, CN=root"]
    );
    assert_eq!(warnings(&pki, &Files { crls: &["others.crl"], ..LEAF }), [""; 0]);
}

#[test]
fn a_revocation_list_with_a_false_signature_is_refused_and_a_strangers_is_warned_of() {
    let pki = OpenSsl::with_leaf();
    let old = (pki.read("root.crt"), pki.read("root.key"));
    pki.root("root");
    pki.crl("false", "root", &[], "");
    pki.write("root.crt", old.0);
    pki.write("root.key", old.1);
    pki.root("stranger");
    pki.crl("strange", "stranger", &[], "");

    assert_eq!(
        problems(&pki, &Files { crls: &["false.crl"], ..LEAF }, NIST),
        ["false.crl: revocation list was not signed by the key of O=Hospital, CN=root, whose it \
          claims to be"]
    );
    assert_eq!(
        warnings(&pki, &Files { crls: &["strange.crl"], ..LEAF }),
        [
            "strange.crl: revocation list of O=Hospital, CN=stranger, who is neither in root.crt nor \
          in our own chain: its signature is checked only when a peer comes with that authority's \
          certificate"
        ]
    );
}

#[test]
fn a_revocation_list_that_is_overdue_is_warned_of() {
    let pki = OpenSsl::with_leaf();
    pki.crl("list", "root", &[], "-crldays 7");

    let files = Files { crls: &["list.crl"], ..LEAF };
    let later = checked(&pki, &files, NIST, Duration::days(8)).unwrap();

    assert_eq!(warnings(&pki, &files), [""; 0]);
    assert!(
        later[0].starts_with(
            "list.crl: revocation list of O=Hospital, CN=root was due for its next update at "
        ),
        "{later:?}"
    );
}

#[test]
fn revocation_lists_signed_with_rsa_and_p384_are_verified_too() {
    for kind in ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-384", "ed25519"] {
        let pki = OpenSsl::new();
        pki.run(&format!(
            "req -x509 -newkey {kind} -nodes -days 30 -keyout root.key -out root.crt -subj /CN=r \
             -addext keyUsage=critical,keyCertSign,cRLSign"
        ));
        pki.leaf("leaf", "root", BOTH);
        pki.crl("list", "root", &[], "");

        let warned = warnings(&pki, &Files { crls: &["list.crl"], ..LEAF });

        assert!(warned.iter().all(|text| text.contains("expires soon")), "{kind}: {warned:?}");
    }
}

#[test]
fn a_certificate_of_version_1_is_told_as_such() {
    let pki = OpenSsl::with_leaf();
    pki.run("x509 -req -in leaf.csr -CA root.crt -CAkey root.key -days 9 -out old.crt");

    assert_eq!(
        problems(&pki, &Files { cert: "old.crt", ..LEAF }, COMPATIBLE),
        ["old.crt: no chain to root.crt: a certificate is not of version 3"]
    );
}

#[test]
fn every_problem_is_told_at_once() {
    let pki = OpenSsl::with_leaf();
    pki.leaf("bare", "root", "subjectAltName=URI:spiffe://td/ehr\n");

    let all = problems(&pki, &Files { cert: "bare.crt", key: "leaf.key", ..LEAF }, NIST);

    assert_eq!(all.len(), 2);
    assert_eq!(all[0], "leaf.key: the key does not fit the certificate in bare.crt");
    assert!(all[1].starts_with("bare.crt: names no purpose"));
}
