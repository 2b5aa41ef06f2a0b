//! Receivers that are spoken to by HTTP, and say what they took.
//!
//! Records go in requests of several. What a receiver refuses for what is in it is sent again record by record, so that
//! the one is found that it does not take: after some attempts that is left out, kept in a list beside the trail, and
//! told. A receiver that refuses one record after the other is taken to be the one at fault, and nothing is left out.

mod client;
mod fhir;
pub(super) mod otlp;
mod rejected;

use std::collections::BTreeSet;

use self::client::{Answer, Client};
pub(super) use self::fhir::Fhir;
pub(super) use self::otlp::Otlp;
pub(super) use self::rejected::{Rejected, Rejections};
use super::failure::Failure;
use super::feed::Item;
use crate::live::Generation;
use crate::outcome::Undelivered;

pub(super) use self::client::{Client as HttpClient, Request};

/// A record that is refused so often is left out.
const ATTEMPTS: u32 = 3;
/// More than so many in a row are not.
const IN_A_ROW: u64 = 100;

/// What a receiver speaks.
pub(super) enum Speech {
    Fhir(Fhir),
    Otlp(Otlp),
}

/// What a receiver says of some records.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has them all.
    Taken,
    /// It has those, by their place in the request; the others it refuses for what they are.
    Partly(Vec<usize>),
    /// It has taken what it wants of them, and the rest is not to be sent again: so many.
    LeftOut(u64, String),
    /// It refuses them for what they are.
    Refused(String),
}

/// The way to a receiver.
pub(super) struct Http {
    pub(super) client: Client,
    pub(super) speech: Speech,
    pub(super) rejections: Rejections,
    /// Of the portion that is being sent, what the receiver has.
    taken: BTreeSet<u64>,
    /// What has to go by itself, up to this record.
    alone_until: u64,
    /// How often the record was refused that is next.
    refused: (u64, u32),
    /// Left out since the last that was taken.
    in_a_row: u64,
}

impl Http {
    pub(super) fn new(client: Client, speech: Speech, rejections: Rejections) -> Self {
        Self {
            client,
            speech,
            rejections,
            taken: BTreeSet::new(),
            alone_until: 0,
            refused: (0, 0),
            in_a_row: 0,
        }
    }

    /// Sends records; when it returns, the receiver has them, but for those that are left out.
    pub(super) async fn send(&mut self, items: &[Item]) -> Result<(), Failure> {
        let mut left: Vec<&Item> =
            items.iter().filter(|item| !self.taken.contains(&item.sequence)).collect();
        while let Some(first) = left.first() {
            let most = if first.sequence <= self.alone_until { 1 } else { self.speech.most() };
            let chunk: Vec<_> = left.iter().take(most).copied().collect();
            let verdict = self.post(&chunk).await?;
            self.heed(&chunk, verdict).await?;
            left.retain(|item| !self.taken.contains(&item.sequence));
        }
        self.taken.clear();
        Ok(())
    }

    async fn post(&mut self, chunk: &[&Item]) -> Result<Verdict, Failure> {
        let request = match &self.speech {
            Speech::Fhir(fhir) => fhir.request(chunk),
            Speech::Otlp(otlp) => otlp.request(chunk),
        };
        let answer = self.client.ask(&request).await?;
        let verdict = match &self.speech {
            Speech::Fhir(fhir) => fhir.judge(&answer, chunk.len()),
            Speech::Otlp(otlp) => otlp.judge(&answer),
        };
        verdict.inspect_err(|_failed| self.client.hang_up())
    }

    async fn heed(&mut self, chunk: &[&Item], verdict: Verdict) -> Result<(), Failure> {
        match verdict {
            Verdict::Taken => {
                self.taken.extend(chunk.iter().map(|item| item.sequence));
                self.in_a_row = 0;
            }
            Verdict::Partly(places) => {
                let taken = places.iter().filter_map(|place| chunk.get(*place));
                self.taken.extend(taken.map(|item| item.sequence));
                self.alone_until = chunk.last().map_or(0, |item| item.sequence);
            }
            Verdict::LeftOut(count, why) => self.leave_out(chunk, count, why).await?,
            Verdict::Refused(_) if chunk.len() > 1 => {
                self.alone_until = chunk.last().map_or(0, |item| item.sequence);
            }
            Verdict::Refused(why) => {
                let sequence = chunk.first().map_or(0, |item| item.sequence);
                self.refuse(sequence, why).await?;
            }
        }
        Ok(())
    }

