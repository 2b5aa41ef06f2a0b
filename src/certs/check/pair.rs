//! Looks at one certificate with its key, whichever of ours it is.

use rustls::pki_types::CertificateDer;
use rustls::sign::SigningKey;
use time::{Duration, OffsetDateTime};

use super::{Needs, Offered, Unfit, chain};
use crate::certs::Material;
use crate::certs::inspect;
use crate::clock::rfc3339;
use crate::config::Profile;
use crate::identity::{LeafUse, PeerCertificate};

/// Less than this before the end of a certificate that is not renewed by itself, it is told.
const SOON: Duration = Duration::days(7);
/// Longer than this, all certificates together, peers give up reading: rustls takes a message of 64 KiB
/// at most, and OpenSSL one of 100 KiB.
const LONGEST: usize = 60 * 1024;

/// One chain with its key, and where they came from.
pub(super) struct Pair<'a> {
    pub(super) chain: &'a [CertificateDer<'static>],
    key: &'a dyn SigningKey,
    pub(super) at: String,
    key_at: String,
}

impl Offered {
    /// What would be presented: the first, then the others in their order.
    pub(super) fn pairs(&self) -> Vec<Pair<'_>> {
        let first = Pair {
            chain: &self.chain,
            key: &*self.key,
            at: self.origin.certificate.clone(),
            key_at: self.origin.key.clone(),
        };
        let others = self.others.iter().enumerate().map(|(index, other)| {
            let named = self.origin.others.get(index).cloned();
            let (at, key_at) = named.unwrap_or_else(|| {
                let number = index + 2;
                let which = |origin: &String| format!("{origin}, pair {number}");
                (which(&self.origin.certificate), which(&self.origin.key))
            });
            Pair { chain: &other.cert, key: &*other.key, at, key_at }
        });
        std::iter::once(first).chain(others).collect()
    }
}

