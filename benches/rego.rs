//! What a question to Rego costs: a policy of 20 rules, asked about a request whose last rule lets it through,
//! and the same request without one.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]

mod common;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use divan::{Bencher, black_box};
use http::Method;
use myelin::audit::{self, Origin};
use myelin::authz::{ListenerPolicy, Permit, RegoPolicy, Requested};
use myelin::clock;
use myelin::config::{RegoFile, RegoSettings};

fn main() {
    divan::main();
}

/// A policy in which peer and template are looked up in rules, one after another.
fn rego(rules: usize) -> Arc<RegoPolicy> {
    let mut text = String::from("package myelin\n");
    for n in 0..rules {
        let template = if n + 1 == rules { "/sample" } else { "/other" };
        writeln!(
            text,
            "allow if {{\n\tinput.myelin.peer == \"sample\"\n\tinput.url.path == \"{template}\"\n\t\
             input.http.request.method == \"GET\"\n\tinput.myelin.listener != \"rule-{n}\"\n}}"
        )
        .unwrap();
    }
    let settings = RegoSettings {
        files: vec![RegoFile { path: "policy.rego".into(), text: text.into() }],
        data: Vec::new(),
        query: "data.myelin.allow".into(),
        timeout: Duration::from_secs(1),
    };
    Arc::new(RegoPolicy::compile(&settings, &[]).unwrap())
}

fn listener(rules: usize) -> (ListenerPolicy, Permit) {
    let config = common::config(1, 1);
    let policy = common::policy(&config);
    let permit =
        policy.authorize(&common::peer(&common::material("peer-0")), clock::now()).unwrap();
    (policy.narrowed_by((rules > 0).then(|| rego(rules))), permit)
}

/// 0: no policy.
#[divan::bench(args = [0, 1, 20, 100])]
fn request(bencher: Bencher<'_, '_>, rules: usize) {
    let (policy, permit) = listener(rules);
    let now = clock::now();
    let question =
        audit::samples(&Origin::new("hospital.example", "ehr", "bench.yaml"), now)[1].clone();
    let asked = Requested::plain(&Method::GET, "/fhir/Kind0/4711");
    bencher.bench(|| {
        let grant = policy.authorize_request(&permit, black_box(&asked), now).unwrap();
        policy.narrow(grant, |_grant| question.clone(), now).unwrap()
    });
}

/// The question itself: what a record is as JSON.
#[divan::bench]
fn question(bencher: Bencher<'_, '_>) {
    let (origin, now) = (Origin::new("hospital.example", "ehr", "bench.yaml"), clock::now());
    bencher.bench(|| audit::samples(black_box(&origin), now));
}
