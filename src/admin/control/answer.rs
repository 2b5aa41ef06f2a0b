//! One request on the control socket and its answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::{Scope, answer};
use super::{Act, Answer, Control, draining, level};
use crate::audit::Reader;
use crate::shutdown::Shutdown;

/// Largest body of a request.
const BODY: usize = 4096;
/// For the whole of it.
const BODY_LIMIT: Duration = Duration::from_secs(5);
/// A reload that takes longer goes on, and is told of in the log: key material may come from far away.
const RELOAD: Duration = Duration::from_secs(120);

const TEXT: &str = "text/plain; charset=utf-8";
const INDEX: &str = "\
GET /log-level
PUT /log-level?for=15m   a filter, like myelin::tls=debug,info
POST /reload
POST /drain              tells how it goes; ?wait=no: only that it has begun
";

impl Control {
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        who: Reader,
        shutdown: &Shutdown,
    ) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let is_read = method == Method::GET || method == Method::HEAD;
        match (path.as_str(), &method) {
            ("/reload", &Method::POST) => self.reload(who).await,
            ("/drain", &Method::POST) => {
                let is_followed = request.uri().query() != Some("wait=no");
                self.drain(who, is_followed, shutdown).await
            }
            ("/log-level", &Method::PUT) => self.change_level(request, who, shutdown).await,
            ("/log-level", _) if is_read => level::shown(),
            ("/reload" | "/drain", _) => not_allowed("POST"),
            ("/log-level", _) => not_allowed("GET, HEAD, PUT"),
            ("/", _) if is_read => self.index(&request).await,
            _ => answer::answer(&self.admin, Scope::Full, &request)
                .await
                .map(|body| body.boxed_unsync()),
        }
    }

    /// The pages that there are elsewhere, and ours.
    async fn index(&self, request: &Request<Incoming>) -> Answer {
        let pages = answer::answer(&self.admin, Scope::Full, request).await;
        let (head, body) = pages.into_parts();
        let is_text = head.headers.get(CONTENT_TYPE).is_some_and(|value| value == TEXT);
        if head.status != StatusCode::OK || !is_text {
            return Response::from_parts(head, body.boxed_unsync());
        }
        let Ok(pages) = body.collect().await;
        text(StatusCode::OK, [&pages.to_bytes(), INDEX.as_bytes()].concat())
    }

    /// Reads the configuration again; answers when it is in place, or with what is in the way.
    async fn reload(&self, by: Reader) -> Answer {
        tracing::info!(%by, "reload asked for");
        let (answer, answered) = oneshot::channel();
        let asked = self.acts.send(Act::Reload { by, answer });
        let outcome = timeout(RELOAD, async {
            asked.await.ok()?;
            answered.await.ok()
        })
        .await;
        match outcome {
            Ok(Some(Ok(()))) => text(StatusCode::OK, "reloaded\n"),
            Ok(Some(Err(why))) => text(StatusCode::CONFLICT, format!("not reloaded: {why}\n")),
            Ok(None) => text(StatusCode::CONFLICT, "not reloaded: the sidecar is shutting down\n"),
            Err(_late) => {
                let late =
                    "the new configuration is not in place yet; the log tells what becomes of it\n";
                text(StatusCode::GATEWAY_TIMEOUT, late)
            }
        }
    }

    /// Begins the end of the process, and tells how it goes until there is nothing left to tell.
    async fn drain(&self, by: Reader, is_followed: bool, shutdown: &Shutdown) -> Answer {
        tracing::info!(%by, "drain asked for");
        // Whoever does not hear it any more is at it already.
        let _heard = self.acts.send(Act::Drain { by }).await;
        if !is_followed {
            self.whole.draining().await;
            return text(StatusCode::OK, draining::left(&self.admin.metrics));
        }
        let body = draining::told(self.whole.clone(), self.admin.metrics.clone(), shutdown);
        with_type(StatusCode::OK, TEXT, body)
    }

    async fn change_level(
        &self,
        request: Request<Incoming>,
        who: Reader,
        shutdown: &Shutdown,
    ) -> Answer {
        let query = request.uri().query().map(ToOwned::to_owned);
        let body = Limited::new(request.into_body(), BODY).collect();
        let Ok(Ok(body)) = timeout(BODY_LIMIT, body).await else {
            let wanted = format!(
                "a filter of at most {BODY} bytes, such as `info`, is wanted as the body\n"
            );
            return text(StatusCode::BAD_REQUEST, wanted);
        };
        let asked = level::Asked::parse(&body.to_bytes(), query.as_deref());
        match asked {
            Ok(asked) => level::change(asked, who, &self.admin.audit, shutdown).await,
            Err(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
        }
    }
}

/// For those who may not speak here.
pub(super) fn refused() -> Answer {
    text(StatusCode::FORBIDDEN, "only the sidecar's user and root may speak here\n")
}

fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("{allowed} only\n"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    with_type(status, TEXT, Full::new(body.into()).boxed_unsync())
}

pub(super) fn with_type(
    status: StatusCode,
    content_type: &'static str,
    body: http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>,
) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
