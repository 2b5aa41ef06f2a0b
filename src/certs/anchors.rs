//! Trust anchors: what is told of them, and which ones a change of the trust bundle leaves out.

use std::collections::HashSet;

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use super::{Trusted, inspect};
use crate::clock;
use crate::identity::{Fingerprint, TrustDomain};
use crate::inventory::Inventory;

/// So many are named; of the others it is said how many there are.
const NAMED: usize = 5;

/// A certificate of a trust bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Its subject's name as text.
    pub subject: String,
    /// SHA-256 of its DER form.
    pub sha256: Fingerprint,
    /// When it expires.
    pub not_after: OffsetDateTime,
    /// The trust domain for which alone it speaks; `None`: it may prove any name.
    pub trust_domain: Option<TrustDomain>,
    /// Name and public key: what verifies a chain. Equal in certificates that were made anew.
    authority: (Vec<u8>, Vec<u8>),
}

impl Trusted {
    /// The certificates of all trust bundles, our own domain's first.
    pub fn anchors(&self) -> Vec<Anchor> {
        let own = self.bundle.iter().map(|der| (der, self.domain.as_ref()));
        let federated = self
            .federated
            .iter()
            .flat_map(|(domain, bundle)| bundle.iter().map(move |der| (der, Some(domain))));
        own.chain(federated).filter_map(|(der, domain)| Anchor::of(der, domain)).collect()
    }
}

impl Anchor {
    fn of(der: &[u8], trust_domain: Option<&TrustDomain>) -> Option<Self> {
        Some(Self {
            subject: inspect::subject(der)?,
            sha256: Fingerprint::of(der),
            not_after: inspect::not_after(der)?,
            trust_domain: trust_domain.cloned(),
            authority: anchor(der)?,
        })
    }

    /// Whether both verify the same chains: same name, same key, same trust domain.
    fn stands_for(&self, other: &Self) -> bool {
        self.authority == other.authority && self.trust_domain == other.trust_domain
    }

    /// The fingerprints of all certificates among `anchors` that verify the same chains as this one.
    pub fn same_authority(&self, anchors: &[Self]) -> Vec<Fingerprint> {
        let same = anchors.iter().filter(|other| self.stands_for(other));
        same.map(|anchor| anchor.sha256).collect()
    }
}

/// What deserves a look when `new` takes the place of `old`: authorities that are left out, and who was
/// seen with certificates of theirs. One a text.
pub(super) fn left_out(old: &Trusted, new: &Trusted, inventory: &Inventory) -> Vec<String> {
    let (old, new) = (old.anchors(), new.anchors());
    let mut told: Vec<&Anchor> = Vec::new();
    for anchor in &old {
        let same = |other: &&Anchor| anchor.stands_for(other);
        if !new.iter().any(|other| same(&other)) && !told.iter().any(same) {
            told.push(anchor);
        }
    }
    let text = |anchor: &&Anchor| {
        let used = match inventory.use_of(&anchor.same_authority(&old)) {
            None => "not seen in use since the start".to_owned(),
            Some(used) => {
                let mut names: Vec<_> =
                    used.peers.iter().take(NAMED).map(ToString::to_string).collect();
                if used.peers.len() > NAMED {
                    names.push(format!("{} more", used.peers.len() - NAMED));
                }
                let at = clock::rfc3339(used.last_seen);
                format!("last seen in use at {at}, by {}", names.join(", "))
            }
        };
        format!(
            "the trust bundle no longer holds {} (sha256 {}), {used}: peers with certificates from there \
             are refused from now on",
            anchor.subject, anchor.sha256
        )
    };
    let mut texts: Vec<String> = told.iter().take(NAMED).map(text).collect();
    if told.len() > NAMED {
        texts.push(format!("the trust bundle no longer holds {} more", told.len() - NAMED));
    }
    texts
}

/// What deserves a look when `new` takes the place of `old`: authorities that nobody trusted before. One a
/// text. Whoever may answer for a source of key material could let peers in by one.
pub(super) fn added(old: &Trusted, new: &Trusted) -> Vec<String> {
    let old = old.anchors();
    let mut told: Vec<Anchor> = Vec::new();
    for anchor in new.anchors() {
        if !old.iter().chain(&told).any(|known| anchor.stands_for(known)) {
            told.push(anchor);
        }
    }
    let text = |anchor: &Anchor| {
        let domain = anchor.trust_domain.as_ref();
        let of = domain.map(|domain| format!(" of {domain}")).unwrap_or_default();
        let Anchor { subject, sha256, .. } = anchor;
        format!(
            "the trust bundle now holds {subject} (sha256 {sha256}): peers{of} with certificates from \
             there are believed from now on"
        )
    };
    let mut texts: Vec<String> = told.iter().take(NAMED).map(text).collect();
    if told.len() > NAMED {
        texts.push(format!("the trust bundle now holds {} more", told.len() - NAMED));
    }
    texts
}

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
    format!("{subject} (sha256 {})", Fingerprint::of(der))
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
