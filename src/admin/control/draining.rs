//! How a drain goes, told line by line to whoever asked for it.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::report::Count;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::Metrics;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// Lines that a slow reader may have before it.
const WAITING: usize = 16;
/// What is said when nothing is left but the process itself.
const OVER: &str = "stopped: the audit trail is closed\n";
const ENDED: &str = "everything that was open has ended\n";
const CUT: &str = "what had not ended was cut\n";

/// A line whenever less is open than before, until `end` is cut: then all that drains has ended.
pub(super) fn told(
    whole: Shutdown,
    metrics: Metrics,
    end: &Shutdown,
) -> UnsyncBoxBody<Bytes, Infallible> {
    let (tell, hear) = mpsc::channel(WAITING);
    let admin = end.clone();
    end.spawn(async move {
        let telling = watch(&whole, &metrics, &tell);
        tokio::select! {
            biased;
            () = telling => {}
            () = admin.cutting() => {}
        }
        // Whoever does not read by now is not waited for.
        let over = if whole.is_cutting() { CUT } else { ENDED };
        let _unread = timeout(LOOK, line(&tell, over)).await;
        admin.cutting().await;
        let _unread = timeout(LOOK, line(&tell, OVER)).await;
    });
    let lines = unfold(hear, |mut hear| async move {
        let line = hear.recv().await?;
        Some((Ok(Frame::data(line)), hear))
    });
    StreamBody::new(lines).boxed_unsync()
}

/// Until nothing is open.
async fn watch(whole: &Shutdown, metrics: &Metrics, tell: &mpsc::Sender<Bytes>) {
    whole.draining().await;
    let mut before = None;
    while !whole.is_over() {
        let open = left(metrics);
        if before.as_ref() != Some(&open) {
            line(tell, &open).await;
        }
        before = Some(open);
        sleep(LOOK).await;
    }
}

/// How much is open yet, as the metrics have it.
pub(super) fn left(metrics: &Metrics) -> String {
    let open = metrics.readings().into_values().map(|listener| listener.open).sum();
    format!("draining: {} open\n", Count(open, "connection"))
}

async fn line(tell: &mpsc::Sender<Bytes>, text: &str) {
    // A reader that went away misses nothing: the drain goes on without it.
    let _heard = tell.send(Bytes::copy_from_slice(text.as_bytes())).await;
}
