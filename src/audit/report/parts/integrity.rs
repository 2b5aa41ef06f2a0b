//! Whether the trail is what was written, and where it has gaps.

use crate::audit::forms::Value;
use crate::audit::report::part::{Citation, Part, cite};
use crate::audit::report::seen::Seen;
use crate::audit::report::table::{Cell, Column, Kind, Table, column, text};
use crate::audit::report::told::{Events, kept_at_length};
use crate::audit::verify::Verified;
use crate::report::Count;

const SUPPORTS: &[Citation] = &[
    cite(
        "45 CFR 164.312(c)(1), (c)(2)",
        "integrity: a mechanism that corroborates that the records about ePHI were not altered; ePHI itself is not in them",
    ),
    cite("45 CFR 164.312(b)", "audit controls: that recording was on, and where it was not"),
    cite("45 CFR 164.316(b)(2)(i)", "retention: what is kept, from when on, and what was removed"),
];
const CHECKED: &[Column] =
    &[column("what", "What", Kind::Text), column("value", "Found", Kind::Id)];
const RECORDING: &[Column] = &[
    column("time", "Time", Kind::Moment),
    column("service", "Service", Kind::Label),
    column("action", "What", Kind::Label),
    column("message", "In words", Kind::Text),
    column("lost", "Records lost before it", Kind::Number),
    column("removed", "Files removed", Kind::Text),
];

/// How the trail stood the checks of `myelin audit verify`.
#[derive(Debug)]
pub struct Attestation {
    /// What fits, or the first thing that does not.
    pub verified: Result<Verified, String>,
    /// How many checkpoints and keys that were kept elsewhere it was held against.
    pub held_against: usize,
}

/// Beginnings, ends and losses.
#[derive(Debug, Default)]
pub(in crate::audit::report) struct Recording {
    events: Events,
    lost: u64,
    starts: u64,
    stops: u64,
    cuts: u64,
}

impl Recording {
    pub(in crate::audit::report) fn take(&mut self, seen: &Seen<'_>) {
        let (record, action) = (seen.record, seen.record.event.action.as_str());
        let own = &record.myelin;
        self.lost = self.lost.saturating_add(own.lost.unwrap_or(0));
        self.starts += u64::from(action == "recording-started");
        self.stops += u64::from(action == "recording-stopped");
        self.cuts += u64::from(action == "trail-truncated");
        let is_own =
            ["recording-", "trail-", "segments-"].iter().any(|own| action.starts_with(own));
        if is_own || own.lost.is_some() || !own.removed.is_empty() {
            let removed: Vec<_> = own.removed.iter().map(|removed| removed.file.as_str()).collect();
            self.events.take(|| {
                let mut row = super::certificates::event(seen);
                row.extend([own.lost.into(), text(&kept_at_length(&removed.join(" ")))]);
                row
            });
        }
    }

    pub(in crate::audit::report) fn part(&self, attestation: &Attestation) -> Part {
        let checked = Table {
            name: "checked",
            title: "What was checked",
            columns: CHECKED,
            rows: checked(attestation),
        };
        let recording = Table {
            name: "recording",
            title: "Recording in this period",
            columns: RECORDING,
            rows: self.events.rows.clone(),
        };
        let mut says = attested(attestation);
        let Self { starts, stops, cuts, lost, .. } = *self;
        says.push(format!(
            "In this period: {} (at a start, by size, or after a failure), {} of recording, {} cut off after a crash, and {} that could not be written.",
            Count(starts, "new file"),
            Count(stops, "orderly end"),
            Count(cuts, "unfinished line"),
            Count(lost, "record"),
        ));
        says.extend(self.events.left_out("event"));
        Part {
            id: "integrity",
            title: "Integrity of the trail",
            supports: SUPPORTS,
            says,
            tables: vec![checked, recording],
        }
    }
}

fn attested(Attestation { verified, held_against }: &Attestation) -> Vec<String> {
    let verified = match verified {
        Ok(verified) => verified,
        Err(broken) => {
            return vec![
                format!("The trail does NOT stand its checks. The first thing that does not fit: {broken}."),
                "What this report counts was read from it all the same, as far as its lines are records, and proves nothing until that is explained.".into(),
            ];
        }
    };
    let outside = match (held_against, verified.seals.vouched) {
        (0, _) => "It was held against nothing that was kept elsewhere: whoever could write here, with the key that is here, could have written all of it anew. A checkpoint or \
                   key that was kept elsewhere (--checkpoint, --key) closes that gap."
            .into(),
        (given, fit) => format!(
            "It was held against {given} checkpoints and keys that were kept elsewhere, and {fit} of them vouch for it: what they cover is what was there when they were taken."
        ),
    };
    let sealed = match verified.seals.checkpoints {
        0 => "No checkpoint seals it.".into(),
        _ => format!(
            "Every checkpoint fits its signature and the records that it covers. They seal the trail up to record {}; behind that the chain alone holds.",
            verified.seals.up_to
        ),
    };
    vec![
        "The whole trail was read, not this period alone. Every line names the SHA-256 of the line before it, and every number follows the one before. So no record was changed, taken out, added or moved without the chain being written anew from there on."
            .into(),
        sealed,
        outside,
        "It proves nothing about accesses that never passed the sidecar.".into(),
    ]
}

fn checked(Attestation { verified, held_against }: &Attestation) -> Vec<Vec<Cell>> {
    let row = |what: &str, value: Cell| vec![text(what), value];
    let verified = match verified {
        Ok(verified) => verified,
        Err(broken) => {
            return vec![row("result", text("broken")), row("first fault", text(broken))];
        }
    };
    let seals = &verified.seals;
    let number = Value::Number;
    let removed = match verified.removal_on_record {
        None => "nothing: the trail is whole from its first record",
        Some(true) => "removed when its retention was over, on record",
        Some(false) => "gone, and no record says why",
    };
    let mut rows = vec![
        row("result", text("unbroken")),
        row("records", number(verified.records)),
        row("files", number(verified.segments)),
        row("first record", number(verified.first_sequence)),
        row("first time", text(&verified.first_time)),
        row("last record", number(verified.last_sequence)),
        row("last time", text(&verified.last_time)),
        row("before the first record", text(removed)),
        row("SHA-256 of the last line", text(&verified.last_hash)),
        row("root of the tree over all records (RFC 6962)", text(&seals.root)),
        row("checkpoints", number(seals.checkpoints)),
        row("sealed up to record", number(seals.up_to)),
        row("kept elsewhere and held against", number(*held_against as u64)),
        row("of these, vouching for it", number(seals.vouched as u64)),
        row("of these, older than what is kept", number(seals.too_old as u64)),
        row("records earlier than the one before", number(verified.earlier_than_previous)),
        row("bytes of an unfinished line at the end", number(verified.unfinished_bytes)),
    ];
    rows.extend(seals.keys.iter().map(|key| row("signed by", text(key))));
    rows
}
