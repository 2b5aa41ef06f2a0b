//! Authorities come and go.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::*;
use crate::identity::{Fingerprint, ListenerName, PeerName};
use crate::inventory::Sighting;
use crate::outcome::Direction;

/// A bundle of two roots, of which `former` was in use by `lab`; the text is what is said when it goes.
async fn without_former(see: impl FnOnce(&Inventory, Fingerprint)) -> String {
    let pki = OpenSsl::with_leaf();
    pki.root("former");
    let root = pki.read("root.crt");
    pki.write("root.crt", pki.read("former.crt") + &root);
    let running = run(supply(&files(&pki))).await;
    let former = running.first.trusted.anchors()[0].clone();
    assert_eq!(former.subject, "O=Hospital, CN=former");
    see(&running.inventory, former.sha256);
    pki.write("root.crt", root);

    running.trigger.reload(None).await.unwrap();

    let events = running.events.lock().unwrap();
    let Rotation::Rotated { warnings, changed, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!(changed, &["trust bundle"]);
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    let begin = format!(
        "the trust bundle no longer holds O=Hospital, CN=former (sha256 {}), ",
        former.sha256
    );
    let end = ": peers with certificates from there are refused from now on";
    warning.strip_prefix(&begin).unwrap().strip_suffix(end).unwrap().to_owned()
}

#[tokio::test]
async fn a_trust_anchor_that_is_taken_out_of_the_bundle_is_warned_of() {
    assert_eq!(without_former(|_, _| {}).await, "not seen in use since the start");
}

#[tokio::test]
async fn a_trust_anchor_that_is_taken_out_while_in_use_is_told_with_its_peers() {
    let said = without_former(|inventory, anchor| {
        let lab = PeerName::new("lab");
        inventory.of_peers(std::iter::once(&lab));
        inventory.seen(Sighting {
            peer: &lab,
            certificate: &Arc::new(PeerCertificate::parse(&leaf()).unwrap()),
            anchor: Some(anchor),
            listener: &ListenerName::new("fhir"),
            direction: Direction::Inbound,
            version: "1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
        });
    })
    .await;

    assert!(said.starts_with("last seen in use at 20") && said.ends_with("Z, by lab"), "{said}");
}

#[tokio::test]
async fn a_trust_anchor_that_is_new_is_told_with_its_fingerprint() {
    let pki = OpenSsl::with_leaf();
    let running = run(supply(&files(&pki))).await;
    pki.root("newcomer");
    pki.write("root.crt", pki.read("root.crt") + &pki.read("newcomer.crt"));

    running.trigger.reload(None).await.unwrap();

    let events = running.events.lock().unwrap();
    let Rotation::Rotated { warnings, .. } = &events[0] else { panic!("{events:?}") };
    let newcomer = CertificateDer::from_pem_file(pki.path("newcomer.crt")).unwrap();
    let sha256 = PeerCertificate::parse(&newcomer).unwrap().sha256;
    let told = format!(
        "the trust bundle now holds O=Hospital, CN=newcomer (sha256 {sha256}): peers with certificates \
         from there are believed from now on"
    );
    assert_eq!(warnings, &[told]);
}

fn leaf() -> CertificateDer<'static> {
    CertificateDer::from_pem_file(OpenSsl::with_leaf().path("leaf.crt")).unwrap()
}

#[tokio::test]
async fn authorities_of_the_same_name_stand_beside_each_other_and_a_renewed_one_is_the_same() {
    let pki = OpenSsl::with_leaf();
    let root = pki.read("root.crt");
    pki.run("x509 -in root.crt -signkey root.key -days 700 -out renewed.crt");
    let renewed = pki.read("renewed.crt");
    pki.root("root"); // the same name, another key
    let namesake = pki.read("root.crt");
    pki.leaf("namesake", "root", BOTH);
    pki.write("root.crt", namesake.clone() + &root + &renewed);
    let running = run(supply(&files(&pki))).await;
    let warnings = |count| {
        let events = running.events.lock().unwrap();
        assert_eq!(events.len(), count, "{events:?}");
        let Rotation::Rotated { warnings, .. } = &events[count - 1] else { panic!("{events:?}") };
        warnings.clone()
    };
    let anchors = running.first.trusted.anchors();
    assert_eq!(anchors[0].same_authority(&anchors).len(), 1);
    assert_eq!(anchors[1].same_authority(&anchors).len(), 2);

    pki.write("root.crt", namesake.clone() + &renewed);
    running.trigger.reload(None).await.unwrap();
    assert_eq!(warnings(1), Vec::<String>::new(), "its name and key are still there");

    fs::rename(pki.path("namesake.crt"), pki.path("leaf.crt")).unwrap();
    fs::rename(pki.path("namesake.key"), pki.path("leaf.key")).unwrap();
    running.trigger.reload(None).await.unwrap();
    assert_eq!(warnings(2), Vec::<String>::new());

    pki.write("root.crt", namesake);
    running.trigger.reload(None).await.unwrap();
    assert!(warnings(3)[0].contains(&anchors[2].sha256.to_string()));
}

#[tokio::test]
async fn a_revocation_list_that_is_taken_out_is_told() {
    let pki = OpenSsl::with_leaf();
    pki.root("second");
    pki.crl("first", "root", &[], "-crldays 7");
    pki.crl("other", "second", &[], "-crldays 7");
    let lists = pki.write("lists.crl", pki.read("first.crl") + &pki.read("other.crl"));
    let running = run(supply(&IdentitySource::Files(pki.files(&["lists.crl"])))).await;
    fs::write(lists, pki.read("first.crl")).unwrap();

    running.trigger.reload(None).await.unwrap();

    let events = running.events.lock().unwrap();
    let Rotation::Rotated { warnings, .. } = &events[0] else { panic!("{events:?}") };
    assert!(
        warnings.iter().any(|warning| warning
            == "there is no revocation list of O=Hospital, CN=second any more: what it has revoked \
                is not known from now on"),
        "{warnings:?}"
    );
}
