//! PKCS #12 stores (RFC 7292): a key with its certificates in one file.

use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::oid;
use zeroize::Zeroizing;

use super::der::Der;
use super::locked::{Locked, Passphrase, Work, authenticate, decrypt, key};

/// What we use of a store, in the order in which it is in there.
#[derive(Default)]
pub(super) struct Store {
    /// Keys in PKCS #8.
    pub(super) keys: Vec<Zeroizing<Vec<u8>>>,
    /// Certificates, those of authorities among them. Nothing says which ones to trust.
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// Opens a store, and believes nothing of it before the integrity check if it has one.
pub(super) fn open(der: &[u8], passphrase: Option<&[u8]>) -> Result<Store, Locked> {
    let mut work = Work::default();
    let mut store = Der::new(der).sequence()?;
    if store.number()? != 3 {
        return Err(Locked::Unsupported("a version other than 3".to_owned()));
    }
    let mut content = store.sequence()?;
    let kind = content.oid()?;
    if kind != oid!(1.2.840.113549.1.7.1) {
        return Err(Locked::Unsupported("a signature in place of a passphrase".to_owned()));
    }
    let message = content.tagged(0)?.octets()?;
    let mut candidates = vec![Passphrase::new(passphrase.unwrap_or_default())];
    if passphrase.is_none_or(<[u8]>::is_empty) {
        candidates.push(Passphrase::none());
    }
    let mut last = Locked::Wrong;
    for with in &candidates {
        let opened = authentic(message, store, with, &mut work)
            .and_then(|()| contents(message, with, &mut work));
        match opened {
            Err(Locked::Wrong) => last = Locked::Wrong,
            other => return other,
        }
    }
    Err(last)
}

/// What comes after the content: how it is known to be whole.
fn authentic(
    message: &[u8],
    mut rest: Der<'_>,
    with: &Passphrase,
    work: &mut Work,
) -> Result<(), Locked> {
    if rest.is_empty() {
        return Ok(());
    }
    let mut check = rest.sequence()?;
    let mut digest = check.sequence()?;
    let hash = digest.sequence()?.oid()?;
    let tag = digest.octets()?;
    let salt = check.octets()?;
    let rounds = if check.is_empty() { 1 } else { check.number()? };
    authenticate(message, tag, (&hash, salt, rounds), with, work)
}

fn contents(message: &[u8], with: &Passphrase, work: &mut Work) -> Result<Store, Locked> {
    let mut found = Store::default();
    let mut parts = Der::new(message).sequence()?;
    while !parts.is_empty() {
        let mut part = parts.sequence()?;
        let kind = part.oid()?;
        if kind == oid!(1.2.840.113549.1.7.1) {
            bags(part.tagged(0)?.octets()?, with, work, &mut found)?;
        } else if kind == oid!(1.2.840.113549.1.7.6) {
            let mut encrypted = part.tagged(0)?.sequence()?;
            encrypted.number()?; // its version says nothing else
            let mut info = encrypted.sequence()?;
            info.oid()?;
            let algorithm = info.raw_sequence()?;
            let opened = decrypt(algorithm, info.tagged_octets(0)?, with, work)?;
            // The padding may look right after decryption with a wrong passphrase.
            Der::new(&opened).sequence().map_err(|_garbage| Locked::Wrong)?;
            bags(&opened, with, work, &mut found)?;
        } else {
            return Err(Locked::Unsupported("encryption for a public key".to_owned()));
        }
    }
    Ok(found)
}

fn bags(
    contents: &[u8],
    with: &Passphrase,
    work: &mut Work,
    found: &mut Store,
) -> Result<(), Locked> {
    let mut bags = Der::new(contents).sequence()?;
    while !bags.is_empty() {
        let mut bag = bags.sequence()?;
        let kind = bag.oid()?;
        let mut value = bag.tagged(0)?;
        if kind == oid!(1.2.840.113549.1.12.10.1.1) {
            found.keys.push(Zeroizing::new(value.raw_sequence()?.to_vec()));
        } else if kind == oid!(1.2.840.113549.1.12.10.1.2) {
            found.keys.push(key(value.raw_sequence()?, with, work)?);
        } else if kind == oid!(1.2.840.113549.1.12.10.1.3) {
            let mut certificate = value.sequence()?;
            if certificate.oid()? == oid!(1.2.840.113549.1.9.22.1) {
                let der = certificate.tagged(0)?.octets()?;
                found.certificates.push(CertificateDer::from(der.to_vec()));
            }
        }
        // Revocation lists and secrets of other kinds are passed over.
    }
    Ok(())
}
