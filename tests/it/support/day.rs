//! A day at a hospital, in short: traffic of each kind, good and bad, and the trails that it leaves.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rcgen::DnType;
use time::{Duration, OffsetDateTime};

use super::client;
use super::dicom::asks;
use super::legacy::Legacy;
use super::mesh::{Mesh, Running};
use super::mllp::{Engine, content, exchange, framed};
use super::pki::issued_in;
use super::process::Said;
use super::trail::Trail;
use crate::cli::myelin;
use crate::support::dicom::storescp;

/// A name as whoever wants to do harm has it put into a certificate.
pub(crate) const HOSTILE: &str = "=cmd|'/C calc'!A0 <&\"> a=b \\ |\u{1b}[2J\n\u{ffff}\u{202e}é, x";

const ROUTES: &str = r#"routes:
      - { name: reading, path: /fhir, allow: [billing], fhir: { interactions: [read, search-type], resources: [Patient] } }"#;

/// Trails with records of all kinds of traffic.
pub(crate) struct Day {
    _mesh: Mesh,
    pub(crate) trails: Vec<Trail>,
}

impl Day {
    pub(crate) async fn new() -> Self {
        let mesh = Mesh::new();
        let trails = vec![fhir(&mesh).await, messages(&mesh).await, images(&mesh).await]
            .into_iter()
            .flatten()
            .collect();
        Self { _mesh: mesh, trails }
    }

    /// What `myelin audit query` says of all trails.
    pub(crate) async fn query(&self, args: &[&str]) -> Said {
        let dirs: Vec<_> =
            self.trails.iter().map(|trail| trail.dir().display().to_string()).collect();
        let named = dirs.iter().flat_map(|dir| ["--audit", dir.as_str()]);
        myelin(
            &["audit", "query"]
                .into_iter()
                .chain(named)
                .chain(args.iter().copied())
                .collect::<Vec<_>>(),
        )
        .await
    }

    /// How many records there are.
    pub(crate) fn records(&self) -> usize {
        self.trails.iter().map(|trail| trail.lines().len()).sum()
    }
}

async fn stop(sidecars: impl IntoIterator<Item = Running>) -> Vec<Trail> {
    let mut trails = Vec::new();
    for sidecar in sidecars {
        trails.push(sidecar.trail().clone());
        sidecar.stop().await;
    }
    trails
}

/// FHIR: what is allowed, a type that is not, a peer that is not, a certificate that is none, two reloads.
async fn fhir(mesh: &Mesh) -> Vec<Trail> {
    let workload = Legacy::start().await;
    let key = mesh.dir().join("pseudonyms.key");
    fs::write(&key, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let dir = mesh.dir().join("ehr/audit");
    let audit = format!("dir: {} , pseudonyms: {{ key_file: {} }}", dir.display(), key.display());
    let setup = mesh.inbound("ehr").allow("billing").http().phi().audit(&audit);
    let setup = setup.forward(workload.target()).with(ROUTES);
    let ehr = setup.start().await;
    let mut billing = mesh.http("billing", &ehr).await;
    billing.get("/fhir/Patient/PQ4711").await;
    billing.get("/fhir/Patient?name=Meier").await;
    billing.get("/fhir/Observation/1").await;
    ehr.trail().wait_for("request-completed", 2).await;
    drop(billing);
    let mut stranger = mesh.connect("portal", &ehr).await;
    stranger.rest().await;
    hostile(mesh, &ehr).await;
    ehr.trail().wait_for("connection-refused", 1).await;
    ehr.trail().wait_for("connection-denied", 1).await;
    ehr.trail().wait_for("connection-closed", 1).await;
    ehr.reload(&setup).await.unwrap();
    ehr.reload(&setup.clone().with("alow: [web]")).await.unwrap_err();
    stop([ehr]).await
}

/// Somebody whose authority took any name for a certificate that has ended since. What nobody vouches for is not told.
async fn hostile(mesh: &Mesh, to: &Running) {
    let identity = issued_in(&mesh.dir().join("authority"), "nobody", |params| {
        params.distinguished_name.push(DnType::CommonName, HOSTILE);
        params.not_after = OffsetDateTime::now_utc() - Duration::minutes(1);
    });
    if let Ok(mut peer) = client::connect(&identity, to.address(), "ehr").await {
        peer.first_read().await;
    }
}

/// HL7 v2: a message that is allowed, and a type that is not.
async fn messages(mesh: &Mesh) -> Vec<Trail> {
    let engine = Engine::start().await;
    let adt = mesh.inbound("adt").allow("lab").mllp().phi().with("messages: [ \"ADT^*\" ]");
    let adt = adt.forward(engine.target()).start().await;
    let mut lab = mesh.connect("lab", &adt).await;
    exchange(&mut lab.stream, "ADT^A01", "7").await;
    lab.send(framed(&content("LIS", "ORU^R01", "8"))).await;
    lab.rest().await;
    adt.trail().wait_for("connection-closed", 1).await;
    stop([adt]).await
}

/// DICOM, on both sides: an association that is allowed, and a title that is not.
async fn images(mesh: &Mesh) -> Vec<Trail> {
    let (scp, target) = storescp(mesh.dir(), &[]).await;
    let pacs = mesh.inbound("pacs").allow("ct").dicom().phi();
    let pacs = pacs.with("associations: [ { calling_ae: CT2, called_ae: PACS } ]");
    let pacs = pacs.forward(&target).start().await;
    let ct = mesh.outbound("ct").allow("pacs").dicom().phi().to(pacs.address()).start().await;
    asks("echoscu", &ct, &[], &[]).await;
    asks("echoscu", &ct, &["-aec", "OTHER"], &[]).await;
    pacs.trail().wait_for("association-denied", 1).await;
    ct.trail().wait_for("connection-closed", 2).await;
    let trails = stop([ct, pacs]).await;
    drop(scp);
    trails
}
