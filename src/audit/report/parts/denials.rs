//! Who was kept out, and why.

use crate::audit::forms::Value;
use crate::audit::forms::happened::How;
use crate::audit::report::part::{Citation, Part, cite};
use crate::audit::report::seen::Seen;
use crate::audit::report::table::{Column, Kind, Table, below, column, text};
use crate::audit::report::told::{Span, Told, kept};
use crate::report::Count;

const SUPPORTS: &[Citation] = &[
    cite(
        "45 CFR 164.308(a)(5)(ii)(C)",
        "log-in monitoring: attempts of systems that failed, by reason",
    ),
    cite(
        "45 CFR 164.308(a)(6)(ii)",
        "response and reporting: where to begin when an incident is suspected",
    ),
    cite("45 CFR 164.312(a)(1)", "access control: who was not let through, and by what"),
];
const REASONS: &[Column] = &[
    column("reason", "Reason", Kind::Label),
    column("step", "Step", Kind::Label),
    column("count", "Times", Kind::Number),
    column("phi", "At PHI endpoints", Kind::Number),
    column("first", "First", Kind::Moment),
    below("last", "last", Kind::Moment),
    column("example", "The last one, in words", Kind::Text),
];
const WHO: &[Column] = &[
    column("who", "Who", Kind::Text),
    below("claimed", "unproven: the certificate's subject", Kind::Text),
    column("address", "From", Kind::Id),
    column("listener", "Endpoint", Kind::Label),
    column("reason", "Reason", Kind::Label),
    column("count", "Times", Kind::Number),
    column("first", "First", Kind::Moment),
    below("last", "last", Kind::Moment),
];
const OBSERVED: &[Column] = &[
    column("reason", "Would be denied for", Kind::Label),
    column("who", "Who", Kind::Text),
    column("listener", "Endpoint", Kind::Label),
    column("count", "Times", Kind::Number),
    column("last", "Last", Kind::Moment),
];

/// Refusals, denials and withdrawals.
#[derive(Debug, Default)]
pub(in crate::audit::report) struct Denials {
    reasons: Told<2, Tally>,
    /// Those who proved who they are, apart: strangers must not take their places.
    known: Told<5, Tally>,
    strangers: Told<5, Tally>,
    observed: Told<3, Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    count: u64,
    phi: u64,
    span: Span,
    example: String,
}

impl Tally {
    fn take(&mut self, seen: &Seen<'_>, count: u64) {
        self.count = self.count.saturating_add(count);
        if seen.record.myelin.phi {
            self.phi = self.phi.saturating_add(count);
        }
        self.span.seen(seen.record.at);
    }
}

impl Denials {
    pub(in crate::audit::report) fn take(&mut self, seen: &Seen<'_>) {
        if let Some(reason) = &seen.record.myelin.would_deny {
            let is_news = seen.happened.how == How::Allowed || reason == "sop_class_mismatch";
            if is_news {
                self.observed.at([reason, seen.who(), seen.listener()]).take(seen, 1);
            }
        }
        let step = match seen.happened.how {
            How::Refused => "handshake",
            How::Denied => "allowlist",
            How::Withdrawn => "withdrawn",
            How::Allowed | How::Ended | How::Done => return,
        };
        match &seen.record.myelin.flood {
            Some(flood) => {
                for (reason, count) in &flood.reasons {
                    self.deny(seen, step, reason, *count);
                }
            }
            None => self.deny(seen, step, seen.reason(), 1),
        }
    }

    fn deny(&mut self, seen: &Seen<'_>, step: &str, reason: &str, count: u64) {
        let tally = self.reasons.at([reason, step]);
        tally.take(seen, count);
        let nearest = || seen.record.myelin.nearest.as_deref().unwrap_or_default();
        let words = if seen.message().is_empty() { nearest() } else { seen.message() };
        if !words.is_empty() && words != tally.example {
            tally.example = kept(words);
        }
        let address = seen.record.peer_side().and_then(|side| side.ip);
        let address = address.map(|ip| ip.to_string()).unwrap_or_default();
        let claimed = match seen.identity() {
            "" => seen.record.presented().map_or("", |end| &end.subject),
            _proven => "",
        };
        let is_known = !seen.identity().is_empty();
        let who = if is_known { &mut self.known } else { &mut self.strangers };
        who.at([seen.who(), claimed, &address, seen.listener(), reason]).take(seen, count);
    }

    pub(in crate::audit::report) fn part(&self) -> Part {
        let by_count = |tally: &Tally| u64::MAX - tally.count;
        let reasons = self.reasons.rows(
            |_, tally| by_count(tally),
            |tally| {
                let [first, last] = tally.span.cells();
                vec![
                    Value::Number(tally.count),
                    Value::Number(tally.phi),
                    first,
                    last,
                    text(&tally.example),
                ]
            },
        );
        let row = |tally: &Tally| {
            let [first, last] = tally.span.cells();
            vec![Value::Number(tally.count), first, last]
        };
        let mut who = self.known.rows(|_, tally| by_count(tally), row);
        who.extend(self.strangers.rows(|_, tally| by_count(tally), row));
        let observed = self.observed.rows(
            |_, tally| by_count(tally),
            |tally| {
                let [_, last] = tally.span.cells();
                vec![Value::Number(tally.count), last]
            },
        );
        let reasons =
            Table { name: "reasons", title: "By reason", columns: REASONS, rows: reasons };
        let who = Table {
            name: "who",
            title: "By whom, those who proved who they are first",
            columns: WHO,
            rows: who,
        };
        let observed = Table {
            name: "observed",
            title: "Let through because policy is only observed",
            columns: OBSERVED,
            rows: observed,
        };
        Part {
            id: "denials",
            title: "Denials and failed authentication",
            supports: SUPPORTS,
            says: says(&reasons, &observed),
            tables: vec![reasons, who, observed],
        }
    }
}

fn says(reasons: &Table, observed: &Table) -> Vec<String> {
    let count = reasons.sum("count");
    let mut says = vec![match count {
        0 => "Nobody was refused, denied or had a permit withdrawn in this period.".into(),
        _ => format!(
            "{} in all, {} of them at PHI endpoints. At the handshake, nobody has proven who they are: what their certificate claims is marked as unproven.",
            Count(count, "denial"),
            reasons.sum("phi")
        ),
    }];
    match observed.sum("count") {
        0 => {}
        count => says.push(format!(
            "{} let through that enforced policy would have denied: a listener has `enforce: false`.",
            super::access::Accesses(count)
        )),
    }
    says
}
