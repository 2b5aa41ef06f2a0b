//! The life of a DICOM association that goes out: asked for → a peer that is who we expect → on record → on.

use std::sync::Arc;

use super::dial::{Dialer, Reached, describe};
use super::{OutboundState, refused};
use crate::authz::Permit;
use crate::clock;
use crate::listener::associations::{self, NotAudited, OpenAssociation};
use crate::listener::life::Life;
use crate::listener::permits::{Held, Lasts};
use crate::listener::plain::Plain;
use crate::listener::question::Question;
use crate::listener::traced::TracedConnection;
use crate::live::Snapshot;
use crate::outcome::{AssociationEnding, Ending};
use crate::protocol::dicom::Reject;
use crate::proxy::dicom::{self, AssociateRequest, Carried, Stay};
use crate::tls::TlsStream;

/// The association of one connection of the workload.
pub(super) struct OutboundDicom<'a> {
    pub(super) dialer: Dialer<'a>,
}

/// Whom the association goes to, and what permits it.
struct Called {
    asked: AssociateRequest,
    stream: TlsStream,
    permit: Permit,
    held: Held<OutboundState>,
    open: OpenAssociation,
    _lasts: Lasts,
}

impl OutboundDicom<'_> {
    /// From a connection of the workload to its end.
    pub(super) async fn serve(
        &self,
        mut downstream: Plain,
        now: Arc<Snapshot<OutboundState>>,
        life: &mut Life,
    ) -> Ending {
        let Dialer { services, caller, .. } = self.dialer;
        let end = &services.shutdown;
        let asked = match end.until_cut(dicom::ask(&mut downstream, end)).await {
            Some(Ok(asked)) => asked,
            Some(Err(unasked)) => {
                life.message = unasked.message();
                let wanted = caller.wanted.as_ref();
                let connection = describe(&now.value, wanted, caller.source, None);
                let connection = Arc::new(connection);
                return associations::unasked(services, &connection, unasked, downstream, end)
                    .await;
            }
            None => return Ending::Cut,
        };
        let limits = now.value.config.limits.clone();
        let calling = Box::pin(self.call(asked, now, life));
        let called = match end.until_cut(calling).await {
            Some(Ok(called)) => called,
            Some(Err((ending, reject))) => {
                dicom::reject(downstream, reject, end).await;
                return ending;
            }
            None => return Ending::Cut,
        };
        let Called { asked, stream, permit, held, open, _lasts } = called;
        let member = held.member();
        let stay = Stay {
            idle: limits.idle_timeout,
            metrics: &services.metrics,
            end: member.end(),
            is_bound: open.is_bound(),
        };
        let mut carried = Carried::default();
        let relaying = dicom::relay(&permit, asked, downstream, stream, &stay, &mut carried);
        let (mut over, parting) = relaying.await;
        life.moved = carried.moved;
        if let Some(refused) = refused(services, over.cause.as_ref(), life) {
            over.ending = refused;
            over.message.clone_from(&life.message);
        }
        let ending = member.ending(over.ending);
        associations::completed(services, open, &over, ending, &carried).await;
        parting.done(member.end()).await;
        ending
    }

    /// A peer that is who we expect, and a permit for the association on record.
    async fn call(
        &self,
        asked: AssociateRequest,
        now: Arc<Snapshot<OutboundState>>,
        life: &mut Life,
    ) -> Result<Called, (Ending, Reject)> {
        let (services, state) = (self.dialer.services, &now.value);
        let reaching = self.dialer.reach(&now, &state.tls, false, &mut life.permitted);
        let Reached { stream, permit, held, .. } =
            reaching.await.map_err(|failed| (failed.ending(), Reject::CONGESTION))?;
        let connection = Arc::clone(held.member().connection());
        let tracer = state.tracer.as_ref();
        life.traced = TracedConnection::permitted(tracer, &connection, &permit);
        let grant =
            match state.policy.authorize_association(&permit, asked.request(), clock::onward()) {
                Ok(grant) => grant,
                Err(denied) => {
                    let request = asked.request();
                    let to = (&connection, life.trace());
                    let reject = associations::deny(services, to, request, &denied).await;
                    return Err((Ending::Denied, reject));
                }
            };
        let on = (&connection, life.trace());
        let admitting = associations::admit(services, on, asked.request(), &grant);
        let open = admitting.await.map_err(|NotAudited| (Ending::Denied, Reject::CONGESTION))?;
        let question = Question::association(asked.request());
        let lasts = match held.lasts(question, &grant, now.generation).await {
            Ok(lasts) => lasts,
            Err(_withdrawn) => {
                let (how, ending) = (AssociationEnding::Aborted, Ending::Withdrawn);
                associations::unbegun(services, open, how, ending, None).await;
                return Err((ending, Reject::CALLING_AE));
            }
        };
        Ok(Called { asked, stream, permit, held, open, _lasts: lasts })
    }
}
