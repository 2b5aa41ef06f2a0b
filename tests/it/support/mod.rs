//! The language that the tests are written in.

pub(crate) mod admin;
pub(crate) mod authority;
pub(crate) mod bao;
pub(crate) mod ca;
pub(crate) mod client;
pub(crate) mod curl;
pub(crate) mod day;
pub(crate) mod dicom;
pub(crate) mod disk;
pub(crate) mod est;
pub(crate) mod gate;
pub(crate) mod h2;
pub(crate) mod http;
pub(crate) mod legacy;
pub(crate) mod lenient;
pub(crate) mod load;
pub(crate) mod machines;
pub(crate) mod mesh;
pub(crate) mod mllp;
pub(crate) mod node;
pub(crate) mod openssl;
pub(crate) mod otlp;
pub(crate) mod outside;
pub(crate) mod page;
pub(crate) mod paper;
pub(crate) mod phi;
pub(crate) mod phi_http;
pub(crate) mod pki;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod python;
mod running;
pub(crate) mod syslog;
pub(crate) mod tls_server;
pub(crate) mod trail;
pub(crate) mod ward;
pub(crate) mod workload;
pub(crate) mod workload_api;

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// So long a test waits for what must come; nothing that passes takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Looks again and again until there is something to see.
///
/// # Panics
///
/// When there never is.
pub(crate) async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(LOOK).await;
    }
}

/// The same for what can be seen without waiting.
pub(crate) async fn until(what: &str, mut look: impl FnMut() -> bool) {
    eventually(what, || std::future::ready(look().then_some(()))).await;
}
