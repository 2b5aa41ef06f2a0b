//! What the micro-benchmarks share: an authority in a scratch directory, and configurations of any size.
#![allow(dead_code, unreachable_pub, reason = "each benchmark uses its part")]

pub mod rules;

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use myelin::audit::{Action, Connection, ConnectionId, Record};
use myelin::authz::{ListenerPolicy, Permit};
use myelin::certs::Material;
use myelin::certs::embedded::Authority;
use myelin::clock;
use myelin::config::{self, Config};
use myelin::identity::{ListenerName, PeerIdentity, Proof, SpiffeId, TrustDomain};
use myelin::outcome::Direction;

/// Key material of the service `name`, of an authority made for the occasion. Good for both sides.
pub fn material(name: &str) -> Material {
    let dir = tempfile::tempdir().unwrap();
    let domain = TrustDomain::parse("bench.test").unwrap();
    let authority = Authority::open_or_create(&dir.path().join("authority"), &domain).unwrap();
    let spiffe = SpiffeId::of(&domain, name).unwrap();
    authority.issue(&spiffe, &[], Duration::from_secs(3600)).unwrap()
}

/// The peer that presents `material`, as if a handshake had proven it.
pub fn peer(material: &Material) -> PeerIdentity {
    PeerIdentity { certificate: Arc::clone(&material.facts), proof: Proof::Chain }
}

/// One inbound HTTP listener that allows `peers` peers, `peer-0` and so on, on `routes` routes.
pub fn config(peers: usize, routes: usize) -> Config {
    let mut text = String::from(
        "version: 1\nservice: ehr\ntrust_domain: bench.test\nidentity: { embedded: { dir: authority } }\n\
         audit: { dir: audit }\npeers:\n",
    );
    let mut names = String::new();
    for n in 0..peers {
        writeln!(text, "  peer-{n}: {{ spiffe: \"spiffe://bench.test/peer-{n}\" }}").unwrap();
        write!(names, "{}peer-{n}", if n == 0 { "" } else { ", " }).unwrap();
    }
    write!(
        text,
        "inbound:\n  - name: fhir\n    listen: 127.0.0.1:0\n    forward: 127.0.0.1:8080\n    \
         protocol: http\n    phi: true\n    allow: [{names}]\n"
    )
    .unwrap();
    if routes > 0 {
        text.push_str("    routes:\n");
    }
    for n in 0..routes {
        writeln!(
            text,
            "      - {{ name: r{n}, methods: [GET], path: \"/fhir/Kind{n}/{{id}}\", allow: [peer-0] }}"
        )
        .unwrap();
    }
    config::parse(Path::new("bench.yaml"), &text, &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// The policy of that listener.
pub fn policy(config: &Config) -> ListenerPolicy {
    ListenerPolicy::inbound(config, &config.inbound[0])
}

/// The permit of `peer-0`.
pub fn permit() -> Permit {
    policy(&config(1, 0)).authorize(&peer(&material("peer-0")), clock::now()).unwrap()
}

/// The record of a connection with mutual TLS.
pub fn record() -> Record {
    let peer = peer(&material("peer-0"));
    let connection = Connection {
        id: ConnectionId([7; 16]),
        listener: ListenerName::new("fhir"),
        direction: Direction::Inbound,
        protocol: "tcp",
        phi: true,
        source: Some(([127, 0, 0, 1], 50_000).into()),
        destination: Some(([127, 0, 0, 1], 8443).into()),
        asked: None,
        endpoint: None,
        tls: None,
        plaintext: false,
        anchor: None,
        identity: Some(peer.to_string()),
        certificate: Some(peer.certificate),
        peer: None,
    };
    Record { connection: Some(Arc::new(connection)), ..Record::new(Action::ConnectionAllowed) }
}
