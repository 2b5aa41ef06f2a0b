//! What it costs to hold a SOAP message against the action that it claims.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]

mod common;

use std::path::Path;

use divan::{Bencher, black_box};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use myelin::authz::{ListenerPolicy, Permit, Requested};
use myelin::clock;
use myelin::config;
use myelin::protocol::soap::{Beginning, claimed};

fn main() {
    divan::main();
}

const ACTION: &str = "urn:ihe:iti:2007:RegistryStoredQuery";

/// A message with a security header of about so many bytes, as SAML assertions come.
fn message(security: usize) -> Vec<u8> {
    let attribute = "<saml:Attribute Name=\"urn:oasis:names:tc:xspa:1.0:subject:role\"><saml:Value>\
                     physician</saml:Value></saml:Attribute>\n";
    let assertion = attribute.repeat(security / attribute.len());
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soap:Envelope \
         xmlns:soap=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:wsa=\"http://www.w3.org/2005/08/addressing\"><soap:Header><wsa:Action \
         soap:mustUnderstand=\"1\">{ACTION}</wsa:Action><wsse:Security xmlns:wsse=\"urn:wsse\">\
         <saml:Assertion xmlns:saml=\"urn:saml\">{assertion}</saml:Assertion></wsse:Security>\
         </soap:Header><soap:Body><q:AdhocQueryRequest xmlns:q=\"urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0\"/></soap:Body>\
         </soap:Envelope>"
    )
    .into_bytes()
}

fn headers() -> HeaderMap {
    let kind = format!("application/soap+xml; charset=utf-8; action=\"{ACTION}\"");
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(&kind).unwrap())])
}

/// A policy of one route, and a permit of it.
fn policy(route: &str) -> (ListenerPolicy, Permit) {
    let text = format!(
        "version: 1\nservice: ehr\ntrust_domain: bench.test\nidentity: {{ embedded: {{ dir: a }} }}\n\
         audit: {{ dir: audit }}\npeers: {{ peer-0: {{ spiffe: \"spiffe://bench.test/peer-0\" }} }}\n\
         inbound:\n  - name: xds\n    listen: 127.0.0.1:0\n    forward: 127.0.0.1:8080\n    \
         protocol: http\n    phi: true\n    allow: [peer-0]\n    routes: [{route}]\n"
    );
    let config = config::parse(Path::new("bench.yaml"), &text, &|_| None);
    let policy = common::policy(&config.unwrap_or_else(|problems| panic!("{problems}")));
    let peer = common::peer(&common::material("peer-0"));
    let permit = policy.authorize(&peer, clock::now()).unwrap();
    (policy, permit)
}

const ASKED: Requested<'_> = Requested::plain(&Method::POST, "/xds");

/// The decision on a listener whose routes know nothing of SOAP.
#[divan::bench]
fn without(bencher: Bencher<'_, '_>) {
    let (policy, permit) = policy("{ name: xds, path: /xds, allow: [peer-0] }");
    let (headers, now) = (headers(), clock::now());
    bencher.bench(|| {
        let headers = black_box(&headers);
        let claim = if policy.reads_soap() { claimed(headers) } else { Ok(None) };
        let claim = claim.as_ref().map(|claim| claim.as_deref()).map_err(|why| *why);
        policy.authorize_claim(&permit, black_box(&ASKED), claim, now).unwrap()
    });
}

/// The same on one that asks for an action, and looks into the message.
#[divan::bench(args = [0, 2_000, 8_000, 60_000])]
fn with_security_header_of(bencher: Bencher<'_, '_>, bytes: usize) {
    let (policy, permit) = policy("{ name: xds, path: /xds, ihe: ITI-18, allow: [peer-0] }");
    let (headers, message, now) = (headers(), message(bytes), clock::now());
    bencher.bench(|| {
        let headers = black_box(&headers);
        let claim = if policy.reads_soap() { claimed(headers) } else { Ok(None) };
        let claim = claim.as_ref().map(|claim| claim.as_deref()).map_err(|why| *why);
        let grant = policy.authorize_claim(&permit, black_box(&ASKED), claim, now).unwrap();
        let found = Beginning::new(headers).unwrap().read(black_box(&message), true);
        policy.authorize_soap(grant, Ok(found.unwrap().as_ref().unwrap()), now).unwrap()
    });
}
