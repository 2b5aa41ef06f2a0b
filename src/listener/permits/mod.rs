//! The permits of a listener that are in use, and their withdrawal.
//!
//! A permit rests on a certificate, a trust bundle, revocation lists, pins and a policy. [`watch`] judges
//! all of them again when one of these is replaced or ends; only those that do not hold any more are told.

mod group;
mod lasting;
mod lost;
mod member;
mod register;
mod sweep;
mod watch;

use std::sync::{Arc, Weak};
use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::group::{Chain, Group};
pub(super) use self::lasting::Lasts;
use self::lasting::{AllLasting, Lasting};
use self::lost::{Lost, Without};
pub(super) use self::member::Member;
use self::register::Register;
use super::Services;
use super::question::Question;
use crate::audit::Connection;
use crate::authz::{Denied, Grant, ListenerPolicy, Permit};
use crate::clock;
use crate::live::{Generation, Live, Snapshot};
use crate::outcome::Withdrawal;
use crate::tls::{Session, Trust};

/// What a listener's state has to say about who may stay.
pub(super) trait Rules: Send + Sync + 'static {
    /// What peers are verified with.
    fn trust(&self) -> &Arc<Trust>;
    /// Whom the listener lets in, or expects.
    fn policy(&self) -> &ListenerPolicy;
    /// How long a connection may take to come to a message boundary.
    fn drain_timeout(&self) -> Duration;
}

/// The permits of one listener that are in use.
pub(super) struct Permits<S: Rules> {
    register: Arc<Register<S>>,
    /// Ends the watch: nobody is left who could hold a permit.
    _watched: DropGuard,
}

/// A connection's permit in use. Dropped when the connection has ended.
pub(super) struct Held<S: Rules> {
    permits: Arc<Permits<S>>,
    group: Arc<Group>,
    member: Arc<Member>,
    id: u64,
}

impl<S: Rules> Permits<S> {
    /// None in use yet, and watched from now on.
    pub(super) fn start(live: Live<S>, services: Services) -> Arc<Self> {
        let register = Arc::new(Register::new(live, services));
        let told: Weak<Register<S>> = Arc::downgrade(&register);
        register.services.open.are_in(told);
        let gone = CancellationToken::new();
        let watching = watch::watch(Arc::clone(&register), gone.clone());
        register.services.shutdown.spawn(watching);
        Arc::new(Self { register, _watched: gone.drop_guard() })
    }

    /// Connections with the same certificate share what it says.
    pub(super) fn share(&self, session: &mut Session) {
        if let Some(certificate) = self.register.certificate(Chain::of(Some(session))) {
            session.peer.certificate = certificate;
        }
    }

    /// Puts a permit to use that was given by the rules of `seen`, and judges it by those of this moment if
    /// they are others, or if something that it rests on has ended since. `session` is `None` for somebody
    /// in plaintext. `is_endless`: the connection has no message boundaries that we know.
    ///
    /// # Errors
    ///
    /// It was lost in between; that is on record.
    pub(super) async fn hold(
        self: &Arc<Self>,
        seen: &Snapshot<S>,
        session: Option<&Session>,
        permit: &Permit,
        connection: &Arc<Connection>,
        is_endless: bool,
    ) -> Result<Held<S>, Withdrawal> {
        let shutdown = &self.register.services.shutdown;
        let by = (seen.generation, seen.value.policy().asks_again(clock::onward()));
        let member = Arc::new(Member::new(Arc::clone(connection), shutdown, is_endless, by));
        let (group, id) = self.register.join(seen, session, permit, &member);
        let held = Held { permits: Arc::clone(self), group, member, id };
        // It may have waited for a slot, or for its record, beyond the end of what its permit rests on.
        held.stands(seen.generation, permit).await?;
        Ok(held)
    }
}

impl<S: Rules> Held<S> {
    /// Its own end, and how that comes about.
    pub(super) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// What the connection is permitted by these rules at this moment: for each request, message or
    /// association, since a certificate may have been revoked meanwhile, or an entry have expired.
    ///
    /// The first who asks after a change does not wait for the watch: nothing passes on an old verdict.
    ///
    /// # Errors
    ///
    /// The permit does not hold any more.
    pub(super) fn permit(&self, rules: &S, at: OffsetDateTime) -> Result<Permit, Denied> {
        match self.member.withdrawn() {
            Some(reason) => Err(rules.policy().withdrawn(reason)),
            None => {
                let permitted = self.group.permit(rules, at).map(|(permit, _grounds)| permit);
                permitted.map_err(|without: Without| without.denied(rules.policy()))
            }
        }
    }

