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
}

impl Sorted {
    pub(super) fn by(field: Field, downwards: bool) -> Self {
        Self { field, downwards, rows: Vec::new(), bytes: 0 }
    }

    pub(super) fn take(&mut self, form: Form, line: &[u8], recorded: &Recorded) -> ControlFlow<()> {
        let mut told = Vec::new();
        form.tell(line, recorded, &mut told);
        told.shrink_to_fit();
        self.bytes += told.len() + ROW;
        self.rows.push((self.field.of(recorded).into_owned(), told));
        if self.bytes > MOST { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Writes the first `most` rows.
    ///
    /// # Errors
    ///
    /// There were too many to sort.
    pub(super) fn write(mut self, form: Form, most: u64, out: &mut Stream) -> Result<(), String> {
        if self.bytes > MOST {
            return Err(format!(
                "the first {} records take more than 512 MiB: narrow it with --from and --to or by a filter, or sort what \
                 --format csv prints",
                self.rows.len()
            ));
        }
        let downwards = self.downwards;
        // Stable: among equals the trail's order stays.
        self.rows.sort_by(
            |(one, _), (other, _)| if downwards { other.cmp(one) } else { one.cmp(other) },
        );
        let _reader_gone = out.write(&form.head());
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        for (_, row) in self.rows.iter().take(most) {
            if out.write(row).is_break() {
                break;
            }
        }
        Ok(())
    }
}
