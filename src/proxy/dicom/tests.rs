//! The stages of an association on streams in memory, where time is ours.

use std::future::Future;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::identity::ListenerName;
use crate::outcome::Direction;
use crate::protocol::dicom::tests::transfer::{
    C_ECHO, C_STORE, RELEASE_REPLY, RELEASE_REQUEST, asks, pdu,
};
use crate::protocol::dicom::tests::{accepted, echoscu};
use crate::protocol::dicom::{Malformed, Pdu, Reject};
use crate::proxy::l4::tests::permit;
use crate::telemetry::metrics::Metrics;

const VERIFICATION: &str = "1.2.840.10008.1.1";
const UNSPECIFIED: Pdu = [7, 0, 0, 0, 0, 4, 0, 0, 2, 0];
const INVALID_VALUE: Pdu = [7, 0, 0, 0, 0, 4, 0, 0, 2, 6];

#[expect(clippy::disallowed_methods, reason = "a test has no drain")]
fn runs<T: Send + 'static>(stage: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(stage)
}

async fn hears(stream: &mut DuplexStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, expected);
}

async fn hears_the_end(stream: &mut DuplexStream) {
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

/// A relay under way, with its two far ends.
struct Association {
    calling: DuplexStream,
    called: DuplexStream,
    running: JoinHandle<(End, Carried)>,
    end: Shutdown,
}

/// One that was asked for, and accepted.
async fn associated(idle: Duration, is_bound: bool) -> Association {
    let ((calling, mut downstream), (called, upstream)) = (duplex(4096), duplex(4096));
    let end = Shutdown::default();
    let ours = end.clone();
    let running = runs(async move {
        let metrics = Metrics::new().unwrap();
        let metrics = metrics.listener(&ListenerName::new("x"), Direction::Inbound);
        let asked = ask(&mut downstream, &ours).await.unwrap();
        let stay = Stay { idle, metrics: &metrics, end: &ours, is_bound };
        let mut carried = Carried::default();
        let permit = permit();
        let relaying = relay(&permit, asked, downstream, upstream, &stay, &mut carried);
        let (over, parting) = relaying.await;
        parting.done(&ours).await;
        (over, carried)
    });
    let mut association = Association { calling, called, running, end };
    let (question, answer) = (pdu(1, &echoscu()), pdu(2, &accepted()));
    association.calling.write_all(&question).await.unwrap();
    hears(&mut association.called, &question).await;
    association.called.write_all(&answer).await.unwrap();
    hears(&mut association.calling, &answer).await;
    association
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn who_asks_for_nothing_or_half_of_something_has_thirty_seconds() {
    for asked in [b"".as_slice(), &pdu(1, &echoscu())[..1], &pdu(1, &echoscu())[..100]] {
        let (mut near, mut far) = duplex(4096);
        far.write_all(asked).await.unwrap();
        let begun = Instant::now();

        let unasked = ask(&mut near, &Shutdown::default()).await.err().unwrap();

        assert_eq!(begun.elapsed(), ARTIM, "after {} bytes", asked.len());
        assert_eq!(unasked.message().unwrap(), "no association was asked for within 30s");
    }
}

#[tokio::test]
async fn a_drain_ends_who_has_asked_for_nothing_and_waits_for_who_has_begun() {
    let (mut near, mut far) = duplex(1);
    let (end, question) = (Shutdown::default(), pdu(1, &echoscu()));
    let draining = end.clone();
    let asking = runs(async move { ask(&mut near, &draining).await.map(|asked| asked.bytes) });
    far.write_all(&question[..2]).await.unwrap(); // there is room for one: the first was taken
    end.drain();
    far.write_all(&question[2..]).await.unwrap();
    assert_eq!(**asking.await.unwrap().unwrap(), question);

    let (mut near, _far) = duplex(4096);
    assert!(matches!(ask(&mut near, &end).await, Err(Unasked::Nothing)));
}

#[tokio::test]
async fn what_is_no_request_is_told_by_its_first_byte() {
    for (first, wrong) in [(4, Malformed::UnexpectedPdu), (b'G', Malformed::UnrecognizedPdu)] {
        let (mut near, mut far) = duplex(64);
        far.write_all(&[first]).await.unwrap();
        let unasked = ask(&mut near, &Shutdown::default()).await.err().unwrap();
        assert!(matches!(unasked, Unasked::Malformed(malformed) if malformed == wrong));
    }
}

#[tokio::test]
async fn commands_are_counted_until_the_release() {
    let mut association = associated(HOUR, true).await;
    let echo = asks(1, C_ECHO, VERIFICATION);

    association.calling.write_all(&[&*echo, &*echo, &RELEASE_REQUEST].concat()).await.unwrap();
    hears(&mut association.called, &[&*echo, &*echo, &RELEASE_REQUEST].concat()).await;
    association.called.write_all(&RELEASE_REPLY).await.unwrap();
    hears(&mut association.calling, &RELEASE_REPLY).await;
    drop((association.calling, association.called));

    let (over, carried) = association.running.await.unwrap();
    assert_eq!((over.how, over.ending), (AssociationEnding::Released, Ending::Finished));
    assert_eq!(carried.commands.unwrap().0.iter().collect::<Vec<_>>(), [("c_echo", 2)]);
    assert_eq!(carried.data_units, (2, 0));
    assert_eq!(carried.misfit, None);
}

#[tokio::test]
async fn a_command_that_its_context_is_not_for_ends_it_only_where_it_is_bound() {
    let store = asks(1, C_STORE, VERIFICATION);
    let mut bound = associated(HOUR, true).await;
    bound.calling.write_all(&store).await.unwrap();
    hears(&mut bound.calling, &INVALID_VALUE).await;
    hears(&mut bound.called, &UNSPECIFIED).await;
    drop((bound.calling, bound.called));
    let (over, carried) = bound.running.await.unwrap();
    assert_eq!((over.how, over.ending), (AssociationEnding::Aborted, Ending::Denied));
    assert!(carried.misfit.is_some() && carried.data_units == (0, 0));

    let mut free = associated(HOUR, false).await;
    free.calling.write_all(&store).await.unwrap();
    hears(&mut free.called, &store).await;
    free.calling.write_all(&UNSPECIFIED).await.unwrap();
    hears(&mut free.called, &UNSPECIFIED).await;
    drop((free.calling, free.called));
    let (over, carried) = free.running.await.unwrap();
    assert_eq!(over.how, AssociationEnding::AbortedByCalling);
    assert!(carried.misfit.is_some());
}

#[tokio::test(start_paused = true)]
async fn silence_is_an_abort_for_both_and_a_byte_begins_the_time_anew() {
    let mut association = associated(Duration::from_secs(60), false).await;
    let echo = asks(1, C_ECHO, VERIFICATION);

    tokio::time::sleep(Duration::from_secs(59)).await;
    association.calling.write_all(&echo).await.unwrap();
    hears(&mut association.called, &echo).await;
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(!association.running.is_finished());

    hears(&mut association.calling, &UNSPECIFIED).await;
    hears(&mut association.called, &UNSPECIFIED).await;
    drop((association.calling, association.called));
    assert_eq!(association.running.await.unwrap().0.ending, Ending::Idle);
}

#[tokio::test]
async fn a_cut_puts_no_pdu_into_the_midst_of_another() {
    let mut association = associated(HOUR, false).await;
    let echo = asks(1, C_ECHO, VERIFICATION);
    association.calling.write_all(&echo[..20]).await.unwrap();
    hears(&mut association.called, &echo[..20]).await;

    association.end.cut();

    hears(&mut association.calling, &UNSPECIFIED).await;
    hears_the_end(&mut association.called).await;
    drop((association.calling, association.called));
    assert_eq!(association.running.await.unwrap().0.ending, Ending::Cut);
}

#[tokio::test(start_paused = true)]
async fn who_is_rejected_has_time_to_hear_it_and_to_leave() {
    let (near, mut far) = duplex(64);
    let begun = Instant::now();
    let rejecting =
        runs(async move { reject(near, Reject::CONGESTION, &Shutdown::default()).await });

    hears(&mut far, &Reject::CONGESTION.pdu()).await;
    far.shutdown().await.unwrap();
    rejecting.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "it left at once");

    let (near, mut far) = duplex(64);
    let begun = Instant::now();
    let rejecting =
        runs(async move { reject(near, Reject::CONGESTION, &Shutdown::default()).await });
    hears(&mut far, &Reject::CONGESTION.pdu()).await;
    hears_the_end(&mut far).await;
    assert_eq!(begun.elapsed(), ARTIM, "it did not leave");
    rejecting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_who_was_rejected_and_stays() {
    let (near, mut far) = duplex(64);
    let (begun, end) = (Instant::now(), Shutdown::default());
    let ending = end.clone();
    let rejecting = runs(async move { reject(near, Reject::CALLING_AE, &ending).await });
    hears(&mut far, &Reject::CALLING_AE.pdu()).await;

    end.drain();
    hears_the_end(&mut far).await;

    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    rejecting.await.unwrap();
}

#[tokio::test]
async fn who_goes_on_talking_after_the_release_hears_that_it_may_not() {
    let mut association = associated(HOUR, false).await;
    association.calling.write_all(&RELEASE_REQUEST).await.unwrap();
    hears(&mut association.called, &RELEASE_REQUEST).await;
    association.called.write_all(&RELEASE_REPLY).await.unwrap();
    hears(&mut association.calling, &RELEASE_REPLY).await;
    hears_the_end(&mut association.called).await;

    association.calling.write_all(&pdu(1, &echoscu())).await.unwrap();

    hears(&mut association.calling, &Malformed::UnexpectedPdu.abort().pdu()).await;
    drop((association.calling, association.called));
    let (over, _) = association.running.await.unwrap();
    assert_eq!(over.how, AssociationEnding::Released);
}

#[tokio::test]
async fn whose_other_side_breaks_hears_an_abort() {
    let mut association = associated(HOUR, false).await;

    drop(association.called);

    hears(&mut association.calling, &UNSPECIFIED).await;
    drop(association.calling);
    let (over, _) = association.running.await.unwrap();
    assert_eq!((over.how, over.ending), (AssociationEnding::BrokenOff, Ending::UpstreamLost));
    assert!(over.cause.is_none_or(|cause: io::Error| cause.kind() == io::ErrorKind::BrokenPipe));
}
