//! What peers may have of a listener, and what they have had: limits, and how often what was used.
//!
//! Asked after policy, with its permit and grant, for each HTTP request, HL7 message and DICOM association;
//! where bytes are carried as they are, for each connection. Without a lock, and without allocating unless
//! something is limited in number. Bounded: only peers and rules of the configuration have anything here.

mod meter;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use self::meter::{Meter, Spent};
use crate::authz::{Denied, Grant, ListenerPolicy, Permit};
use crate::config::{Quota, Rate};
use crate::identity::{Fingerprint, PeerName};
use crate::inventory::Usage;
use crate::outcome::{DenyReason, Differs};

/// The limits of one listener's policy. What is in use goes over to the next policy where it is the same.
#[derive(Debug)]
pub struct Quotas {
    /// By the number of the peer.
    peers: Vec<PeerUse>,
    /// By the number of the rule.
    rules: Vec<RuleUse>,
}

#[derive(Debug)]
struct PeerUse {
    name: PeerName,
    line: u32,
    expires: Option<OffsetDateTime>,
    usage: Arc<Usage>,
    meter: Option<Arc<Meter>>,
}

#[derive(Debug)]
struct RuleUse {
    kind: &'static str,
    name: Arc<str>,
    line: u32,
    expires: Option<OffsetDateTime>,
    usage: Arc<Usage>,
    limit: Option<RuleLimit>,
}

/// The limit of a rule, for each peer on its own.
#[derive(Debug)]
struct RuleLimit {
    meters: HashMap<PeerName, Arc<Meter>>,
    /// For all together who are none of `peers`, while plaintext is taken or policy is only observed.
    others: Arc<Meter>,
}

/// Something that has begun, and counts among those at once until the last clone is dropped.
#[derive(Debug, Clone, Default)]
#[must_use = "it has ended when this is dropped"]
pub struct Running {
    _held: Option<Arc<Held>>,
}

#[derive(Debug)]
struct Held {
    peer: Option<Arc<Meter>>,
    rule: Option<Arc<Meter>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.peer.iter().chain(&self.rule).for_each(|meter| meter.leave());
    }
}

/// A limit is used up.
#[derive(Debug, Clone)]
pub struct Over {
    /// Which, as the record has it.
    pub denied: Denied,
    /// When it may be worth while to try again.
    pub retry_after: Duration,
}

/// What is known of the use of a rule or a peer.
#[derive(Debug, Clone)]
pub struct Used<N> {
    /// `listener/rule`, or the peer.
    pub name: N,
    /// Its line in the configuration file.
    pub line: u32,
    /// After this moment it lets nobody in.
    pub expires: Option<OffsetDateTime>,
    /// When, and how often.
    pub usage: Arc<Usage>,
}

impl Quotas {
    /// Those of `policy`; what `kept` knows of the same rules, peers and limits goes on.
    pub fn new(policy: &ListenerPolicy, kept: Option<&Self>) -> Self {
        let kept = Kept::of(kept);
        let peers = policy.peers().map(|peer| {
            let old = kept.peers.get(&peer.name);
            PeerUse {
                name: peer.name.clone(),
                line: peer.line,
                expires: peer.expires,
                usage: old.map(|old| Arc::clone(&old.usage)).unwrap_or_default(),
                meter: peer
                    .limits
                    .map(|quota| meter(quota, old.and_then(|old| old.meter.as_ref()))),
            }
        });
        let rules = policy.rules().map(|rule| {
            let old = kept.rules.get(&(rule.kind, rule.name));
            RuleUse {
                kind: rule.kind,
                name: Arc::clone(rule.name),
                line: rule.line,
                expires: rule.expires,
                usage: old.map(|old| Arc::clone(&old.usage)).unwrap_or_default(),
                limit: rule.limits.map(|quota| {
                    RuleLimit::new(quota, rule.allow, old.and_then(|old| old.limit.as_ref()))
                }),
            }
        });
        Self { peers: peers.collect(), rules: rules.collect() }
    }

    /// One more begins of what the holder of `permit` was given `grant` for; without a grant it
    /// is the connection itself. Both must come from the policy that this was made of. It counts as used with
    /// [`used`](Self::used), when nothing else is in its way.
    ///
    /// # Errors
    ///
    /// The peer, or the rule for this peer, has a limit that is used up.
    pub fn begin(&self, permit: &Permit, grant: Option<&Grant>) -> Result<Running, Box<Over>> {
        let of_peer = self.peer(permit).and_then(|peer| peer.meter.as_ref());
        self.take(permit, grant, of_peer)
    }

