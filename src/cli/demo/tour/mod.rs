//! The tour: every step is taken as a stranger to the sidecars would, and judged from outside.
//!
//! For each: what the caller got, what reached the service, what the trail says, what the metrics count.

mod client;
mod steps;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::clinic::{Clinic, Seen, Service};
use super::evidence::{Reader, field, metric};
use super::sidecars::{Running, Sidecars};
use crate::audit::{self, Kept};
use crate::report::Report;
use client::{Answer, Call, Caller};
use steps::{Beside, Door, Step, Wanted};

/// Records and metrics may come a moment after the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// What no trail may contain, though all of it went through the sidecars.
const PATIENT: [&str; 5] = ["Mustermann", "Erika", "Newcomer", "/Patient/4711", "1964-08-12"];

/// What happened at one step.
#[derive(Debug, Serialize)]
pub(super) struct Happened {
    /// What the step shows.
    pub(super) title: &'static str,
    /// How.
    pub(super) how: &'static str,
    /// Whether all of it happened.
    pub(super) ok: bool,
    /// What was looked at.
    pub(super) checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    /// What should be so.
    pub(super) what: String,
    /// Whether it is.
    pub(super) ok: bool,
    /// What is instead, when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instead: Option<String>,
}

/// Walks through all steps.
pub(super) struct Tour<'a> {
    clinic: &'a Clinic,
    sidecars: &'a Sidecars,
    dir: &'a Path,
}

/// How things stood before a step.
struct Before {
    seen: Seen,
    count: f64,
}

impl<'a> Tour<'a> {
    /// A tour of a clinic that is running, with the PEM files in `dir`.
    pub(super) fn of(clinic: &'a Clinic, sidecars: &'a Sidecars, dir: &'a Path) -> Self {
        Self { clinic, sidecars, dir }
    }

    /// Takes every step, and tells of each as soon as it is over.
    pub(super) async fn walk(&self, mut tell: impl FnMut(&Happened)) -> Vec<Happened> {
        let mut all = Vec::new();
        for step in steps::all() {
            let happened = Happened::new(step.title, step.how, self.take(&step).await);
            tell(&happened);
            all.push(happened);
        }
        let title = "all of it is on record, and no patient is";
        let how = "the trails on disk, and the administrative pages";
        let last = Happened::new(title, how, self.look_back().await);
        tell(&last);
        all.push(last);
        all
    }

    async fn take(&self, step: &Step) -> Vec<Check> {
        let (service, running, way_out) = self.beside(step.beside);
        let address = match step.door {
            Door::Out => way_out,
            Door::Sidecar => running.first(),
        };
        let mut trail = Reader::of(&running.trail);
        if let Err(error) = trail.news() {
            return vec![Check::failed("the trail can be read", error.to_string())];
        }
        let before =
            Before { seen: service.journal.seen(), count: self.count(running, step).await };

        let answer = step.call.make(step.caller, address, self.dir).await;

        vec![
            answered(step.answer, &answer),
            reached(step, &before, &service.journal.seen()),
            recorded(step, &mut trail).await,
            self.counted(step, running, &before).await,
        ]
    }

    fn beside(&self, beside: Beside) -> (&Service, &Running, SocketAddr) {
        let [fhir, pdq, lab] = self.sidecars.ways_out();
        match beside {
            Beside::Fhir => (&self.clinic.fhir, &self.sidecars.fhir, fhir),
            Beside::Pdq => (&self.clinic.pdq, &self.sidecars.pdq, pdq),
            Beside::Lab => (&self.clinic.lab, &self.sidecars.lab, lab),
        }
    }

    async fn count(&self, running: &Running, step: &Step) -> f64 {
        let (name, labels) = step.metric;
        metric(&self.page(running, "/metrics").await.1, name, labels)
    }