impl Pair<'_> {
    /// Whether it is one of those that `material` presents.
    pub(super) fn is_of(&self, material: &Material) -> bool {
        let mut presented = std::iter::once(&material.presented).chain(&material.others);
        presented.any(|pair| pair.cert == self.chain)
    }

    /// What the leaf says.
    pub(super) fn facts(&self) -> Result<PeerCertificate, Unfit> {
        let Some(leaf) = self.chain.first() else {
            return Err(Unfit::Purpose { at: self.at.clone(), what: "holds no certificate" });
        };
        PeerCertificate::parse(leaf)
            .map_err(|source| Unfit::Identity { at: self.at.clone(), source })
    }

    /// Everything for which a peer would refuse it; the chain is looked at only if `with_chain`.
    pub(super) fn problems(
        &self,
        facts: &PeerCertificate,
        offered: &Offered,
        (needs, now): (Needs, OffsetDateTime),
        with_chain: bool,
    ) -> Vec<Unfit> {
        let mut problems: Vec<Unfit> = self.key_fits().into_iter().collect();
        problems.extend(self.misuse(&facts.usage, needs));
        problems.extend(self.too_long());
        let valid = self.valid(facts, now);
        // A chain that is not verified now would only say the same again.
        if with_chain && valid.is_none() {
            problems.extend(chain::verify(self, offered, facts, needs, now));
        }
        problems.extend(valid);
        problems
    }

    /// Why the key is not the leaf's, if it is not.
    pub(super) fn key_fits(&self) -> Option<Unfit> {
        let key = self.key.public_key()?;
        let fits = |der: &CertificateDer<'_>| {
            inspect::certificate(der).is_some_and(|x509| x509.public_key().raw == key.as_ref())
        };
        match self.chain.iter().position(fits) {
            Some(0) => None,
            Some(index) => Some(Unfit::LeafNotFirst { at: self.at.clone(), number: index + 1 }),
            None => {
                Some(Unfit::KeyMismatch { at: self.key_at.clone(), certificate: self.at.clone() })
            }
        }
    }

    fn too_long(&self) -> Option<Unfit> {
        let bytes: usize = self.chain.iter().map(|der| der.len()).sum();
        (bytes > LONGEST).then(|| Unfit::TooLong {
            at: self.at.clone(),
            certificates: self.chain.len(),
            bytes,
        })
    }

    fn valid(&self, facts: &PeerCertificate, now: OffsetDateTime) -> Option<Unfit> {
        let at = self.at.clone();
        if now > facts.not_after {
            return Some(Unfit::Expired { at, not_after: facts.not_after, now });
        }
        (now < facts.not_before).then_some(Unfit::NotYetValid {
            at,
            not_before: facts.not_before,
            now,
        })
    }

    /// What the leaf says of its use and peers of the profile would not take.
    fn misuse(&self, usage: &LeafUse, needs: Needs) -> Vec<Unfit> {
        let mut problems = Vec::new();
        let strict = match needs.profile {
            Profile::Nist | Profile::Modern => true,
            Profile::Compatible => false,
        };
        let mut add = |what: &'static str| {
            problems.push(Unfit::Purpose { at: self.at.clone(), what });
        };
        if usage.is_ca {
            add("is an authority's (basic constraints): a leaf is wanted");
        } else if strict && usage.may_sign_certificates {
            add(
                "may sign certificates (key usage keyCertSign), which tls.profile refuses in a leaf",
            );
        }
        if strict && usage.any_purpose {
            add("is good for any purpose (extended key usage), which tls.profile refuses");
        }
        if !usage.names_purpose {
            if strict {
                add(
                    "names no purpose (extended key usage): it must name serverAuth and clientAuth, \
                     or tls.profile be compatible",
                );
            }
            return problems;
        }
        if needs.server && !usage.server_auth {
            add("does not name serverAuth (extended key usage), which inbound listeners need");
        }
        if needs.client && !usage.client_auth {
            add("does not name clientAuth (extended key usage), which outbound listeners need");
        }
        problems
    }

    /// Which of the first pair's names this one lacks: a peer must know us by whichever it gets.
    pub(super) fn names_missing(
        &self,
        facts: &PeerCertificate,
        first: &PeerCertificate,
        first_at: &str,
    ) -> Option<Unfit> {
        let (at, first_at) = (self.at.clone(), first_at.to_owned());
        let missing = facts.names_lacking(first)?;
        Some(Unfit::NamesMissing { at, first: first_at, missing })
    }

    /// Short-lived certificates are told only when most of their life is over.
    pub(super) fn ends_soon(&self, facts: &PeerCertificate, now: OffsetDateTime) -> Option<String> {
        let left = facts.not_after - now;
        let life = facts.not_after - facts.not_before;
        (left < SOON && left < life / 3)
            .then(|| format!("{}: expires soon, at {}", self.at, rfc3339(facts.not_after)))
    }

    /// The kind of its key: peers that verify one of a kind verify all of them.
    fn kind(&self) -> Option<Vec<u8>> {
        let x509 = inspect::certificate(self.chain.first()?)?;
        let algorithm = &x509.public_key().algorithm;
        let parameters = algorithm.parameters.as_ref().map_or(&[][..], |any| any.data);
        Some([algorithm.algorithm.as_bytes(), parameters].concat())
    }

    /// The remark on a pair that no peer will ever get, because one before it has the same kind of key.
    pub(super) fn never_used(&self, before: &[Self]) -> Option<String> {
        let kind = self.kind()?;
        let same = before.iter().find(|pair| pair.kind().as_ref() == Some(&kind))?;
        Some(format!(
            "{}: is never presented: its key is of the same kind as the one of {}, which comes first",
            self.at, same.at
        ))
    }
}

/// Why a key of `offered` is not its leaf's, if that is so.
pub(in crate::certs) fn key_fits(offered: &Offered) -> Option<Unfit> {
    offered.pairs().iter().find_map(Pair::key_fits)
}
