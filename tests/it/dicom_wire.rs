//! `protocol: dicom`, byte by byte: what breaks the protocol ends with A-ABORT, and what ends an association is
//! told as it was.

use crate::support::client::Peer;
use crate::support::dicom::{
    C_ECHO, CT_IMAGE, Called, Calling, End, PATIENT, RELEASE_REPLY, RELEASE_REQUEST, VERIFICATION,
    accept, message, pdu, request,
};
use crate::support::mesh::{Mesh, Running, Setup};

/// A peer, a PACS's sidecar, and a PACS by hand.
struct Site {
    mesh: Mesh,
    pacs: Running,
    called: Called,
}

async fn site(adjust: impl FnOnce(Setup) -> Setup) -> Site {
    let (mesh, called) = (Mesh::new(), Called::new().await);
    let pacs = mesh.inbound("pacs").allow("ct").dicom().phi();
    let pacs = adjust(pacs.forward(&called.target())).start().await;
    Site { mesh, pacs, called }
}

impl Site {
    async fn connect(&self) -> Calling {
        let Peer { stream } = self.mesh.connect("ct", &self.pacs).await;
        End::new(stream)
    }

    /// An association that was accepted, both its ends.
    async fn associated(&self) -> (Calling, End<tokio::net::TcpStream>) {
        let mut calling = self.connect().await;
        calling.send(&request(&[VERIFICATION, CT_IMAGE])).await;
        let mut called = self.called.next().await;
        assert_eq!(called.next().await, request(&[VERIFICATION, CT_IMAGE]));
        called.send(&accept(&[0, 3])).await;
        assert_eq!(calling.next().await, accept(&[0, 3]));
        (calling, called)
    }

    async fn completed(&self, result: &str) -> crate::support::trail::Record {
        let completed = self.pacs.trail().only("association-completed").await;
        assert_eq!(completed.reason(), result, "{completed:#?}");
        assert_eq!(completed.text("myelin.dicom.result"), result);
        completed
    }
}

fn abort(source: u8, reason: u8) -> Vec<u8> {
    pdu(7, &[0, 0, source, reason])
}

#[tokio::test]
async fn every_byte_of_an_association_goes_on_and_who_the_user_is_stays_out_of_the_trail() {
    let site = site(|setup| setup).await;

    let (mut calling, mut called) = site.associated().await;
    let data = message(1, C_ECHO, VERIFICATION, PATIENT.as_bytes());
    calling.send(&data).await;
    assert_eq!(called.next().await, data);
    called.send(&data).await;
    called.send(&data).await;
    assert_eq!((calling.next().await, calling.next().await), (data.clone(), data.clone()));
    calling.send(&RELEASE_REQUEST).await;
    assert_eq!(called.next().await, RELEASE_REQUEST);
    called.send(&RELEASE_REPLY).await;
    assert_eq!(calling.next().await, RELEASE_REPLY);
    calling.end().await;
    called.ends().await;

    let completed = site.completed("released").await;
    assert_eq!(completed.number("myelin.dicom.data_units.up"), 1);
    assert_eq!(completed.number("myelin.dicom.data_units.down"), 2);
    let contexts = completed.field("myelin.dicom.contexts");
    assert_eq!((&contexts[0]["accepted"], &contexts[1]["accepted"]), (&true.into(), &false.into()));
    let up = request(&[VERIFICATION, CT_IMAGE]).len() + data.len() + 10;
    assert_eq!(completed.number("source.bytes"), up as u64);
    let text = site.pacs.trail().text();
    assert!(!text.contains("HOUSE") && !text.contains("vicodn") && !text.contains("ZEBRA"));
}

