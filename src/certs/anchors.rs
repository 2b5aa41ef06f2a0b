//! Trust anchors that a change of the trust bundle would leave out.

use std::collections::HashSet;

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;

use super::inspect;

/// So many are named; of the others it is said how many there are.
const NAMED: usize = 5;

/// The anchors of `old` that `new` does not hold, as a text; `None` when it holds them all. A
/// certificate made anew for the same name and key is the same anchor.
pub(super) fn lost(
    old: &[CertificateDer<'static>],
    new: &[&CertificateDer<'static>],
) -> Option<String> {
    let kept: HashSet<_> = new.iter().filter_map(|der| anchor(der)).collect();
    let lost: Vec<_> =
        old.iter().filter(|der| anchor(der).is_none_or(|anchor| !kept.contains(&anchor))).collect();
    let mut texts: Vec<String> = lost.iter().take(NAMED).map(|der| described(der)).collect();
    if lost.len() > NAMED {
        texts.push(format!("{} more", lost.len() - NAMED));
    }
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// What verifies a chain: name and public key.
fn anchor(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let x509 = inspect::certificate(der)?;
    Some((x509.subject().as_raw().to_vec(), x509.public_key().raw.to_vec()))
}

fn described(der: &[u8]) -> String {
    let subject = inspect::subject(der).unwrap_or_default();
    let sum = digest::digest(&digest::SHA256, der);
    format!("{subject} (sha256 {})", hex::encode(sum))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;
    use crate::certs::openssl::OpenSsl;

    fn root(pki: &OpenSsl, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(pki.path(&format!("{name}.crt"))).unwrap()
    }

    #[test]
    fn a_root_that_is_left_out_is_named_with_its_fingerprint_as_openssl_sees_it() {
        let pki = OpenSsl::new();
        pki.root("a");
        pki.root("b");
        let (a, b) = (root(&pki, "a"), root(&pki, "b"));
        pki.write("a.der", &a);
        let openssl = pki.run("dgst -sha256 -r a.der");
        let sum = openssl.split_whitespace().next().unwrap();

        assert_eq!(lost(&[a.clone(), b.clone()], &[&b, &a]), None);
        assert_eq!(lost(&[a, b.clone()], &[&b]), Some(format!("O=Hospital, CN=a (sha256 {sum})")));
    }

    #[test]
    fn a_root_renewed_with_its_key_is_not_lost_and_one_with_another_key_is() {
        let pki = OpenSsl::new();
        pki.root("a");
        let old = root(&pki, "a");
        pki.run("x509 -in a.crt -signkey a.key -days 700 -out renewed.crt");
        let renewed = root(&pki, "renewed");
        pki.root("a");
        let other = root(&pki, "a");

        assert_ne!(old, renewed);
        assert_eq!(lost(std::slice::from_ref(&old), &[&renewed]), None);
        assert!(lost(&[old], &[&other]).is_some());
    }

    #[test]
    fn of_many_only_some_are_named() {
        let pki = OpenSsl::new();
        pki.root("a");
        let many = vec![root(&pki, "a"); NAMED + 2];

        let text = lost(&many, &[]).unwrap();

        assert_eq!(text.matches("CN=a").count(), NAMED);
        assert!(text.ends_with(", 2 more"), "{text}");
    }
}
