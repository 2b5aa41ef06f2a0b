//! What a report says, whatever it is told as.

use time::OffsetDateTime;

use super::part::Part;
use super::parts::integrity::Attestation;
use super::series::Bars;
use super::told::Span;
use super::{csv, html, json};
use crate::audit::read::{Reading, Window};
use crate::audit::reviews::Review;

/// What the records themselves do not say.
#[derive(Debug)]
pub struct About {
    /// When the report was made.
    pub made: OffsetDateTime,
    /// The trail's directory, as it was named.
    pub trail: String,
    /// How the trail stood its checks.
    pub attestation: Attestation,
    /// Sign-offs that are not on record yet.
    pub waiting: Vec<Review>,
    /// What there was to read.
    pub reading: Reading,
}

/// What a report says.
#[derive(Debug)]
pub struct Facts {
    pub(super) about: About,
    pub(super) period: Window,
    /// First and last record of the period.
    pub(super) span: Span,
    pub(super) services: Vec<String>,
    pub(super) figures: Figures,
    pub(super) bars: Bars,
    pub(super) parts: Vec<Part>,
}

/// What is told first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// Of the period.
    pub(super) records: u64,
    /// Accesses to PHI that were allowed.
    pub(super) allowed: u64,
    /// Attempts at PHI endpoints that were denied.
    pub(super) denied: u64,
    /// Connections outside of SP 800-52r2.
    pub(super) outside: u64,
}

impl Facts {
    /// As a page that needs nothing else.
    pub fn html(&self) -> String {
        html::page(self)
    }

    /// As one JSON object.
    ///
    /// # Errors
    ///
    /// It cannot be serialized, which is a defect.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        json::told(self)
    }

    /// As rows whose first cells say of which part and table they are.
    pub fn csv(&self) -> Vec<u8> {
        csv::told(self)
    }

    /// Lines that were passed over, in words; `None` if there were none.
    pub(super) fn passed_over(&self) -> Option<String> {
        let reading = &self.about.reading;
        let first = reading.told.join("; ");
        match reading.broken {
            0 => None,
            1 => Some(format!("1 line of the trail is no record and was passed over: {first}.")),
            lines => Some(format!(
                "{lines} lines of the trail are no records and were passed over: {first}."
            )),
        }
    }
}
