//! Spans go out: in batches, by OTLP, and never in anybody's way.
//!
//! Unlike records of the trail, they may be lost: what finds no room in the queue, and what its receiver does not take
//! after some attempts, is counted and gone. Nothing is kept on disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::backoff::Backoff;
use super::dial::{self, Dialer};
use super::failure::Failure;
use super::http::otlp::{self, Signal};
use super::http::{HttpClient, Otlp, Verdict};
use super::sink::origin;
use crate::certs::Material;
use crate::config::{Config, TlsSettings, TraceSettings};
use crate::live::Live;
use crate::outcome::Undelivered;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::{Metrics, TraceMetrics};
use crate::traces::{Span, Spans, Tracer};

/// Most spans of one request.
const BATCH: usize = 512;
/// A span that is over waits for others, at most so long.
const PAUSE: Duration = Duration::from_secs(1);
/// A batch that is not taken is sent so often, and not again after `ENOUGH`: others wait behind it.
const ATTEMPTS: u32 = 5;
const ENOUGH: Duration = Duration::from_secs(60);
/// A receiver that asks for more time gets so much at most.
const LONGEST_ASKED: Duration = Duration::from_secs(30);
/// A tracer that a reload has replaced gets so long to send what there is.
const LEAVING: Duration = Duration::from_secs(5);

/// What is traced, and where it goes.
#[derive(Default)]
pub struct Traces {
    running: Option<Running>,
}

struct Running {
    given: Given,
    tracer: Arc<Tracer>,
    shutdown: Shutdown,
}

/// What it is made from.
#[derive(Clone, PartialEq)]
struct Given {
    settings: TraceSettings,
    tls: TlsSettings,
    service: Arc<str>,
}

/// A tracer for a configuration that has not taken effect yet.
pub struct Prepared {
    /// `None`: nothing is traced.
    pub tracer: Option<Arc<Tracer>>,
    /// What is still to be sent somewhere. `None`: as what runs already does.
    new: Option<(Given, Spans)>,
}

impl Traces {
    /// What `config` wants. Changes nothing; what runs already is taken if it is the same.
    pub fn prepare(&self, config: &Config, metrics: &Metrics) -> Prepared {
        let Some(settings) = config.traces.clone() else {
            return Prepared { tracer: None, new: None };
        };
        let given =
            Given { settings, tls: config.tls.clone(), service: Arc::clone(&config.service) };
        if let Some(same) = self.running.as_ref().filter(|running| running.given == given) {
            return Prepared { tracer: Some(Arc::clone(&same.tracer)), new: None };
        }
        let (tracer, spans) = Tracer::new(given.settings.sample, metrics.traces());
        Prepared { tracer: Some(tracer), new: Some((given, spans)) }
    }

    /// Sends from now on what the prepared tracer takes, and what the one before it has still taken.
    pub fn put_in_place(
        &mut self,
        prepared: Prepared,
        (material, metrics): (&Live<Material>, &Metrics),
    ) {
        let Prepared { tracer, new } = prepared;
        if let (Some(_), None) = (&tracer, &new) {
            return;
        }
        if let Some(old) = self.running.take() {
            old.leave();
        }
        let (Some(tracer), Some((given, spans))) = (tracer, new) else { return };
        let shutdown = Shutdown::default();
        let sender = Sender {
            client: client(&given, material.clone()),
            otlp: Otlp::new(
                (given.settings.endpoint.clone(), given.settings.protocol),
                Signal::Traces,
                &given.service,
            ),
            metrics: metrics.traces(),
            shutdown: shutdown.clone(),
            is_failing: false,
            in_hand: 0,
        };
        shutdown.spawn(sender.run(spans));
        self.running = Some(Running { given, tracer, shutdown });
    }

    /// What is traced now.
    pub fn tracer(&self) -> Option<Arc<Tracer>> {
        self.running.as_ref().map(|running| Arc::clone(&running.tracer))
    }

    /// Sends what there is, for at most `grace`.
    pub async fn drain(&self, grace: Duration) {
        if let Some(running) = &self.running {
            let left = running.shutdown.run(grace).await;
            tracing::debug!(?left, "the spans have been sent");
        }
    }
}

impl Running {
    /// Ends, by and by.
    fn leave(self) {
        let Self { shutdown, .. } = self;
        let own = shutdown.clone();
        shutdown.drain();
        shutdown.spawn(async move {
            sleep(LEAVING).await;
            own.cut();
        });
    }
}

