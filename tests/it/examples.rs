//! The examples do what they tell their readers.

use std::net::TcpListener;

use super::support::admin::get;

#[path = "../../examples/legacy_service.rs"]
#[expect(dead_code, reason = "its `main`")]
mod legacy_service;

#[path = "../../examples/two_sidecars.rs"]
#[expect(dead_code, reason = "its `main`")]
mod two_sidecars;

#[test]
fn two_sidecars_pass_a_request_and_verify_its_trail() {
    let dir = tempfile::tempdir().unwrap();

    let passed = two_sidecars::pass_a_request(dir.path()).unwrap();

    assert!(passed.answer.ends_with("hello, chart\n"), "{}", passed.answer);
    assert!(passed.seen.contains("URI=spiffe://hospital.example/billing"), "{}", passed.seen);
    assert!(passed.trail.records >= 5, "{}", passed.trail);
}

#[tokio::test]
async fn the_legacy_service_tells_what_it_sees() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || legacy_service::serve(&listener));

    let answer = get(address, "/chart").await.unwrap();

    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with("GET /chart HTTP/1.1\n"), "{}", answer.body);
}
