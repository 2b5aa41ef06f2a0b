//! What `/status` shows of the others: the trust bundle, and what peers have presented.

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::certs::Anchor;
use crate::clock::rfc3339;
use crate::inventory::{Inventory, Partner, Presented};

/// The trust bundle, and when each of its authorities was seen in use.
pub(super) fn anchors(anchors: &[Anchor], inventory: &Inventory) -> Value {
    let shown = |anchor: &Anchor| {
        let used = inventory.use_of(&anchor.same_authority(anchors));
        json!({
            "subject": anchor.subject,
            "sha256": anchor.sha256.to_string(),
            "not_after": rfc3339(anchor.not_after),
            "trust_domain": anchor.trust_domain.as_ref().map(ToString::to_string),
            "last_seen": used.as_ref().map(|used| rfc3339(used.last_seen)),
            "peers": used.map_or(0, |used| used.peers.len()),
        })
    };
    anchors.iter().map(shown).collect()
}

/// Every configured peer, those that never came included.
pub(super) fn peers(partners: &[Partner], now: OffsetDateTime) -> Value {
    let shown = |partner: &Partner| {
        let last = partner.certificates.first();
        json!({
            "name": partner.name.as_str(),
            "last_seen": last.map(|presented| rfc3339(presented.last_seen)),
            "expires_in_days": last.map(|presented| presented.expires_in_days(now)),
            "certificates": partner.certificates.iter().map(presented).collect::<Vec<_>>(),
        })
    };
    partners.iter().map(shown).collect()
}

fn presented(presented: &Presented) -> Value {
    let certificate = &presented.certificate;
    json!({
        "spiffe": certificate.spiffe.as_ref().map(ToString::to_string),
        "subject": certificate.subject.text,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "sha256": certificate.sha256.to_string(),
        "not_before": rfc3339(certificate.not_before),
        "not_after": rfc3339(certificate.not_after),
        "first_seen": rfc3339(presented.first_seen),
        "last_seen": rfc3339(presented.last_seen),
        "connections": presented.connections,
        "listener": presented.listener.as_str(),
        "direction": presented.direction.label(),
        "tls": presented.version,
        "cipher": presented.cipher,
    })
}
