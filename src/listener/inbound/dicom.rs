//! The life of a DICOM association that comes in: asked for → judged → on record → the workload.

use super::arrival::Incoming;
use super::state::InboundState;
use crate::authz::{Denied, Grant, Permit};
use crate::clock;
use crate::config::{Limits, Target};
use crate::listener::Services;
use crate::listener::associations::{self, NotAudited, OpenAssociation};
use crate::listener::life::Life;
use crate::listener::permits::Held;
use crate::listener::question::Question;
use crate::listener::quota::Running;
use crate::live::{Generation, Live};
use crate::outcome::{AssociationEnding, Ending};
use crate::protocol::dicom::{Reject, Request};
use crate::proxy::dicom::{self, AssociateRequest, Carried, Stay};

/// The association of one inbound connection.
pub(super) struct InboundDicom<'a> {
    pub(super) live: &'a Live<InboundState>,
    pub(super) services: &'a Services,
    pub(super) held: &'a Held<InboundState>,
    pub(super) permit: &'a Permit,
    pub(super) forward: &'a Target,
    pub(super) limits: &'a Limits,
}

/// Policy's yes, and the rules that it is by.
struct Judged {
    grant: Grant,
    generation: Generation,
}

impl InboundDicom<'_> {
    /// From a peer that is let in to the end of its connection.
    pub(super) async fn serve(&self, mut downstream: Incoming, life: &mut Life) -> Ending {
        let (services, member) = (self.services, self.held.member());
        let (connection, end) = (member.connection(), member.end());
        let asked = match end.until_cut(dicom::ask(&mut downstream, end)).await {
            Some(Ok(asked)) => asked,
            Some(Err(unasked)) => {
                life.message = unasked.message();
                return associations::unasked(services, connection, unasked, downstream, end).await;
            }
            None => return Ending::Cut,
        };
        let (judged, running) = match self.judge(asked.request()) {
            Ok(judged) => judged,
            Err(denied) => {
                let request = asked.request();
                let to = (connection, life.trace());
                let reject = associations::deny(services, to, request, &denied).await;
                dicom::reject(downstream, reject, end).await;
                return Ending::Denied;
            }
        };
        let on = (connection, life.trace());
        let admitting = associations::admit(services, on, asked.request(), &judged.grant);
        let Ok::<OpenAssociation, NotAudited>(open) = admitting.await else {
            dicom::reject(downstream, Reject::CONGESTION, end).await;
            return Ending::Denied;
        };
        self.carry(asked, (judged, open, running), downstream, life).await
    }

    /// By the policy of this moment, as whom the peer is now, and by its limits.
    fn judge(&self, request: &Request) -> Result<(Judged, Running), Denied> {
        let now = self.live.snapshot();
        let (InboundState { policy, quotas, .. }, at) = (&now.value, clock::onward());
        let permit = self.held.permit(&now.value, at)?;
        let grant = policy.authorize_association(&permit, request, at)?;
        let connection = self.held.member().connection();
        let record = |grant: &Grant| associations::allowed(connection, request, grant);
        let running = quotas.begin(&permit, Some(&grant)).map_err(|over| over.denied)?;
        let grant = self.services.narrow(policy, grant, None, record, at)?;
        quotas.used(&permit, Some(&grant), at);
        Ok((Judged { grant, generation: now.generation }, running))
    }

    async fn carry(
        &self,
        asked: AssociateRequest,
        (judged, open, running): (Judged, OpenAssociation, Running),
        downstream: Incoming,
        life: &mut Life,
    ) -> Ending {
        let (services, member) = (self.services, self.held.member());
        let end = member.end();
        let mut carried = Carried::default();
        let connecting = services.workload.reach(self.forward, self.limits, life);
        let upstream = match end.until_cut(connecting).await.unwrap_or(Err(Ending::Cut)) {
            Ok(upstream) => upstream,
            Err(ending) => {
                let message = life.message.clone();
                let how = AssociationEnding::Unreachable;
                associations::unbegun(services, open, how, ending, message).await;
                dicom::reject(downstream, Reject::CONGESTION, end).await;
                return ending;
            }
        };
        // What it was judged by may be gone: the record, and the workload, may have taken their time.
        let question = Question::association(asked.request());
        let lasting = self.held.lasts(question, &judged.grant, judged.generation).await;
        let Ok(_lasts) = lasting else {
            drop(upstream);
            let (how, ending) = (AssociationEnding::Aborted, Ending::Withdrawn);
            associations::unbegun(services, open, how, ending, None).await;
            dicom::reject(downstream, Reject::CALLING_AE, end).await;
            return ending;
        };
        let stay = Stay {
            idle: self.limits.idle_timeout,
            metrics: &services.metrics,
            end,
            is_bound: open.is_bound(),
        };
        let relaying = dicom::relay(self.permit, asked, downstream, upstream, &stay, &mut carried);
        let (over, parting) = relaying.await;
        life.moved = carried.moved;
        let ending = member.ending(over.ending);
        drop(running); // what is left is a record, and the end of the connection
        associations::completed(services, open, &over, ending, &carried).await;
        parting.done(end).await;
        ending
    }
}
