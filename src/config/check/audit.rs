//! The trail.

use std::time::Duration;

use super::ledger::Ledger;
use super::{DAY, YEAR, export};
use crate::config::problem::Fault;
use crate::config::read::{Fields, Reader, located, one};
use crate::config::scalar::{choice, duration, moment, remark, size};
use crate::config::yaml::Node;
use crate::config::{
    AuditSettings, Checkpoints, Keeping, KeyAlgorithm, LegalHold, OnFailure, Pseudonyms, keys,
};

/// How long records are kept when the file does not say, and records of PHI at the least: so long HIPAA has
/// documentation kept (45 CFR 164.316(b)(2)).
pub(super) const RETENTION: Duration = Duration::from_secs(6 * YEAR);
/// A segment's length in bytes, when the file does not say.
const SEGMENT_SIZE: u64 = 64 << 20;
/// How the trail is sealed when the file does not say.
const CHECKPOINTS: Checkpoints = Checkpoints {
    interval: Duration::from_secs(1),
    key_file: None,
    algorithm: KeyAlgorithm::Ed25519,
    key_lifetime: DAY,
};
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// `audit`
pub(super) fn settings(
    reader: &Reader<'_>,
    node: &Node,
    ledger: &mut Ledger,
) -> Option<AuditSettings> {
    const MODES: &[(&str, OnFailure)] = &[("block", OnFailure::Block), ("allow", OnFailure::Allow)];
    let mut fields = Fields::open(reader, node, &keys::AUDIT)?;
    let dir = fields.required("dir", Reader::path);
    let on_failure = fields.optional("on_failure", located(choice(MODES, &[])));
    let segment_size = fields.or("segment_size", SEGMENT_SIZE, one(size(64 << 10..=1 << 30)));
    let keeping = keeping(&mut fields, ledger);
    let pseudonyms = fields.optional("pseudonyms", pseudonyms);
    let checkpoints = fields.optional("checkpoints", checkpoints);
    let export = fields.or("export", Vec::new(), export::all);
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
    let (dir, segment_size, keeping, export) = (dir?, segment_size?, keeping?, export?);
    let (pseudonyms, checkpoints) = (pseudonyms?, checkpoints?.unwrap_or(CHECKPOINTS));
    Some(AuditSettings { dir, on_failure, segment_size, keeping, pseudonyms, checkpoints, export })
}

/// `compress`, `retention` and `legal_hold`
fn keeping(fields: &mut Fields<'_, '_>, ledger: &mut Ledger) -> Option<Keeping> {
    const FORMS: &[(&str, bool)] = &[("zstd", true), ("off", false)];
    let compress = fields.or("compress", true, one(choice(FORMS, &[])));
    let range = DAY..=Duration::from_secs(100 * YEAR);
    let retention = fields.optional("retention", located(duration(range)));
    let legal_hold = fields.optional("legal_hold", legal_hold);
    let retention = retention?;
    if let Some(retention) = &retention {
        ledger.retention(retention);
    }
    let retention = retention.map_or(RETENTION, |retention| retention.value);
    Some(Keeping { compress: compress?, retention, legal_hold: legal_hold? })
}

/// `audit.legal_hold`
fn legal_hold(reader: &Reader<'_>, node: &Node) -> Option<LegalHold> {
    let mut fields = Fields::open(reader, node, &keys::LEGAL_HOLD)?;
    let reason = fields.required("reason", one(remark));
    let since = fields.optional("since", one(moment));
    fields.finish();
    Some(LegalHold { reason: reason?.into(), since: since? })
}

/// `audit.checkpoints`
fn checkpoints(reader: &Reader<'_>, node: &Node) -> Option<Checkpoints> {
    const ALGORITHMS: &[(&str, KeyAlgorithm)] =
        &[("ed25519", KeyAlgorithm::Ed25519), ("ecdsa-p256", KeyAlgorithm::EcdsaP256)];
    let mut fields = Fields::open(reader, node, &keys::CHECKPOINTS)?;
    let Checkpoints { interval, key_lifetime, algorithm, .. } = CHECKPOINTS;
    let interval = fields.or("interval", interval, one(duration(MILLISECOND..=HOUR)));
    let key_file = fields.optional("key_file", Reader::path);
    let algorithm = fields.or("algorithm", algorithm, one(choice(ALGORITHMS, &[])));
    let lifetimes = HOUR..=Duration::from_secs(10 * YEAR);
    let key_lifetime = fields.or("key_lifetime", key_lifetime, one(duration(lifetimes)));
    fields.finish();
    let (interval, key_file, algorithm) = (interval?, key_file?, algorithm?);
    Some(Checkpoints { interval, key_file, algorithm, key_lifetime: key_lifetime? })
}

/// `audit.pseudonyms`
fn pseudonyms(reader: &Reader<'_>, node: &Node) -> Option<Pseudonyms> {
    let mut fields = Fields::open(reader, node, &keys::PSEUDONYMS)?;
    let key_file = fields.required("key_file", Reader::path);
    fields.finish();
    Some(Pseudonyms { key_file: key_file? })
}
