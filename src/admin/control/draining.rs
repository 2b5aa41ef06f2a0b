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

pub(super) const TYPE: &str = "text/plain; charset=utf-8";
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Lines that a slow reader may have before it.
const WAITING: usize = 16;
/// What is said when nothing is left but the process itself.
const OVER: &str = "stopped: the audit trail is closed\n";
const ENDED: &str = "everything that was open has ended\n";
const CUT: &str = "what had not ended was cut\n";

/// A line whenever less is open than before, until `end` is cut: then all that drains has ended.
pub(super) fn told(whole: Shutdown, end: &Shutdown) -> UnsyncBoxBody<Bytes, Infallible> {
    let (tell, hear) = mpsc::channel(WAITING);
    let admin = end.clone();
    end.spawn(async move {
        let telling = watch(&whole, &tell);
        tokio::select! {
            biased;
            () = telling => {}
            () = admin.cutting() => {}
        }
        admin.cutting().await;
        // Whoever does not read by now is not waited for.
        let _unread = timeout(LOOK, line(&tell, OVER)).await;
    });
    let lines = unfold(hear, |mut hear| async move {
        let line = hear.recv().await?;
        Some((Ok(Frame::data(line)), hear))
    });
    StreamBody::new(lines).boxed_unsync()
}

async fn watch(whole: &Shutdown, tell: &mpsc::Sender<Bytes>) {
    whole.draining().await;
    let (mut before, mut was_cut) = (None, false);
    loop {
        let open = whole.open();
        if open == 0 {
            let over = if was_cut { CUT } else { ENDED };
            return line(tell, over).await;
        }
        if !was_cut && whole.is_cutting() {
            was_cut = true;
            line(tell, &format!("cutting {}\n", connections(open))).await;
        } else if before != Some(open) {
            line(tell, &left(open)).await;
        }
        before = Some(open);
        sleep(LOOK).await;
    }
}

/// How much is open yet.
pub(super) fn left(open: usize) -> String {
    format!("draining: {} open\n", connections(open))
}

fn connections(open: usize) -> Count {
    Count(u64::try_from(open).unwrap_or(u64::MAX), "connection")
}

async fn line(tell: &mpsc::Sender<Bytes>, text: &str) {
    // A reader that went away misses nothing: the drain goes on without it.
    let _heard = tell.send(Bytes::copy_from_slice(text.as_bytes())).await;
}
