//! Records in the words of others: pure functions from a line of the trail to bytes.
//!
//! None of them knows more than the line says, so none has PHI. What strangers chose (the names in a certificate, AE
//! titles) is escaped as each form demands. `config/audit-forms.md` has the maps.

mod atna;
mod cef;
mod codes;
mod csv;
mod details;
mod ecs;
mod event;
mod fhir;
pub(in crate::audit) mod fields;
#[cfg(test)]
mod fixture;
pub(in crate::audit) mod happened;
mod object;
mod ocsf;
mod participant;
mod rest;
mod xml;

use crate::audit::read::Recorded;

pub use self::csv::row;
pub use self::fields::{Field, Value};

/// A form in which records are told. Each record is one line of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The lines of the trail, byte for byte.
    Jsonl,
    /// RFC 4180, with a line of names before the first.
    Csv,
    /// Elastic Common Schema without fields of our own.
    Ecs,
    /// Open Cybersecurity Schema Framework 1.8.
    Ocsf,
    /// ArcSight Common Event Format, version 0.
    Cef,
    /// DICOM audit messages (PS3.15 A.5) as IHE ATNA sends them.
    Atna,
    /// FHIR R4 AuditEvent.
    Fhir,
}

impl Form {
    /// What stands before the first record.
    pub fn head(self) -> Vec<u8> {
        match self {
            Self::Csv => csv::head(),
            _ => Vec::new(),
        }
    }

    /// Appends the record to `out`, with the end of its line. `line` is what `recorded` was read from, without its newline.
    pub fn tell(self, line: &[u8], recorded: &Recorded, out: &mut Vec<u8>) {
        match self {
            Self::Jsonl => out.extend_from_slice(line),
            Self::Csv => return csv::tell(recorded, out), // has its own end of line
            Self::Ecs => ecs::tell(line, recorded, out),
            Self::Ocsf => ocsf::tell(line, recorded, out),
            Self::Cef => cef::tell(recorded, out),
            Self::Atna => atna::tell(line, recorded, out),
            Self::Fhir => fhir::tell(line, recorded, out),
        }
        out.push(b'\n');
    }
}