    /// What has begun goes on with something under another rule: that costs what the rule allows, and nothing
    /// of what the peer may have.
    ///
    /// # Errors
    ///
    /// The rule has a limit for this peer that is used up.
    pub fn begin_further(&self, permit: &Permit, grant: &Grant) -> Result<Running, Box<Over>> {
        self.take(permit, Some(grant), None)
    }

    fn take(
        &self,
        permit: &Permit,
        grant: Option<&Grant>,
        of_peer: Option<&Arc<Meter>>,
    ) -> Result<Running, Box<Over>> {
        let peer = self.peer(permit);
        let rule = grant.and_then(Grant::rule_number).and_then(|number| self.rule(number));
        let of_rule = rule.and_then(|rule| rule.limit.as_ref()).map(|limit| limit.of(permit));
        if of_peer.is_none() && of_rule.is_none() {
            return Ok(Running::default());
        }
        take(of_peer, of_rule).map_err(|over| {
            let name = permit.peer();
            let version = grant.map_or_else(|| permit.version(), Grant::version);
            let over_limit = |spent, quota, rule| over_limit(spent, quota, name, rule, version);
            Box::new(match (over, peer, rule) {
                (Exceeded::Peer(spent, quota), Some(peer), _) => {
                    let rule: Arc<str> = format!("peers/{}", peer.name).into();
                    over_limit(spent, quota, (rule, peer.line))
                }
                (Exceeded::Rule(spent, quota) | Exceeded::Peer(spent, quota), _, rule) => {
                    let rule = rule.map(|rule| (Arc::clone(&rule.name), rule.line));
                    let whole = || (Arc::clone(permit.rule()), permit.line());
                    over_limit(spent, quota, rule.unwrap_or_else(whole))
                }
            })
        })
    }

    /// What `grant` was given for, or the connection itself, goes through at `now`.
    pub fn used(&self, permit: &Permit, grant: Option<&Grant>, now: OffsetDateTime) {
        let rule = |number: Option<u32>| number.and_then(|number| self.rule(number));
        let peer = self.peer(permit).map(|peer| &peer.usage);
        let [rule, sender] = [Grant::rule_number, Grant::sender_number]
            .map(|number| rule(grant.and_then(number)).map(|rule| &rule.usage));
        [peer, rule, sender].into_iter().flatten().for_each(|usage| usage.hit(now));
    }

    /// How the rules are used, in the order of the configuration.
    pub fn rules(&self) -> impl Iterator<Item = Used<Arc<str>>> {
        self.rules.iter().map(|rule| Used {
            name: Arc::clone(&rule.name),
            line: rule.line,
            expires: rule.expires,
            usage: Arc::clone(&rule.usage),
        })
    }

    /// How those use the listener who may connect, in the order of the configuration.
    pub fn peers(&self) -> impl Iterator<Item = Used<PeerName>> {
        self.peers.iter().map(|peer| Used {
            name: peer.name.clone(),
            line: peer.line,
            expires: peer.expires,
            usage: Arc::clone(&peer.usage),
        })
    }

    /// The entry of the peer who holds `permit`. A permit of another policy has another number for it.
    fn peer(&self, permit: &Permit) -> Option<&PeerUse> {
        let name = permit.peer()?;
        let numbered = permit.number().and_then(|number| self.peers.get(number as usize));
        numbered
            .filter(|peer| peer.name == *name)
            .or_else(|| self.peers.iter().find(|peer| peer.name == *name))
    }

    fn rule(&self, number: u32) -> Option<&RuleUse> {
        self.rules.get(number as usize)
    }
}

impl RuleLimit {
    fn new(quota: Quota, allow: &[PeerName], kept: Option<&Self>) -> Self {
        let one = |name: &PeerName| {
            (name.clone(), meter(quota, kept.and_then(|kept| kept.meters.get(name))))
        };
        Self {
            meters: allow.iter().map(one).collect(),
            others: meter(quota, kept.map(|kept| &kept.others)),
        }
    }

    fn of(&self, permit: &Permit) -> &Arc<Meter> {
        permit.peer().and_then(|name| self.meters.get(name)).unwrap_or(&self.others)
    }
}

