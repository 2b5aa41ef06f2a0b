//! HTTP on an inbound listener: each request is judged by the policy of its moment.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};

use super::judged::{DeniedRequest, Judged};
use super::state::InboundState;
use crate::audit::{Connection, Rule};
use crate::authz::{Grant, Permit, Requested};
use crate::clock;
use crate::identity::{PeerIdentity, PeerName, Proof, SpiffeId};
use crate::listener::Services;
use crate::listener::description::Description;
use crate::listener::permits::{Held, Lasts};
use crate::listener::plain::Plain;
use crate::listener::question::{Question, condition};
use crate::listener::quota::{Over, Running};
use crate::listener::requests::{self, OpenRequest, Refused, Wish};
use crate::listener::shapes::{self, Shapes};
use crate::live::{Generation, Live};
use crate::outcome::{DenyReason, Ending};
use crate::protocol::http::host_name;
use crate::protocol::{fhir, soap};
use crate::proxy::l7::{
    Again, ConnectError, Connected, Facing, Head, Host, Inside, NotAudited, PoolKey, Rejection,
    RequestEnd, Rough, Sought, Spoken, Wanted,
};
use crate::traces::{Caller, RequestSpan, Tracer};

/// The exchanges of one inbound connection.
pub(super) struct InboundHttp {
    live: Live<InboundState>,
    services: Services,
    connection: Arc<Connection>,
    held: Arc<Held<InboundState>>,
    pool: Arc<str>,
    facing: Facing,
    shapes: Arc<Shapes>,
    traced: Option<(Arc<Tracer>, Caller)>,
}

/// A request that asks for an upgrade, by whose leave, and by the rules of which generation.
pub(super) struct Kept {
    question: Question,
    grant: Grant,
    judged: Generation,
}

impl InboundHttp {
    pub(super) fn new(
        live: Live<InboundState>,
        services: Services,
        held: Arc<Held<InboundState>>,
        peer: Option<&PeerIdentity>,
        permit: &Permit,
        shapes: &Arc<Shapes>,
    ) -> Self {
        let shapes = Arc::clone(shapes);
        let now = live.snapshot();
        let connection = Arc::clone(held.member().connection());
        let client_ip = connection.source.map(|source| source.ip().to_string());
        let client_cert = peer.map(|peer| client_cert(now.value.own.spiffe.as_ref(), peer));
        let name = permit.peer().map_or("", PeerName::as_str);
        let is_listed = permit.peer().is_some() && permit.would_deny().is_none();
        let caller = if is_listed { Caller::Known } else { Caller::Unknown };
        let traced = now.value.tracer.clone().map(|tracer| (tracer, caller));
        let pool = match (peer, &client_ip) {
            (Some(peer), _) => format!("{name} {peer}"),
            (None, ip) => format!("(plaintext) {}", ip.as_deref().unwrap_or_default()),
        };
        let facing = Facing::Inbound {
            speaks: now.value.config.forward_protocol,
            client_cert: client_cert.and_then(|text| HeaderValue::from_str(&text).ok()),
            client_ip: client_ip.and_then(|ip| HeaderValue::from_str(&ip).ok()),
            proto: HeaderValue::from_static(if peer.is_some() { "https" } else { "http" }),
        };
        let pool = pool.into();
        Self { live, services, connection, held, pool, facing, shapes, traced }
    }
}

impl InboundHttp {
    /// What records have of a request that `grant` lets through.
    fn described(&self, head: &Head<'_>, grant: &Grant, form: Option<&str>) -> Description {
        Description::granted(grant, head, form, self.services.audit.pseudonyms())
    }

    /// The same, unless Rego objects to what is known of the request by now.
    fn narrowed(&self, head: &Head<'_>, judged: Judged) -> Result<Judged, Box<DeniedRequest>> {
        let Judged { state, at, .. } = &judged;
        if state.value.policy.rego().is_none() {
            return Ok(judged);
        }
        let record = |grant: &Grant| {
            let asked = self.described(head, grant, judged.form());
            let request = requests::described(head, asked, grant.phi());
            requests::allowed(&self.connection, request, Rule::granted(grant))
        };
        let (policy, host) = (&state.value.policy, head.host.map(host_name));
        let grant = judged.grant.clone();
        match self.services.narrow(policy, grant, host.as_deref(), record, *at) {
            Ok(grant) => Ok(Judged { grant, ..judged }),
            Err(denied) => {
                let asked = self.described(head, &judged.grant, judged.form());
                Err(Box::new(DeniedRequest { denied, asked, retry_after: None }))
            }
        }
    }
}

