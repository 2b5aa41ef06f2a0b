//! Bounds how many certificates one service gets: a sidecar that is not its owner's any more cannot wear
//! the authority's record out.

use std::time::Duration;

use super::buckets::Buckets;
use crate::certs::embedded::Grant;
use crate::identity::SpiffeId;

/// At once: all replicas of a service may start together.
const BURST: u32 = 60;
/// One more after this …
const REFILL: Duration = Duration::from_secs(60);
/// … or, of certificates that live shorter, after this part of their life. They are renewed at two thirds
/// of it, so that it is enough for 13 replicas.
const PART_OF_LIFE: u32 = 20;

/// Remembers who got how many.
#[derive(Debug)]
pub(super) struct Quota {
    services: Buckets<SpiffeId>,
}

/// A service has got too many certificates.
#[derive(Debug)]
pub(super) struct TooMany {
    /// Which.
    pub(super) spiffe: SpiffeId,
    /// It gets the next one after so many seconds.
    pub(super) seconds: u16,
    /// Whether it got the one that it asked for before.
    pub(super) is_first: bool,
}

impl Quota {
    pub(super) fn new() -> Self {
        Self { services: Buckets::new(BURST) }
    }

    /// Does `issue`, if one more may be issued; what fails does not count.
    pub(super) fn count<T, E: From<TooMany>>(
        &self,
        grant: &Grant,
        issue: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let refill = REFILL.min(grant.ttl / PART_OF_LIFE);
        self.services.look(&grant.spiffe, refill).map_err(|empty| TooMany {
            spiffe: grant.spiffe.clone(),
            seconds: u16::try_from(empty.wait.as_secs() + 1).unwrap_or(u16::MAX),
            is_first: empty.is_first,
        })?;
        let issued = issue()?;
        self.services.take(&grant.spiffe, refill);
        Ok(issued)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn grant(spiffe: &str, ttl: Duration) -> Grant {
        Grant { spiffe: SpiffeId::parse(spiffe).unwrap(), dns: Vec::new(), ttl }
    }

    /// How many certificates are issued one after the other, until the quota says no.
    fn get(quota: &Quota, grant: &Grant) -> (u32, TooMany) {
        let mut got = 0;
        loop {
            match quota.count(grant, || Ok(())) {
                Ok(()) => got += 1,
                Err(no) => return (got, no),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_gets_sixty_certificates_and_one_more_a_minute() {
        let quota = Quota::new();
        let billing = grant("spiffe://hospital.example/billing", DAY);

        let (got, no) = get(&quota, &billing);

        assert_eq!((got, no.seconds, no.is_first), (BURST, 61, true));
        assert_eq!(no.spiffe, billing.spiffe);
        assert_eq!(get(&quota, &grant("spiffe://hospital.example/ehr", DAY)).0, BURST);
        tokio::time::advance(REFILL).await;
        assert_eq!(get(&quota, &billing).0, 1);
        tokio::time::advance(DAY).await;
        assert_eq!(get(&quota, &billing).0, BURST);
    }

    #[tokio::test(start_paused = true)]
    async fn certificates_that_live_for_minutes_may_be_renewed_as_often_as_that_takes() {
        let quota = Quota::new();
        let billing = grant("spiffe://hospital.example/billing", Duration::from_secs(60));
        get(&quota, &billing);

        for _renewal in 0..1000 {
            tokio::time::advance(Duration::from_secs(40)).await;
            assert!(get(&quota, &billing).0 >= 13);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_issued_does_not_count() {
        let quota = Quota::new();
        let billing = grant("spiffe://hospital.example/billing", DAY);
        for _ in 0..BURST * 2 {
            let failed: Result<(), Option<TooMany>> = quota.count(&billing, || Err(None));
            assert!(failed.unwrap_err().is_none());
        }

        assert_eq!(get(&quota, &billing).0, BURST);
    }
}
