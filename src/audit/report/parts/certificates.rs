//! Certificates that peers proved themselves by, and our own rotations.

use time::OffsetDateTime;

use crate::audit::forms::Value;
use crate::audit::report::part::{Citation, Part, cite};
use crate::audit::report::seen::Seen;
use crate::audit::report::table::{Cell, Column, Kind, Table, below, column, moment, text};
use crate::audit::report::told::{Events, Span, Told, kept};
use crate::report::Count;

const SUPPORTS: &[Citation] = &[
    cite(
        "45 CFR 164.312(d)",
        "person or entity authentication: the certificates by which systems proved who they are",
    ),
    cite(
        "45 CFR 164.312(a)(2)(i)",
        "unique identification: which name each certificate stands for",
    ),
];
const CERTIFICATES: &[Column] = &[
    column("subject", "Subject", Kind::Text),
    below("names", "names", Kind::Id),
    below("identity", "identity", Kind::Id),
    below("peer", "peer", Kind::Label),
    column("issuer", "Issuer", Kind::Text),
    below("serial", "serial", Kind::Id),
    below("sha256", "SHA-256", Kind::Id),
    column("not_after", "Valid until", Kind::Moment),
    below("days_left", "days left", Kind::Number),
    column("connections", "Connections", Kind::Number),
    column("first", "First", Kind::Moment),
    below("last", "last", Kind::Moment),
];
const ROTATIONS: &[Column] = &[
    column("time", "Time", Kind::Moment),
    column("service", "Service", Kind::Label),
    column("action", "What", Kind::Label),
    column("message", "In words", Kind::Text),
];
/// Days before its end from which a certificate is worth a sentence.
const SOON: i64 = 30;

/// Certificates by their digest.
#[derive(Debug, Default)]
pub(in crate::audit::report) struct Certificates {
    inventory: Told<1, Certificate>,
    /// Records of certificates for which there was no room: they are of many, and none of those names stands for them.
    left_out: u64,
    rotations: Events,
    rejected: u64,
}

#[derive(Debug, Default)]
struct Certificate {
    cells: Vec<Cell>,
    not_after: Option<OffsetDateTime>,
    connections: u64,
    span: Span,
}

impl Certificates {
    pub(in crate::audit::report) fn take(&mut self, seen: &Seen<'_>) {
        if seen.record.event.action.starts_with("certificate-") {
            self.rejected += u64::from(seen.record.event.action == "certificate-rejected");
            self.rotations.take(|| event(seen));
        }
        let Some(end) = seen.record.presented().filter(|_| !seen.identity().is_empty()) else {
            return;
        };
        let Some(certificate) = self.inventory.room([&end.hash.sha256]) else {
            self.left_out += 1;
            return;
        };
        certificate.connections += u64::from(seen.opens());
        certificate.span.seen(seen.record.at);
        if certificate.cells.is_empty() {
            certificate.not_after = end.not_after;
            let names = end.x509.alternative_names.join(" ");
            let cells = [
                &end.subject,
                &names,
                seen.identity(),
                seen.peer(),
                &end.issuer,
                &end.x509.serial_number,
            ];
            certificate.cells = cells.map(|cell| text(&kept(cell))).into();
        }
    }

    pub(in crate::audit::report) fn part(&self, now: OffsetDateTime) -> Part {
        let days =
            |certificate: &Certificate| certificate.not_after.map(|end| (end - now).whole_days());
        let rows = self.inventory.rows(
            // Those that are valid are what can still be acted on; the others behind them, the last to expire first.
            |_, certificate| certificate.not_after.map(|end| (end <= now, (end - now).abs())),
            |certificate| {
                let left = match days(certificate) {
                    Some(_) if certificate.not_after <= Some(now) => text("expired"),
                    Some(days) => Value::Number(days.unsigned_abs()),
                    None => Value::Nothing,
                };
                let [first, last] = certificate.span.cells();
                let end = moment(certificate.not_after);
                let rest = [end, left, Value::Number(certificate.connections), first, last];
                certificate.cells.iter().cloned().chain(rest).collect()
            },
        );
        // The digest is the key, and stands behind the serial number.
        let rows = rows.into_iter().map(digest_behind_serial).collect();
        let (mut expired, mut soon) = (0, 0);
        for (_, certificate) in self.inventory.iter() {
            match days(certificate) {
                Some(_) if certificate.not_after <= Some(now) => expired += 1,
                Some(..=SOON) => soon += 1,
                _ => {}
            }
        }
        let inventory = Table {
            name: "inventory",
            title: "Certificates of peers, the next to expire first, expired ones behind",
            columns: CERTIFICATES,
            rows,
        };
        let rotations = Table {
            name: "rotations",
            title: "Our own key material",
            columns: ROTATIONS,
            rows: self.rotations.rows.clone(),
        };
        Part {
            id: "certificates",
            title: "Certificates and rotations",
            supports: SUPPORTS,
            says: self.says(inventory.rows.len() as u64, expired, soon),
            tables: vec![inventory, rotations],
        }
    }

    fn says(&self, known: u64, expired: u64, soon: u64) -> Vec<String> {
        let mut says = vec![format!(
            "{} by which peers proved who they are. When this report was made, {expired} of them had expired and {soon} had {SOON} days or less left. Where \
             a peer has renewed one, its next one has a row of its own.",
            Count(known, "certificate")
        )];
        says.push(match (self.rotations.rows.is_empty(), self.rejected) {
            (true, _) => "No rotation of our own key material is on record in this period. What was in use at a start is on record as of its first rotation.".into(),
            (false, 0) => "Every rotation of our own key material took effect.".into(),
            (false, rejected) => format!("New key material was refused {}; what was in use stayed.", Count(rejected, "time")),
        });
        if self.left_out > 0 {
            says.push(format!(
                "{} of further certificates were left out: there are too many to tell apart.",
                Count(self.left_out, "record")
            ));
        }
        says.extend(self.rotations.left_out("rotation"));
        says
    }
}

fn digest_behind_serial(mut row: Vec<Cell>) -> Vec<Cell> {
    let end = row.len().min(7);
    if let Some(part) = row.get_mut(..end) {
        part.rotate_left(1);
    }
    row
}

/// Time, service, action and words of a record that is about no connection.
pub(in crate::audit::report) fn event(seen: &Seen<'_>) -> Vec<Cell> {
    let action = &seen.record.event.action;
    vec![
        moment(Some(seen.record.at)),
        text(&kept(seen.service())),
        text(&kept(action)),
        text(&kept(seen.message())),
    ]
}
