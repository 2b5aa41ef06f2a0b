//! The server's authorities, as they were when it was last asked.

use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::chain;
use super::client::Client;
use crate::certs::enrol::EnrolError;

/// The server is not asked for its authorities more often.
pub(super) const APART: Duration = Duration::seconds(60);

/// What the server last answered, and when. Kept, because the attempt that asked for it may have come to
/// nothing afterwards, and whom to trust is new all the same.
#[derive(Default)]
pub(super) struct Authorities(Option<(OffsetDateTime, Vec<CertificateDer<'static>>)>);

impl Authorities {
    /// Remembers what the server has answered.
    pub(super) fn had(&mut self, authorities: &[CertificateDer<'static>], now: OffsetDateTime) {
        self.0 = Some((now, chain::anchors(authorities)));
    }

    /// Whom peers are verified with; asks unless that was done a moment ago.
    ///
    /// # Errors
    ///
    /// The server does not answer.
    pub(super) async fn anchors(
        &mut self,
        client: &Client,
        now: OffsetDateTime,
    ) -> Result<Vec<CertificateDer<'static>>, EnrolError> {
        if let Some((asked, anchors)) = &self.0
            && (*asked..*asked + APART).contains(&now)
        {
            return Ok(anchors.clone());
        }
        let authorities = client.authorities().await?;
        self.had(&authorities, now);
        Ok(chain::anchors(&authorities))
    }
}