    /// Judges `permit`, given by the rules of `seen`, by those of this moment, if they are others, or
    /// if something that it rests on has ended since.
    ///
    /// # Errors
    ///
    /// It was lost; that is on record.
    pub(super) async fn stands(&self, seen: Generation, permit: &Permit) -> Result<(), Withdrawal> {
        // It is in the register, so whatever is published from here on is the watch's to see.
        let (now, at) = self.moment();
        let is_new = seen != now.generation; // Rego has not been asked by these rules
        let is_due = is_new || self.group.is_due(&now, at);
        let judged = if is_due { self.group.judge(&now, at) } else { Ok(permit.clone()) };
        let judged = judged.and_then(|permit| match is_new {
            true => self.member.narrowed(&self.permits.register.services, &now, permit, at),
            false => Ok(permit),
        });
        if let Err(lost) = judged {
            self.lose(&lost).await;
        }
        self.member.withdrawn().map_or(Ok(()), Err)
    }

    /// Something begins that may go on for long, and was let through by the rules of `judged`: `question` is
    /// asked again for as long as what is returned is kept. It is asked before anything begins if there are
    /// other rules by now, or if the grant has ended.
    ///
    /// # Errors
    ///
    /// It is not let through any more, and the connection has lost its permit with it; that is on record.
    pub(super) async fn lasts(
        &self,
        question: Question,
        grant: &Grant,
        judged: Generation,
    ) -> Result<Lasts, Withdrawal> {
        let (now, at) = self.moment();
        let until = lasting::until(grant, now.value.policy(), at);
        let lasting = Lasting::new(question, &self.member, judged, until);
        let lasts = AllLasting::join(&self.group, &lasting);
        self.permits.register.look_by(lasting.until());
        let (now, at) = self.moment(); // only now it is the watch's to see what is published
        if lasting.is_due(&now, at) {
            let services = &self.permits.register.services;
            match self.group.judge_lasting(services, &lasting, &now, at) {
                Ok(again) if asks_more(&again, grant) => self.lose(&Lost::overtaken()).await,
                Ok(_) => self.permits.register.look_by(lasting.until()),
                Err(lost) => self.lose(&lost).await,
            }
        }
        self.member.withdrawn().map_or(Ok(lasts), Err)
    }

    /// Whether what was let through by the rules of `judged` may begin: there are no others, and the permit was
    /// not withdrawn. Quick: it is asked for every request and message, right before its first byte.
    pub(super) fn is_still(&self, judged: Generation) -> bool {
        self.permits.register.live.generation() == judged && self.member.withdrawn().is_none()
    }

    fn moment(&self) -> (Arc<Snapshot<S>>, OffsetDateTime) {
        (self.permits.register.live.snapshot(), clock::onward())
    }

    /// Withdraws the permit, and puts that on record. Whoever asks ends the connection.
    async fn lose(&self, lost: &Lost) {
        let Services { metrics, audit, .. } = &self.permits.register.services;
        if self.member.withdraw(lost.reason) {
            metrics.withdrawn(lost.reason);
            audit.note(lost.record(self.member.connection())).await;
        }
    }

    /// Whether something new may begin on the connection.
    pub(super) fn is_good(&self, at: OffsetDateTime) -> bool {
        let now = self.permits.register.live.snapshot();
        self.member.withdrawn().is_none()
            && (!self.group.is_due(&now, at) || self.group.judge(&now, at).is_ok())
    }
}

impl<S: Rules> Drop for Held<S> {
    fn drop(&mut self) {
        self.permits.register.leave(&self.group, self.id);
    }
}

/// Whether one was put on record, and begins, otherwise than rules ask for by now.
fn asks_more(now: &Grant, before: &Grant) -> bool {
    (now.phi() && !before.phi()) || now.context_binding() != before.context_binding()
}

/// Nothing is due.
const LATEST: OffsetDateTime = time::PrimitiveDateTime::MAX.assume_utc();
