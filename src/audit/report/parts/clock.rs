//! Whether the times on record can be relied on.

use time::{Duration, OffsetDateTime};

use crate::audit::report::part::{Citation, Part, cite};
use crate::audit::report::seen::Seen;
use crate::audit::report::table::{Column, Kind, Table, column, moment};
use crate::audit::report::told::Events;
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
    states: Events,
    steps: Events,
    last: Option<OffsetDateTime>,
}

impl Clock {
    pub(in crate::audit::report) fn take(&mut self, seen: &Seen<'_>) {
        let record = seen.record;
        if record.event.action.starts_with("clock") {
            self.states.take(|| super::certificates::event(seen));
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
        let states = match self.states.rows.len() as u64 + self.states.more {
            0 => "The trail has no record of the clock's state (NTP) in this period; that the clock was right is to be shown from elsewhere.".into(),
            states => format!("{} of the clock's state.", Count(states, "record")),
        };
        let steps = match self.steps.rows.len() as u64 + self.steps.more {
            0 => "No record is more than a second earlier than the one before it: the clock was not seen to be set back.".into(),
            steps => format!("The time went back by more than a second {}. The records' order is that of their numbers, which never go back.", Count(steps, "time")),
        };
        Part {
            id: "clock",
            title: "Clock",
            supports: SUPPORTS,
            says: vec![states, steps],
            tables: vec![
                Table {
                    name: "states",
                    title: "State of the clock",
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
