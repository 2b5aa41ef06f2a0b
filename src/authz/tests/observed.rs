//! What goes through although rules deny it, or nobody proves who it is: for as long as the file says.

use super::decisions::{NOW, Visit, hospital, no, rule};
use super::*;
use crate::authz::Holder;

#[test]
fn what_is_only_observed_goes_through_and_says_why_not() {
    let until = "enforce: false\n    until: 2026-11-30";
    let visit = |peer, listener| Visit::under(until, peer, listener);

    let lab = visit("lab", 0);
    let granted = lab.asks(Method::GET, "/fhir/Patient/1").unwrap();
    let why = granted.would_deny().unwrap();
    assert_eq!((why.reason, &**granted.rule()), (DenyReason::NotListedForRoute, "fhir/read"));
    assert!(lab.asks(Method::GET, "/fhir/Patient").unwrap().would_deny().is_none());

    let unmatched = lab.asks(Method::GET, "/elsewhere").unwrap();
    assert_eq!(unmatched.would_deny().unwrap().reason, DenyReason::NoRoute);
    assert_eq!((&**unmatched.rule(), unmatched.rule_number()), ("fhir", None));
    assert!(unmatched.phi(), "nobody said that it is none");
    assert!(!lab.asks(Method::PUT, "/healthz").unwrap().phi(), "a path of which it is known");

    let both = visit("billing", 1).sends("ORU^R01", "LIS|MAIN").unwrap();
    assert_eq!(both.would_deny().unwrap().reason, DenyReason::NotListedForMessage);
    let classes = visit("ct-2", 2).calls("CT2", "PACS", &["MRImageStorage"]).unwrap();
    assert_eq!(classes.would_deny().unwrap().reason, DenyReason::SopClass);
    let closed = visit("lab", 0).asks(Method::GET, "/closed").unwrap();
    let denied = (**closed.would_deny().unwrap()).clone();
    assert!(lab.policy.enforce(granted, denied, NOW).is_ok());
}

#[test]
fn strangers_are_only_let_in_and_told_of_while_policy_is_observed() {
    let config = hospital("enforce: false\n    until: 2026-11-22T13:00:00Z");
    let policy = ListenerPolicy::inbound(&config, &config.inbound[0]);
    let ct = spiffe("spiffe://td/ct-2");
    let path = |path| Requested::plain(&Method::GET, path);

    let permit = policy.authorize(&ct, NOW).unwrap();
    assert_eq!(permit.holder(), &Holder::Observed);
    assert_eq!(permit.until(), Some(datetime!(2026-11-22 13:00 UTC)));
    let granted = policy.authorize_request(&permit, &path("/healthz"), NOW).unwrap();
    assert_eq!(granted.would_deny().unwrap().reason, DenyReason::NotListed);
    assert_eq!(&**granted.rule(), "fhir/health");

    let late = datetime!(2026-11-22 13:00 UTC);
    assert_eq!(policy.authorize(&ct, late).unwrap_err().reason, DenyReason::NotListed);
    let denied = policy.authorize_request(&permit, &path("/healthz"), late).unwrap_err();
    assert_eq!(denied.reason, DenyReason::NotListed, "its permit has ended, too");
}

#[test]
fn in_plaintext_goes_what_some_rule_lets_somebody_do() {
    let until = "mode: permissive\n    until: 2026-11-22T13:00:00Z";
    let anybody = Visit::under(until, "plaintext", 0);

    assert_eq!(rule(anybody.asks(Method::GET, "/fhir/Patient/1")), "fhir/read");
    assert_eq!(
        no(anybody.asks(Method::GET, "/closed")).2,
        "route `closed` does not allow anybody in plaintext"
    );
    assert_eq!(no(anybody.asks(Method::GET, "/x")).0, DenyReason::NoRoute);

    let late = datetime!(2026-11-22 13:00 UTC);
    assert!(anybody.policy.plaintext(late).is_none());
    let asked = Requested::plain(&Method::GET, "/healthz");
    let denied = anybody.policy.authorize_request(&anybody.permit, &asked, late).unwrap_err();
    assert_eq!(denied.reason, DenyReason::PermitWithdrawn);
}
