//! Every check of a server's certificate, one by one, beside the verdict of the real verifier.
//!
//! The verdict alone decides; the checks say where it comes from, all of them and not only the first
//! that fails.

use std::fmt::Write;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use super::Question;
use super::anatomy::{self, Outdated};
use super::chain::{Chains, NoChain};
use super::diagnose::{Fault, Whose};
use super::seen::{Certificate, Check, Judged, Recognition, Verdict};
use crate::authz::{ListenerPolicy, recognized};
use crate::certs::Trusted;
use crate::clock::{self, rfc3339};
use crate::config::{Config, Profile};
use crate::identity::{PeerCertificate, PeerIdentity, PeerName, Proof};
use crate::outcome::Refusal;
use crate::report::Report;
use crate::tls::{ConfigError, Pins, examine_server};

/// What servers' certificates are judged with.
pub(super) struct Judge {
    config: Arc<Config>,
    trusted: Arc<Trusted>,
    pins: Pins,
    expected: Option<(Vec<PeerName>, Arc<ListenerPolicy>)>,
    chains: Chains,
    host: String,
}

impl Judge {
    pub(super) fn new(question: &Question) -> Result<Self, ConfigError> {
        let judge = Self {
            config: Arc::clone(&question.config),
            trusted: Arc::clone(&question.trusted),
            pins: question.pins.clone(),
            expected: question.expected.clone(),
            chains: Chains::new(question),
            host: question.to.host.to_string(),
        };
        // What is wrong with our own material is said before anybody is spoken to.
        judge.examine(&[], clock::now()).map(|_no_certificate| judge)
    }

    fn examine(
        &self,
        chain: &[CertificateDer<'_>],
        now: OffsetDateTime,
    ) -> Result<Result<PeerIdentity, (Refusal, String)>, ConfigError> {
        let examined = examine_server(&self.trusted, &self.config.tls, &self.pins, chain, now)?;
        Ok(examined.map_err(|failed| (failed.refusal, failed.message)))
    }

    /// Everything there is to say about what the server presented.
    pub(super) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Judged {
        let now = clock::now();
        let chain: Vec<_> = std::iter::once(leaf)
            .chain(intermediates)
            .map(|der| der.clone().into_owned())
            .collect();
        let verdict = self
            .examine(&chain, now)
            .unwrap_or_else(|error| Err((Refusal::BadCertificate, Report(&error).to_string())));
        let mut bench = Bench { accepted: verdict.is_ok(), ..Bench::default() };
        let read: Vec<_> = chain.iter().map(anatomy::read).collect();
        let facts = bench.names(leaf);
        bench.strength(&read);
        bench.dates(&read, now);
        bench.chain(self.chains.find(&chain, now), &verdict);
        bench.purpose(facts.as_ref(), self.config.tls.profile);
        bench.revocation(&self.trusted, &verdict);
        if let Some(facts) = &facts {
            bench.host(facts, &self.host);
        }
        bench.rest(&verdict);
        let refusal = verdict.as_ref().err().map(|(refusal, _)| *refusal);
        let (recognized, unexpected) = self.recognize(&mut bench, verdict.ok(), now);
        Judged {
            chain: read.into_iter().flatten().map(|(certificate, _)| certificate).collect(),
            presented: chain.len(),
            checks: bench.checks,
            faults: bench.faults,
            refusal: refusal.or(unexpected),
            recognized,
        }
    }

    fn recognize(
        &self,
        bench: &mut Bench,
        who: Option<PeerIdentity>,
        now: OffsetDateTime,
    ) -> (Recognition, Option<Refusal>) {
        let names = self.expected.as_ref().map(|(names, _)| names.as_slice()).unwrap_or_default();
        let expected: Vec<String> = names.iter().map(ToString::to_string).collect();
        let Some(who) = who else {
            bench.note(Verdict::Skipped, "identity", "nothing is proven by such a certificate");
            return (Recognition { expected, ..Recognition::default() }, None);
        };
        let peers = recognized(&self.config, &who).iter().map(ToString::to_string).collect();
        let recognition = Recognition { identity: Some(who.to_string()), peers, expected };
        let Some((_, policy)) = &self.expected else {
            bench.note(Verdict::Noted, "identity", &anybody(&recognition));
            return (recognition, None);
        };
        match policy.authorize(&who, now) {
            Ok(permit) => {
                let text = format!(
                    "{who} is the expected peer `{}`",
                    permit.peer().map_or("", |peer| peer.as_str())
                );
                bench.note(Verdict::Passed, "identity", &text);
                (recognition, None)
            }
            Err(denied) => {
                let text = format!(
                    "{who} is not expected ({}): {}",
                    recognition.expected.join(", "),
                    denied.nearest
                );
                bench.fail(
                    "identity",
                    &text,
                    Fault::Unexpected { who: who.to_string(), nearest: denied.nearest },
                );
                (recognition, Some(Refusal::UnexpectedServer))
            }
        }
    }
}

/// Who it is, when nobody in particular is expected.
fn anybody(recognition: &Recognition) -> String {
    let who = recognition.identity.as_deref().unwrap_or_default();
    match recognition.peers.as_slice() {
        [] => format!("{who} is none of `peers`, and no outbound listener would accept it"),
        peers => format!("{who} is peer `{}`", peers.join("`, `")),
    }
}

/// Where checks and faults are gathered.
#[derive(Default)]
struct Bench {
    /// The real verifier accepts the certificate: then no check fails, it is only told.
    accepted: bool,
    checks: Vec<Check>,
    faults: Vec<Fault>,
    /// The authority of ours that the chain leads to; empty if it leads to none.
    anchor: String,
}

impl Bench {
    fn note(&mut self, verdict: Verdict, name: &'static str, text: &str) {
        self.checks.push(Check { name, verdict, text: text.to_owned() });
    }

