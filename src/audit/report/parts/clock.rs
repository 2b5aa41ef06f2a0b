//! Whether the times on record can be relied on.

use time::{Duration, OffsetDateTime};

use crate::audit::forms::Value;
use crate::audit::report::part::{Citation, Part, cite};
use crate::audit::report::seen::Seen;
use crate::audit::report::table::{Column, Kind, Table, column, moment};
use crate::audit::report::told::{Events, Span, Told};
use crate::report::Count;

const SUPPORTS: &[Citation] = &[cite(
    "45 CFR 164.312(b)",
    "audit controls: what time the records' times go by. HIPAA itself asks for no clock; 45 CFR 170.210(g) and IHE Consistent Time do",
)];
const STATES: &[Column] = &[
    column("time", "Time", Kind::Moment),
    column("service", "Service", Kind::Label),
    column("action", "What", Kind::Label),
    column("message", "In words", Kind::Text),
];
const KEPT: &[Column] = &[
    column("synchronised", "Synchronised (NTP, PTP)", Kind::Label),
    column("service", "Service", Kind::Label),
    column("records", "Times on record", Kind::Number),
    column("max_error_ms", "Off by at most, ms", Kind::Number),
    column("first", "First", Kind::Moment),
    column("last", "Last", Kind::Moment),
];
const STEPS: &[Column] = &[
    column("before", "Record before", Kind::Moment),
    column("after", "Record after", Kind::Moment),
    column("sequence", "Its number", Kind::Number),
    column("milliseconds", "Back by, ms", Kind::Number),
];
/// Records of different connections overtake each other by less.
const OVERTAKING: Duration = Duration::seconds(1);

/// What is known of the clock.
#[derive(Debug, Default)]
pub(in crate::audit::report) struct Clock {
    kept: Told<2, Tally>,
    states: Events,
    steps: Events,
    last: Option<OffsetDateTime>,
}

#[derive(Debug, Default)]
struct Tally {
    records: u64,
    /// Told only while somebody keeps the clock right.
    max_error_ms: Option<f64>,
    span: Span,
}

impl Clock {
    pub(in crate::audit::report) fn take(&mut self, seen: &Seen<'_>) {
        let record = seen.record;
        if record.event.action.starts_with("clock") {
            self.states.take(|| super::certificates::event(seen));
        }
        if let Some(clock) = &record.myelin.clock {
            let tally = self.kept.at([&clock.synchronised, seen.service()]);
            tally.records += 1;
            tally.max_error_ms =
                [tally.max_error_ms, clock.max_error_ms].into_iter().flatten().reduce(f64::max);
            tally.span.seen(record.at);
        }
        if let Some(last) = self.last.replace(record.at)
            && last - record.at > OVERTAKING
        {
            let back = u64::try_from((last - record.at).whole_milliseconds()).unwrap_or(u64::MAX);
            self.steps.take(|| {
                vec![
                    moment(Some(last)),
                    moment(Some(record.at)),
                    Some(record.event.sequence).into(),
                    Some(back).into(),
                ]
            });
        }
    }

    pub(in crate::audit::report) fn part(&self) -> Part {
        let kept = self.kept.rows(
            |_, tally| u64::MAX - tally.records,
            |tally| {
                let [first, last] = tally.span.cells();
                let error = tally.max_error_ms.map(|error| format!("{error:.1}"));
                vec![Value::Number(tally.records), error.into(), first, last]
            },
        );
        let kept =
            Table { name: "kept", title: "How the clock was kept", columns: KEPT, rows: kept };
        let states = match kept.sum("records") {
            0 => "The trail does not say in this period how the clock was kept (NTP, PTP); that it was right is to be shown from elsewhere.".into(),
            all => format!("How the clock was kept was on record {}, as the kernel of the machine knows it. It does not say whose time its source had.", Count(all, "time")),
        };
        let steps = match self.steps.count() {
            0 => "No record is more than a second earlier than the one before it: the clock was not seen to be set back.".into(),
            steps => format!("The time went back by more than a second {}. The records' order is that of their numbers, which never go back.", Count(steps, "time")),
        };
        let mut says = vec![states, steps];
        says.extend(self.states.left_out("change"));
        says.extend(self.steps.left_out("step"));
        Part {
            id: "clock",
            title: "Clock",
            supports: SUPPORTS,
            says,
            tables: vec![
                kept,
                Table {
                    name: "states",
                    title: "Changes and steps",
                    columns: STATES,
                    rows: self.states.rows.clone(),
                },
                Table {
                    name: "steps",
                    title: "Steps back",
                    columns: STEPS,
                    rows: self.steps.rows.clone(),
                },
            ],
        }
    }
}
