//! Records counted by what a field of theirs says.

use std::collections::HashMap;

use super::super::super::console::{self, Stream};
use crate::audit::Recorded;
use crate::audit::forms::{Field, Value, row};
use crate::report::Count;

/// Most values that are told apart. Whoever chose them cannot fill the memory.
const MOST: usize = 100_000;

/// How many records have which value.
pub(super) struct Groups {
    field: Field,
    counted: HashMap<Value<'static>, Tally>,
    left_out: u64,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    records: u64,
    /// A record may stand for many.
    events: u64,
}

impl Groups {
    pub(super) fn by(field: Field) -> Self {
        Self { field, counted: HashMap::new(), left_out: 0 }
    }

    pub(super) fn take(&mut self, recorded: &Recorded) {
        let value = self.field.of(recorded).into_owned();
        if self.counted.len() >= MOST && !self.counted.contains_key(&value) {
            self.left_out += 1;
            return;
        }
        let tally = self.counted.entry(value).or_default();
        tally.records += 1;
        tally.events = tally.events.saturating_add(recorded.count());
    }

    /// Writes them, the most frequent first.
    pub(super) fn write(self, as_csv: bool, out: &mut Stream) {
        let mut counted: Vec<_> = self.counted.into_iter().collect();
        counted
            .sort_by(|(one, a), (other, b)| b.records.cmp(&a.records).then_with(|| one.cmp(other)));
        let name = self.field.name();
        let mut rows = Vec::new();
        if as_csv {
            row([name, "records", "events"].map(Value::from), &mut rows);
        }
        for (value, Tally { records, events }) in counted {
            if as_csv {
                row([value, Value::Number(records), Value::Number(events)], &mut rows);
            } else {
                let line = serde_json::json!({ name: value, "records": records, "events": events });
                rows.extend_from_slice(format!("{line}\n").as_bytes());
            }
        }
        let _reader_gone = out.write(&rows);
        if self.left_out > 0 {
            console::error(&format!(
                "warning: {} of further values of {name} were left out, for there are too many: narrow it with --from \
                 and --to",
                Count(self.left_out, "record")
            ));
        }
    }
}
