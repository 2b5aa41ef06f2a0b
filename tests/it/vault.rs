//! OpenBao's PKI as the source of certificates, trust and revocation.

use std::path::Path;

use myelin::certs::Supply;
use myelin::config;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::GeneralName;

use crate::support::bao::{Bao, guide};
use crate::support::client::{Peer, connect};
use crate::support::eventually;
use crate::support::mesh::{Mesh, Setup};
use crate::support::openssl::SClient;
use crate::support::pki::{Identity, sha256};
use crate::support::workload::{Kind, Workload};

/// The chain that the sidecar presented, leaf first.
fn presented(peer: &Peer) -> Vec<Vec<u8>> {
    let chain = peer.stream.get_ref().1.peer_certificates().unwrap();
    chain.iter().map(|der| der.to_vec()).collect()
}

/// The names in a certificate.
fn names(der: &[u8]) -> Vec<String> {
    let (_, x509) = x509_parser::parse_x509_certificate(der).unwrap();
    let names = x509.subject_alternative_name().unwrap().unwrap();
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => (*uri).to_owned(),
        GeneralName::DNSName(dns) => (*dns).to_owned(),
        other => format!("{other:?}"),
    };
    names.value.general_names.iter().map(text).collect()
}

/// The serial number of a certificate, as OpenBao writes it.
fn serial(der: &[u8]) -> String {
    let (_, x509) = x509_parser::parse_x509_certificate(der).unwrap();
    x509.raw_serial_as_string()
}

/// A sidecar of the service `ehr` with this identity, which lets `web` in.
async fn ehr(mesh: &Mesh, identity: &str) -> (Setup, Workload) {
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("ehr").allow("web").forward(workload.target());
    (setup.identity(identity), workload)
}

async fn visits(web: &Identity, to: std::net::SocketAddr) -> std::io::Result<Peer> {
    let mut peer = connect(web, to, "ehr").await?;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    peer.stream.write_all(b"hello").await?;
    let mut back = [0; 5];
    peer.stream.read_exact(&mut back).await?;
    Ok(peer)
}

#[tokio::test]
async fn the_commands_of_the_guide_give_a_sidecar_its_certificate_and_whom_to_trust() {
    let bao = Bao::with_guide().await;
    bao.sh(&guide("sh bao lists")).await;
    let (web, _) = bao.issue("web").await;
    let mesh = Mesh::new();
    let (setup, _workload) = ehr(&mesh, &bao.identity("").await).await;
    let ehr = setup.start().await;

    let peer = visits(&web, ehr.address()).await.unwrap();

    let chain = presented(&peer);
    assert_eq!(names(&chain[0]), ["ehr", "spiffe://hospital.example/ehr"]);
    assert_eq!(chain.len(), 2, "leaf and issuing authority, without the root");
    assert!(ehr.metric("myelin_crl_next_update_timestamp_seconds", &[]).await > 0.0);
    let allowed = ehr.trail().only("connection-allowed").await;
    assert_eq!(allowed.text("myelin.identity"), "spiffe://hospital.example/web");
    let stranger = mesh.pem("web");
    std::fs::copy(web.trust_bundle(), stranger.trust_bundle()).unwrap();
    visits(&stranger, ehr.address()).await.err().expect("another authority's `web` is let in");
    assert_eq!(ehr.trail().only("connection-refused").await.reason(), "unknown_issuer");
}

#[tokio::test]
async fn certificates_that_live_for_seconds_are_renewed_and_no_connection_ends() {
    let bao = Bao::with_guide().await;
    bao.bao("write pki/roles/ehr ttl=6s key_type=any require_cn=false \
             allowed_uri_sans=spiffe://hospital.example/ehr allowed_domains=ehr allow_bare_domains=true").await;
    let (web, _) = bao.issue("web").await;
    let mesh = Mesh::new();
    let (setup, _workload) = ehr(&mesh, &bao.identity("").await).await;
    let ehr = setup.start().await;
    let mut open = visits(&web, ehr.address()).await.unwrap();
    let first = presented(&open).remove(0);

    let second = eventually("another certificate", || async {
        let now = presented(&visits(&web, ehr.address()).await.ok()?).remove(0);
        (now != first).then_some(now)
    })
    .await;
    let third = eventually("one more", || async {
        let now = presented(&visits(&web, ehr.address()).await.ok()?).remove(0);
        (now != second).then_some(now)
    })
    .await;

    open.echoes("the open connection stays").await;
    let key =
        |der: &[u8]| x509_parser::parse_x509_certificate(der).unwrap().1.public_key().raw.to_vec();
    assert!(
        key(&first) != key(&second) && key(&second) != key(&third),
        "each has a key of its own"
    );
    assert!(ehr.trail().all("certificate-rejected").is_empty());
}

