//! Files from people who mean no good, and files that are far too much.

use std::sync::LazyLock;

use proptest::prelude::*;
use rustls::pki_types::PrivateKeyDer;

use super::super::locked::Passphrase;
use super::super::{locked, pair, pkcs12, section};
use super::*;

/// What openssl makes of one key: a store, an encrypted key and a certificate in DER, and PEM of it all.
static GOOD: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| {
    let pki = OpenSsl::with_leaf();
    pki.run("pkcs12 -export -in leaf.crt -inkey leaf.key -iter 1 -passout pass:x -out leaf.p12");
    pki.run("pkcs8 -topk8 -in leaf.key -iter 1 -passout pass:x -outform DER -out sealed.der");
    pki.run("pkcs8 -topk8 -in leaf.key -iter 1 -passout pass:x -out sealed.key");
    pki.run("x509 -in leaf.crt -outform DER -out leaf.der");
    let pem = ["leaf.crt", "sealed.key", "leaf.key"].map(|name| pki.read(name)).concat();
    let der = ["leaf.p12", "sealed.der", "leaf.der"].map(|name| fs::read(pki.path(name)).unwrap());
    let [store, sealed, leaf] = der;
    [store, sealed, leaf, pem.into_bytes()]
});

/// Every reader gets the same bytes; none may panic, and none may believe a store that was changed.
fn read_by_all(bytes: &[u8]) {
    let passphrase = Passphrase::new(b"x");
    let _opened = locked::key(bytes, &passphrase, &mut locked::Work::default());
    let _key = pair::usable(&PrivateKeyDer::Pkcs8(bytes.to_vec().into()));
    let _key = pair::usable(&PrivateKeyDer::Pkcs1(bytes.to_vec().into()));
    let _store = pkcs12::open(bytes, Some(b"x"));
    let _der = section::store(bytes);
    for wanted in [Wanted::Certificate, Wanted::Key, Wanted::TrustBundle, Wanted::RevocationList] {
        for section in sections(bytes, wanted).unwrap_or_default() {
            if let Section::Key(key) = section {
                let _key = pair::usable(&key);
            }
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_by_all(&bytes);
    }

    #[test]
    fn good_files_with_a_changed_byte_or_a_lost_end_never_panic(
        which in 0..GOOD.len(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut bytes = GOOD[which].clone();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        read_by_all(&bytes);
    }
}

#[test]
fn a_store_that_was_changed_is_not_believed() {
    let store = &GOOD[0];
    assert!(pkcs12::open(store, Some(b"x")).is_ok());
    let begins = store.windows(3).position(|three| three == [2, 1, 3]).unwrap() + 40;

    // The check covers the content, which ends before its own parameters.
    for at in begins..store.len() - 120 {
        let mut changed = store.clone();
        changed[at] ^= 1;
        assert!(pkcs12::open(&changed, Some(b"x")).is_err(), "byte {at}");
    }
}

#[test]
fn a_mebibyte_of_certificates_is_refused_with_its_size() {
    let pki = OpenSsl::with_leaf();
    let many = pki.read("leaf.crt").repeat(1200);
    assert!(many.len() < 1 << 20);
    pki.write("many.crt", many);
    let config = config::Files { pair: pki.pem("many.crt", "leaf.key"), ..pki.files(&[]) };

    let text = refused(&pki, &config);

    let begin = "many.crt: its 1200 certificates have ";
    assert!(text.starts_with(begin), "{text}");
    assert!(
        text.ends_with(" bytes, and peers read 60 KiB at most: leave out what is not needed"),
        "{text}"
    );
}

#[test]
fn a_chain_of_fifty_is_refused_with_what_peers_follow() {
    let pki = OpenSsl::new();
    pki.root("root");
    let mut issuer = "root".to_owned();
    let mut chain = String::new();
    for number in 0..50 {
        let name = format!("ca{number}");
        pki.leaf(&name, &issuer, "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n");
        chain.insert_str(0, &pki.read(&format!("{name}.crt")));
        issuer = name;
    }
    pki.leaf("leaf", &issuer, crate::certs::openssl::BOTH);
    pki.write("chain.crt", pki.read("leaf.crt") + &chain);
    let config = config::Files { pair: pki.pem("chain.crt", "leaf.key"), ..pki.files(&[]) };

    let text = refused(&pki, &config);

    assert_eq!(
        text,
        "chain.crt: no chain to root.crt: it is longer than peers follow (6 intermediates): leave out \
         what is not needed"
    );
}

/// Why the pre-flight refuses these files.
fn refused(pki: &OpenSsl, config: &config::Files) -> String {
    use crate::certs::check::{Needs, check};

    let offered = read(config, &mut Contents::default()).unwrap();
    let needs = Needs { server: true, client: false, profile: config::Profile::Nist };
    let expected = crate::identity::SpiffeId::parse("spiffe://td/ehr").unwrap();
    let error = check(offered, needs, &expected, None, crate::clock::now()).unwrap_err();
    pki.short(&error.problems().join("\n"))
}
