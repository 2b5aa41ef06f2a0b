//! Which of an EST server's certificates are for what.

use rustls::pki_types::CertificateDer;

use crate::certs::inspect;

/// Longer chains are not built: no peer would follow them.
const LONGEST: usize = 10;

/// The certificate over the public key `public` and the intermediates above it, leaf first; `None` when
/// none of `issued` is over that key. Roots are left out: peers have them.
pub(super) fn chain(
    public: &[u8],
    issued: &[CertificateDer<'static>],
    authorities: &[CertificateDer<'static>],
) -> Option<Vec<CertificateDer<'static>>> {
    let leaf = issued.iter().find(|der| {
        inspect::certificate(der).is_some_and(|x509| x509.public_key().raw == public)
    })?;
    let mut chain = vec![leaf.clone()];
    let mut last = leaf;
    while chain.len() < LONGEST {
        let mut above = issued
            .iter()
            .chain(authorities)
            .filter(|der| inspect::is_signed_by(last, der))
            .peekable();
        if above.peek().is_none() || above.clone().any(is_root) {
            break;
        }
        let Some(next) = above.find(|der| !chain.contains(der)) else { break };
        chain.push(next.clone());
        last = next;
    }
    Some(chain)
}

/// Whom peers are verified with: the self-signed ones of `authorities`, or all when there is none. Those
/// that link an old root to a new one (RFC 7030, 4.1.3) are not self-signed.
pub(super) fn anchors(authorities: &[CertificateDer<'static>]) -> Vec<CertificateDer<'static>> {
    let roots: Vec<_> = authorities.iter().filter(|der| is_root(der)).cloned().collect();
    if roots.is_empty() { authorities.to_vec() } else { roots }
}

fn is_root(der: &CertificateDer<'static>) -> bool {
    inspect::is_signed_by(der, der)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;
    use crate::certs::openssl::{BOTH, OpenSsl};

    const AUTHORITY: &str =
        "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n";

    fn der(pki: &OpenSsl, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(pki.path(&format!("{name}.crt"))).unwrap()
    }

    fn public(der: &CertificateDer<'_>) -> Vec<u8> {
        inspect::certificate(der).unwrap().public_key().raw.to_vec()
    }

    /// A root, an issuing authority under it and a leaf; and a root of the same name with another key.
    fn pki() -> (OpenSsl, [CertificateDer<'static>; 4]) {
        let pki = OpenSsl::new();
        pki.root("root");
        let namesake = der(&pki, "root");
        pki.root("root");
        pki.leaf("issuing", "root", AUTHORITY);
        pki.leaf("leaf", "issuing", BOTH);
        let all = ["leaf", "issuing", "root"].map(|name| der(&pki, name));
        let [leaf, issuing, root] = all;
        (pki, [leaf, issuing, root, namesake])
    }

    #[test]
    fn intermediates_are_taken_from_wherever_the_server_put_them_and_roots_left_out() {
        let (_pki, [leaf, issuing, root, namesake]) = pki();
        let key = public(&leaf);
        let wanted = vec![leaf.clone(), issuing.clone()];

        let all = [namesake.clone(), root.clone(), issuing.clone(), leaf.clone()];
        assert_eq!(chain(&key, &all, &[]), Some(wanted.clone()));
        let authorities = [issuing.clone(), root, namesake];
        assert_eq!(chain(&key, std::slice::from_ref(&leaf), &authorities), Some(wanted));
        assert_eq!(chain(&key, std::slice::from_ref(&leaf), &[]), Some(vec![leaf]));
        assert_eq!(chain(&key, &[issuing], &authorities), None);
    }

    #[test]
    fn roots_are_trusted_and_what_links_two_of_them_is_not_one() {
        let (pki, [_leaf, issuing, root, _namesake]) = pki();
        pki.root("newer");
        pki.run("req -new -key newer.key -subj /O=Hospital/CN=root -out link.csr");
        pki.write("link.ext", AUTHORITY);
        pki.run(
            "x509 -req -in link.csr -CA root.crt -CAkey root.key -extfile link.ext -days 9 -out link.crt",
        );
        let link = der(&pki, "link");

        assert_eq!(anchors(&[issuing.clone(), link, root.clone()]), [root]);
        assert_eq!(anchors(std::slice::from_ref(&issuing)), [issuing]);
    }
}
