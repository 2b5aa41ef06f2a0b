//! Whether the workload answers, for orchestrators: they ask here, so that nobody needs a way through to it.
//!
//! What the workload says stays here; all that leaves is yes or no. Strangers may ask as often as they like:
//! it is asked once a second at most.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::config::{ProbeCheck, WorkloadProbe};

/// From the question to the answer.
const LIMIT: Duration = Duration::from_secs(1);
/// How long an answer is good for.
const FRESH: Duration = Duration::from_secs(1);

/// The paths on which it is told whether the workload answers.
pub struct Probes(Vec<Probe>);

/// One of them.
pub(super) struct Probe {
    path: Arc<str>,
    check: ProbeCheck,
    /// The last answer, and when it came. Whoever finds it old asks while the others wait.
    last: Mutex<Option<(Instant, bool)>>,
}

impl Probes {
    /// What `settings` name.
    pub fn new(settings: &[WorkloadProbe]) -> Self {
        let probe = |probe: &WorkloadProbe| Probe {
            path: Arc::clone(&probe.path),
            check: probe.check.clone(),
            last: Mutex::new(None),
        };
        Self(settings.iter().map(probe).collect())
    }

    /// The one on this path.
    pub(super) fn on(&self, path: &str) -> Option<&Probe> {
        self.0.iter().find(|probe| *probe.path == *path)
    }

    /// Their paths.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|probe| &*probe.path)
    }
}

impl Probe {
    /// Whether the workload answers, as of at most a second ago.
    pub(super) async fn is_up(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((_, is_up)) = last.filter(|(at, _)| at.elapsed() < FRESH) {
            return is_up;
        }
        let is_up = timeout(LIMIT, asked(&self.check)).await.unwrap_or(false);
        *last = Some((Instant::now(), is_up));
        is_up
    }
}

async fn asked(check: &ProbeCheck) -> bool {
    match check {
        ProbeCheck::Tcp(address) => TcpStream::connect(address).await.is_ok(),
        ProbeCheck::Http { address, path } => match get(*address, path).await {
            Ok(status) => status.is_success() || status.is_redirection(),
            Err(error) => {
                tracing::debug!(%address, error, "workload probe came to nothing");
                false
            }
        },
    }
}

async fn get(
    address: SocketAddr,
    path: &str,
) -> Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .header(USER_AGENT, HeaderValue::from_static("myelin-probe"))
        .header(CONNECTION, HeaderValue::from_static("close"))
        .body(Empty::<Bytes>::new())?;
    let mut answer = pin!(sender.send_request(request));
    let answer = tokio::select! {
        biased;
        answer = answer.as_mut() => answer,
        _ended = connection => answer.await,
    };
    Ok(answer?.status())
}