    /// The receiver has taken some records, says that it left out `count` of them, and not which.
    async fn leave_out(&mut self, chunk: &[&Item], count: u64, why: String) -> Result<(), Failure> {
        let sequence = chunk.first().map_or(0, |item| item.sequence);
        let count = count.min(chunk.len() as u64);
        let in_a_row = if count == chunk.len() as u64 { self.in_a_row + count } else { 0 };
        // They were not to be sent again; but a trail is not thrown away for a receiver's misconfiguration.
        if in_a_row > IN_A_ROW {
            return Err(too_many(sequence, &why));
        }
        let among = format!("{count} of the {} from here on: {why}", chunk.len());
        self.rejections.add(Rejected { sequence, count, why: among }).await?;
        self.in_a_row = in_a_row;
        self.taken.extend(chunk.iter().map(|item| item.sequence));
        Ok(())
    }

    /// A record was refused, for what it is.
    async fn refuse(&mut self, sequence: u64, why: String) -> Result<(), Failure> {
        let before = if self.refused.0 == sequence { self.refused.1 } else { 0 };
        self.refused = (sequence, before + 1);
        if self.refused.1 < ATTEMPTS {
            let what = format!("the receiver refuses record {sequence}: {why}");
            return Err(Failure::new(Undelivered::Rejected, what));
        }
        if self.in_a_row >= IN_A_ROW {
            return Err(too_many(sequence, &why));
        }
        self.rejections.add(Rejected { sequence, count: 1, why }).await?;
        self.in_a_row += 1;
        self.taken.insert(sequence);
        Ok(())
    }

    /// Resolves when the connection has ended while nothing was asked.
    pub(super) async fn lost(&mut self) -> Failure {
        self.client.lost().await
    }

    /// The generation of our key material that the connection was made with.
    pub(super) fn generation(&self) -> Option<Generation> {
        self.client.generation()
    }
}

fn too_many(sequence: u64, why: &str) -> Failure {
    let what = format!(
        "the receiver has refused more than {IN_A_ROW} records in a row, the last is {sequence} ({why}): this is no matter of a \
         record, and none is left out any more; see what it wants"
    );
    Failure::new(Undelivered::Rejected, what)
}

impl Speech {
    /// Most records of one request.
    fn most(&self) -> usize {
        match self {
            Self::Fhir(fhir) => fhir.batch,
            Self::Otlp(_) => otlp::MOST,
        }
    }
}

/// What a status other than success means, whoever says it; `Ok` for what is about the records themselves.
fn refusal(answer: &Answer) -> Result<Verdict, Failure> {
    let status = answer.status;
    let told = format!("the receiver answers {status}");
    match status.as_u16() {
        408 | 429 | 503 => Err(Failure {
            wait: answer.retry_after(),
            ..Failure::new(Undelivered::Busy, format!("{told}: it takes no records now"))
        }),
        401 | 403 => Err(Failure::new(
            Undelivered::Refused,
            format!("{told}: it has to allow this sidecar's certificate to create records there"),
        )),
        404 | 405 | 406 | 410 | 421 => Err(Failure::new(
            Undelivered::Refused,
            format!("{told}: records cannot be created there, is the URL right?"),
        )),
        300..=399 => Err(Failure::new(
            Undelivered::BadAnswer,
            format!("{told}: it sends us elsewhere, which is not followed; configure where it is"),
        )),
        400..=499 => Ok(Verdict::Refused(told)),
        500..=599 => Err(Failure {
            wait: answer.retry_after(),
            ..Failure::new(Undelivered::ServerError, told)
        }),
        _ => Err(Failure::new(Undelivered::BadAnswer, told)),
    }
}