#[tokio::test]
async fn both_sides_may_ask_for_the_release_at_once() {
    let site = site(|setup| setup).await;
    let (mut calling, mut called) = site.associated().await;

    calling.send(&RELEASE_REQUEST).await;
    called.send(&RELEASE_REQUEST).await;
    assert_eq!(calling.next().await, RELEASE_REQUEST);
    assert_eq!(called.next().await, RELEASE_REQUEST);
    calling.send(&RELEASE_REPLY).await;
    assert_eq!(called.next().await, RELEASE_REPLY);
    called.send(&RELEASE_REPLY).await;
    assert_eq!(calling.next().await, RELEASE_REPLY);

    site.completed("released").await;
}

#[tokio::test]
async fn what_is_no_request_is_answered_with_an_abort_and_reaches_nobody() {
    let site = site(|setup| setup).await;
    let whole = request(&[VERIFICATION]);
    let mut empty_title = whole.clone();
    empty_title[10..26].fill(b' ');
    let mut short = whole.clone();
    short.truncate(60);
    short[5] = 54;
    let mut no_version = whole.clone();
    no_version[7] = 2;
    let cases = [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), abort(2, 1)),
        (pdu(4, b"data"), abort(2, 2)),
        (accept(&[0]), abort(2, 2)),
        (vec![1, 0, 0, 2, 0, 1], abort(2, 6)),
        (empty_title, abort(2, 6)),
        (short, abort(2, 6)),
        (request(&[]), abort(2, 6)),
        (no_version, pdu(3, &[0, 1, 2, 2])),
    ];
    let count = cases.len();

    for (bytes, answer) in cases {
        let mut calling = site.connect().await;
        calling.send(&bytes).await;
        assert_eq!(calling.next().await, answer, "{bytes:02x?}");
        calling.end().await;
        calling.ends().await;
    }

    site.called.is_alone().await;
    let denied = site.pacs.trail().wait_for("association-denied", count).await;
    for record in denied {
        assert_eq!(record.reason(), "malformed_request");
        assert!(!record.text("message").is_empty());
    }
}