    fn fail(&mut self, name: &'static str, text: &str, fault: Fault) {
        let is_identity = matches!(fault, Fault::Unexpected { .. });
        if self.accepted && !is_identity {
            return self.note(Verdict::Noted, name, text);
        }
        self.note(Verdict::Failed, name, text);
        self.faults.push(fault);
    }

    fn names(&mut self, leaf: &CertificateDer<'_>) -> Option<PeerCertificate> {
        match PeerCertificate::parse(leaf) {
            Ok(facts) => {
                self.note(Verdict::Passed, "names", "each is what it claims to be");
                Some(facts)
            }
            Err(error) => {
                let text = Report(&error).to_string();
                self.fail("names", &text, Fault::Names(text.clone()));
                None
            }
        }
    }

    fn strength(&mut self, read: &[Option<(Certificate, Vec<Outdated>)>]) {
        let mut found = false;
        for (certificate, outdated) in read.iter().flatten() {
            for outdated in outdated {
                found = true;
                let of = &certificate.subject;
                let (name, text) = match outdated {
                    Outdated::Version(number) => {
                        ("version", format!("{of} is of version {number}"))
                    }
                    Outdated::Key(key) => ("key", format!("{of} has {key}, too short")),
                    Outdated::Signature(kind) => ("signature", format!("{of} is signed by {kind}")),
                };
                self.fail(name, &text, Fault::of(outdated, of));
            }
        }
        if read.iter().any(Option::is_none) {
            let text = "a certificate of the chain cannot be read";
            self.fail("form", text, Fault::Other(text.to_owned()));
        } else if !found {
            self.note(
                Verdict::Passed,
                "strength",
                "version, keys and signatures are of this decade",
            );
        }
    }

    fn dates(&mut self, read: &[Option<(Certificate, Vec<Outdated>)>], now: OffsetDateTime) {
        let mut found = false;
        let readable = read.iter().enumerate();
        for (index, (certificate, _)) in
            readable.filter_map(|(index, one)| Some((index, one.as_ref()?)))
        {
            let whose = if index == 0 { Whose::Leaf } else { Whose::Intermediate };
            let Certificate { subject, not_before, not_after, .. } = certificate;
            if *not_after < now {
                found = true;
                let text = format!("{subject} expired at {}", rfc3339(*not_after));
                let fault = Fault::Expired { whose, ago: now - *not_after, at: *not_after };
                self.fail("dates", &text, fault);
            } else if now < *not_before {
                found = true;
                let text = format!("{subject} is not valid before {}", rfc3339(*not_before));
                let fault = Fault::NotYet { whose, ahead: *not_before - now, at: *not_before };
                self.fail("dates", &text, fault);
            }
        }
        if !found {
            self.note(Verdict::Passed, "dates", &format!("valid at {}", rfc3339(now)));
        }
    }

    fn chain(
        &mut self,
        found: Result<String, NoChain>,
        verdict: &Result<PeerIdentity, (Refusal, String)>,
    ) {
        if let Ok(PeerIdentity { proof: Proof::Pin, .. }) = verdict {
            self.note(Verdict::Passed, "chain", "none is needed: `peers` has its pin");
            return;
        }
        match found {
            Ok(anchor) => {
                self.note(
                    Verdict::Passed,
                    "chain",
                    &format!("leads to {anchor} in our trust bundle"),
                );
                self.anchor = anchor;
            }
            // Said already, by what is outdated in it.
            Err(NoChain::Unusable(_)) if !self.faults.is_empty() => {
                self.note(Verdict::Skipped, "chain", "cannot be followed: see above");
            }
            Err(why) => {
                let text = why.to_string();
                self.fail("chain", &text, Fault::NoChain(why));
            }
        }
    }

