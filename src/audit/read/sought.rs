//! Which records are asked for: of a time, and with one of some values in each of some fields.

use super::{Recorded, Window};
use crate::audit::forms::{Field, Value};

/// What is asked for. Nothing narrows it unless it says so.
#[derive(Debug, Clone, Default)]
pub struct Sought {
    /// When.
    pub window: Window,
    /// Fields, and the values of which a record has to have one there, as texts.
    pub fields: Vec<(Field, Vec<String>)>,
}

impl Sought {
    /// Whether anything narrows it.
    pub(super) fn is_narrow(&self) -> bool {
        let Window { from, to } = self.window;
        from.is_some() || to.is_some() || !self.fields.is_empty()
    }

    /// Whether `recorded` is asked for.
    pub fn takes(&self, recorded: &Recorded) -> bool {
        self.window.has(recorded.at)
            && self.fields.iter().all(|(field, values)| match field.of(recorded) {
                Value::Text(found) => values.iter().any(|value| *value == found),
                found => values.contains(&found.to_string()),
            })
    }
}
