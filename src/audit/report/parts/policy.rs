//! Which policy was in force, and when it changed.

use crate::audit::forms::Value;
use crate::audit::read::{Recorded, RecordedChange};
use crate::audit::report::part::{Citation, Part, cite};
use crate::audit::report::seen::Seen;
use crate::audit::report::table::{Column, Kind, Table, below, column, text};
use crate::audit::report::told::{Events, Span, Told, kept, kept_at_length};
use crate::report::Count;

const SUPPORTS: &[Citation] = &[
    cite(
        "45 CFR 164.308(a)(4)(ii)(C)",
        "access establishment and modification: when the rules of access changed",
    ),
    cite(
        "45 CFR 164.316(b)(1)(ii), (b)(2)(i)",
        "documentation: which version of the policy decided, to be kept with the version itself",
    ),
];
const CHANGES: &[Column] = &[
    column("time", "Time", Kind::Moment),
    column("service", "Service", Kind::Label),
    column("action", "What", Kind::Label),
    column("message", "In words", Kind::Text),
    below("reason", "reason", Kind::Label),
    column("changed", "What is new in it", Kind::Text),
];
const VERSIONS: &[Column] = &[
    column("version", "Version of the policy", Kind::Id),
    column("service", "Service", Kind::Label),
    column("decisions", "Decisions", Kind::Number),
    column("first", "First", Kind::Moment),
    below("last", "last", Kind::Moment),
];

/// Changes, and the versions that decided.
#[derive(Debug, Default)]
pub(in crate::audit::report) struct Policy {
    changes: Events,
    rejected: u64,
    versions: Told<2, (u64, Span)>,
}

impl Policy {
    pub(in crate::audit::report) fn take(&mut self, seen: &Seen<'_>) {
        let action = seen.record.event.action.as_str();
        if action.starts_with("config-") || action.starts_with("break-glass-") {
            self.rejected += u64::from(action == "config-rejected");
            self.changes.take(|| {
                let mut row = super::certificates::event(seen);
                row.extend([
                    text(&kept(seen.reason())),
                    text(&kept_at_length(&changed(seen.record))),
                ]);
                row
            });
        }
        if let Some(rule) = &seen.record.rule
            && seen.allowed() + seen.denied() > 0
        {
            let (decisions, span) = self.versions.at([&rule.version, seen.service()]);
            *decisions = decisions.saturating_add(seen.record.count());
            span.seen(seen.record.at);
        }
    }

    pub(in crate::audit::report) fn part(&self) -> Part {
        let versions = self.versions.rows(
            |_, (_, span)| span.first,
            |(decisions, span)| {
                let [first, last] = span.cells();
                vec![Value::Number(*decisions), first, last]
            },
        );
        let changes = Table {
            name: "changes",
            title: "Changes",
            columns: CHANGES,
            rows: self.changes.rows.clone(),
        };
        let versions = Table {
            name: "versions",
            title: "Versions that decided",
            columns: VERSIONS,
            rows: versions,
        };
        let mut says = vec![match self.changes.count() {
            0 => "No change of configuration is on record in this period.".into(),
            loaded => format!("{}, {} of them refused.", Count(loaded, "change"), self.rejected),
        }];
        says.extend(self.changes.left_out("change"));
        says.push(
            "A version is the SHA-256 of the configuration file (with `policy`, of its digest and those of the files of policy). Who wrote a version, and in which commit, is in the \
             version control that it came from: compare the digests."
                .into(),
        );
        Part {
            id: "policy",
            title: "Policy changes",
            supports: SUPPORTS,
            says,
            tables: vec![changes, versions],
        }
    }
}

/// Which keys are different: `KEY: OLD → NEW`, as far as values may be shown.
fn changed(record: &Recorded) -> String {
    let Some(configuration) = &record.myelin.configuration else { return String::new() };
    let one = |change: &RecordedChange| match (&change.old, &change.new) {
        (None, None) => change.key.clone(),
        (old, new) => {
            let shown =
                |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing shown".into());
            format!("{}: {} → {}", change.key, shown(old), shown(new))
        }
    };
    let hold = configuration.legal_hold.as_ref().map(|hold| format!("legal hold: {hold}"));
    let more = configuration.changed_more.map(|more| format!("{} more", Count(more, "key")));
    let told: Vec<_> = configuration.changed.iter().map(one).chain(more).chain(hold).collect();
    told.join("; ")
}