impl Host for InboundHttp {
    type Io = Plain;
    type Link = ();
    type Permit = Judged;
    type Denial = DeniedRequest;
    type Running = Running;
    type Ticket = OpenRequest;
    type Kept = Kept;
    type Lasting = Lasts;

    fn facing(&self) -> &Facing {
        &self.facing
    }

    /// Peers do not share connections to the workload: some workloads log a connection in, not a request.
    fn pool_key(&self) -> PoolKey {
        let configuration = self.live.snapshot().value.configuration;
        PoolKey { name: Arc::clone(&self.pool), generation: configuration }
    }

    fn span(&self, headers: &mut HeaderMap) -> Option<Arc<RequestSpan>> {
        let (tracer, caller) = self.traced.as_ref()?;
        tracer.request(headers, *caller)
    }

    fn judge(&self, head: &Head<'_>) -> Result<Judged, DeniedRequest> {
        let now = self.live.snapshot();
        let (policy, at) = (&now.value.policy, clock::onward());
        let host = head.host.map(host_name);
        let host = host.as_deref();
        let (query, condition) = (head.query, condition(head.headers));
        let plain = Requested::plain(head.method, head.path);
        let asked = Requested { host, query, condition, ..plain };
        let claim = if policy.reads_soap() { soap::claimed(head.headers) } else { Ok(None) };
        let claim = claim.as_ref().map(|claim| claim.as_deref()).map_err(|why| *why);
        let judged = self
            .held
            .permit(&now.value, at)
            .and_then(|holder| Ok((policy.authorize_claim(&holder, &asked, claim, at)?, holder)));
        match judged {
            Ok((grant, holder)) => {
                let phi = now.value.config.phi;
                let told = grant.form().map(|_| self.described(head, &grant, None));
                Ok(Judged { grant, told, holder, at, inside: None, phi, state: now })
            }
            Err(denied) => {
                let routes = now.value.config.routes.as_deref().unwrap_or_default();
                let asked =
                    Description::denied(&denied, routes, head, self.services.audit.pseudonyms());
                Err(DeniedRequest { denied, asked, retry_after: None })
            }
        }
    }

    fn sought(&self, judged: &Judged) -> Option<Sought> {
        judged.sought()
    }

    /// Waiting for the body may have taken a while: all is judged once more, by one policy.
    fn judge_inside(&self, head: &Head<'_>, inside: Inside) -> Result<Judged, DeniedRequest> {
        let held = self.judge(head)?.holding(Some(inside));
        let narrowed = held.and_then(|judged| self.narrowed(head, judged));
        let judged = narrowed.map_err(|denied| *denied)?;
        judged.used();
        Ok(judged)
    }

    fn stands(&self, judged: &Judged, _link: &()) -> bool {
        let is_over = |until| until <= clock::onward();
        self.held.is_still(judged.state.generation) && !judged.grant.until().is_some_and(is_over)
    }

    fn judge_again(
        &self,
        head: &Head<'_>,
        before: &Judged,
    ) -> Result<Again<Judged>, DeniedRequest> {
        let held = self.judge(head)?.holding(before.inside.clone());
        let narrowed = held.and_then(|judged| self.narrowed(head, judged));
        let judged = narrowed.map_err(|denied| *denied)?;
        let is_as_before = judged.grant.is_recorded_as(&before.grant);
        Ok(if is_as_before { Again::AsBefore(judged) } else { Again::Otherwise(judged) })
    }

    fn abandoned(&self, rough: &Rough<'_>, judged: &Judged) {
        let (reason, why) = match self.sought(judged) {
            Some(Sought::Form) => (DenyReason::NoRoute, fhir::Unreadable::Lost.text()),
            Some(Sought::Soap) | None => (DenyReason::SoapMismatch, soap::Unreadable::Lost.text()),
        };
        let refused = Refused {
            reason,
            message: Some(why.to_owned()),
            asked: judged.told(),
            rule: Some(Rule::granted(&judged.grant)),
            status: 499, // as proxies count it
        };
        requests::rejected_now(&self.services, &self.connection, rough, refused);
    }

    /// Rego is asked of what the peer's limits let begin, once it is known what is in the body.
    fn begin(&self, head: &Head<'_>, judged: Judged) -> Result<(Judged, Running), DeniedRequest> {
        let Judged { grant, holder, state, .. } = &judged;
        let running = state.value.quotas.begin(holder, Some(grant)).map_err(|over| {
            let Over { denied, retry_after } = *over;
            let asked = self.described(head, grant, None);
            DeniedRequest { denied, asked, retry_after: Some(retry_after) }
        })?;
        if judged.sought().is_some() {
            return Ok((judged, running));
        }
        let judged = self.narrowed(head, judged).map_err(|denied| *denied)?;
        judged.used();
        Ok((judged, running))
    }

