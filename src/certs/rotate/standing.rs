//! How the rotation is doing: for `/status`, and so that the same trouble is not told again and again.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::certs::{Material, Supply};

/// The same problems are told again after this.
const AGAIN: Duration = Duration::from_secs(3600);

/// How key material is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What kind of source it comes from, as the configuration names it.
    pub source: &'static str,
    /// When the certificate in use is to be replaced; `None` if somebody else replaces it.
    pub renew_at: Option<OffsetDateTime>,
    /// When key material was replaced last; `None`: not since the start.
    pub rotated: Option<OffsetDateTime>,
    /// What was refused since then.
    pub rejected: Option<Rejected>,
}

/// Key material that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// When the last attempt was made.
    pub at: OffsetDateTime,
    /// When the first one was made that came to nothing.
    pub since: OffsetDateTime,
    /// Every problem of the last one, one a text.
    pub problems: Vec<String>,
}

impl Standing {
    /// At the start.
    pub fn of(supply: &Supply, material: &Material) -> Self {
        let renew_at = supply.renew_at(material);
        Self { source: supply.kind(), renew_at, rotated: None, rejected: None }
    }

    /// An attempt succeeded; `rotated` says when there was anything new.
    pub(super) fn accept(
        &mut self,
        supply: &Supply,
        material: &Material,
        rotated: Option<OffsetDateTime>,
    ) {
        let rotated = rotated.or(self.rotated);
        *self = Self { rotated, ..Self::of(supply, material) };
    }

    /// An attempt came to nothing.
    pub(super) fn reject(&mut self, problems: Vec<String>, at: OffsetDateTime) {
        let since = self.rejected.as_ref().map_or(at, |rejected| rejected.since);
        self.rejected = Some(Rejected { at, since, problems });
    }
}

/// What was told of an attempt that came to nothing.
#[derive(Default)]
pub(super) struct Telling(Option<(Vec<String>, Instant)>);

impl Telling {
    /// Whether problems with this gist are to be told now.
    pub(super) fn is_due(&mut self, gist: Vec<String>) -> bool {
        let told = |(told, at): &(Vec<String>, Instant)| *told == gist && at.elapsed() < AGAIN;
        if self.0.as_ref().is_some_and(told) {
            return false;
        }
        self.0 = Some((gist, Instant::now()));
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_problems_are_told_again_after_an_hour_and_others_at_once() {
        let mut telling = Telling::default();
        let gist = |text: &str| vec![text.to_owned()];

        assert!(telling.is_due(gist("unreachable")));
        assert!(!telling.is_due(gist("unreachable")));
        assert!(telling.is_due(gist("refused")));
        assert!(!telling.is_due(gist("refused")));
        advance(AGAIN).await;
        assert!(telling.is_due(gist("refused")));
    }
}
