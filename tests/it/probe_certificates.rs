//! `myelin probe`: what may be wrong with the server's certificate, or with ours, is told apart.

use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SerialNumber};
use time::{Duration, OffsetDateTime};

use crate::support::est::EstServer;
use crate::support::pki::{Ca, Identity, uri};
use crate::support::probe::{Prober, Told, told};
use crate::support::process::{needs, run, write};

/// What is told of a server with this certificate.
async fn told_of(prober: &Prober, server: &Identity) -> Told {
    let (_server, target) = prober.demands(server, &[]).await;
    prober.asks(&target, &[]).await
}

#[tokio::test]
async fn dates_are_told_with_the_distance_to_them() {
    let prober = Prober::new();
    let now = OffsetDateTime::now_utc();
    let expired = prober.ca.issue_with("lab", |params| {
        params.not_before = now - Duration::days(30);
        params.not_after = now - Duration::days(3) - Duration::hours(1);
    });
    let early = prober.ca.issue_with("lab", |params| {
        params.not_before = now + Duration::hours(2) + Duration::minutes(30);
        params.not_after = now + Duration::days(30);
    });

    told_of(&prober, &expired).await.fails("expired", "3 days ago");
    let early = told_of(&prober, &early).await;
    early.fails("not_yet_valid", "2 hours from now: either this machine's clock is behind");
    assert_eq!((early.check("dates"), early.check("chain")), ("failed", "passed"));
}

#[tokio::test]
async fn an_authority_of_ours_that_has_expired_is_told_as_ours_and_not_as_the_servers() {
    let prober = Prober::new();
    let ends = OffsetDateTime::now_utc() - Duration::days(3);
    let old = Ca::with("Old CA", |params| params.not_after = ends);
    write(prober.ehr.dir(), "ca.crt", &format!("{}{}", prober.ca.pem(), old.pem()));

    let told = told_of(&prober, &alone(&prober, &old.issue("lab"))).await;

    told.fails(
        "expired_anchor",
        "the authority in our trust bundle that it leads to, CN=Old CA, is not: ",
    );
    assert_eq!(told.check("dates"), "passed");
}

#[tokio::test]
async fn a_clock_of_ours_that_is_wrong_is_suspected_by_our_own_authorities() {
    let prober = Prober::new();
    let now = OffsetDateTime::now_utc();
    let early = prober.ca.issue_with("lab", |params| params.not_before = now + Duration::days(9));
    let tomorrow = Ca::with("Tomorrow's CA", |params| params.not_before = now + Duration::days(1));
    let bundle = format!("{}{}", prober.ca.pem(), tomorrow.pem());
    write(prober.ehr.dir(), "ca.crt", &bundle);

    let told = told_of(&prober, &early).await;

    told.fails("not_yet_valid", "this machine's clock is most likely behind");
    assert!(told.json["clock"].as_str().unwrap().contains("CN=Tomorrow's CA"), "{told:#?}");
}

