//! What does not agree, and what that means.

use std::collections::HashSet;

use serde::{Serialize, Serializer};
use time::{Duration, OffsetDateTime};

use super::seen::{Carries, Seen};
use super::{Irreconcilable, Known, Pair, Reconciler, Side};
use crate::audit::line::text::Timestamp;

/// A connection that one side ended and the other says nothing more of may be open there for so long: until
/// `limits.idle_timeout`, an hour unless it was set.
const PATIENCE: Duration = Duration::hours(2);

/// What a side lacks, or what contradicts the other: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lack {
    /// The whole connection.
    Connection,
    /// That it was let in, or not.
    Beginning,
    /// How it ended.
    End,
    /// Requests, messages or associations.
    Exchanges,
    /// Bytes that the other side counted.
    Bytes,
}

/// Something that does not agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// When the connection began, by the clock of the side that has it.
    #[serde(serialize_with = "timestamp")]
    pub at: OffsetDateTime,
    /// Its id.
    pub connection: String,
    /// Which side lacks something.
    pub side: Side,
    /// What it lacks.
    pub lacks: Lack,
    /// The number of the connection's first record on the other side, its `event.sequence`.
    pub sequence: u64,
    /// What it is about, and what it means.
    pub text: String,
}

/// What there is of a side.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct SideSummary {
    /// Beside which services it was recorded.
    pub services: Vec<String>,
    /// By which names its peers know it, as far as the trails tell.
    pub identities: Vec<String>,
    /// Connections over TLS.
    pub connections: u64,
    /// Those with peers that are not the other side.
    pub with_others: u64,
    /// Those that began when the other side's trail does not reach so far.
    pub out_of_reach: u64,
    /// Those that the other side refused in the handshake, or denied and told of together with others.
    pub refused: u64,
}

/// How two sides agree.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reconciled {
    /// The first side.
    pub a: SideSummary,
    /// The second.
    pub b: SideSummary,
    /// Connections that both have.
    pub joined: u64,
    /// Those of them that are not over on both sides.
    pub open: u64,
    /// Those of them that broke off with bytes on the way: one side sent them, the other has not received them.
    pub broken_off: u64,
    /// Those with both ends on one side.
    pub within: u64,
    /// By how many milliseconds B's clock is ahead of A's: the median of the joined connections.
    pub skew_ms: Option<i64>,
    /// What does not agree, by time.
    pub differences: Vec<Difference>,
}

fn timestamp<S: Serializer>(at: &OffsetDateTime, to: S) -> Result<S::Ok, S::Error> {
    Timestamp(*at).serialize(to)
}

/// A connection of one side.
struct One<'s> {
    id: &'s [u8; 16],
    side: Side,
    seen: &'s Seen,
    peer: &'s str,
}

impl One<'_> {
    /// The other side lacks something of it.
    fn lacks(&self, lacks: Lack, text: String) -> Difference {
        self.difference(self.side.other(), lacks, text)
    }

    fn difference(&self, side: Side, lacks: Lack, text: String) -> Difference {
        let (at, sequence) = (self.seen.at, self.seen.sequence);
        Difference { at, connection: hex::encode(self.id), side, lacks, sequence, text }
    }
}

/// Judges all that was taken.
pub(super) fn judge(all: Reconciler) -> Result<Reconciled, Irreconcilable> {
    let Reconciler { window, pairs, mut known, names, .. } = all;
    check_ends(&pairs)?;
    let of_sides = names.of_sides(&known, pairs.values());
    let skew = skew(pairs.values());
    let mut told = Reconciled { skew_ms: skew.map(milliseconds), ..Reconciled::default() };
    let skew = skew.unwrap_or_default();
    // By time, so that each refusal is taken for the connection that is nearest to it.
    let mut pairs: Vec<_> = pairs.iter().collect();
    pairs.sort_by_key(|(id, pair)| (pair.seen.iter().flatten().map(|seen| seen.at).min(), **id));
    for (id, pair) in pairs {
        let is_wanted = pair.seen.iter().flatten().any(|seen| window.has(seen.at));
        if pair.is_within {
            told.within += u64::from(is_wanted);
            continue;
        }
        let one = |side: Side| {
            let seen = side.of(&pair.seen).as_ref()?;
            let peer = seen.who.map_or("", |who| names.text(who));
            Some(One { id, side, seen, peer })
        };
        match (one(Side::A), one(Side::B)) {
            (Some(a), Some(b)) if is_wanted => {
                told.joined += 1;
                told.a.connections += 1;
                told.b.connections += 1;
                joined(&a, &b, &mut known, skew, &mut told);
            }
            (Some(one), None) | (None, Some(one)) if is_wanted && one.seen.is_begun => {
                alone(&one, &of_sides, &mut known, skew, &mut told);
            }
            _ => {}
        }
    }
    for side in [Side::A, Side::B] {
        let mut identities: Vec<_> =
            side.of(&of_sides).iter().map(|number| names.text(*number).to_owned()).collect();
        identities.sort();
        let summary = told.side(side);
        summary.services = std::mem::take(&mut side.of_mut(&mut known).services);
        summary.identities = identities;
    }
    Ok(told)
}

