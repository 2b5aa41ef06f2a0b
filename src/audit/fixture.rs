//! What the tests of this room share.

use std::sync::Arc;

use time::macros::datetime;

use super::Origin;
use super::record::{Connection, ConnectionId, Rule, Tls};
use crate::identity::{
    Fingerprint, LeafUse, ListenerName, PeerCertificate, PeerName, SpiffeId, Subject,
};
use crate::outcome::Direction;

/// A connection as a hospital has thousands of.
pub(super) fn connection() -> Connection {
    let id = "spiffe://hospital.example/billing";
    Connection {
        id: ConnectionId([5; 16]),
        listener: ListenerName::new("fhir"),
        direction: Direction::Inbound,
        protocol: "http",
        phi: true,
        source: Some(([10, 20, 0, 52], 50412).into()),
        destination: Some(([10, 20, 0, 15], 8443).into()),
        asked: None,
        endpoint: None,
        tls: Some(Tls {
            version: "1.3",
            cipher: "TLS_AES_256_GCM_SHA384".into(),
            group: Some("X25519MLKEM768".into()),
            resumed: false,
            next_protocol: Some("http/1.1".into()),
            server_name: Some("ehr.hospital.example".into()),
        }),
        plaintext: false,
        certificate: Some(Arc::new(certificate(id))),
        anchor: Some(Fingerprint([0xa0; 32])),
        identity: Some(id.into()),
        peer: Some(PeerName::new("billing")),
    }
}

fn certificate(id: &str) -> PeerCertificate {
    PeerCertificate {
        spiffe: Some(SpiffeId::parse(id).unwrap()),
        dns: Vec::new(),
        alternative_names: vec![format!("URI:{id}")],
        subject: Subject {
            text: "CN=billing".into(),
            common_names: vec!["billing".into()],
            ..Subject::default()
        },
        issuer: "CN=Hospital Issuing CA 1".into(),
        serial: "03A1".into(),
        sha256: Fingerprint([0xfe; 32]),
        key_sha256: Fingerprint([0xaa; 32]),
        usage: LeafUse::default(),
        not_before: datetime!(2026-11-22 00:00 UTC),
        not_after: datetime!(2026-11-23 00:00 UTC),
    }
}

/// Where it was recorded.
pub(super) fn origin() -> Origin {
    Origin::new("hospital.example", "ehr", "myelin.yaml")
}

/// The rule that let it in.
pub(super) fn rule() -> Rule {
    Rule {
        name: "fhir/read-patient".into(),
        version: Fingerprint([0x11; 32]),
        line: 0,
        nearest: None,
    }
}
