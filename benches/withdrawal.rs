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

use rustls::pki_types::CertificateDer;

use hospital::Hospital;

/// Connections that are open, and those of them that lose their right.
const OPEN: usize = 10_000;
const LOST: usize = 100;

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

fn per_call(what: &str, mut call: impl FnMut()) {
    for _ in 0..100 {
        call();
    }
    let (begun, calls) = (Instant::now(), 2_000);
    for _ in 0..calls {
        call();
    }
    println!("{what:<48} {:>10.2?}", begun.elapsed() / calls);
}

fn parts() {
    let hospital = Hospital::new();
    let settings = TlsSettings {
        profile: Profile::Nist,
        cipher_suites: Vec::new(),
        crl_expired: CrlExpired::Refuse,
    };
    let judging = |what: &str, trusted: Trusted, chain: Vec<CertificateDer<'static>>| {
        let trust = Trust::of_clients(&settings, &Arc::new(trusted), Pins::default()).unwrap();
        let certificate = Arc::new(PeerCertificate::parse(&chain[0]).unwrap());
        let now = clock::now();
        per_call(what, || drop(trust.judge_again(&chain, &certificate, now).unwrap()));
    };
    let bundle = Trusted { bundle: hospital.bundle(), ..Trusted::default() };
    judging("a chain, from the authority itself", bundle.clone(), hospital.direct());
    judging("a chain with an intermediate", bundle.clone(), hospital.by_intermediate());
    let listed = Trusted { crls: hospital.lists(), ..bundle };
    judging("the same, with revocation lists", listed, hospital.by_intermediate());

    let config = common::config(1_000, 0);
    let policy = ListenerPolicy::inbound(&config, &config.inbound[0]);
    let peer = common::peer(&common::material("peer-500"));
    let now = clock::now();
    per_call("a permit, by a policy with 1,000 peers", || {
        drop(policy.authorize(&peer, now).unwrap());
    });
}
