//! What is asked of a leaf beside its chain.

use rustls::pki_types::UnixTime;

use super::error::Why;
use crate::config::Profile;
use crate::identity::PeerCertificate;
use crate::outcome::Refusal;

/// What webpki lets pass and the profiles do not: SP 800-52r2, 3.2.1 and 4.2.1. `named`: whether the leaf
/// names this use of it.
pub(super) fn judge_use(facts: &PeerCertificate, profile: Profile, named: bool) -> Result<(), Why> {
    let usage = &facts.usage;
    if profile == Profile::Compatible {
        return Ok(());
    }
    if usage.any_purpose {
        return Err(Why::unfit("its extended key usage is anyExtendedKeyUsage"));
    }
    if !named {
        return Err(Why::unfit("it names no purpose (extended key usage)"));
    }
    if usage.may_sign_certificates {
        return Err(Why::unfit("it may sign certificates (key usage keyCertSign)"));
    }
    Ok(())
}

/// A pin replaces the chain, never the dates.
pub(super) fn judge_dates(facts: &PeerCertificate, now: UnixTime) -> Result<(), Why> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now > facts.not_after.unix_timestamp() {
        return Err(Why::pinned_dates(Refusal::Expired, facts));
    }
    if now < facts.not_before.unix_timestamp() {
        return Err(Why::pinned_dates(Refusal::NotYetValid, facts));
    }
    Ok(())
}
