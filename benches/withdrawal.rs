//! What it costs to judge open connections again, and whether the others notice.
//!
//! First the parts: one chain, one permit. Then the whole, in a process of its own: 10,000 mutual TLS
//! connections, of which a reload takes the right from 100. Told are the time until the last of them is
//! gone, and what requests of others took before and during that.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark may panic, and prints"
)]

mod common;
#[path = "withdrawal/hospital.rs"]
mod hospital;
#[path = "withdrawal/whole.rs"]
mod whole;

use std::sync::Arc;
use std::time::Instant;

use myelin::authz::ListenerPolicy;
use myelin::certs::Trusted;
use myelin::clock;
use myelin::config::{CrlExpired, Profile, TlsSettings};
use myelin::identity::PeerCertificate;
use myelin::tls::{Pins, Trust};

use hospital::Hospital;

/// Connections that are open, and those of them that lose their right.
const OPEN: usize = 10_000;
const LOST: usize = 100;
/// Chains that are judged one by one.
const CHAINS: usize = 1_000;

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return; // asked by a test runner, which has no use for this
    }
    parts();
    let open = std::env::var("CONNECTIONS").ok().and_then(|count| count.parse().ok());
    let open = open.unwrap_or(OPEN);
    println!("\n{open} connections, {LOST} of which lose their right");
    for certificates in [100, open] {
        for cause in [whole::Cause::Policy, whole::Cause::Bundle] {
            whole::run(open, LOST.min(open / 2), certificates, cause);
        }
    }
}

fn tell(what: &str, calls: usize, work: impl FnOnce()) {
    let begun = Instant::now();
    work();
    println!("{what:<56} {:>10.2?}", begun.elapsed() / u32::try_from(calls).unwrap());
}

fn parts() {
    let hospital = Hospital::new();
    let settings = TlsSettings {
        profile: Profile::Nist,
        cipher_suites: Vec::new(),
        crl_expired: CrlExpired::Refuse,
    };
    let bundle = Trusted { bundle: hospital.bundle(), ..Trusted::default() };
    let listed = Trusted { crls: hospital.lists(), ..bundle.clone() };
    let direct: Vec<_> = (0..CHAINS).map(|_| hospital.direct()).collect();
    let longer: Vec<_> = (0..CHAINS).map(|_| hospital.by_intermediate()).collect();
    for (what, trusted, chains) in [
        ("a chain, from the authority itself", &bundle, direct),
        ("a chain with an intermediate", &bundle, longer.clone()),
        ("a chain with an intermediate and revocation lists", &listed, longer),
    ] {
        let trusted = Arc::new(trusted.clone());
        let trust = Trust::of_clients(&settings, &trusted, Pins::default()).unwrap();
        let chains: Vec<_> = chains
            .into_iter()
            .map(|chain| (Arc::new(PeerCertificate::parse(&chain[0]).unwrap()), chain))
            .collect();
        for time in ["first", "again"] {
            tell(&format!("{what}, {time}"), CHAINS, || {
                for (certificate, chain) in &chains {
                    drop(trust.judge_again(chain, certificate, clock::now()).unwrap());
                }
            });
        }
    }

    let config = common::config(1_000, 0);
    let policy = ListenerPolicy::inbound(&config, &config.inbound[0]);
    let peer = common::peer(&common::material("peer-500"));
    let now = clock::now();
    tell("a permit, by a policy with 1,000 peers", 100_000, || {
        (0..100_000).for_each(|_| drop(policy.authorize(&peer, now).unwrap()));
    });
}
