//! What a request pays for traces: nothing where there are none, little where it is not sampled.
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::sync::Arc;

use divan::{AllocProfiler, Bencher, black_box};
use http::{HeaderMap, HeaderValue};
use myelin::config::{Sample, Share};
use myelin::telemetry::metrics::Metrics;
use myelin::traces::{Caller, Tracer};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Headers as a client sends them, in a trace.
fn headers() -> HeaderMap {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let sent =
        [("host", "ehr"), ("accept", "*/*"), ("user-agent", "curl"), ("traceparent", parent)];
    sent.into_iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect()
}

/// The question that `exchange` asks for each request.
fn ask(bencher: Bencher<'_, '_>, sample: Option<Sample>) {
    let metrics = Metrics::new().unwrap();
    let made = sample.map(|sample| Tracer::new(sample, metrics.traces()));
    let tracer = black_box(made.as_ref().map(|(tracer, _spans)| Arc::clone(tracer)));
    let mut headers = headers();
    bencher.bench_local(|| {
        let asked = black_box(&tracer).as_ref();
        let span = asked.and_then(|tracer| tracer.request(black_box(&mut headers), Caller::Known));
        drop(black_box(span)); // its end is part of what it costs
    });
}

fn share(share: f64) -> Option<Sample> {
    Share::new(share).map(Sample::Share)
}

/// What all requests pay who are not traced: to be held against the look at one header below.
#[divan::bench]
fn off(bencher: Bencher<'_, '_>) {
    ask(bencher, None);
}

/// The least that a proxy does with a request, for comparison.
#[divan::bench]
fn a_look_at_one_header(bencher: Bencher<'_, '_>) {
    let headers = headers();
    bencher.bench_local(|| black_box(&headers).contains_key("upgrade"));
}

#[divan::bench]
fn not_sampled(bencher: Bencher<'_, '_>) {
    ask(bencher, share(0.0));
}

/// With its span, which finds the queue full.
#[divan::bench]
fn sampled(bencher: Bencher<'_, '_>) {
    ask(bencher, share(1.0));
}
