//! `myelin check --nagios`: the state of a running sidecar as a plugin of Nagios, Icinga or Checkmk tells it.
//!
//! By the Monitoring Plugins Development Guidelines: one line, performance data behind a bar, and exit codes of their own.

use std::fmt::Write as _;
use std::time::Duration;

use http::{Method, StatusCode};
use time::OffsetDateTime;

use super::super::console::{self, harmless};
use super::super::control::{Certificate, Door, Facts, Failure, NoDoor, Which, ask, rough};
use super::super::{Exit, wait};
use crate::clock;
use crate::report::Report;

/// An export that is so far behind deserves a look.
const LAG: Duration = Duration::from_secs(5 * 60);
/// Longest first line: NRPE cuts at 1,024 bytes, and performance data needs some of them.
const LONGEST: usize = 512;

/// What is said of one thing, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Ok,
    Warning,
    Unknown,
    Critical,
}

/// How near an end may come.
///
/// Both are for what somebody has to renew. What renews itself is judged by [`Thresholds::of_own`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Thresholds {
    pub(super) warning: Duration,
    pub(super) critical: Duration,
}

impl Thresholds {
    /// For our own certificate. One that is renewed in time always has left what its life leaves after that: only less
    /// tells that renewal fails, however long it lives.
    fn of_own(self, certificate: &Certificate) -> Self {
        let Some(due) = certificate.renew_at else { return self };
        let rest = Duration::try_from(certificate.not_after.0 - due.0).unwrap_or_default();
        Self { warning: self.warning.min(rest / 2), critical: self.critical.min(rest / 4) }
    }

    /// As a plugin tells them. It is alarming to be below: `N:` is the range from N on.
    fn range(self) -> String {
        format!("{}:;{}:;", self.warning.as_secs(), self.critical.as_secs())
    }
}

/// What there is to say.
#[derive(Debug, Default)]
struct Verdict {
    found: Vec<(State, String)>,
}

pub(super) fn run(which: &Which, thresholds: Thresholds) -> anyhow::Result<Exit> {
    if thresholds.critical > thresholds.warning {
        return Ok(unknown("--critical is longer than --warning: it would never be reached first"));
    }
    let door = match which.door() {
        Ok(door) => door,
        Err(NoDoor::None(why)) => return Ok(unknown(&why)),
        Err(NoDoor::Problems(problems)) => {
            let why = problems.one_line();
            return Ok(unknown(&format!("the configuration does not tell where to ask: {why}")));
        }
    };
    match wait(facts(&door, which))? {
        Ok((facts, ready)) => {
            let now = clock::now();
            let verdict = judge(&facts, &ready, thresholds, now);
            Ok(tell(&verdict, &performance(&facts, thresholds, now)))
        }
        // It says nothing of the sidecar who we are.
        Err(failure @ Failure::Forbidden { .. }) => Ok(unknown(&Report(&failure).to_string())),
        Err(failure @ (Failure::Nobody { .. } | Failure::Lost { .. })) => {
            let found = vec![(State::Critical, Report(&failure).to_string())];
            Ok(tell(&Verdict { found }, ""))
        }
    }
}

/// One line for what cannot be told.
pub(in crate::cli) fn unknown(why: &str) -> Exit {
    tell(&Verdict { found: vec![(State::Unknown, why.to_owned())] }, "")
}

/// What it says at `door`, or else, if that is not for us, where everybody may ask.
async fn facts(door: &Door, which: &Which) -> Result<(Facts, String), Failure> {
    match facts_at(door).await {
        Err(forbidden @ Failure::Forbidden { .. }) => match which.listener() {
            Some(listener) => facts_at(&listener).await,
            None => Err(forbidden),
        },
        told => told,
    }
}

async fn facts_at(door: &Door) -> Result<(Facts, String), Failure> {
    let status = ask(door, Method::GET, "/status", "").await?;
    let facts = status.read(door)?;
    let ready = ask(door, Method::GET, "/ready", "").await?;
    Ok((facts, if ready.status == StatusCode::OK { String::new() } else { ready.body }))
}