#[tokio::test]
async fn a_purpose_that_is_not_a_servers_is_told() {
    let prober = Prober::new();
    let client = prober.ca.issue_with("lab", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let anything = prober.ca.issue_with("lab", |params| params.extended_key_usages = Vec::new());
    let signer = prober.ca.issue_with("lab", |params| {
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    });

    told_of(&prober, &client).await.fails("wrong_purpose", "for clients alone");
    told_of(&prober, &anything).await.fails("unfit", "it names no purpose");
    told_of(&prober, &signer).await.fails("unfit", "keyCertSign");
}

#[tokio::test]
async fn a_chain_that_does_not_reach_us_is_told_by_where_it_breaks_off() {
    let prober = Prober::new();
    let self_signed = Identity::self_signed(|_| {});
    let (stranger, impostor) = (Ca::new("Other CA"), Ca::new("Hospital CA"));
    let chained = stranger.issue("lab");
    let other = alone(&prober, &chained);

    told_of(&prober, &self_signed).await.fails("self_signed", "has signed itself");
    told_of(&prober, &other).await.fails("unknown_issuer", "CN=Other CA");
    told_of(&prober, &chained).await.fails("unknown_authority", "ends in CN=Other CA");
    told_of(&prober, &alone(&prober, &impostor.issue("lab")))
        .await
        .fails("other_key", "another key");
}

/// The same, without the authorities that `openssl s_server` would send along.
fn alone(prober: &Prober, identity: &Identity) -> Identity {
    Identity::new(&read(&identity.cert()), &read(&identity.key()), &prober.ca.pem())
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn an_intermediate_that_the_server_leaves_out_is_named_if_we_have_it() {
    let prober = Prober::new();
    let between = prober.ca.intermediate("Hospital Issuing CA", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let ours = between.issue("ehr");
    let chain = format!("{}{}", read(&ours.cert()), between.pem());
    let ours = Identity::new(&chain, &read(&ours.key()), &prober.ca.pem());
    let bare = alone(&prober, &between.issue("lab"));
    let (_server, target) = prober.serves(&bare, &[]).await;
    let config = prober.setup(&target).files(&ours, &[]).write();

    let told = told(&config, &target, &[]).await;

    told.fails("missing_intermediate", "does not send its intermediate, CN=Hospital Issuing CA");
}

#[tokio::test]
async fn revocation_is_told_in_its_three_ways() {
    let prober = Prober::new();
    let lab = prober.ca.issue_with("lab", |params| {
        params.serial_number = Some(SerialNumber::from(7));
    });
    let (_server, target) = prober.demands(&lab, &[]).await;
    let now = OffsetDateTime::now_utc();
    let (later, before) = (now + Duration::days(1), now - Duration::days(1));
    let other = Ca::new("Other CA");
    for (list, code, words) in [
        (prober.ca.crl(&[7], later), "revoked", "is on a revocation list"),
        (prober.ca.crl(&[], before), "crl_expired", "past its next update since"),
    ] {
        let list = write(prober.dir(), "list.crl", &list);
        let config = prober.setup(&target).files(&prober.ehr, &[&list]).write();
        told(&config, &target, &[]).await.fails(code, words);
    }
    write(prober.ehr.dir(), "ca.crt", &format!("{}{}", prober.ca.pem(), other.pem()));
    let list = write(prober.dir(), "list.crl", &other.crl(&[], later));
    let config = prober.setup(&target).files(&prober.ehr, &[&list]).write();

    told(&config, &target, &[]).await.fails("revocation_unknown", "none of our lists");
}

#[tokio::test]
async fn a_server_that_is_somebody_else_is_told_with_who_it_is() {
    let prober = Prober::new();
    let (lab, other) = (prober.ca.issue("lab"), prober.ca.issue("billing"));
    let names = prober.ca.issue_with("lab", |params| {
        params.subject_alt_names.push(uri("https://lab.example"));
    });
    let (_server, target) = prober.demands(&other, &[]).await;

    told_of(&prober, &lab).await.is_fine();
    told_of(&prober, &names).await.fails("bad_names", "beside other URIs");
    let config = prober.setup(&target).peer("pacs", "dns: billing").write();
    let unexpected = told(&config, &target, &[]).await;
    unexpected.fails("unexpected_server", "proves to be spiffe://hospital.example/billing");
    // It has that DNS name, too; but where there is a SPIFFE ID, that is the one name that counts.
    told(&config, &target, &["--expect", "pacs"]).await.fails("unexpected_server", "none of");
}

#[tokio::test]
async fn without_an_expectation_a_server_is_told_by_who_it_is_to_us() {
    let prober = Prober::new();
    let (_server, target) = prober.demands(&prober.ca.issue("billing"), &[]).await;
    let config =
        prober.setup("lab.example:1").peer("pay", "spiffe: spiffe://hospital.example/billing");

    let told = told(&config.write(), &target, &[]).await;

    told.is_fine();
    assert_eq!(told.json["server"]["recognized"]["peers"][0], "pay");
}

#[tokio::test]
async fn a_pin_stands_in_for_the_chain() {
    let prober = Prober::new();
    let appliance = Identity::self_signed(|_| {});
    let (_server, target) = prober.serves(&appliance, &[]).await;
    let config =
        prober.setup(&target).peer("ct-2", &format!("pin: \"{}\"", appliance.pin())).write();

    let told = told(&config, &target, &["--expect", "ct-2"]).await;

    assert_eq!(
        (told.code, told.codes().as_slice()),
        (Some(0), ["not_mutual"].as_slice()),
        "{told:#?}"
    );
    assert_eq!(told.check("chain"), "passed");
}

/// A certificate as an old appliance makes it: version 1, RSA with 1024 bits, SHA-1.
async fn of_old(prober: &Prober) -> Identity {
    const MAKE: &str = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=Old\n\
         openssl req -new -newkey rsa:1024 -nodes -keyout tls.key -out tls.csr -subj /CN=ct\n\
         openssl x509 -req -sha1 -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out tls.crt";
    needs("openssl", "openssl");
    let mut shell = Command::new("sh");
    let said = run(shell.args(["-ec", MAKE]).current_dir(prober.dir()), "").await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    let file = |name: &str| read(&prober.dir().join(name));
    Identity::new(&file("tls.crt"), &file("tls.key"), &file("ca.crt"))
}

#[tokio::test]
async fn a_certificate_of_old_is_told_with_everything_that_is_old_in_it() {
    let prober = Prober::new();
    let old = of_old(&prober).await;
    write(prober.ehr.dir(), "ca.crt", &format!("{}{}", prober.ca.pem(), read(&old.trust_bundle())));
    let (_server, target) = prober.serves(&old, &["-cipher", "DEFAULT:@SECLEVEL=0"]).await;

    let told = prober.asks(&target, &[]).await;

    assert_eq!(told.code, Some(1));
    let codes = told.codes();
    for code in ["version_1", "weak_key", "weak_signature"] {
        assert!(codes.contains(&code), "{told:#?}");
    }
    assert_eq!(told.json["server"]["chain"][0]["key"], "RSA 1024");
}

#[tokio::test]
async fn a_server_that_refuses_ours_is_told_by_its_alert_in_both_versions_of_tls() {
    let prober = Prober::new();
    let lab = prober.ca.issue("lab");
    let trusts_others =
        Identity::new(&read(&lab.cert()), &read(&lab.key()), &Ca::new("Other CA").pem());
    for version in ["-tls1_3", "-tls1_2"] {
        let (_server, target) = prober.demands(&trusts_others, &[version]).await;

        let told = prober.asks(&target, &[]).await;

        let expected = ["refused_unknown_authority", "authority_not_named"];
        assert_eq!(told.codes(), expected, "{version}: {told:#?}");
    }
}

#[tokio::test]
async fn without_a_certificate_of_ours_the_probe_goes_on_and_enrols_nowhere() {
    let prober = Prober::new();
    let issuer = EstServer::start().await;
    let bundle = read(&issuer.path("root.crt"));
    let lab = prober.ca.issue("lab");
    let lab = Identity::new(&read(&lab.cert()), &read(&lab.key()), &bundle);
    let (_server, target) = prober.demands(&lab, &[]).await;
    let token = issuer.token("s3cret");
    let source = format!(
        "est: {{ url: \"{}\", trust_bundle: {}, token_file: {}, dir: {} }}",
        issuer.url(),
        issuer.path("root.crt").display(),
        token.display(),
        issuer.path("identity").display()
    );
    let config = prober.setup(&target).identity(&source).write();

    let told = told(&config, &target, &["--anyway"]).await;

    let expected = ["unknown_issuer", "certificate_required", "no_own_certificate"];
    assert_eq!(told.codes(), expected, "{told:#?}");
    assert!(issuer.asked().iter().all(|line| !line.contains("enroll")), "{:?}", issuer.asked());
}

#[tokio::test]
async fn a_certificate_of_ours_that_is_revoked_or_not_for_clients_is_told_by_the_alert() {
    let prober = Prober::new();
    let lab = prober.ca.issue("lab");
    let ours = prober.ca.issue_with("ehr", |params| {
        params.serial_number = Some(SerialNumber::from(9));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let list = prober.ca.crl(&[9], OffsetDateTime::now_utc() + Duration::days(1));
    let list = write(prober.dir(), "list.pem", &list).display().to_string();
    let (_revoking, revoking) = prober.demands(&lab, &["-CRL", &list, "-crl_check"]).await;
    let (_strict, strict) = prober.demands(&lab, &["-purpose", "sslclient"]).await;
    let revoked = prober.ca.issue_with("ehr", |params| {
        params.serial_number = Some(SerialNumber::from(9));
    });

    let config = prober.setup(&revoking).files(&revoked, &[]).write();
    told(&config, &revoking, &[])
        .await
        .fails("refused_revoked", "revocation list of CN=Hospital CA");
    // Without an outbound listener nothing asks of our certificate to be a client's.
    let inbound = prober.inbound().files(&ours, &[]).write();
    let told = told(&inbound, &strict, &["--expect", "lab"]).await;
    assert_eq!(told.codes(), ["refused_kind", "own_purpose"], "{told:#?}");
}