impl Reconciled {
    fn side(&mut self, side: Side) -> &mut SideSummary {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }
}

/// Two trails of one service have nothing to say to each other.
fn check_ends(pairs: &std::collections::HashMap<[u8; 16], Pair>) -> Result<(), Irreconcilable> {
    for (id, pair) in pairs {
        if let [Some(a), Some(b)] = &pair.seen
            && a.is_outbound == b.is_outbound
            && !pair.is_within
        {
            let (connection, direction) = (hex::encode(id), a.direction());
            return Err(Irreconcilable::SameEnd { connection, direction });
        }
    }
    Ok(())
}

/// By how much B's clock is ahead of A's.
fn skew<'p>(pairs: impl Iterator<Item = &'p Pair>) -> Option<Duration> {
    let mut skews: Vec<_> = pairs
        .filter_map(|pair| match &pair.seen {
            [Some(a), Some(b)] if a.is_begun && b.is_begun => Some(b.at - a.at),
            _ => None,
        })
        .collect();
    let middle = skews.len() / 2;
    (!skews.is_empty()).then(|| *skews.select_nth_unstable(middle).1)
}

fn milliseconds(skew: Duration) -> i64 {
    i64::try_from(skew.whole_milliseconds()).unwrap_or(i64::MAX)
}

/// What the clock of the other side shows when that of `side` shows `at`.
fn there(side: Side, at: OffsetDateTime, skew: Duration) -> OffsetDateTime {
    let shifted = match side {
        Side::A => at.checked_add(skew),
        Side::B => at.checked_sub(skew),
    };
    shifted.unwrap_or(at)
}

impl Known {
    /// Whether its trails begin before and end behind this moment.
    fn reaches(&self, at: OffsetDateTime) -> bool {
        self.first.is_some_and(|first| first <= at) && self.last.is_some_and(|last| at <= last)
    }

    /// Whether what ended elsewhere must be over here, too.
    fn must_have_ended(&self, seen: &Seen, at: OffsetDateTime) -> bool {
        let restarted = self.trails.get(seen.trail.saturating_sub(1)).and_then(|t| t.restarted);
        let is_long_ago = self.last.is_some_and(|last| last - at > PATIENCE);
        restarted.is_some_and(|restarted| restarted > seen.at) || is_long_ago
    }
}

/// A connection that one side alone has.
fn alone(
    one: &One<'_>,
    of_sides: &[HashSet<u32>; 2],
    known: &mut [Known; 2],
    skew: Duration,
    told: &mut Reconciled,
) {
    let other = one.side.other();
    let at = there(one.side, one.seen.at, skew);
    let summary = told.side(one.side);
    summary.connections += 1;
    let is_theirs = one.seen.who.is_some_and(|who| other.of(of_sides).contains(&who));
    if !is_theirs {
        summary.with_others += 1;
        return;
    }
    let there = other.of_mut(known);
    if !there.reaches(at) {
        summary.out_of_reach += 1;
        return;
    }
    // A peer that was refused has got nothing.
    let is_empty = one.seen.end.is_none_or(|end| end.bytes[1] == 0);
    if one.seen.is_outbound && is_empty && there.refusals.use_up(at) {
        summary.refused += 1;
        return;
    }
    let peer = one.peer;
    let text = if one.seen.is_outbound {
        format!(
            "went out to {peer} and never came in there: its record was taken away, another sidecar of that service \
             has it (give its trail, too), or something without a sidecar has that certificate"
        )
    } else {
        format!(
            "came in from {peer} and never went out there: its record was taken away, another sidecar of that service \
             has it (give its trail, too), or something without a sidecar has that certificate"
        )
    };
    told.differences.push(one.lacks(Lack::Connection, text));
}

/// A connection that both sides have.
fn joined(a: &One<'_>, b: &One<'_>, known: &mut [Known; 2], skew: Duration, told: &mut Reconciled) {
    for (one, other) in [(a, b), (b, a)] {
        let there_at = there(one.side, one.seen.at, skew);
        let known = other.side.of(known);
        if one.seen.is_begun && !other.seen.is_begun && known.reaches(there_at) {
            let text =
                "is there, but not that it was let in: that record was taken away".to_owned();
            told.differences.push(one.lacks(Lack::Beginning, text));
        }
    }
    match (a.seen.end, b.seen.end) {
        (Some(_), Some(_)) => over(a, b, known, told),
        (None, None) => told.open += u64::from(a.seen.is_allowed && b.seen.is_allowed),
        _ => half_over(a, b, known, skew, told),
    }
}