/// What is wrong, as far as the sidecar's own facts tell.
fn judge(facts: &Facts, not_ready: &str, thresholds: Thresholds, now: OffsetDateTime) -> Verdict {
    let mut verdict = Verdict::default();
    if let Some(why) = not_ready.lines().next() {
        verdict.add(State::Critical, why.to_owned());
    }
    identity(facts, thresholds, now, &mut verdict);
    trail(facts, &mut verdict);
    listeners(facts, thresholds, now, &mut verdict);
    if facts.fails_open.iter().any(|key| key == "audit.on_failure") {
        verdict.add(State::Warning, "fails open: audit.on_failure".to_owned());
    }
    if let Some(why) = &facts.last_failure {
        let why = why.lines().next().unwrap_or_default();
        verdict.add(State::Warning, format!("the last reload or rotation was refused: {why}"));
    }
    verdict
}

fn identity(facts: &Facts, thresholds: Thresholds, now: OffsetDateTime, verdict: &mut Verdict) {
    let own = thresholds.of_own(&facts.certificate);
    verdict.ends("own certificate", facts.certificate.not_after.0, own, now);
    for anchor in &facts.trust_bundle {
        verdict.ends(&format!("authority {}", anchor.subject), anchor.not_after.0, thresholds, now);
    }
    // A list may come at its last moment, so it is the past alone that is told.
    if facts.crl_next_update.is_some_and(|due| due.0 < now) {
        let text = "a revocation list is out of date: its next update was due and has not come";
        verdict.add(State::Critical, text.to_owned());
    }
    if let Some(rejected) = &facts.certificate.rejected {
        let why = rejected.problems.first().map(String::as_str).unwrap_or_default();
        verdict.add(State::Warning, format!("new key material is refused: {why}"));
    }
}

fn trail(facts: &Facts, verdict: &mut Verdict) {
    let trail = &facts.audit;
    if let Some(why) = &trail.failing {
        verdict.add(State::Critical, format!("audit trail: {why}"));
    }
    for export in &trail.export {
        match &export.failing {
            Some(failing) => {
                verdict.add(State::Warning, format!("export {}: {}", export.name, failing.why))
            }
            None if export.lag_seconds > LAG.as_secs_f64() => {
                let text =
                    format!("export {} is {} records behind", export.name, export.lag_records);
                verdict.add(State::Warning, text);
            }
            None => {}
        }
    }
}

fn listeners(facts: &Facts, thresholds: Thresholds, now: OffsetDateTime, verdict: &mut Verdict) {
    for listener in &facts.listeners {
        let name = &listener.name;
        for (lenient, what) in [
            (&listener.plaintext, "takes plaintext"),
            (&listener.would_deny, "only observes its policy"),
        ] {
            let Some(until) = lenient.as_ref().and_then(|lenient| lenient.until) else { continue };
            let left = until.0 - now;
            if left <= time::Duration::ZERO {
                verdict.add(
                    State::Warning,
                    format!("{name}: the date is over until which it {what}: take the key out"),
                );
            } else if left <= thresholds.warning {
                verdict.add(
                    State::Warning,
                    format!("{name} {what} for {} more", rough(left.unsigned_abs())),
                );
            }
        }
        let upstreams = listener.upstreams.as_deref().unwrap_or_default();
        let down = upstreams.iter().filter(|upstream| !upstream.healthy).count();
        if down > 0 && down == upstreams.len() {
            verdict.add(State::Critical, format!("{name}: no upstream is in use"));
        } else if down > 0 {
            verdict.add(
                State::Warning,
                format!("{name}: {down} of {} upstreams are set aside", upstreams.len()),
            );
        }
    }
}

impl Verdict {
    fn add(&mut self, state: State, text: String) {
        self.found.push((state, text));
    }

    fn ends(
        &mut self,
        what: &str,
        end: OffsetDateTime,
        thresholds: Thresholds,
        now: OffsetDateTime,
    ) {
        let left = end - now;
        let state = match left {
            left if left < thresholds.critical => State::Critical,
            left if left < thresholds.warning => State::Warning,
            _ => return,
        };
        let text = match left {
            left if left.is_negative() => format!("{what} has expired"),
            left => format!("{what} expires in {}", rough(left.unsigned_abs())),
        };
        self.add(state, text);
    }

