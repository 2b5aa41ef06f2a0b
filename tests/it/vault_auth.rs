//! The ways to log in to OpenBao, and what is said when one leads nowhere.

use std::process::Command;

use crate::support::bao::Bao;
use crate::support::mesh::{Mesh, Setup};
use crate::support::pki::{Ca, Identity, dns};
use crate::support::process::run;
use crate::support::{eventually, python};

fn ehr(mesh: &Mesh, identity: &str) -> Setup {
    mesh.inbound("ehr").allow("web").identity(identity)
}

/// What `myelin check` says of a sidecar, and its exit code.
async fn check(setup: &Setup) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
    command.args(["check", "--config"]).arg(setup.write()).env_remove("MYELIN_LOG");
    let said = run(&mut command, "").await;
    (said.code, said.all())
}

/// How many certificates the mount has issued.
async fn issued(bao: &Bao) -> usize {
    bao.sh("(bao list pki/certs || true) | grep -c : || true").await.stdout.trim().parse().unwrap()
}

#[tokio::test]
async fn a_token_in_a_file_is_read_anew_each_time() {
    let bao = Bao::with_guide().await;
    let token = || async { bao.bao("token create -policy=ehr -field=token").await.stdout };
    let file = bao.path("token");
    std::fs::write(&file, token().await).unwrap();
    bao.bao(
        "write pki/roles/ehr ttl=3s key_type=any require_cn=false \
         allowed_uri_sans=spiffe://hospital.example/ehr",
    )
    .await;
    let mesh = Mesh::new();
    let setup = ehr(&mesh, &bao.identity_with(&format!("token_file: {}", file.display()), ""));
    let ehr = setup.start().await;
    let first = std::fs::read_to_string(&file).unwrap();

    bao.bao(&format!("token revoke {first}")).await;
    let told = ehr.trail().wait_for("certificate-rejected", 1).await;
    let told = told[0].text("message");
    assert!(told.contains(&format!("the token in {} is over", file.display())), "{told}");
    assert!(!told.contains(first.trim()), "{told}");
    std::fs::write(&file, token().await).unwrap();

    ehr.trail().wait_for("certificate-rotated", 1).await;
}

#[tokio::test]
async fn a_secret_id_for_one_login_is_enough_because_the_token_is_kept() {
    let bao = Bao::with_guide().await;
    bao.sh("bao write auth/approle/role/ehr token_policies=ehr token_ttl=1h secret_id_num_uses=1
         bao write -f -field=secret_id auth/approle/role/ehr/secret-id > secret-id
         bao write pki/roles/ehr ttl=3s key_type=any require_cn=false \
           allowed_uri_sans=spiffe://hospital.example/ehr")
        .await;
    let mesh = Mesh::new();
    let setup = ehr(&mesh, &bao.identity("").await);

    let (code, said) = check(&setup).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("was read and not tried"), "{said}");
    let ehr = setup.start().await;
    ehr.trail().wait_for("certificate-rotated", 2).await;
    assert!(ehr.trail().all("certificate-rejected").is_empty());

    let used_up = ehr_again(&mesh, &setup).await;
    assert!(used_up.contains("invalid role or secret ID"), "{used_up}");
    assert!(used_up.contains("over or used up: put a new one there"), "{used_up}");
}

/// Why another start comes to nothing.
async fn ehr_again(mesh: &Mesh, setup: &Setup) -> String {
    let audit = format!("dir: {}", mesh.dir().join("again").display());
    setup.clone().audit(&audit).try_start().await.err().expect("it starts")
}

