//! Tells when a certificate that should have been replaced comes close to its end.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::certs::{Material, Supply};
use crate::clock::rfc3339;
use crate::identity::Fingerprint;

/// From one urgent telling to the next.
const AGAIN: Duration = Duration::from_secs(3600);
/// Where somebody else replaces the certificate, a long life is no reason to tell earlier than this.
const SOON: time::Duration = time::Duration::days(30);
/// The same, for urgent tellings.
const VERY_SOON: time::Duration = time::Duration::days(7);

/// What was told, and when.
#[derive(Default)]
pub(super) struct Alarm(Option<(Fingerprint, Level, Instant)>);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Less than a third of its life is left.
    Late,
    /// Less than a tenth of its life is left.
    Urgent,
}

impl Alarm {
    /// What is to be told now of `material`, if anything.
    pub(super) fn look(
        &mut self,
        supply: &Supply,
        material: &Material,
        now: OffsetDateTime,
    ) -> Option<(Level, String)> {
        let renew_at = supply.renew_at(material);
        let level = level(material, renew_at, now)?;
        let which = material.facts.sha256;
        let is_old_news = self.0.is_some_and(|(told, at_level, when)| {
            let again = level == Level::Urgent && when.elapsed() >= AGAIN;
            told == which && at_level >= level && !again
        });
        if is_old_news {
            return None;
        }
        self.0 = Some((which, level, Instant::now()));
        Some((level, text(material, renew_at, now)))
    }
}

fn level(
    material: &Material,
    renew_at: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Option<Level> {
    if renew_at.is_some_and(|due| now < due) {
        return None;
    }
    let left = material.not_after() - now;
    let life: time::Duration = material.not_after() - material.issued;
    let (mut late, mut urgent): (time::Duration, time::Duration) = (life / 3, life / 10);
    if renew_at.is_none() {
        (late, urgent) = (late.min(SOON), urgent.min(VERY_SOON));
    }
    if left < urgent {
        return Some(Level::Urgent);
    }
    (left < late).then_some(Level::Late)
}

fn text(material: &Material, renew_at: Option<OffsetDateTime>, now: OffsetDateTime) -> String {
    let not_after = material.not_after();
    let (serial, at) = (&material.facts.serial, rfc3339(not_after));
    let left = u64::try_from((not_after - now).whole_seconds()).unwrap_or_default();
    // Nobody needs the seconds of a week.
    let left = if left > 3600 { left - left % 60 } else { left };
    let left = humantime::format_duration(Duration::from_secs(left));
    let end = if now > not_after {
        format!("our certificate, serial {serial}, expired at {at}: peers refuse us")
    } else {
        format!("our certificate, serial {serial}, expires in {left}, at {at}")
    };
    match renew_at {
        Some(due) => {
            let due = rfc3339(due);
            format!("{end}; it should have been renewed at {due}, and is tried again and again")
        }
        None => format!("{end}; whoever issues it has not replaced it yet"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::certs::openssl::{BOTH, OpenSsl};
    use crate::certs::rotate::tests::{embedded, files, supply};

    const DAY: time::Duration = time::Duration::DAY;

    #[tokio::test]
    async fn a_certificate_that_should_have_been_renewed_is_told_of_and_then_hourly() {
        let dir = tempfile::TempDir::new().unwrap();
        let supply = supply(&embedded(&dir, Duration::from_secs(30 * 24 * 3600)));
        let material = supply.load().await.unwrap().material;
        let (end, due) = (material.not_after(), supply.renew_at(&material).unwrap());
        tokio::time::pause();
        let mut alarm = Alarm::default();
        let mut at = |now| alarm.look(&supply, &material, now);

        assert_eq!(at(due - DAY / 24), None, "it is not due yet");
        let (level, told) = at(end - DAY * 8).unwrap();
        assert_eq!(level, Level::Late);
        assert!(told.contains("expires in 8days, at ") && told.contains(&rfc3339(due)), "{told}");
        assert_eq!(at(end - DAY * 7), None);

        assert_eq!(at(end - DAY * 2).unwrap().0, Level::Urgent);
        assert_eq!(at(end - DAY * 2), None);
        advance(AGAIN).await;
        assert!(at(end - DAY * 2).unwrap().1.contains("expires in 2days"));
        advance(AGAIN).await;
        assert!(at(end + DAY).unwrap().1.contains("expired at"));
    }

    #[tokio::test]
    async fn a_certificate_that_somebody_else_replaces_is_told_of_a_month_before_its_end() {
        let pki = OpenSsl::with_leaf();
        pki.sign("leaf", "root", BOTH, "-days 360");
        let supply = supply(&files(&pki));
        let material = supply.load().await.unwrap().material;
        let end = material.not_after();
        let mut alarm = Alarm::default();
        let mut at = |now| alarm.look(&supply, &material, now);

        assert_eq!(at(end - DAY * 31), None);
        let (level, told) = at(end - DAY * 29).unwrap();
        assert_eq!(level, Level::Late);
        assert!(told.ends_with("whoever issues it has not replaced it yet"), "{told}");
        assert_eq!(at(end - DAY * 6).unwrap().0, Level::Urgent);
    }
}