/// The way to the receiver.
fn client(given: &Given, material: Live<Material>) -> HttpClient {
    let Given { settings, tls, .. } = given;
    let (endpoint, plaintext) = origin(&settings.endpoint);
    let (trust_bundle, tls) = (settings.trust_bundle.clone(), tls.clone());
    let dialer = Dialer { endpoint, plaintext, trust_bundle, tls, material };
    otlp::client(dialer, settings.protocol, settings.headers_file.clone())
}

/// Sends the spans of one tracer.
struct Sender {
    client: HttpClient,
    otlp: Otlp,
    metrics: TraceMetrics,
    shutdown: Shutdown,
    /// The last batch was not taken: said once, until one is.
    is_failing: bool,
    /// Spans of the batch that is being sent.
    in_hand: u64,
}

impl Sender {
    /// Until a drain has begun and everything is sent, or dropped.
    async fn run(mut self, mut spans: Spans) {
        let shutdown = self.shutdown.clone();
        shutdown.until_cut(Box::pin(self.live(&mut spans))).await;
        spans.close();
        let mut left = self.in_hand;
        while spans.try_recv().is_ok() {
            left += 1;
        }
        self.metrics.dropped(left);
    }

    async fn live(&mut self, spans: &mut Spans) {
        let mut batch = Vec::new();
        while next(&self.shutdown, spans, &mut batch).await {
            self.in_hand = batch.len() as u64;
            self.deliver(&batch).await;
            self.in_hand = 0;
            batch.clear();
        }
    }

    /// Sends a batch, some times if it has to be. In a drain once.
    async fn deliver(&mut self, batch: &[Span]) {
        let (request, count) = (self.otlp.spans(batch), batch.len() as u64);
        let mut backoff = Backoff::default();
        let until = Instant::now() + ENOUGH;
        for attempt in 1..=ATTEMPTS {
            let answer = self.client.ask(&request).await;
            let failure = match answer.and_then(|answer| self.otlp.judge(&answer)) {
                Ok(verdict) => return self.taken(count, verdict),
                Err(failure) => failure,
            };
            self.client.hang_up();
            self.failed(&failure);
            let is_enough = attempt == ATTEMPTS || Instant::now() >= until;
            if is_enough || self.shutdown.is_draining() {
                break;
            }
            let pause = backoff.next();
            tokio::select! {
                () = sleep(failure.wait.map_or(pause, |asked| asked.clamp(pause, LONGEST_ASKED))) => {}
                () = self.shutdown.draining() => {}
            }
        }
        self.metrics.dropped(count);
    }

    /// The receiver has answered, and nothing of it is to be sent again.
    fn taken(&mut self, count: u64, verdict: Verdict) {
        let (rejected, why) = match verdict {
            Verdict::Taken | Verdict::Partly(_) => (0, String::new()),
            Verdict::LeftOut(rejected, why) => (rejected.min(count), why),
            Verdict::Refused(why) => (count, why),
        };
        self.metrics.delivered(count - rejected);
        self.metrics.dropped(rejected);
        if rejected == 0 {
            self.is_failing = false;
        } else {
            self.failed(&Failure::new(Undelivered::Rejected, why));
        }
    }

    fn failed(&mut self, failure: &Failure) {
        self.metrics.failed(failure.reason);
        if !self.is_failing {
            tracing::warn!(receiver = %self.otlp.endpoint, "spans are not taken: {}", failure.what);
        }
        self.is_failing = true;
    }
}

/// The spans that go next; `false`: a drain has begun, and there are none.
async fn next(shutdown: &Shutdown, spans: &mut Spans, batch: &mut Vec<Span>) -> bool {
    tokio::select! {
        biased;
        count = spans.recv_many(batch, BATCH) => if count == 0 { return false },
        () = shutdown.draining() => return false,
    }
    let deadline = Instant::now() + PAUSE;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        tokio::select! {
            more = timeout_at(deadline, spans.recv_many(batch, room)) => {
                if !more.is_ok_and(|count| count > 0) { break }
            }
            () = shutdown.draining() => {
                while batch.len() < BATCH && let Ok(span) = spans.try_recv() {
                    batch.push(span);
                }
                break;
            }
        }
    }
    true
}

/// Looks whether the files that `settings` name can be used.
///
/// # Errors
///
/// Says what is wrong with them, for the operator.
pub fn look(settings: &TraceSettings) -> Result<(), String> {
    if let Some(path) = &settings.trust_bundle {
        dial::own_authorities(path).map_err(|failure| failure.what)?;
    }
    if let Some(path) = &settings.headers_file {
        otlp::headers(path).map_err(|failure| failure.what)?;
    }
    Ok(())
}