#[tokio::test]
async fn a_token_that_ends_is_renewed_before_and_a_new_one_had_after_it_was_withdrawn() {
    let bao = Bao::with_guide().await;
    bao.sh("bao write auth/approle/role/ehr token_policies=ehr token_ttl=12s token_max_ttl=10m \
           secret_id_num_uses=2
         bao write -f -field=secret_id auth/approle/role/ehr/secret-id > secret-id
         bao write pki/roles/ehr ttl=24s key_type=any require_cn=false \
           allowed_uri_sans=spiffe://hospital.example/ehr")
        .await;
    let mesh = Mesh::new();
    let setup = ehr(&mesh, &bao.identity("").await);
    let ehr = setup.start().await;

    // One login is used; renewed, its token outlives its own 12 s.
    ehr.trail().wait_for("certificate-rotated", 1).await;
    let accessors = "bao list -format=yaml auth/token/accessors | grep -c '^- '";
    assert_eq!(bao.sh(accessors).await.stdout.trim(), "2", "the root's and the sidecar's");

    bao.sh("bao token revoke -mode=path auth/approle
         for serial in $(bao list pki/certs | grep :); do
           bao write pki/revoke serial_number=$serial
         done")
        .await;
    ehr.reload(&setup).await.unwrap();

    ehr.trail().wait_for("certificate-rotated", 2).await;
    assert!(ehr.trail().all("certificate-rejected").is_empty());
}

#[tokio::test]
async fn a_kubernetes_service_account_logs_in_with_its_token() {
    let bao = Bao::with_guide().await;
    let command = python::peer("token_review", "json", &["clinic", "ehr"]);
    let (review, target) = python::serves(command).await;
    let said = review.output();
    let token = said.lines().find_map(|line| line.strip_prefix("token ")).unwrap();
    std::fs::write(bao.path("jwt"), token).unwrap();
    bao.sh(&format!(
        "bao auth enable kubernetes
         bao write auth/kubernetes/config kubernetes_host=http://{target} \
           kubernetes_ca_cert=@root.crt token_reviewer_jwt=@jwt disable_local_ca_jwt=true
         for account in ehr other; do
           bao write auth/kubernetes/role/$account bound_service_account_names=$account \
             bound_service_account_namespaces=clinic token_policies=ehr
         done"
    ))
    .await;
    let mesh = Mesh::new();
    let file = bao.path("jwt").display().to_string();
    let auth = |role: &str| format!("kubernetes: {{ role: {role}, token_file: {file} }}");

    let setup = ehr(&mesh, &bao.identity_with(&auth("ehr"), ""));
    let before = issued(&bao).await;
    let (code, said) = check(&setup).await;
    assert_eq!((code, said.contains("no problems")), (Some(0), true), "{said}");
    assert_eq!(issued(&bao).await, before, "a check has nothing issued");
    setup.start().await.stop().await;

    for (role, told) in [
        ("nope", "invalid role name \"nope\"): make the role"),
        ("other", "add our service account and its namespace to the role"),
    ] {
        let (code, said) = check(&ehr(&mesh, &bao.identity_with(&auth(role), ""))).await;
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(told), "{said}");
    }
    std::fs::write(bao.path("jwt"), format!("{token}x")).unwrap();
    let (_, said) = check(&setup).await;
    assert!(said.contains("the service account's token was not accepted"), "{said}");
    assert!(!said.contains(token), "{said}");
}

/// A server's certificate, and a client's with this common name, from one authority.
fn both_ends(common_name: Option<&str>) -> (Identity, Identity) {
    let ca = Ca::new("Machines");
    let server = ca.issue_with("bao", |params| {
        params.subject_alt_names =
            vec![dns("localhost"), rcgen::SanType::IpAddress([127, 0, 0, 1].into())];
    });
    let client = ca.issue_with("machine", |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = common_name {
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
        }
    });
    (server, client)
}

fn cert_auth(client: &Identity) -> String {
    format!("cert: {{ cert: {}, key: {} }}", client.cert().display(), client.key().display())
}

#[tokio::test]
async fn a_tls_certificate_logs_in_if_it_has_a_common_name() {
    let (server, client) = both_ends(Some("machine-7"));
    let ca = server.trust_bundle();
    let bao = Bao::with_tls(server).await;
    bao.sh(&format!(
        "bao auth enable cert
         bao write auth/cert/certs/machines certificate=@{} token_policies=ehr token_ttl=1h",
        ca.display()
    ))
    .await;
    let mesh = Mesh::new();

    let setup = ehr(&mesh, &bao.identity_with(&cert_auth(&client), ""));
    let (code, said) = check(&setup).await;
    assert_eq!((code, said.contains("no problems")), (Some(0), true), "{said}");
    setup.start().await.stop().await;

    let (_, stranger) = both_ends(Some("machine-7"));
    let (_, said) = check(&ehr(&mesh, &bao.identity_with(&cert_auth(&stranger), ""))).await;
    assert!(said.contains("does not fit any role (`bao list auth/cert/certs`)"), "{said}");
    let other = Ca::new("Another").issue("bao");
    let wrong = bao
        .identity_with(&cert_auth(&client), "")
        .replace(&ca.display().to_string(), &other.trust_bundle().display().to_string());
    let (_, said) = check(&ehr(&mesh, &wrong)).await;
    assert!(said.contains("does not come from the configured trust bundle"), "{said}");
}

#[tokio::test]
async fn a_tls_certificate_without_a_common_name_is_told_so() {
    let (server, client) = both_ends(None);
    let ca = server.trust_bundle();
    let bao = Bao::with_tls(server).await;
    bao.sh(&format!(
        "bao auth enable cert
         bao write auth/cert/certs/machines certificate=@{} token_policies=ehr",
        ca.display()
    ))
    .await;
    let mesh = Mesh::new();

    let (code, said) = check(&ehr(&mesh, &bao.identity_with(&cert_auth(&client), ""))).await;

    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("has no common name, which this kind of login needs"), "{said}");
}

