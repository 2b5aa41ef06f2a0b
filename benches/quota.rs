//! What a limit costs, beside none: once a request is let through by policy.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]

mod common;

use std::path::Path;

use divan::{AllocProfiler, Bencher};
use http::Method;
use myelin::authz::{Grant, ListenerPolicy, Permit, Requested};
use myelin::clock;
use myelin::config;
use myelin::listener::quota::Quotas;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// A listener with these limits of its one peer and its one rule, and what policy gave that peer.
fn desk(peer: &str, rule: &str) -> (Quotas, Permit, Grant) {
    let text = format!(
        "version: 1\nservice: ehr\ntrust_domain: bench.test\nidentity: {{ embedded: {{ dir: authority }} }}\n\
         peers: {{ peer-0: {{ spiffe: \"spiffe://bench.test/peer-0\", {peer} }} }}\n\
         inbound: [ {{ name: fhir, listen: \"127.0.0.1:0\", forward: \"127.0.0.1:8080\", protocol: http, \
         allow: [peer-0], routes: [ {{ name: all, path: \"/{{rest...}}\", allow: [peer-0], {rule} }} ] }} ]\n"
    );
    let config = config::parse(Path::new("bench.yaml"), &text, &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}"));
    let policy = ListenerPolicy::inbound(&config, &config.inbound[0]);
    let (now, who) = (clock::now(), common::peer(&common::material("peer-0")));
    let permit = policy.authorize(&who, now).unwrap();
    let asked = Requested::plain(&Method::GET, "/a");
    let grant = policy.authorize_request(&permit, &asked, now).unwrap();
    (Quotas::new(&policy, None), permit, grant)
}

fn begin(bencher: Bencher<'_, '_>, peer: &str, rule: &str) {
    let (quotas, permit, grant) = desk(peer, rule);
    bencher.bench(|| quotas.begin(&permit, Some(&grant)).is_ok());
}

/// Only counted as used.
#[divan::bench(threads = [1, 2])]
fn no_limit(bencher: Bencher<'_, '_>) {
    begin(bencher, "", "");
}

#[divan::bench(threads = [1, 2])]
fn rate_of_the_peer(bencher: Bencher<'_, '_>) {
    begin(bencher, "limits: { rate: 1000000/s, burst: 1000000 }", "");
}

#[divan::bench(threads = [1, 2])]
fn rate_of_peer_and_rule(bencher: Bencher<'_, '_>) {
    let limits = "limits: { rate: 1000000/s, burst: 1000000 }";
    begin(bencher, limits, limits);
}

#[divan::bench(threads = [1, 2])]
fn number_at_once_of_the_peer(bencher: Bencher<'_, '_>) {
    begin(bencher, "limits: { concurrency: 1000 }", "");
}

/// Far over its limit: with the record's text.
#[divan::bench]
fn over_the_limit(bencher: Bencher<'_, '_>) {
    begin(bencher, "limits: { rate: 1/h }", "");
}