#[tokio::test]
async fn a_certificate_that_is_revoked_in_the_mount_is_refused_without_a_signal() {
    let bao = Bao::with_guide().await;
    let (web, number) = bao.issue("web").await;
    // Half of a list's life is the longest that a sidecar waits.
    bao.sh("bao write pki/config/crl expiry=20s >/dev/null; bao read pki/crl/rotate").await;
    let mesh = Mesh::new();
    let (setup, _workload) = ehr(&mesh, &bao.identity("").await).await;
    let ehr = setup.start().await;
    drop(visits(&web, ehr.address()).await.unwrap());

    bao.bao(&format!("write pki/revoke serial_number={number}")).await;

    eventually("the refusal", || async {
        visits(&web, ehr.address()).await.err()?;
        let refused = ehr.trail().all("connection-refused");
        refused.iter().any(|record| record.reason() == "revoked").then_some(())
    })
    .await;
    let (other, _) = bao.issue("web").await;
    visits(&other, ehr.address()).await.unwrap();
}

#[tokio::test]
async fn a_sidecar_whose_own_certificate_is_revoked_asks_for_another_one() {
    let bao = Bao::with_guide().await;
    let (web, _) = bao.issue("web").await;
    let mesh = Mesh::new();
    let (setup, _workload) = ehr(&mesh, &bao.identity("").await).await;
    let ehr = setup.start().await;
    let first = presented(&visits(&web, ehr.address()).await.unwrap()).remove(0);

    bao.bao(&format!("write pki/revoke serial_number={}", serial(&first))).await;
    ehr.reload(&setup).await.unwrap();

    let second = presented(&visits(&web, ehr.address()).await.unwrap()).remove(0);
    assert_ne!(serial(&first), serial(&second));
    assert_eq!(names(&first), names(&second));
}

#[tokio::test]
async fn revocations_take_effect_while_renewals_are_refused() {
    let bao = Bao::with_guide().await;
    let (_, number) = bao.issue("web").await;
    let mesh = Mesh::new();
    let (setup, _workload) = ehr(&mesh, &bao.identity("").await).await;
    let supply = |more: &str| {
        let text = setup.clone().identity(more).text();
        Supply::of(&config::parse(Path::new("ehr.yaml"), &text, &|_| None).unwrap()).unwrap()
    };
    let first = supply(&bao.identity("").await);
    let in_use = first.load().await.unwrap().material;
    // Another lifetime is asked for: that takes another certificate.
    let renewing = supply(&bao.identity("ttl: 2h").await);

    bao.bao("delete pki/roles/ehr").await;
    bao.bao(&format!("write pki/revoke serial_number={number}")).await;
    let with_list = renewing.load_again(&first, &in_use).await.unwrap().material;
    let refused = renewing.load_again(&first, &with_list).await.unwrap_err();

    assert_eq!(with_list.presented.cert, in_use.presented.cert);
    assert_ne!(with_list.trusted.crls, in_use.trusted.crls);
    assert!(refused.to_string().contains("unknown role: ehr"), "{refused}");
}

#[tokio::test]
async fn a_new_authority_in_the_mount_is_trusted_beside_the_old_one_and_then_issues() {
    let bao = Bao::with_guide().await;
    let (old, _) = bao.issue("web").await;
    let mesh = Mesh::new();
    let (setup, _workload) = ehr(&mesh, &bao.identity("").await).await;
    let ehr = setup.start().await;
    let mut open = visits(&old, ehr.address()).await.unwrap();

    bao.sh("bao write pki/root/rotate/internal common_name='Next Root' issuer_name=next key_type=ec ttl=43800h")
        .await;
    ehr.reload(&setup).await.unwrap();
    bao.bao("write pki/config/issuers default=next").await;
    let (new, _) = bao.issue("web").await;

    // Until the sidecar renews, it presents what the old root vouches for, and trusts both.
    std::fs::copy(old.trust_bundle(), new.trust_bundle()).unwrap();
    drop(visits(&new, ehr.address()).await.unwrap());
    drop(visits(&old, ehr.address()).await.unwrap());
    open.echoes("the open connection stays").await;
}

