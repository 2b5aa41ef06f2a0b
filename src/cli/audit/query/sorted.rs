//! Records in another order than the trail's. All of them are in memory until the last was seen, so there is a bound.

use std::ops::ControlFlow;

use super::super::super::console::Stream;
use crate::audit::Recorded;
use crate::audit::forms::{Field, Form, Value};

/// Most bytes that are kept for it.
const MOST: usize = 512 * 1024 * 1024;
/// What a row takes beside its bytes, about.
const ROW: usize = 128;

/// Rows with what they are sorted by.
pub(super) struct Sorted {
    field: Field,
    downwards: bool,
    rows: Vec<(Value<'static>, Vec<u8>)>,
    bytes: usize,
    /// Most of them.
    most: usize,
}

impl Sorted {
    pub(super) fn by(field: Field, downwards: bool) -> Self {
        Self { field, downwards, rows: Vec::new(), bytes: 0, most: MOST }
    }

    pub(super) fn take(&mut self, form: Form, line: &[u8], recorded: &Recorded) -> ControlFlow<()> {
        let mut told = Vec::new();
        form.tell(line, recorded, &mut told);
        told.shrink_to_fit();
        self.bytes += told.len() + ROW;
        self.rows.push((self.field.of(recorded).into_owned(), told));
        if self.bytes > self.most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// In their order; among equals the trail's.
    ///
    /// # Errors
    ///
    /// There were too many to sort.
    fn sorted(mut self) -> Result<impl Iterator<Item = Vec<u8>>, String> {
        if self.bytes > self.most {
            return Err(format!(
                "the first {} records take more than 512 MiB: narrow it with --from and --to or by a filter, or sort what \
                 --format csv prints",
                self.rows.len()
            ));
        }
        let downwards = self.downwards;
        self.rows.sort_by(
            |(one, _), (other, _)| {
                if downwards { other.cmp(one) } else { one.cmp(other) }
            },
        );
        Ok(self.rows.into_iter().map(|(_, row)| row))
    }

    /// Writes the first `most` rows.
    ///
    /// # Errors
    ///
    /// There were too many to sort.
    pub(super) fn write(self, form: Form, most: u64, out: &mut Stream) -> Result<(), String> {
        let rows = self.sorted()?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        for row in [form.head()].into_iter().chain(rows.take(most)) {
            if out.write(&row).is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(sorted: &mut Sorted, port: u16) -> ControlFlow<()> {
        let line = format!(
            r#"{{"@timestamp":"2026-11-22T06:12:01.123Z","event":{{"action":"a"}},"source":{{"port":{port}}}}}"#
        );
        let recorded = serde_json::from_str(&line).unwrap();
        sorted.take(Form::Jsonl, line.as_bytes(), &recorded)
    }

    fn by_port() -> Sorted {
        Sorted::by(Field::named("source_port").unwrap(), false)
    }

    #[test]
    fn numbers_are_sorted_as_numbers() {
        let mut sorted = by_port();
        for port in [10, 9, 100] {
            assert!(take(&mut sorted, port).is_continue());
        }

        let rows: Vec<_> =
            sorted.sorted().unwrap().map(|row| String::from_utf8(row).unwrap()).collect();

        let order = ["\"port\":9}", "\"port\":10}", "\"port\":100}"];
        assert!(rows.iter().zip(order).all(|(row, port)| row.contains(port)), "{rows:?}");
    }

    #[test]
    fn too_much_to_sort_is_told_and_nothing_is_printed_in_a_wrong_order() {
        let mut sorted = Sorted { most: 500, ..by_port() };
        assert!(take(&mut sorted, 1).is_continue());
        assert!(take(&mut sorted, 2).is_continue());

        assert!(take(&mut sorted, 3).is_break());

        let told = sorted.sorted().err().unwrap();
        assert!(told.contains("first 3 records") && told.contains("--from"), "{told}");
    }
}
