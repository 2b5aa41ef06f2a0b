//! HTTP on an inbound listener: each request is judged by the policy of its moment.

use std::sync::Arc;

use http::HeaderValue;
use time::OffsetDateTime;

use super::inbound::InboundState;
use super::permits::Held;
use super::plain::Plain;
use super::requests::{self, Refused, Ticket, Wish};
use super::{Services, record};
use crate::audit::Connection;
use crate::authz::{Denied, Grant, Requested};
use crate::clock;
use crate::identity::{Fingerprint, PeerIdentity, PeerName, Proof, SpiffeId};
use crate::live::{Live, Snapshot};
use crate::outcome::{DenyReason, Ending, Withdrawal};
use crate::proxy::l7::{
    ConnectError, Connected, Facing, Head, Host, NotAudited, PoolKey, Rejection, RequestEnd, Rough,
    Spoken, Wanted,
};

/// The exchanges of one inbound connection.
pub(super) struct InboundHttp {
    live: Live<InboundState>,
    services: Services,
    connection: Arc<Connection>,
    held: Arc<Held<InboundState>>,
    pool: Arc<str>,
    facing: Facing,
}

/// Policy's yes, and the version of the policy that said it.
pub(super) struct Judged {
    permit: Grant,
    version: Fingerprint,
    /// Whether the listener is a PHI endpoint at this moment: then all of its requests are recorded.
    phi: bool,
}

/// Policy's no, and the version of the policy that said it.
pub(super) struct Denial {
    denied: Denied,
    version: Fingerprint,
}

impl InboundHttp {
    pub(super) fn new(
        live: Live<InboundState>,
        services: Services,
        held: Arc<Held<InboundState>>,
        peer: &PeerIdentity,
        name: Option<&PeerName>,
    ) -> Self {
        let now = live.snapshot();
        let connection = Arc::clone(held.member().connection());
        let client_ip = connection.source.map(|source| source.ip().to_string());
        let facing = Facing::Inbound {
            speaks: now.value.config.forward_protocol,
            client_cert: HeaderValue::from_str(&client_cert(now.value.own.as_ref(), peer)).ok(),
            client_ip: client_ip.and_then(|ip| HeaderValue::from_str(&ip).ok()),
            proto: HeaderValue::from_static("https"),
        };
        let name = name.map_or("", PeerName::as_str);
        let pool = format!("{name} {peer}").into();
        Self { live, services, connection, held, pool, facing }
    }

    /// Who the peer is now: its certificate may have been revoked, or have lost its authority.
    fn peer(
        &self,
        now: &Snapshot<InboundState>,
        at: OffsetDateTime,
    ) -> Result<PeerIdentity, Withdrawal> {
        match self.held.member().withdrawn() {
            Some(reason) => Err(reason),
            None => self.held.peer(now, at).map_err(|(refusal, _)| Withdrawal::Refused(refusal)),
        }
    }
}

impl Host for InboundHttp {
    type Io = Plain;
    type Link = ();
    type Permit = Judged;
    type Denial = Denial;
    type Ticket = Ticket;

    fn facing(&self) -> &Facing {
        &self.facing
    }

    /// Peers do not share connections to the workload: some workloads log a connection in, not a request.
    fn pool_key(&self) -> PoolKey {
        let configuration = self.live.snapshot().value.configuration;
        PoolKey { name: Arc::clone(&self.pool), generation: configuration }
    }

    fn judge(&self, head: &Head<'_>) -> Result<Judged, Denial> {
        let now = self.live.snapshot();
        let (policy, at) = (&now.value.policy, clock::now());
        let version = policy.version();
        let asked =
            Requested { method: head.method, host: head.host, path: head.path, soap_action: None };
        // The peer is judged with every request: its entry may have gone, or expired.
        self.peer(&now, at)
            .map_err(|reason| policy.withdrawn(reason))
            .and_then(|peer| policy.authorize(&peer, at))
            .and_then(|permit| policy.authorize_request(&permit, &asked, at))
            .map(|permit| Judged { permit, version, phi: now.value.config.phi })
            .map_err(|denied| Denial { denied, version })
    }

    async fn connect(&self, wanted: Wanted) -> Result<Connected<Plain, ()>, ConnectError> {
        let now = self.live.snapshot();
        let config = &now.value.config;
        match Plain::connect(&config.forward, config.limits.connect_timeout).await {
            Ok(io) => {
                let spoken = match wanted {
                    Wanted::Http1 => Spoken::Http1,
                    Wanted::Http2 => Spoken::Http2,
                };
                Ok(Connected { io, spoken, link: Arc::new(()) })
            }
            Err((ending, message)) => {
                tracing::warn!(listener = %config.name, error = %message, "workload not reached");
                Err(match ending {
                    Ending::UpstreamTimeout => ConnectError::Timeout,
                    _ => ConnectError::Unreachable,
                })
            }
        }
    }

    async fn record(
        &self,
        head: &Head<'_>,
        judged: &Judged,
        _link: Option<&()>,
    ) -> Result<Ticket, NotAudited> {
        let permit = &judged.permit;
        let rule = record::granted(permit, judged.version);
        let wish = Wish { recorded: judged.phi || permit.phi(), phi: permit.phi(), permit: true };
        let connection = &self.connection;
        let ticket =
            requests::admit(&self.services, connection, head, Some(permit), rule, wish).await?;
        Ok(ticket.carried_by(Some(self.held.member())))
    }

    async fn rejected(&self, rough: &Rough<'_>, rejection: &Rejection<Denial>) {
        let refused = match rejection {
            Rejection::Malformed(malformed) => Refused {
                reason: DenyReason::MalformedRequest,
                message: Some(format!("{}: {}", malformed.label(), malformed.text())),
                template: None,
                rule: None,
                status: malformed.status().as_u16(),
            },
            Rejection::Denied(Denial { denied, version }) => Refused {
                reason: denied.reason,
                message: None,
                template: denied.template.clone(),
                rule: Some(record::refused_by(denied, *version)),
                status: 403,
            },
            Rejection::NotAudited => Refused {
                reason: DenyReason::NotAudited,
                message: None,
                template: None,
                rule: None,
                status: 503,
            },
        };
        requests::rejected(&self.services, &self.connection, rough, refused).await;
    }

    fn tunnelled(&self, _link: &()) {
        self.held.member().tunnelled();
    }

    fn completed(&self, ticket: Ticket, end: RequestEnd) {
        requests::completed(&self.services, ticket, end);
    }
}

/// `x-forwarded-client-cert` in Envoy's form. Of a pinned certificate only the digest was proven.
fn client_cert(own: Option<&SpiffeId>, peer: &PeerIdentity) -> String {
    let certificate = &peer.certificate;
    let mut fields = Vec::new();
    fields.extend(own.map(|id| format!("By={id}")));
    fields.push(format!("Hash={}", certificate.sha256));
    if peer.proof == Proof::Chain {
        let subject: String = certificate
            .subject
            .text
            .chars()
            .flat_map(|c| match c {
                '"' | '\\' => vec!['\\', c],
                ' '..='~' => vec![c],
                _ => vec!['?'],
            })
            .collect();
        fields.push(format!("Subject=\"{subject}\""));
        fields.extend(certificate.spiffe.as_ref().map(|id| format!("URI={id}")));
        fields.extend(certificate.dns.iter().map(|name| format!("DNS={name}")));
    }
    fields.join(";")
}