/// One side has no end of it.
fn half_over(a: &One<'_>, b: &One<'_>, known: &[Known; 2], skew: Duration, told: &mut Reconciled) {
    let (ended, open) = if a.seen.end.is_some() { (a, b) } else { (b, a) };
    let (Some(end), true) = (ended.seen.end, open.seen.is_allowed) else { return };
    let at = there(ended.side, end.at, skew);
    if open.side.of(known).must_have_ended(open.seen, at) {
        let text = "has no end on record there: the sidecar was killed, or the record taken away"
            .to_owned();
        told.differences.push(ended.lacks(Lack::End, text));
    } else {
        told.open += 1;
    }
}

/// A connection that is over on both sides: now what went over it can be counted.
fn over(a: &One<'_>, b: &One<'_>, known: &mut [Known; 2], told: &mut Reconciled) {
    let (out, inner) = if a.seen.is_outbound { (a, b) } else { (b, a) };
    let mut is_broken_off = false;
    for (way, sender, receiver) in [(0, out, inner), (1, inner, out)] {
        match bytes(way, sender, receiver) {
            Some(Bytes::OnTheWay) => is_broken_off = true,
            Some(Bytes::Differ(difference)) => told.differences.push(difference),
            None => {}
        }
        let together = &mut receiver.side.of_mut(known).denied_together;
        told.differences.extend(exchanges(way, sender, receiver, together));
    }
    told.broken_off += u64::from(is_broken_off);
}

/// How counts of bytes differ.
enum Bytes {
    /// The connection broke off before all that was sent had come.
    OnTheWay,
    /// It cannot be.
    Differ(Difference),
}

/// Both sides count what goes through TLS between them, before encryption and after decryption.
fn bytes(way: usize, sender: &One<'_>, receiver: &One<'_>) -> Option<Bytes> {
    let (Some(sent), Some(received)) = (sender.seen.end, receiver.seen.end) else { return None };
    let [sent_bytes, received_bytes] =
        [sent, received].map(|end| end.bytes.get(way).copied().unwrap_or_default());
    // A sidecar says something itself when it denies a message or an association, and when it ends a connection: that
    // comes to the other side, and it is not counted as what went through.
    let speaks = |one: &One<'_>| matches!(one.seen.carries, Carries::Mllp | Carries::Dicom);
    let is_whole = sent.is_finished
        && received.is_finished
        && !(sender.seen.has_denials() || receiver.seen.has_denials());
    let carries_http = [sender, receiver].iter().any(|one| one.seen.carries == Carries::Http);
    if received_bytes > sent_bytes && (is_whole || !(speaks(sender) || speaks(receiver))) {
        let text = format!(
            "{sent_bytes} bytes sent and {received_bytes} received: more cannot come than was sent, so a record was \
             changed"
        );
        return Some(Bytes::Differ(sender.difference(sender.side, Lack::Bytes, text)));
    }
    if sent_bytes > received_bytes && is_whole && !carries_http {
        let text = format!(
            "{sent_bytes} bytes sent and {received_bytes} received, and both say that it finished: bytes were lost \
             between the sidecars, or a record was changed"
        );
        return Some(Bytes::Differ(receiver.difference(receiver.side, Lack::Bytes, text)));
    }
    (sent_bytes > received_bytes).then_some(Bytes::OnTheWay)
}

/// Requests, messages and associations that went one way.
fn exchanges(
    way: usize,
    sender: &One<'_>,
    receiver: &One<'_>,
    denied_together: &mut u64,
) -> Option<Difference> {
    let (from, to) = (sender.seen, receiver.seen);
    let is_recorded = from.is_phi && from.carries == to.carries && from.carries != Carries::Tcp;
    if !is_recorded || from.has_batches || to.has_batches {
        return None;
    }
    let [from, came] = [from, to].map(|seen| seen.exchanges.get(way).copied().unwrap_or_default());
    let came = came.came();
    let what = match to.carries {
        Carries::Http | Carries::Tcp => "requests",
        Carries::Mllp => "messages",
        Carries::Dicom => "associations",
    };
    if came > from.allowed {
        let text = format!(
            "{came} {what} came and {} went out: records were taken away where they went out",
            from.allowed
        );
        return Some(receiver.lacks(Lack::Exchanges, text));
    }
    let lacking = from.answered.saturating_sub(came);
    let excused = lacking.min(*denied_together);
    *denied_together -= excused;
    (to.is_phi && lacking > excused).then(|| {
        let text = format!(
            "{} {what} were answered and {came} came: records were taken away where they came in",
            from.answered
        );
        sender.lacks(Lack::Exchanges, text)
    })
}