/// What a policy that is replaced leaves, by name.
#[derive(Default)]
struct Kept<'k> {
    peers: HashMap<&'k PeerName, &'k PeerUse>,
    /// A message rule and a sender rule may have the same name.
    rules: HashMap<(&'static str, &'k Arc<str>), &'k RuleUse>,
}

impl<'k> Kept<'k> {
    fn of(quotas: Option<&'k Quotas>) -> Self {
        quotas.map_or_else(Self::default, |quotas| Self {
            peers: quotas.peers.iter().map(|peer| (&peer.name, peer)).collect(),
            rules: quotas.rules.iter().map(|rule| ((rule.kind, &rule.name), rule)).collect(),
        })
    }
}

/// The meter of before, if it is for the same limit.
fn meter(quota: Quota, kept: Option<&Arc<Meter>>) -> Arc<Meter> {
    match kept {
        Some(kept) if kept.quota() == quota => Arc::clone(kept),
        Some(_) | None => Arc::new(Meter::new(quota)),
    }
}

/// Whose limit is used up.
enum Exceeded {
    Peer(Spent, Quota),
    Rule(Spent, Quota),
}

/// Takes one of both limits, or of none.
fn take(peer: Option<&Arc<Meter>>, rule: Option<&Arc<Meter>>) -> Result<Running, Exceeded> {
    let of_peer = |spent| Exceeded::Peer(spent, peer.map_or(NONE, |meter| meter.quota()));
    let of_rule = |spent| Exceeded::Rule(spent, rule.map_or(NONE, |meter| meter.quota()));
    let held = |meter: &Arc<Meter>| meter.is_held().then(|| Arc::clone(meter));
    peer.map_or(Ok(()), |meter| meter.enter()).map_err(of_peer)?;
    let entered = Held { peer: peer.and_then(held), rule: None };
    rule.map_or(Ok(()), |meter| meter.enter()).map_err(of_rule)?;
    let entered = entered.and_rule(rule.and_then(held));
    let now = Instant::now();
    // What is denied for the rule's sake costs nothing of the peer's own rate.
    rule.map_or(Ok(()), |meter| meter.would_begin(now)).map_err(of_rule)?;
    peer.map_or(Ok(()), |meter| meter.begin(now)).map_err(of_peer)?;
    rule.map_or(Ok(()), |meter| meter.begin(now)).map_err(of_rule)?;
    let is_held = entered.peer.is_some() || entered.rule.is_some();
    Ok(Running { _held: is_held.then(|| Arc::new(entered)) })
}

/// No limit at all.
const NONE: Quota = Quota { rate: None, concurrency: None };

impl Held {
    fn and_rule(mut self, rule: Option<Arc<Meter>>) -> Self {
        self.rule = rule;
        self
    }
}

fn over_limit(
    spent: Spent,
    quota: Quota,
    peer: Option<&PeerName>,
    (rule, line): (Arc<str>, u32),
    version: Fingerprint,
) -> Over {
    let who = peer.map_or_else(|| "those without a name".into(), |peer| format!("peer `{peer}`"));
    let (reason, differs, nearest, retry_after) = match spent {
        Spent::Rate(wait) => {
            let rate = quota.rate.map(told).unwrap_or_default();
            let nearest = format!("{who} has used up its rate of {rate}");
            (DenyReason::RateLimit, Differs::Rate, nearest, wait)
        }
        Spent::Concurrency => {
            let most = quota.concurrency.unwrap_or_default();
            let nearest = format!("{who} has {most} at once, as many as it may");
            (DenyReason::ConcurrencyLimit, Differs::Concurrency, nearest, Duration::from_secs(1))
        }
    };
    let differs = Some(differs);
    let denied = Denied {
        reason,
        rule,
        line,
        version,
        peer: peer.cloned(),
        template: None,
        differs,
        nearest,
    };
    Over { denied, retry_after }
}

/// A rate as the configuration has it.
fn told(rate: Rate) -> String {
    const NANOS: u128 = 1_000_000_000;
    let interval = rate.interval.as_nanos().max(1);
    let units = [("s", NANOS), ("m", 60 * NANOS), ("h", 3600 * NANOS)];
    // An interval has no part of a nanosecond, so as many of them are shorter by less than one each.
    let is_whole = |unit: u128| unit >= interval && unit % interval <= unit / interval;
    let (name, unit) =
        units.into_iter().find(|(_, unit)| is_whole(*unit)).unwrap_or(("h", 3600 * NANOS));
    format!("{}/{name} (burst {})", unit / interval, rate.burst)
}
