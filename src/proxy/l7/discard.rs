//! The body of a request that is answered without it.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

/// How long its end is waited for.
const PATIENCE: Duration = Duration::from_millis(100);
/// The most that is taken and thrown away.
const MOST: usize = 64 * 1024;

/// Takes a small body that is on its way already. Over HTTP/2 an answer before the end of the request has to
/// be followed by a reset, and clients there are that take the reset for a failure and lose the answer.
pub(super) async fn discard(mut body: Incoming) {
    let all = async {
        let mut taken = 0;
        while !body.is_end_stream() && taken < MOST {
            let Some(Ok(frame)) = body.frame().await else { return };
            taken += frame.data_ref().map_or(0, bytes::Bytes::len);
        }
    };
    let _enough = timeout(PATIENCE, all).await;
}