    fn purpose(&mut self, facts: Option<&PeerCertificate>, profile: Profile) {
        let Some(usage) = facts.map(|facts| &facts.usage) else { return };
        let strict = profile != Profile::Compatible;
        let mut faults = Vec::new();
        if usage.is_ca {
            faults.push((
                "is an authority's own certificate",
                Fault::Unfit("an authority's certificate stands as a server's"),
            ));
        }
        if usage.names_purpose && !usage.server_auth && !usage.any_purpose {
            faults.push((
                "does not name servers (extended key usage serverAuth)",
                Fault::Purpose { clients: usage.client_auth },
            ));
        } else if strict && usage.any_purpose {
            faults.push((
                "is good for any purpose",
                Fault::Unfit("its extended key usage is anyExtendedKeyUsage"),
            ));
        } else if strict && !usage.names_purpose {
            faults.push((
                "names no purpose (extended key usage)",
                Fault::Unfit("it names no purpose (extended key usage)"),
            ));
        }
        if strict && usage.may_sign_certificates && !usage.is_ca {
            faults.push((
                "may sign certificates (key usage keyCertSign)",
                Fault::Unfit("it may sign certificates (key usage keyCertSign)"),
            ));
        }
        if faults.is_empty() {
            self.note(Verdict::Passed, "purpose", "a server's (extended key usage)");
        }
        for (text, fault) in faults {
            self.fail("purpose", text, fault);
        }
    }

    fn revocation(&mut self, trusted: &Trusted, verdict: &Result<PeerIdentity, (Refusal, String)>) {
        const NAME: &str = "revocation";
        match verdict {
            Err((Refusal::Revoked, message)) => self.fail(NAME, message, Fault::Revoked),
            Err((Refusal::RevocationUnknown, message)) => {
                self.fail(NAME, message, Fault::RevocationUnknown);
            }
            Err((Refusal::CrlExpired, message)) => {
                self.fail(NAME, message, Fault::CrlExpired(trusted.crl_next_update()));
            }
            _ if trusted.crls.is_empty() => {
                self.note(Verdict::Skipped, NAME, "not checked: we have no revocation list");
            }
            Ok(_) | Err((Refusal::UnfitLeaf, _)) => {
                self.note(Verdict::Passed, NAME, "on none of our revocation lists");
            }
            Err(_) => self.note(Verdict::Skipped, NAME, "not reached: another fault is in the way"),
        }
    }

    /// Browsers and other programs ask for it, Myelin does not: `expect` says who a server must be.
    fn host(&mut self, facts: &PeerCertificate, host: &str) {
        let named = facts.is_of(host);
        let mut text = format!("{host} is {} its names", if named { "among" } else { "not among" });
        if !named {
            let _ = write!(text, "; only `expect` is asked here, other clients may ask for it");
        }
        self.note(Verdict::Noted, "host", &text);
    }

    /// A refusal for which no check has a name.
    fn rest(&mut self, verdict: &Result<PeerIdentity, (Refusal, String)>) {
        if let Err((refusal, message)) = verdict
            && self.faults.is_empty()
        {
            let fault = match refusal {
                // There is a chain, and its authority may not vouch for such a name.
                Refusal::UnknownIssuer => Fault::Foreign(message.clone()),
                // All that the server sent is valid: it is what the chain ends in.
                Refusal::Expired => Fault::ExpiredAnchor {
                    authority: std::mem::take(&mut self.anchor),
                    what: message.clone(),
                },
                _ => Fault::Other(message.clone()),
            };
            self.fail("verdict", message, fault);
        }
    }
}

/// Why this machine's clock may be wrong: something of our own is not valid at `now`.
pub(super) fn clock_doubt(question: &Question, now: OffsetDateTime) -> Option<String> {
    if let Some(material) = &question.material
        && now < material.facts.not_before
    {
        return Some(format!(
            "it says {}, and our own certificate is valid only from {}",
            rfc3339(now),
            rfc3339(material.facts.not_before)
        ));
    }
    let authorities: Vec<_> =
        question.trusted.bundle.iter().filter_map(anatomy::read).map(|(it, _)| it).collect();
    // One that has expired stands beside its successor for a while; all of them expired are a sign.
    let all_expired = authorities.iter().all(|authority| authority.not_after < now);
    authorities
        .iter()
        .find(|authority| now < authority.not_before)
        .or_else(|| authorities.first().filter(|_| all_expired))
        .map(|authority| {
            format!(
                "it says {}, and {} of our own trust bundle is valid from {} to {}",
                rfc3339(now),
                authority.subject,
                rfc3339(authority.not_before),
                rfc3339(authority.not_after)
            )
        })
}
