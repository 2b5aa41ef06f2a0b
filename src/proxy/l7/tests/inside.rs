//! Requests whose message is looked at before they pass.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::AsyncWriteExt;

use super::hostile_h2::{frame, request, send};
use super::stage::{Event, Stage, mirror, read_body, read_head};
use crate::config::WorkloadHttp;
use crate::proxy::l7::{Downstream, Sought};

const RST_STREAM: u8 = 3;
const CANCEL: u32 = 8;
const MESSAGE: &str = "<Envelope xmlns='http://www.w3.org/2003/05/soap-envelope'><Body><Find/>\
                       </Body></Envelope>";

async fn stage() -> Arc<Stage> {
    let mut stage = Stage::inbound(mirror().await, WorkloadHttp::Http1);
    stage.sought = Some(Sought::Soap);
    Arc::new(stage)
}

fn post(length: usize) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn was_judged(events: &[Event]) -> bool {
    matches!(events, [Event::Judged { .. }, ..])
}

#[tokio::test]
async fn a_request_is_judged_by_its_message_and_then_recorded_and_sent() {
    let stage = stage().await;
    let (mut peer, _served) = stage.connect(Downstream::Http1);

    peer.write_all(post(MESSAGE.len()).as_bytes()).await.unwrap();
    stage.until(was_judged).await;
    for byte in MESSAGE.as_bytes() {
        peer.write_all(&[*byte]).await.unwrap();
    }

    let head = read_head(&mut peer).await.unwrap();
    assert!(read_body(&mut peer, &head).await.ends_with(MESSAGE), "{head}");
    let end = stage.ends(1).await[0];
    assert_eq!(end.sent_up, MESSAGE.len() as u64);
    assert!(matches!(
        *stage.events(),
        [Event::Judged { .. }, Event::Recorded { link: Some(1) }, Event::Completed(_)]
    ));
}

#[tokio::test]
async fn a_message_that_does_not_fit_reaches_nobody() {
    let stage = stage().await;
    let (mut peer, _served) = stage.connect(Downstream::Http1);
    let other = MESSAGE.replace("Find", "Kill");

    peer.write_all((post(other.len()) + &other).as_bytes()).await.unwrap();

    assert!(read_head(&mut peer).await.unwrap().starts_with("HTTP/1.1 403 "));
    assert_eq!(stage.rejections(1).await, ["other"]);
    assert_eq!(stage.connects.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_stream_that_is_reset_before_its_message_has_begun_is_told_of() {
    let stage = stage().await;
    let post = [(":method", "POST"), (":scheme", "https"), (":authority", "h"), (":path", "/")];
    let head = request(1, &[&post[..], &[("content-type", "text/xml")]].concat(), 0);
    let (mut peer, _served) = send(&stage, &[head]).await;
    stage.until(was_judged).await;

    peer.write_all(&frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes())).await.unwrap();

    stage.until(|events| events.len() == 2).await;
    assert!(matches!(
        *stage.events(),
        [_, Event::Abandoned | Event::Rejected("the connection was lost before the body began")]
    ));
    assert_eq!(stage.connects.load(Ordering::SeqCst), 0);
}
