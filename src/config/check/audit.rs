//! The trail.

use std::time::Duration;

use super::{DAY, YEAR};
use crate::config::problem::Fault;
use crate::config::read::{Fields, Reader, located, one};
use crate::config::scalar::{choice, duration};
use crate::config::yaml::Node;
use crate::config::{AuditSettings, OnFailure, Pseudonyms, keys};

/// How long records are kept when the file does not say: what HIPAA asks for (45 CFR 164.316).
const RETENTION: Duration = Duration::from_secs(6 * YEAR);

/// `audit`
pub(super) fn settings(reader: &Reader<'_>, node: &Node) -> Option<AuditSettings> {
    const MODES: &[(&str, OnFailure)] = &[("block", OnFailure::Block), ("allow", OnFailure::Allow)];
    let mut fields = Fields::open(reader, node, &keys::AUDIT)?;
    let dir = fields.required("dir", Reader::path);
    let on_failure = fields.optional("on_failure", located(choice(MODES, &[])));
    let retention =
        fields.or("retention", RETENTION, one(duration(DAY..=Duration::from_secs(100 * YEAR))));
    let pseudonyms = fields.optional("pseudonyms", pseudonyms);
    fields.finish();
    let on_failure = on_failure?;
    if let Some(mode) = on_failure.as_ref().filter(|mode| mode.value == OnFailure::Allow) {
        reader.warn(
            mode.at(),
            Fault::new(
                "PHI passes without a record while the trail cannot be written: this fails open",
            )
            .hint("`on_failure: block` keeps the promise that every access is on record"),
        );
    }
    let on_failure = on_failure.map_or(OnFailure::Block, |mode| mode.value);
    let (dir, retention, pseudonyms) = (dir?, retention?, pseudonyms?);
    Some(AuditSettings { dir, on_failure, retention, pseudonyms })
}

/// `audit.pseudonyms`
fn pseudonyms(reader: &Reader<'_>, node: &Node) -> Option<Pseudonyms> {
    let mut fields = Fields::open(reader, node, &keys::PSEUDONYMS)?;
    let key_file = fields.required("key_file", Reader::path);
    fields.finish();
    Some(Pseudonyms { key_file: key_file? })
}
