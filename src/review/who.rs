//! Who attempted something, as far as a record says.

use std::fmt;
use std::sync::Arc;

use time::OffsetDateTime;

use crate::audit::{Recorded, RecordedCertificate};
use crate::identity::{
    DnsName, Fingerprint, PeerCertificate, PeerIdentity, PeerName, Proof, SpiffeId, Subject,
};

/// Somebody on record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Who {
    /// The name in `peers` that it had then.
    pub peer: Option<PeerName>,
    /// What it proved.
    pub proven: Proven,
}

/// What somebody proved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Proven {
    /// Nothing: it came without TLS.
    Plaintext,
    /// A pinned certificate. Which of its parts was pinned is not on record.
    Pin(Fingerprint),
    /// Names, by a chain.
    Chain {
        /// Its SPIFFE ID.
        spiffe: Option<SpiffeId>,
        /// Its DNS names, in the certificate's order.
        dns: Vec<DnsName>,
        /// Its subject as text.
        subject: String,
    },
}

impl Who {
    /// Who is on record; `None` when nobody was authenticated. With the certificate that was presented.
    pub(super) fn of(recorded: &Recorded) -> Option<(Self, Fingerprint)> {
        let peer = recorded.myelin.peer.as_deref().map(PeerName::new);
        if recorded.myelin.plaintext {
            return Some((Self { peer, proven: Proven::Plaintext }, Fingerprint([0; 32])));
        }
        let identity = recorded.myelin.identity.as_deref()?;
        let tls = &recorded.tls;
        let certificate = tls.client.as_ref().filter(|c| !c.hash.sha256.is_empty());
        let certificate = certificate.or(tls.server.as_ref());
        let pin = identity.strip_prefix("sha256:").and_then(fingerprint);
        let digest = certificate.and_then(|c| fingerprint(&c.hash.sha256)).or(pin);
        let proven = match pin {
            Some(pin) if recorded.myelin.anchor.is_none() => Proven::Pin(pin),
            _ => chained(identity, certificate),
        };
        Some((Self { peer, proven }, digest.unwrap_or(Fingerprint([0; 32]))))
    }

    /// The same as a peer that connects at `now` with this certificate, for as long as a question takes.
    /// `None` in plaintext.
    pub fn identity(&self, certificate: Fingerprint, now: OffsetDateTime) -> Option<PeerIdentity> {
        let mut made = PeerCertificate::nameless(now);
        made.sha256 = certificate;
        let proof = match &self.proven {
            Proven::Plaintext => return None,
            Proven::Pin(pin) => {
                made.sha256 = *pin;
                Proof::Pin
            }
            Proven::Chain { spiffe, dns, subject } => {
                made.spiffe.clone_from(spiffe);
                made.dns.clone_from(dns);
                made.subject = parts(subject);
                Proof::Chain
            }
        };
        Some(PeerIdentity { certificate: Arc::new(made), proof })
    }
}

impl fmt::Display for Who {
    /// Its name in `peers` or, without one, what it proved.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(peer) = &self.peer {
            return write!(f, "{peer}");
        }
        match &self.proven {
            Proven::Plaintext => f.write_str("somebody in plaintext"),
            Proven::Pin(pin) => write!(f, "sha256:{pin}"),
            Proven::Chain { spiffe: Some(id), .. } => write!(f, "{id}"),
            Proven::Chain { dns, .. } if !dns.is_empty() => {
                let names: Vec<_> = dns.iter().map(DnsName::as_str).collect();
                write!(f, "dns:{}", names.join(","))
            }
            Proven::Chain { subject, .. } => write!(f, "subject:{subject}"),
        }
    }
}

fn chained(identity: &str, certificate: Option<&RecordedCertificate>) -> Proven {
    // Of all texts on record, the identity is the one that is never cut.
    let spiffe = SpiffeId::parse(identity).ok();
    let names = certificate.map(|c| c.x509.alternative_names.as_slice()).unwrap_or_default();
    let of_names = names.iter().filter_map(|name| name.strip_prefix("DNS:"));
    let of_identity = identity.strip_prefix("dns:").unwrap_or_default().split(',');
    let parsed = |text: &str| DnsName::parse(text).ok();
    let mut dns: Vec<_> = of_names.filter_map(parsed).collect();
    if dns.is_empty() {
        dns = of_identity.filter_map(parsed).collect();
    }
    let of_identity = identity.strip_prefix("subject:").map(str::to_owned);
    let subject = certificate.map(|c| c.subject.clone()).filter(|text| !text.is_empty());
    Proven::Chain { spiffe, dns, subject: subject.or(of_identity).unwrap_or_default() }
}

fn fingerprint(text: &str) -> Option<Fingerprint> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(Fingerprint(bytes))
}

/// The parts of a subject in the form of RFC 4514 that rules may name.
pub(super) fn parts(text: &str) -> Subject {
    let mut subject = Subject { text: text.to_owned(), ..Subject::default() };
    let (mut attribute, mut escaped) = (String::new(), false);
    let mut attributes = Vec::new();
    for c in text.chars() {
        match c {
            ',' | '+' if !escaped => attributes.push(std::mem::take(&mut attribute)),
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            // A blank follows each comma.
            ' ' if attribute.is_empty() && !escaped => {}
            _ => attribute.push(c),
        }
        escaped = false;
    }
    attributes.push(attribute);
    for (key, value) in attributes.iter().filter_map(|attribute| attribute.split_once('=')) {
        let kept = match key {
            "CN" => &mut subject.common_names,
            "O" => &mut subject.organizations,
            "OU" => &mut subject.organizational_units,
            _ => continue,
        };
        kept.push(value.to_owned());
    }
    subject
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_on_record_has_the_parts_that_rules_name() {
        let subject = parts(r"C=DE, O=Klinik\, Nord, OU=IT+CN=ct-2");

        assert_eq!(subject.organizations, ["Klinik, Nord"]);
        assert_eq!(subject.organizational_units, ["IT"]);
        assert_eq!(subject.common_names, ["ct-2"]);
    }
}