    async fn counted(&self, step: &Step, running: &Running, before: &Before) -> Check {
        let (name, labels) = step.metric;
        let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let what = format!("{name} counts one more: {}", labels.join(" "));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let more = self.count(running, step).await - before.count;
            if (more - 1.0).abs() < f64::EPSILON {
                return Check::fine(what);
            }
            if more > 1.0 || Instant::now() > deadline {
                return Check::failed(what, format!("{more} more"));
            }
            sleep(LOOK).await;
        }
    }

    /// An administrative page: status and body. A page that cannot be had has the status 0.
    async fn page(&self, running: &Running, path: &'static str) -> (u16, String) {
        match Call::get(path).make(Caller::Plain, running.admin, self.dir).await {
            Answer::Http { status, body } => (status, body),
            Answer::Mllp(body) | Answer::Nothing(body) => (0, body),
        }
    }

    /// What the trails and the pages say about all steps together.
    async fn look_back(&self) -> Vec<Check> {
        let mut checks = vec![self.same_connection().await, self.without_phi()];
        for running in self.sidecars.all() {
            let what = format!("the trail of {} is an unbroken chain", running.service);
            checks.push(match audit::verify(&running.trail, &Kept::default()) {
                Ok(verified) => Check::fine(format!("{what} of {} records", verified.records)),
                Err(broken) => Check::failed(what, Report(&broken).to_string()),
            });
        }
        checks.push(self.denials().await);
        for running in self.sidecars.all() {
            let (status, body) = self.page(running, "/ready").await;
            let what = format!("the sidecar of {} is ready", running.service);
            checks.push(Check::of(what, status == 200, || body));
        }
        checks
    }

    /// The two sides of a connection have recorded it under one id, without telling each other.
    async fn same_connection(&self) -> Check {
        let what = "fhir and billing have recorded their connection under the same id";
        let deadline = Instant::now() + PATIENCE;
        let wanted = [("event.action", "request-allowed"), ("myelin.peer", "billing")];
        let found = wait_for(&mut Reader::of(&self.sidecars.fhir.trail), &wanted, deadline).await;
        let id = match &found {
            Ok(record) => field(record, "myelin.connection").unwrap_or("none"),
            Err(why) => return Check::failed(what, why.clone()),
        };
        let wanted = [("event.action", "connection-allowed"), ("myelin.connection", id)];
        match wait_for(&mut Reader::of(&self.sidecars.billing.trail), &wanted, deadline).await {
            Ok(_record) => Check::fine(what),
            Err(why) => Check::failed(what, why),
        }
    }

    fn without_phi(&self) -> Check {
        let what = "no trail has a patient's name, number or birthday in it";
        for running in self.sidecars.all() {
            match Reader::of(&running.trail).news() {
                Ok(lines) => {
                    let told = PATIENT.iter().find(|told| lines.iter().any(|l| l.contains(**told)));
                    if let Some(told) = told {
                        return Check::failed(
                            what,
                            format!("{told}, in that of {}", running.service),
                        );
                    }
                }
                Err(error) => return Check::failed(what, error.to_string()),
            }
        }
        Check::fine(what)
    }

    /// Five were turned away by the sidecar of fhir.
    async fn denials(&self) -> Check {
        let (_, body) = self.page(&self.sidecars.fhir, "/denials").await;
        let denials = serde_json::from_str::<Vec<Value>>(&body).map_or(0, |denials| denials.len());
        let what = "/denials of fhir shows the five that were turned away";
        Check::of(what, denials == 5, || format!("it shows {denials}"))
    }
}

fn answered(wanted: Wanted, answer: &Answer) -> Check {
    match (wanted, answer) {
        (Wanted::Status(status, within), Answer::Http { status: got, body }) => {
            let ok = *got == status && body.contains(within);
            let what = format!("the caller gets {status}, and `{within}` in the body");
            Check::of(what, ok, || format!("{got}: {}", body.trim()))
        }
        (Wanted::Message(within), Answer::Mllp(message)) => {
            let what = format!("the caller gets an acknowledgement: {within}");
            Check::of(what, message.contains(within), || format!("{message:?}"))
        }
        (Wanted::Nothing, Answer::Nothing(why)) => {
            Check::fine(format!("the caller gets nothing: {why}"))
        }
        (Wanted::Nothing, other) => Check::failed("the caller gets nothing", format!("{other:?}")),
        (_, other) => Check::failed("the caller gets an answer", format!("{other:?}")),
    }
}

fn reached(step: &Step, before: &Before, now: &Seen) -> Check {
    let more = now.count.saturating_sub(before.seen.count);
    let Some((wanted, on_behalf)) = step.reaches else {
        let what = "nothing reaches the service";
        return Check::of(what, more == 0, || format!("it got {}", now.what));
    };
    let ok = more == 1 && now.what == wanted && now.vouched.as_deref() == on_behalf;
    let what = match on_behalf {
        Some(peer) => {
            format!("the service gets {wanted}, once and in plaintext, vouched for as {peer}")
        }
        None => format!("the service gets {wanted}, once and in plaintext"),
    };
    Check::of(what, ok, || format!("it got {more} more, the last of them {now:?}"))
}

async fn recorded(step: &Step, trail: &mut Reader) -> Check {
    let values: Vec<_> = step.record.iter().map(|(_, value)| *value).collect();
    let what = format!("the trail says: {}", values.join(", "));
    match wait_for(trail, step.record, Instant::now() + PATIENCE).await {
        Ok(_record) => Check::fine(what),
        Err(why) => Check::failed(what, why),
    }
}

/// The first record with these fields among those that are new to `trail`.
async fn wait_for(
    trail: &mut Reader,
    wanted: &[(&str, &str)],
    deadline: Instant,
) -> Result<Value, String> {
    let mut actions = Vec::new();
    loop {
        for line in trail.news().map_err(|error| error.to_string())? {
            let record: Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
            if wanted.iter().all(|(path, value)| field(&record, path) == Some(*value)) {
                return Ok(record);
            }
            actions.push(field(&record, "event.action").unwrap_or("?").to_owned());
        }
        if Instant::now() > deadline {
            return Err(format!("it says {}", actions.join(", ")));
        }
        sleep(LOOK).await;
    }
}

impl Happened {
    fn new(title: &'static str, how: &'static str, checks: Vec<Check>) -> Self {
        Self { title, how, ok: checks.iter().all(|check| check.ok), checks }
    }
}

impl Check {
    fn of(what: impl Into<String>, ok: bool, instead: impl FnOnce() -> String) -> Self {
        Self { what: what.into(), ok, instead: (!ok).then(instead) }
    }

    fn fine(what: impl Into<String>) -> Self {
        Self { what: what.into(), ok: true, instead: None }
    }

    fn failed(what: impl Into<String>, instead: String) -> Self {
        Self { what: what.into(), ok: false, instead: Some(instead) }
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n  {}", self.title, self.how)?;
        for Check { what, ok, instead } in &self.checks {
            writeln!(f, "  {} {what}", if *ok { '✓' } else { '✗' })?;
            if let Some(instead) = instead {
                writeln!(f, "      instead: {instead}")?;
            }
        }
        Ok(())
    }
}
