//! What a decision costs: with ever more peers, and with ever more routes.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]

mod common;

use divan::{Bencher, black_box};
use http::Method;
use myelin::authz::Requested;
use myelin::clock;

fn main() {
    divan::main();
}

const PEERS: [usize; 4] = [10, 100, 1_000, 10_000];

/// A listed peer is let in.
#[divan::bench(args = PEERS)]
fn listed_peer(bencher: Bencher<'_, '_>, peers: usize) {
    let policy = common::policy(&common::config(peers, 0));
    let peer = common::peer(&common::material(&format!("peer-{}", peers - 1)));
    let now = clock::now();
    bencher.bench(|| policy.authorize(black_box(&peer), now).unwrap());
}

/// A stranger is refused, and told (to the record) what came nearest.
#[divan::bench(args = PEERS)]
fn stranger(bencher: Bencher<'_, '_>, peers: usize) {
    let policy = common::policy(&common::config(peers, 0));
    let peer = common::peer(&common::material("stranger"));
    let now = clock::now();
    bencher.bench(|| policy.authorize(black_box(&peer), now).unwrap_err());
}

/// A request that the last of the routes lets through.
#[divan::bench(args = [1, 10, 100, 1_000])]
fn request(bencher: Bencher<'_, '_>, routes: usize) {
    let policy = common::policy(&common::config(1, routes));
    let permit =
        policy.authorize(&common::peer(&common::material("peer-0")), clock::now()).unwrap();
    let path = format!("/fhir/Kind{}/4711", routes - 1);
    let now = clock::now();
    let asked = |path| Requested { method: &Method::GET, host: None, path, soap_action: None };
    bencher.bench(|| policy.authorize_request(&permit, &asked(black_box(&path)), now).unwrap());
}
