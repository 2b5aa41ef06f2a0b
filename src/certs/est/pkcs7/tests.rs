use proptest::prelude::*;
use rustls::pki_types::pem::PemObject;

use super::*;
use crate::certs::openssl::OpenSsl;

fn pki() -> (OpenSsl, Vec<CertificateDer<'static>>) {
    let pki = OpenSsl::with_leaf();
    let all = ["leaf.crt", "root.crt"];
    let all = all.map(|name| CertificateDer::from_pem_file(pki.path(name)).unwrap()).to_vec();
    pki.run("crl2pkcs7 -nocrl -certfile leaf.crt -certfile root.crt -out both.p7b");
    pki.run("crl2pkcs7 -nocrl -certfile leaf.crt -certfile root.crt -outform DER -out both.der");
    (pki, all)
}

#[test]
fn what_openssl_writes_is_read_in_its_armour_without_it_and_as_der() {
    let (pki, all) = pki();
    let armoured = pki.read("both.p7b");
    let der = std::fs::read(pki.path("both.der")).unwrap();
    let one_line = STANDARD.encode(&der);
    let unpadded = one_line.trim_end_matches('=');

    for body in [
        armoured.as_bytes(),
        armoured.replace('\n', "\r\n").as_bytes(),
        &der,
        one_line.as_bytes(),
        unpadded.as_bytes(),
        format!("  {one_line}\r\n\r\n").as_bytes(),
    ] {
        assert_eq!(decode(body).unwrap(), all);
    }
}

#[test]
fn openssl_reads_what_is_written() {
    let (pki, all) = pki();
    let text = encode(&all);
    assert!(text.lines().all(|line| line.len() <= 64), "{text}");
    pki.write("ours.b64", text);
    pki.run("base64 -d -in ours.b64 -out ours.der");

    let printed = pki.run("pkcs7 -inform DER -in ours.der -print_certs");

    let read: Vec<_> =
        CertificateDer::pem_slice_iter(printed.as_bytes()).map(Result::unwrap).collect();
    assert_eq!(read, all);
}

/// The same elements with the outer ones of indefinite length, as BouncyCastle writes them.
fn indefinitely(certificates: &[CertificateDer<'_>]) -> Vec<u8> {
    let open = |tag: u8, content: Vec<u8>| [vec![tag, 0x80], content, vec![0, 0]].concat();
    let all: Vec<u8> = certificates.iter().flat_map(|der| der.to_vec()).collect();
    let signed = [
        element(INTEGER, &[&[1]]),
        element(SET, &[]),
        open(SEQUENCE, [DATA, &open(CONTEXT_0, vec![0x24, 0x80, 0, 0])].concat()),
        open(CONTEXT_0, all),
        open(SET, Vec::new()),
    ]
    .concat();
    let explicit = open(CONTEXT_0, open(SEQUENCE, signed));
    open(SEQUENCE, [SIGNED_DATA.to_vec(), explicit].concat())
}

#[test]
fn indefinite_lengths_are_read_as_openssl_reads_them() {
    let (pki, all) = pki();
    let ber = indefinitely(&all);
    pki.write("ber.der", &ber);

    let printed = pki.run("pkcs7 -inform DER -in ber.der -print_certs -noout");

    assert!(printed.contains("CN = leaf") || printed.contains("CN=leaf"), "{printed}");
    assert_eq!(decode(&ber).unwrap(), all);
}

#[test]
fn what_is_something_else_is_told_apart() {
    let (pki, all) = pki();
    let wrapped = |inner: &[u8]| encode(&[CertificateDer::from(inner.to_vec())]);

    for (body, error) in [
        (b"".to_vec(), Pkcs7Error::Form),
        (b"<html>not found</html>".to_vec(), Pkcs7Error::Base64),
        (STANDARD.encode(&all[0]).into_bytes(), Pkcs7Error::Form),
        (pki.read("leaf.crt").into_bytes(), Pkcs7Error::Form),
        (encode(&[]).into_bytes(), Pkcs7Error::Empty),
        (wrapped(&[SEQUENCE, 0]).into_bytes(), Pkcs7Error::Certificate { number: 1 }),
        (wrapped(&all[0][..40]).into_bytes(), Pkcs7Error::Form),
        (encode(&vec![all[0].clone(); MOST + 1]).into_bytes(), Pkcs7Error::TooMany),
    ] {
        assert_eq!(decode(&body).unwrap_err(), error);
    }
}

#[test]
fn nesting_without_end_is_refused_without_following_it() {
    let deep = [SEQUENCE, 0x80].repeat(1_000_000);

    assert_eq!(decode(&deep).unwrap_err(), Pkcs7Error::Form);
}

#[test]
fn every_truncation_is_an_error() {
    let (_pki, all) = pki();
    for whole in [indefinitely(&all), STANDARD.decode(encode(&all).replace('\n', "")).unwrap()] {
        assert_eq!(decode(&whole).unwrap(), all);
        // The last elements, without certificates, may be missing where lengths do not tell.
        let needed = whole.len() - 16;
        for length in 0..needed {
            assert!(decode(&whole[..length]).is_err(), "{length}");
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _whatever = decode(&bytes);
        let _whatever = decode(&[&[SEQUENCE], bytes.as_slice()].concat());
    }

    #[test]
    fn a_changed_byte_never_panics(at in 0_usize..1200, to in any::<u8>()) {
        let certificate = CertificateDer::from(element(SEQUENCE, &[&[7; 500]]));
        let mut body = STANDARD.decode(encode(&[certificate.clone(), certificate]).replace('\n', "")).unwrap();
        if let Some(byte) = body.get_mut(at) {
            *byte = to;
        }
        let _whatever = decode(&body);
    }

    #[test]
    fn lengths_are_written_as_openssl_reads_them(length in 0_usize..70_000) {
        let content = vec![7; length];
        let bytes = element(SEQUENCE, &[&content]);
        let (read, rest) = Element::first(&bytes, DEPTH).unwrap();
        prop_assert_eq!(read.content, content.as_slice());
        prop_assert!(rest.is_empty());
    }
}