    fn retry_after(&self, denial: &DeniedRequest) -> Option<Duration> {
        denial.retry_after
    }

    fn respond(&self, judged: &Judged) -> Option<StatusCode> {
        judged.grant.respond()
    }

    fn request_id(&self, number: u64) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.connection.request_id(number)).ok()
    }

    async fn connect(&self, wanted: Wanted) -> Result<Connected<Plain, ()>, ConnectError> {
        let now = self.live.snapshot();
        let config = &now.value.config;
        let workload = &self.services.workload;
        match workload.connect(&config.forward, config.limits.connect_timeout).await {
            Ok(io) => {
                let spoken = match wanted {
                    Wanted::Http1 => Spoken::Http1,
                    Wanted::Http2 => Spoken::Http2,
                };
                Ok(Connected { io, spoken, link: Arc::new(()) })
            }
            Err((Ending::UpstreamTimeout, _)) => Err(ConnectError::Timeout),
            Err(_) => Err(ConnectError::Unreachable),
        }
    }

    async fn record(
        &self,
        head: &Head<'_>,
        judged: &Judged,
        _link: Option<&()>,
    ) -> Result<OpenRequest, NotAudited> {
        let grant = &judged.grant;
        let rule = Rule::granted(grant);
        let observed = grant.would_deny().is_some();
        // What the sidecar answers by itself, and is not PHI, is nothing that anybody had access to.
        let answered_here = grant.respond().is_some();
        let is_shaped = judged.state.value.config.observe_paths
            && judged.state.value.policy.observed_until(judged.at).is_some();
        let shaped = if is_shaped { self.shapes.of(head, grant) } else { None };
        let recorded =
            grant.phi() || observed || shaped.is_some() || (judged.phi && !answered_here);
        let wish = Wish { recorded, phi: grant.phi(), permit: true };
        let connection = &self.connection;
        let key = self.services.audit.pseudonyms();
        let asked = match grant.would_deny() {
            Some(denied) if grant.rule_number().is_none() => {
                let routes = judged.state.value.config.routes.as_deref().unwrap_or_default();
                shapes::unruled(Description::denied(denied, routes, head, key), denied, shaped)
            }
            _ if recorded || head.span.is_some() => {
                shaped.unwrap_or_else(|| self.described(head, grant, judged.form()))
            }
            _ => Description::default(),
        };
        let ticket = requests::admit(&self.services, connection, head, asked, rule, wish).await?;
        self.services.would_deny(grant.would_deny());
        let forward = &judged.state.value.config.forward;
        Ok(ticket.carried_by(Some(self.held.member())).forwarded(forward))
    }

    async fn rejected(&self, rough: &Rough<'_>, rejection: &Rejection<DeniedRequest>) {
        if let Rejection::Denied(denial) = rejection {
            self.services.expired(&denial.denied);
        }
        let refused = match rejection {
            Rejection::Malformed(malformed) => Refused {
                reason: DenyReason::MalformedRequest,
                message: Some(format!("{}: {}", malformed.label(), malformed.text())),
                asked: Description::default(),
                rule: None,
                status: malformed.status().as_u16(),
            },
            Rejection::Denied(DeniedRequest { denied, asked, retry_after }) => Refused {
                reason: denied.reason,
                message: None,
                asked: asked.clone(),
                rule: Some(Rule::refused_by(denied)),
                status: if retry_after.is_some() { 429 } else { 403 },
            },
            Rejection::NotAudited => Refused {
                reason: DenyReason::NotAudited,
                message: None,
                asked: Description::default(),
                rule: None,
                status: 503,
            },
        };
        requests::rejected(&self.services, &self.connection, rough, refused).await;
    }

    fn keep(&self, head: &Head<'_>, judged: &Judged) -> Kept {
        let (grant, judged) = (judged.grant.clone(), judged.state.generation);
        Kept { question: Question::request(head), grant, judged }
    }

    async fn tunnelled(&self, _link: &(), kept: Kept) -> Option<Lasts> {
        let member = self.held.member();
        member.tunnelled();
        let lasts = self.held.lasts(kept.question, &kept.grant, kept.judged).await;
        lasts.inspect_err(|_withdrawn| member.end().cut()).ok()
    }

    fn completed(&self, ticket: OpenRequest, end: RequestEnd) {
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
