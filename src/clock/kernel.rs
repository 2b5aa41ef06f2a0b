//! What the kernel knows of the wall clock: whether somebody keeps it right, and how far off it may be.

use rtime_clock::adjtime::{Timex, adjtimex};
use serde::Serialize;

/// What `adjtimex(2)` answers when nobody keeps the clock right (`TIME_ERROR`).
const TIME_ERROR: i32 = 5;

/// Whether somebody keeps the wall clock right, by NTP or PTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronised {
    /// Somebody does.
    Yes,
    /// Nobody does, or whoever did has lost its source.
    No,
    /// The kernel is not there to be asked, as in some containers.
    Unknown,
}

/// What the kernel knows of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Kept {
    /// Whether somebody keeps it right.
    pub synchronised: Synchronised,
    /// How far off it is thought to be, in milliseconds. While it is synchronised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_error_ms: Option<f64>,
    /// How far off it is at most, in milliseconds. While it is synchronised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_error_ms: Option<f64>,
    /// International atomic time is so many seconds ahead of UTC, if the kernel was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tai_offset: Option<i32>,
}

/// Asks the kernel (`adjtimex(2)`, which anybody may).
pub fn kept() -> Kept {
    let mut asked = Timex::new();
    let answer = adjtimex(&mut asked).ok();
    let synchronised = match answer {
        None => Synchronised::Unknown,
        Some(TIME_ERROR) => Synchronised::No,
        Some(_) => Synchronised::Yes,
    };
    let milliseconds = |microseconds: i64| {
        #[expect(clippy::cast_precision_loss, reason = "the kernel's figures end at 16 s")]
        let milliseconds = microseconds as f64 / 1000.0;
        (synchronised == Synchronised::Yes).then_some(milliseconds)
    };
    Kept {
        synchronised,
        estimated_error_ms: milliseconds(asked.0.esterror),
        max_error_ms: milliseconds(asked.0.maxerror),
        tai_offset: Some(asked.0.tai).filter(|offset| *offset != 0 && answer.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_only_while_somebody_keeps_the_clock_right() {
        let kept = kept();

        let is_kept = kept.synchronised == Synchronised::Yes;
        assert_eq!(kept.max_error_ms.is_some(), is_kept, "{kept:?}");
        assert_eq!(kept.estimated_error_ms.is_some(), is_kept, "{kept:?}");
    }
}
