//! How many lines denials get.

use std::net::SocketAddr;

use super::super::flood::Floods;
use super::*;
use crate::identity::PeerName;

fn from(ip: &str) -> Connection {
    let source = Some(SocketAddr::new(ip.parse().unwrap(), 40_000));
    Connection { source, peer: None, ..fixture::connection() }
}

fn denial(of: Connection, reason: DenyReason) -> Record {
    Record::denied(Arc::new(of), reason, Some(fixture::rule()))
}

/// How many of `count` get a line of their own.
fn own(floods: &Floods, count: usize, record: &Record) -> usize {
    (0..count).filter(|_| floods.own(record.clone()).is_some()).count()
}

#[tokio::test(start_paused = true)]
async fn a_stranger_has_so_many_lines_at_once_and_one_a_second_and_the_rest_is_one_sum() {
    let floods = Floods::default();
    let stranger = denial(from("2001:db8::1"), DenyReason::UnknownPeer);
    let neighbour = denial(from("2001:db8::2"), DenyReason::UnknownPeer);

    assert_eq!(own(&floods, 1000, &stranger), 100);
    assert_eq!(own(&floods, 1, &neighbour), 0, "one host has a whole network");
    assert_eq!(own(&floods, 1, &denial(from("2001:db8:0:1::1"), DenyReason::UnknownPeer)), 1);
    let rest = floods.rest();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].reason, Some("flood"));
    let flood = rest[0].flood.as_ref().unwrap();
    assert_eq!((flood.count, &flood.reasons), (901, &[("unknown_peer", 901)].into()));
    assert_eq!(
        rest[0].connection.as_ref().unwrap().source,
        Some("[2001:db8::]:0".parse().unwrap())
    );
    assert!(floods.rest().is_empty());

    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(own(&floods, 10, &stranger), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sum_shows_what_all_have_in_common_and_each_action_has_one() {
    let floods = Floods::default();
    let lab = denial(from("10.0.0.1"), DenyReason::UnknownPeer);
    let mut other = from("10.0.0.1");
    other.identity = Some("spiffe://hospital.example/ward".into());
    let other = denial(other, DenyReason::ConcurrencyLimit);
    let refused = Record::refused(
        Arc::new(from("10.0.0.1")),
        crate::outcome::Refusal::Expired,
        String::new(),
    );
    own(&floods, 100, &lab);

    own(&floods, 3, &lab);
    let alike = floods.rest().remove(0);
    own(&floods, 3, &lab);
    own(&floods, 2, &other);
    own(&floods, 1, &refused);
    let mixed = floods.rest();

    let identity = |record: &Record| record.connection.as_ref().unwrap().identity.clone();
    assert_eq!(identity(&alike).as_deref(), Some("spiffe://hospital.example/billing"));
    assert_eq!(mixed.len(), 2);
    let mixed = mixed.iter().find(|record| record.action == Action::ConnectionDenied).unwrap();
    assert_eq!((identity(mixed), &mixed.rule), (None, &None));
    let reasons = [("concurrency_limit", 2), ("unknown_peer", 3)].into();
    assert_eq!(mixed.flood.as_ref().unwrap().reasons, reasons);
}

#[tokio::test(start_paused = true)]
async fn of_a_named_peer_the_same_denial_is_bounded_and_no_other() {
    let floods = Floods::default();
    let named = |reason| denial(fixture::connection(), reason);
    let same = named(DenyReason::NotListedForRoute);

    assert_eq!(own(&floods, 1000, &same), 100);
    assert_eq!(own(&floods, 1, &named(DenyReason::NoRoute)), 1);
    let mut another = same.clone();
    another.rule = Some(Rule { name: "fhir/write".into(), ..fixture::rule() });
    assert_eq!(own(&floods, 1, &another), 1);
    let mut connection = fixture::connection();
    connection.peer = Some(PeerName::new("lab"));
    assert_eq!(own(&floods, 1, &denial(connection, DenyReason::NotListedForRoute)), 1);

    let rest = floods.rest();
    assert_eq!((rest.len(), rest[0].reason), (1, Some("not_listed_for_route")));
    assert_eq!(rest[0].rule, same.rule);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(own(&floods, 100, &same), 10);
}

#[tokio::test(start_paused = true)]
async fn what_was_let_through_and_what_was_withdrawn_have_their_lines_always() {
    let floods = Floods::default();
    for action in [
        Action::ConnectionAllowed,
        Action::ConnectionClosed,
        Action::ConnectionWithdrawn,
        Action::RequestAllowed,
        Action::RequestCompleted,
        Action::MessageAllowed,
        Action::MessageCompleted,
        Action::AssociationAllowed,
        Action::AssociationCompleted,
    ] {
        let record = Record { action, ..denial(from("10.0.0.1"), DenyReason::NotListed) };
        assert_eq!(own(&floods, 1000, &record), 1000, "{action:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sources_without_number_take_bounded_memory_and_none_is_left_out_of_the_sums() {
    let floods = Floods::default();
    let mut told = 0;
    for number in 0..6000_u32 {
        let mut connection = from("10.0.0.1");
        connection.source = Some(SocketAddr::new(std::net::IpAddr::V4(number.into()), 1));
        told += own(&floods, 101, &denial(connection, DenyReason::UnknownPeer));
    }

    let rest = floods.rest();

    assert_eq!(rest.len(), 4096 + 1, "and one for those who have no place of their own");
    let summed: u64 = rest.iter().map(|record| record.flood.as_ref().unwrap().count).sum();
    assert_eq!(told as u64 + summed, 6000 * 101);
    let late = denial(from("10.0.0.1"), DenyReason::UnknownPeer);
    assert_eq!(
        own(&floods, 10, &late),
        0,
        "those who have no place of their own have had their lines"
    );
    tokio::time::advance(Duration::from_secs(100)).await;
    floods.rest();
    assert_eq!(own(&floods, 1000, &late), 100, "who was quiet for long enough made room");
}

#[tokio::test]
async fn the_sums_are_on_record_when_the_trail_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let audit = open(dir.path());
    for _ in 0..150 {
        audit.note(denied()).await;
    }

    audit.close().await;

    let lines = lines(dir.path());
    let denied = lines.iter().filter(|line| line["event"]["action"] == "connection-denied");
    let counts: Vec<_> = denied.map(|line| line["myelin"]["flood"]["count"].clone()).collect();
    assert_eq!((counts.len(), counts.last()), (101, Some(&json!(50))));
    verify_alone(dir.path()).unwrap();
}
