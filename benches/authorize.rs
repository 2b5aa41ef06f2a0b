//! What a decision costs: with ever more peers and routes, and over 1,000 rules and 200 peers in every
//! protocol. Allocations are counted: whoever is let through costs none.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]

mod common;

use divan::{AllocProfiler, Bencher, black_box};
use http::Method;
use myelin::authz::{ListenerPolicy, Permit, Requested};
use myelin::clock;
use myelin::protocol::{dicom, mllp};

use common::rules;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const PEERS: [usize; 4] = [10, 100, 1_000, 10_000];

/// A listed peer is let in.
#[divan::bench(args = PEERS)]
fn listed_peer(bencher: Bencher<'_, '_>, peers: usize) {
    let policy = common::policy(&common::config(peers, 0));
    let peer = common::peer(&common::material(&format!("peer-{}", peers - 1)));
    let now = clock::now();
    bencher.bench(|| policy.authorize(black_box(&peer), now).unwrap());
}

/// A stranger is refused, and told (to the record) what came nearest.
#[divan::bench(args = PEERS)]
fn stranger(bencher: Bencher<'_, '_>, peers: usize) {
    let policy = common::policy(&common::config(peers, 0));
    let peer = common::peer(&common::material("stranger"));
    let now = clock::now();
    bencher.bench(|| policy.authorize(black_box(&peer), now).unwrap_err());
}

/// A request that the last of the routes lets through.
#[divan::bench(args = [1, 10, 100, 1_000])]
fn request(bencher: Bencher<'_, '_>, routes: usize) {
    let policy = common::policy(&common::config(1, routes));
    let permit =
        policy.authorize(&common::peer(&common::material("peer-0")), clock::now()).unwrap();
    let path = format!("/fhir/Kind{}/4711", routes - 1);
    let now = clock::now();
    let asked = |path| Requested::plain(&Method::GET, path);
    bencher.bench(|| policy.authorize_request(&permit, &asked(black_box(&path)), now).unwrap());
}

/// The last peer of 200 asks what the last of 1,000 rules lets it do.
fn visit(protocol: &str, rules: &str) -> (ListenerPolicy, Permit) {
    let policy = common::policy(&rules::config(protocol, rules));
    let who = common::peer(&common::material(&format!("peer-{}", rules::PEERS - 1)));
    let permit = policy.authorize(&who, clock::now()).unwrap();
    (policy, permit)
}

fn ask(bencher: Bencher<'_, '_>, rules: &str, asked: Requested<'_>) {
    let (policy, permit) = visit("http", rules);
    let now = clock::now();
    bencher.bench(|| policy.authorize_request(&permit, black_box(&asked), now).unwrap());
}

fn get<'a>(path: &'a str, host: Option<&'a str>) -> Requested<'a> {
    Requested { host, ..Requested::plain(&Method::GET, path) }
}

/// By paths that differ.
#[divan::bench]
fn rules_paths(bencher: Bencher<'_, '_>) {
    ask(
        bencher,
        &rules::routes(|n| format!("path: \"/app/kind{n}/{{id}}\"")),
        get("/app/kind999/1", None),
    );
}

/// By one path, and hosts that differ.
#[divan::bench]
fn rules_hosts(bencher: Bencher<'_, '_>) {
    let rules = rules::routes(|n| format!("path: \"/{{rest...}}\", hosts: [h{n}.example]"));
    ask(bencher, &rules, get("/app/kind/1", Some("h999.example")));
}

/// By one path, and SOAP actions that differ.
#[divan::bench]
fn rules_soap(bencher: Bencher<'_, '_>) {
    let rules =
        rules::routes(|n| format!("path: /ws, soap_action: \"urn:example:service:Act{n}\""));
    let action = Some("urn:example:service:Act999");
    let asked = Requested { method: &Method::POST, soap_action: action, ..get("/ws", None) };
    ask(bencher, &rules, asked);
}

/// FHIR below a hundred bases, ten rules each.
#[divan::bench]
fn rules_fhir(bencher: Bencher<'_, '_>) {
    let types = ["Patient", "Observation", "Encounter", "Condition", "Procedure"];
    let rules = rules::routes(|n| {
        let kind = if n % 2 == 0 { "read" } else { "search-type" };
        let resource = types[n / 2 % types.len()];
        let base = n / 10;
        format!("path: /t{base}/fhir, fhir: {{ interactions: [{kind}], resources: [{resource}] }}")
    });
    ask(bencher, &rules, get("/t99/fhir/Procedure", None));
}

/// A search by rules that restrict the types of resources: with parameters of its own type alone, and with
/// others that lead to types which are listed.
#[divan::bench(args = ["", "name=x&birthdate=ge1970&_count=50", "patient.organization.name=x&_include=Patient:organization"])]
fn rules_fhir_query(bencher: Bencher<'_, '_>, query: &str) {
    let rules = rules::routes(|n| {
        let base = n / 10;
        format!("path: /t{base}/fhir, fhir: {{ resources: [Patient, Organization] }}")
    });
    let asked = Requested { query: Some(query), ..get("/t99/fhir/Patient", None) };
    ask(bencher, &rules, asked);
}

/// DICOMweb below 250 bases, four rules each.
#[divan::bench]
fn rules_dicomweb(bencher: Bencher<'_, '_>) {
    let rules = rules::routes(|n| {
        let kind = ["store", "worklist", "retrieve", "search"][n % 4];
        format!("path: /t{}/dicom, dicomweb: [{kind}]", n / 4)
    });
    ask(bencher, &rules, get("/t249/dicom/studies", None));
}

/// No rule lets it through: the denial says which came nearest.
#[divan::bench]
fn rules_denied(bencher: Bencher<'_, '_>) {
    let rules = rules::routes(|n| format!("path: \"/app/kind{n}/{{id}}\", methods: [POST]"));
    let (policy, permit) = visit("http", &rules);
    let (asked, now) = (get("/app/kind999/1", None), clock::now());
    bencher.bench(|| policy.authorize_request(&permit, black_box(&asked), now).unwrap_err());
}

/// A message by 1,000 rules for types, and one by 1,000 for senders.
#[divan::bench]
fn rules_messages(bencher: Bencher<'_, '_>) {
    let (policy, permit) = visit("mllp", &(rules::messages() + &rules::senders()));
    let header = mllp::Header {
        code: b"Z99",
        trigger: b"E9",
        encoding: b"^~\\&",
        sending_application: b"APP999^1.2.3^ISO",
        sending_facility: b"MAIN",
        ..mllp::Header::default()
    };
    let now = clock::now();
    bencher.bench(|| policy.authorize_message(&permit, black_box(&header), now).unwrap());
}

/// An association with eight presentation contexts.
#[divan::bench]
fn rules_associations(bencher: Bencher<'_, '_>) {
    let (policy, permit) = visit("dicom", &rules::associations());
    let classes = dicom::sop_class_names().take(8).filter_map(dicom::sop_class);
    let contexts = (1_u8..).step_by(2).zip(classes);
    let asked = dicom::Request {
        called_ae: "PACS".to_owned(),
        calling_ae: "AE999".to_owned(),
        contexts: contexts
            .map(|(id, uid)| dicom::Context { id, abstract_syntax: uid.to_owned() })
            .collect(),
        ..dicom::Request::default()
    };
    let now = clock::now();
    bencher.bench(|| policy.authorize_association(&permit, black_box(&asked), now).unwrap());
}