#[tokio::test]
async fn the_pki_may_be_in_a_namespace_and_at_a_path_with_slashes() {
    let bao = Bao::empty().await.in_namespace("clinic").await;
    let mesh = Mesh::new();
    ehr(&mesh, &bao.identity("").await).start().await.stop().await;

    bao.sh("bao secrets move pki team/a/pki
         printf 'path \"team/a/pki/sign/ehr\" { capabilities = [\"update\"] }' |
           bao policy write ehr -")
        .await;
    let moved = || async {
        let identity = bao.identity("mount: team/a/pki").await;
        ehr(&mesh, &identity).try_start().await.ok()
    };
    eventually("the mount at its new place", moved).await.stop().await;

    let elsewhere = bao.identity("").await.replace("namespace: clinic", "namespace: nowhere");
    let refused = ehr(&mesh, &elsewhere).try_start().await.err().expect("it starts");
    assert!(refused.contains("correct identity.vault.namespace"), "{refused}");
}

#[tokio::test]
async fn every_refusal_says_the_mend() {
    let bao = Bao::with_guide().await;
    bao.sh("bao write pki/roles/foreign key_type=any require_cn=false \
           allowed_uri_sans=spiffe://elsewhere.example/*
         bao write pki/roles/named key_type=any allowed_uri_sans=spiffe://hospital.example/ehr
         bao write pki/roles/rsa key_type=rsa require_cn=false \
           allowed_uri_sans=spiffe://hospital.example/ehr
         bao write pki/roles/server key_type=any require_cn=false client_flag=false \
           server_flag=false allowed_uri_sans=spiffe://hospital.example/ehr
         bao secrets enable -path=empty pki
         printf 'path \"+/sign/*\" { capabilities = [\"update\"] }' | bao policy write ehr -
         bao token create -policy=default -field=token > weak
         : > nothing; printf 'a\\nb' > lines")
        .await;
    let mesh = Mesh::new();
    let approle = bao.approle().await;
    let token = |name: &str| format!("token_file: {}", bao.path(name).display());
    let refusals = [
        (approle.clone(), "role: nope", "unknown role: nope): make the role"),
        (approle.clone(), "mount: nope", "is a PKI mounted at nope (`bao secrets list`)?"),
        (approle.clone(), "mount: secret", "is a PKI mounted at secret (`bao secrets list`)?"),
        (approle.clone(), "mount: empty", "the mount empty has no authority yet: make one"),
        (approle.clone(), "role: foreign", "the role has to allow spiffe://hospital.example/ehr"),
        (
            approle.clone(),
            "role: named",
            "pki/roles/named require_cn=false`), or set identity.vault",
        ),
        (
            approle.clone(),
            "role: named, common_name: ehr.x",
            "does not allow identity.vault.common_name",
        ),
        (approle.clone(), "role: rsa", "set identity.vault.key_types to it, or the role to any"),
        (approle.clone(), "role: server", "extended key usage"),
        (
            approle.replace("role_id: ", "mount: nope, role_id: "),
            "",
            "is approle mounted at auth/nope",
        ),
        (approle.replace("role_id: ", "role_id: x"), "", "role_id is wrong, or the secret id in"),
        (token("weak"), "", "path \"pki/sign/ehr\" { capabilities = [\"update\"] }"),
        (token("nothing"), "", "nothing: is empty; wanted: a token"),
        (token("lines"), "", "lines: has more than one line; wanted: a token"),
        (token("absent"), "", "absent: no such file; wanted: a token"),
    ];

    for (number, (auth, more, told)) in refusals.into_iter().enumerate() {
        let audit = format!("dir: {}", mesh.dir().join(format!("trail-{number}")).display());
        let setup = ehr(&mesh, &bao.identity_with(&auth, more)).audit(&audit);
        let refused = setup.try_start().await.err().unwrap_or_else(|| panic!("{auth}, {more}"));
        assert!(refused.contains(told), "{more}, {told}:\n{refused}");
    }
}

#[tokio::test]
async fn a_check_says_that_the_server_is_away_or_that_the_policy_is_missing() {
    let mut bao = Bao::with_guide().await;
    bao.bao("token create -policy=default -field=token > weak").await;
    let mesh = Mesh::new();
    let auth = format!("token_file: {}", bao.path("weak").display());
    let setup = ehr(&mesh, &bao.identity_with(&auth, ""));

    let (code, said) = check(&setup).await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("lets us in, and not have a certificate"), "{said}");

    bao.stop();
    let (code, said) = check(&setup).await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("cannot be connected to: Connection refused"), "{said}");
}