#[tokio::test]
async fn while_the_server_is_away_or_sealed_a_sidecar_serves_on_and_renews_when_it_is_back() {
    let mut bao = Bao::durable().await;
    bao.bao("write pki/roles/ehr ttl=15s key_type=any require_cn=false \
             allowed_uri_sans=spiffe://hospital.example/ehr allowed_domains=ehr allow_bare_domains=true").await;
    let (web, _) = bao.issue("web").await;
    let mesh = Mesh::new();
    let (setup, _workload) = ehr(&mesh, &bao.identity("").await).await;
    let ehr = setup.start().await;
    let mut open = visits(&web, ehr.address()).await.unwrap();
    let first = presented(&open).remove(0);

    bao.stop();
    let told = ehr.trail().wait_for("certificate-rejected", 1).await;
    assert!(told[0].text("message").contains("cannot be connected to"), "{told:?}");
    drop(visits(&web, ehr.address()).await.unwrap());
    bao.start().await;
    eventually("a rejection for the seal", || async {
        let all = ehr.trail().all("certificate-rejected");
        all.iter().any(|r| r.text("message").contains("is sealed: unseal it")).then_some(())
    })
    .await;
    bao.unseal().await;

    let second = eventually("another certificate", || async {
        let now = presented(&visits(&web, ehr.address()).await.ok()?).remove(0);
        (now != first).then_some(now)
    })
    .await;
    assert_ne!(sha256(&first), sha256(&second));
    open.echoes("the open connection stays").await;
}

#[tokio::test]
async fn a_restart_succeeds_while_the_server_is_away_with_what_was_kept() {
    let mut bao = Bao::with_guide().await;
    let (web, _) = bao.issue("web").await;
    let mesh = Mesh::new();
    let dir = mesh.dir().join("identity");
    let identity = bao.identity(&format!("dir: {}", dir.display())).await;
    let (setup, _workload) = ehr(&mesh, &identity).await;
    let ehr = setup.start().await;
    let first = presented(&visits(&web, ehr.address()).await.unwrap()).remove(0);
    eventually("what is kept", || async { dir.join("identity.json").exists().then_some(()) }).await;
    ehr.stop().await;

    bao.stop();
    let again = setup.start().await;

    let second = presented(&visits(&web, again.address()).await.unwrap()).remove(0);
    assert_eq!(sha256(&first), sha256(&second));
    let kept = std::fs::metadata(dir.join("identity.json")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&kept.permissions()) & 0o777, 0o600);
}

#[tokio::test]
async fn a_restart_succeeds_with_what_was_kept_when_the_server_no_longer_lets_the_sidecar_in() {
    let bao = Bao::with_guide().await;
    let (web, _) = bao.issue("web").await;
    let mesh = Mesh::new();
    let dir = mesh.dir().join("identity");
    let identity = bao.identity(&format!("dir: {}", dir.display())).await;
    let (setup, _workload) = ehr(&mesh, &identity).await;
    let ehr = setup.start().await;
    let first = presented(&visits(&web, ehr.address()).await.unwrap()).remove(0);
    eventually("what is kept", || async { dir.join("identity.json").exists().then_some(()) }).await;
    ehr.stop().await;

    bao.bao("delete auth/approle/role/ehr").await;
    let again = setup.start().await;
    let second = presented(&visits(&web, again.address()).await.unwrap()).remove(0);
    assert_eq!(sha256(&first), sha256(&second));
    again.stop().await;

    bao.bao(&format!("write pki/revoke serial_number={}", serial(&first))).await;
    let refused = setup.try_start().await.err().expect("a revoked certificate is used");
    assert!(refused.contains("role_id is wrong, or the secret id"), "{refused}");
}

#[tokio::test]
async fn every_configured_kind_of_key_gets_a_certificate_and_dns_names_are_gone_without() {
    let bao = Bao::with_guide().await;
    bao.bao(
        "write pki/roles/uri ttl=1h key_type=any require_cn=false \
             allowed_uri_sans=spiffe://hospital.example/ehr",
    )
    .await;
    bao.sh("printf 'path \"pki/sign/*\" { capabilities = [\"update\"] }' | bao policy write ehr -")
        .await;
    let (web, _) = bao.issue("web").await;
    let mesh = Mesh::new();
    let identity = bao.identity("role: uri, ttl: 10m, key_types: [ed25519, p256, rsa2048]").await;
    let workload = Workload::tcp(Kind::Line).await;
    let (setup, _) = ehr(&mesh, &identity).await;
    let ehr = setup.forward(workload.target()).start().await;

    // openssl looks at the chain alone, not at names.
    let said = SClient::to(ehr.address()).identity(&web).send("hello\n").await;
    assert!(said.stdout.contains("Verify return code: 0 (ok)"), "{said:?}");
    let leaf = CertificateDer::from_pem_slice(said.stdout.as_bytes()).unwrap();
    assert_eq!(names(&leaf), ["spiffe://hospital.example/ehr"]);
    let kinds = bao
        .sh("for serial in $(bao list pki/certs | grep :); do
               bao read -field=certificate pki/cert/$serial > listed.crt
               openssl x509 -in listed.crt -noout -text -ext subjectAltName |
                 grep -A8 'Public Key Algorithm' | grep -E 'Algorithm|ASN1|bit'
             done")
        .await
        .stdout;
    for kind in ["ED25519", "prime256v1", "(2048 bit)"] {
        assert!(kinds.contains(kind), "{kinds}");
    }
}
