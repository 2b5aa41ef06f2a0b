//! Takes the records of a trail, one by one.

use std::collections::BTreeSet;

use super::facts::{About, Facts, Figures};
use super::parts::access::Access;
use super::parts::certificates::Certificates;
use super::parts::clock::Clock;
use super::parts::denials::Denials;
use super::parts::flows::Flows;
use super::parts::integrity::Recording;
use super::parts::newcomers::Newcomers;
use super::parts::policy::Policy;
use super::parts::readers::Readers;
use super::parts::signed::Signed;
use super::parts::tls::Protection;
use super::seen::Seen;
use super::series::Series;
use super::told::{Span, kept};
use crate::audit::read::{Recorded, Window};

/// Most services that are named.
const SERVICES: usize = 100;

/// What is known of a period so far.
#[derive(Debug)]
pub struct Gathering {
    period: Window,
    records: u64,
    span: Span,
    services: BTreeSet<String>,
    series: Series,
    access: Access,
    denials: Denials,
    newcomers: Newcomers,
    protection: Protection,
    certificates: Certificates,
    policy: Policy,
    recording: Recording,
    readers: Readers,
    signed: Signed,
    clock: Clock,
    flows: Flows,
}

impl Gathering {
    /// Of nothing yet.
    pub fn of(period: Window) -> Self {
        Self {
            period,
            records: 0,
            span: Span::default(),
            services: BTreeSet::new(),
            series: Series::default(),
            access: Access::default(),
            denials: Denials::default(),
            newcomers: Newcomers::default(),
            protection: Protection::default(),
            certificates: Certificates::default(),
            policy: Policy::default(),
            recording: Recording::default(),
            readers: Readers::default(),
            signed: Signed::default(),
            clock: Clock::default(),
            flows: Flows::default(),
        }
    }

    /// Takes the next record. Those outside of the period count as well: those before it say who is not new, those behind
    /// it who has reviewed it.
    pub fn take(&mut self, record: &Recorded) {
        let seen = Seen::of(record);
        self.signed.take(&seen);
        if self.period.to.is_none_or(|to| record.at < to) {
            self.newcomers.take(&seen);
        }
        if !self.period.has(record.at) {
            return;
        }
        self.records += 1;
        self.span.seen(record.at);
        if self.services.len() < SERVICES && !self.services.contains(seen.service()) {
            self.services.insert(kept(seen.service()));
        }
        self.series.take(&seen);
        self.access.take(&seen);
        self.denials.take(&seen);
        self.protection.take(&seen);
        self.certificates.take(&seen);
        self.policy.take(&seen);
        self.recording.take(&seen);
        self.readers.take(&seen);
        self.clock.take(&seen);
        self.flows.take(&seen);
    }

    /// All of it, as the parts of a report in their order.
    pub fn finish(self, about: About) -> Facts {
        let bars = self.series.bars(self.period, about.made);
        let mut access = self.access.part();
        access.tables.push(bars.table());
        let parts = vec![
            access,
            self.denials.part(),
            self.newcomers.part(self.period, self.signed.last_end()),
            self.protection.part(),
            self.certificates.part(about.made),
            self.policy.part(),
            self.recording.part(&about.attestation),
            self.readers.part(),
            self.signed.part(&about.waiting),
            self.clock.part(),
            self.flows.part(),
        ];
        let sum = |id: &str, table: &str, column: &str| {
            let tables = parts.iter().filter(|part| part.id == id).flat_map(|part| &part.tables);
            tables.filter(|found| found.name == table).map(|found| found.sum(column)).sum()
        };
        let figures = Figures {
            records: self.records,
            allowed: sum("access", "peers", "allowed"),
            denied: sum("access", "peers", "denied"),
            outside: self.protection.outside(),
        };
        let services = self.services.into_iter().filter(|service| !service.is_empty()).collect();
        Facts { about, period: self.period, span: self.span, services, figures, bars, parts }
    }
}