#[tokio::test]
async fn a_rule_that_has_expired_denies_and_the_log_says_that_it_is_still_asked_for() {
    let rule = "associations: [{name: ct, calling_ae: CT2, allow: [ct], expires: 2020-01-01}]";
    let (mesh, called) = (Mesh::new(), Called::new().await);
    let setup = mesh.inbound("pacs").allow("ct").dicom().with(rule);
    let mut pacs = setup.forward(&called.target()).spawn().await;

    let mut calling = End::new(mesh.connect("ct", &pacs).await.stream);
    calling.send(&request(&[VERIFICATION])).await;

    assert_eq!(calling.next().await, pdu(3, &[0, 1, 1, 3]), "not which reason it is");
    calling.end().await;
    called.is_alone().await;
    assert_eq!(pacs.trail().only("association-denied").await.reason(), "rule_expired");
    pacs.process.says("still asked for").await;
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_is_no_denial() {
    let site = site(|setup| setup).await;

    let mut calling = site.connect().await;
    calling.end().await;
    calling.ends().await;

    site.pacs.ended("finished", 1.0).await;
    site.called.is_alone().await;
    assert!(site.pacs.trail().all("association-denied").is_empty());
}

#[tokio::test]
async fn data_before_the_answer_is_an_abort_for_both() {
    let site = site(|setup| setup).await;
    let mut calling = site.connect().await;
    calling.send(&request(&[VERIFICATION])).await;
    let mut called = site.called.next().await;
    called.next().await;

    calling.send(&pdu(4, b"data")).await;

    assert_eq!(calling.next().await, abort(2, 2));
    assert_eq!(called.next().await, abort(2, 0));
    let completed = site.completed("aborted").await;
    assert!(completed.text("message").contains("calling side"), "{completed:#?}");
    calling.end().await;
    called.end().await;
    site.pacs.ended("protocol_error", 1.0).await;
}

#[tokio::test]
async fn a_second_association_does_not_reach_the_workload() {
    let site = site(|setup| setup).await;
    let (mut calling, mut called) = site.associated().await;

    calling.send(&request(&[VERIFICATION])).await;

    assert_eq!(calling.next().await, abort(2, 2));
    assert_eq!(called.next().await, abort(2, 0));
    site.completed("aborted").await;
}

#[tokio::test]
async fn a_second_association_after_the_release_does_not_reach_the_workload_either() {
    let site = site(|setup| setup).await;
    let (mut calling, mut called) = site.associated().await;
    calling.send(&RELEASE_REQUEST).await;
    called.next().await;
    called.send(&RELEASE_REPLY).await;
    calling.next().await;

    calling.send(&request(&[VERIFICATION])).await;

    assert_eq!(calling.next().await, abort(2, 2));
    called.ends().await;
    site.completed("released").await;
}

#[tokio::test]
async fn an_abort_goes_on_and_is_told_with_its_side() {
    let by_calling = site(|setup| setup).await;
    let (mut calling, mut called) = by_calling.associated().await;
    calling.send(&abort(0, 0)).await;
    assert_eq!(called.next().await, abort(0, 0));
    called.ends().await;
    let completed = by_calling.completed("aborted_by_calling").await;
    assert_eq!(completed.text("message"), "A-ABORT with source 0, reason 0");

    let by_called = site(|setup| setup).await;
    let (mut calling, mut called) = by_called.associated().await;
    called.send(&abort(2, 6)).await;
    assert_eq!(calling.next().await, abort(2, 6));
    calling.end().await;
    let completed = by_called.completed("aborted_by_called").await;
    assert_eq!(completed.text("message"), "A-ABORT with source 2, reason 6");

    let impatient = site(|setup| setup).await;
    let mut calling = impatient.connect().await;
    calling.send(&request(&[VERIFICATION])).await;
    let mut called = impatient.called.next().await;
    called.next().await;
    calling.send(&abort(0, 0)).await;
    assert_eq!(called.next().await, abort(0, 0));
    impatient.completed("aborted_by_calling").await;
}

#[tokio::test]
async fn a_rejection_of_the_workload_goes_on_and_is_told_with_its_codes() {
    let site = site(|setup| setup).await;
    let mut calling = site.connect().await;
    calling.send(&request(&[VERIFICATION])).await;
    let mut called = site.called.next().await;
    called.next().await;

    called.send(&pdu(3, &[0, 1, 1, 7])).await;

    assert_eq!(calling.next().await, pdu(3, &[0, 1, 1, 7]));
    calling.end().await;
    let completed = site.completed("rejected").await;
    assert_eq!(completed.text("message"), "A-ASSOCIATE-RJ with result 1, source 1, reason 7");
}

#[tokio::test]
async fn whose_other_side_is_lost_hears_an_abort_where_one_can_be_put_in() {
    let site = site(|setup| setup).await;
    let (mut calling, called) = site.associated().await;

    drop(called);

    assert_eq!(calling.next().await, abort(2, 0));
    calling.end().await;
    site.completed("broken_off").await;
    site.pacs.ended("upstream_lost", 1.0).await;
}

#[tokio::test]
async fn no_pdu_is_put_into_the_midst_of_another() {
    let site = site(|setup| setup).await;
    let (mut calling, mut called) = site.associated().await;
    let data = message(1, C_ECHO, VERIFICATION, &[7; 100]);

    calling.send(&data[..50]).await;
    drop(calling);

    let torn = called.torn().await;
    assert_eq!(torn, data[..50]);
    site.completed("broken_off").await;
}

#[tokio::test]
async fn an_answer_that_is_none_is_an_abort_for_both() {
    let site = site(|setup| setup).await;
    let mut calling = site.connect().await;
    calling.send(&request(&[VERIFICATION])).await;
    let mut called = site.called.next().await;
    called.next().await;

    called.send(b"220 ready\r\n").await;

    assert_eq!(called.next().await, abort(2, 1));
    assert_eq!(calling.next().await, abort(2, 0));
    let completed = site.completed("aborted").await;
    assert!(completed.text("message").contains("called side"), "{completed:#?}");
}