    fn state(&self) -> State {
        self.found.iter().map(|(state, _)| *state).max().unwrap_or(State::Ok)
    }
}

/// `'label'=value[UOM];[warn];[crit];[min];[max]`, one after the other.
fn performance(facts: &Facts, thresholds: Thresholds, now: OffsetDateTime) -> String {
    let mut data = String::new();
    let mut add = |label: &str, value: String, ranges: &str| {
        let space = if data.is_empty() { "" } else { " " };
        let _infallible = write!(data, "{space}'{label}'={value};{ranges}");
    };
    let left = |end: OffsetDateTime| format!("{}s", (end - now).whole_seconds());
    let own = thresholds.of_own(&facts.certificate).range();
    add("certificate_left", left(facts.certificate.not_after.0), &own);
    if let Some(first) = facts.trust_bundle.iter().map(|anchor| anchor.not_after.0).min() {
        add("trust_bundle_left", left(first), &thresholds.range());
    }
    add("trail_records", format!("{}c", facts.audit.sequence), ";;0");
    add("trail_lost", format!("{}c", facts.audit.lost), ";;0");
    for export in &facts.audit.export {
        let label = format!("export_{}_lag", export.name);
        add(&label, format!("{:.0}s", export.lag_seconds), &format!("{};;0", LAG.as_secs()));
    }
    let upstreams: Vec<_> = facts
        .listeners
        .iter()
        .filter_map(|listener| listener.upstreams.as_ref())
        .flatten()
        .collect();
    if !upstreams.is_empty() {
        let healthy = upstreams.iter().filter(|upstream| upstream.healthy).count();
        add("upstreams_healthy", healthy.to_string(), &format!(";;0;{}", upstreams.len()));
    }
    data
}

fn tell(verdict: &Verdict, performance: &str) -> Exit {
    let (state, code) = match verdict.state() {
        State::Ok => ("OK", 0),
        State::Warning => ("WARNING", 1),
        State::Critical => ("CRITICAL", 2),
        State::Unknown => ("UNKNOWN", 3),
    };
    let mut found: Vec<_> = verdict.found.iter().collect();
    found.sort_by_key(|(state, _)| std::cmp::Reverse(*state));
    let texts: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
    let text = if texts.is_empty() { "ready".to_owned() } else { texts.join("; ") };
    // A bar begins performance data.
    let mut text = harmless(&text, "").replace('|', "/");
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    let bar = if performance.is_empty() { "" } else { " | " };
    console::line(&format!("MYELIN {state} - {text}{bar}{performance}"));
    Exit::Plugin(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::control::Moment;

    const HOUR: Duration = Duration::from_secs(3600);

    fn own(renewed_after: Option<time::Duration>, lives: time::Duration) -> Certificate {
        let issued = OffsetDateTime::UNIX_EPOCH;
        Certificate {
            spiffe: None,
            alternative_names: Vec::new(),
            not_after: Moment(issued + lives),
            source: "embedded".to_owned(),
            renew_at: renewed_after.map(|after| Moment(issued + after)),
            rejected: None,
        }
    }

    #[test]
    fn a_certificate_that_renews_itself_alarms_only_when_that_comes_to_nothing() {
        let asked = Thresholds { warning: 168 * HOUR, critical: 48 * HOUR };
        let of = |certificate: &Certificate| {
            let Thresholds { warning, critical } = asked.of_own(certificate);
            (warning, critical)
        };

        let day = own(Some(time::Duration::hours(16)), time::Duration::hours(24));
        assert_eq!(of(&day), (4 * HOUR, 2 * HOUR));
        let year = own(Some(time::Duration::days(243)), time::Duration::days(365));
        assert_eq!(of(&year), (168 * HOUR, 48 * HOUR), "never earlier than was asked for");
        let files = own(None, time::Duration::hours(24));
        assert_eq!(of(&files), (168 * HOUR, 48 * HOUR), "somebody else renews it");
    }
}
