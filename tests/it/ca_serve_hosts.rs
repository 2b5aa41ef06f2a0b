//! Sidecars on several hosts with one `myelin ca serve`: enrolment, renewal, revocation, and the server's deaths.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::clock::Clock;
use crate::support::ca::CaServer;
use crate::support::client::{FirstRead, connect};
use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::outside::Outside;
use crate::support::pki::Identity;
use crate::support::workload::{Kind, Workload};
use crate::support::{eventually, until};

const HOUR: Duration = Duration::from_secs(3600);

/// What a legacy program on billing's host sends to the one on ehr's, and gets back.
struct Call(TcpStream);

impl Call {
    async fn by(billing: &Outside) -> Self {
        Self(TcpStream::connect(billing.address()).await.unwrap())
    }

    async fn echoes(&mut self, words: &str) {
        self.0.write_all(words.as_bytes()).await.unwrap();
        let mut back = vec![0; words.len()];
        self.0.read_exact(&mut back).await.unwrap();
        assert_eq!(back, words.as_bytes());
    }

    /// Waits for the end of it.
    async fn ends(&mut self) {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(crate::support::PATIENCE, self.0.read_to_end(&mut rest));
        let _closed_or_reset = end.await.expect("the connection to end");
        assert_eq!(rest, b"");
    }
}

/// The sidecar of `ehr`, which lets billing in, on a host of its own.
fn ehr(mesh: &Mesh, workload: &Workload, identity: &str) -> Setup {
    mesh.inbound("ehr").allow("billing").forward(workload.target()).identity(identity)
}

/// The sidecar of `billing`, which goes to ehr, on another.
async fn billing(mesh: &Mesh, ehr: &Outside, identity: &str) -> Running {
    mesh.outbound("billing").allow("ehr").to(ehr.address()).identity(identity).start().await
}

/// How the certificates of `service` were had.
async fn how(server: &CaServer, service: &str) -> Vec<String> {
    let is_its = |it: &&Value| it["spiffe"] == format!("spiffe://hospital.example/{service}");
    let all = server.list().await;
    let its = all.iter().filter(is_its);
    its.map(|it| it["authorized"]["by"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn sidecars_enrol_and_renew_and_no_death_of_the_server_closes_a_connection() {
    let mut server = CaServer::start().await;
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Kind::Echo).await);
    let ttl = Duration::from_secs(15);
    let identity = |service| server.identity(service, &server.token_for(service, HOUR, ttl));
    let ehr = ehr(&mesh, &workload, &identity("ehr")).start().await;
    let billing = billing(&mesh, &ehr, &identity("billing")).await;
    let mut call = Call::by(&billing).await;
    call.echoes("with the first certificates").await;

    server.kill();
    for sidecar in [&ehr, &billing] {
        let rejected = sidecar.trail().wait_for("certificate-rejected", 1).await.remove(0);
        assert!(rejected.text("message").contains("cannot be connected to"), "{rejected:?}");
    }
    let before = [&ehr, &billing].map(|it| it.trail().all("certificate-rotated").len());
    call.echoes("while the server is away").await;
    server.begin().await;
    for (sidecar, before) in [&ehr, &billing].into_iter().zip(before) {
        sidecar.trail().wait_for("certificate-rotated", before + 1).await;
    }

    call.echoes("with the next certificates").await;
    let mut next = Call::by(&billing).await;
    next.echoes("on a new connection").await;
    for service in ["ehr", "billing"] {
        let how = how(&server, service).await;
        assert_eq!(how[0], "token");
        assert!(how.len() > 1 && how[1..].iter().all(|by| by == "reenrolment"), "{how:?}");
    }
    assert!(ehr.trail().all("connection-closed").is_empty());
}

#[tokio::test]
async fn a_start_goes_by_what_was_kept_while_the_server_is_away() {
    let mut server = CaServer::start().await;
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Kind::Echo).await);
    let (ehr_has, billing_has) = (
        server.identity("ehr", &server.token("ehr").await),
        server.identity("billing", &server.token("billing").await),
    );
    let setup = ehr(&mesh, &workload, &ehr_has);
    let running = setup.start().await;
    let other = billing(&mesh, &running, &billing_has).await;
    Call::by(&other).await.echoes("before").await;
    running.stop().await;
    other.stop().await;
    server.kill();
    for token in ["ehr.token", "billing.token"] {
        std::fs::remove_file(server.path(token)).unwrap();
    }

    let ehr = setup.start().await;
    let billing = billing(&mesh, &ehr, &billing_has).await;

    Call::by(&billing).await.echoes("after").await;
}

#[tokio::test]
async fn while_one_root_takes_the_place_of_another_peers_of_both_are_let_in() {
    let server = CaServer::start().await;
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Kind::Echo).await);
    let read = |path| std::fs::read_to_string(path).unwrap();
    let issuing = read(server.authority().join("issuing.crt"));
    for (name, step) in [("lab", &["roll"][..]), ("billing", &["roll", "--switch"])] {
        server.client(name, HOUR).await;
        assert_eq!(server.ca(step).await.code, Some(0));
    }
    let revoked = server.ca(&["revoke", "--spiffe", "spiffe://hospital.example/lab"]).await;
    assert_eq!(revoked.code, Some(0), "{revoked:#?}");
    server.publishes_lists().await;

    // Has its certificate from the new authority, and all lists.
    let ehr = ehr(&mesh, &workload, &server.identity("ehr", &server.token("ehr").await));
    let ehr = ehr.allow("lab");
    let presented = || async { ehr.try_start().await.ok() };
    let ehr = eventually("the server to be known by the new root", presented).await;

    let old = |name: &str| {
        let chain = read(server.path(&format!("{name}.crt"))) + &issuing;
        let key = read(server.path(&format!("{name}.key")));
        Identity::new(&chain, &key, &read(server.authority().join("root.crt")))
    };
    let mut billing = connect(&old("billing"), ehr.address(), "ehr").await.unwrap();
    billing.echoes("under the old root").await;
    let mut lab = connect(&old("lab"), ehr.address(), "ehr").await.unwrap();
    let refused = lab.first_read().await;
    assert_eq!(refused, FirstRead::Alert(rustls::AlertDescription::CertificateRevoked));
}

#[tokio::test]
async fn a_client_that_sends_its_leaf_alone_renews_it_as_long_as_the_root_above_it_is_trusted() {
    let server = CaServer::start().await;
    server.client("billing", HOUR).await;
    server.ec_request("next").await;
    let serves_under = async |root: &str| {
        let root = server.path(root).display().to_string();
        let asked = || async {
            let answered = server.curl(&["--cacert", &root, &server.url("/cacerts")]).await;
            (answered.status == 200).then_some(())
        };
        eventually("the server to have taken the step", asked).await;
    };
    assert_eq!(server.ca(&["roll"]).await.code, Some(0));
    std::fs::copy(server.authority().join("next.crt"), server.path("new-root.crt")).unwrap();

    assert_eq!(server.ca(&["roll", "--switch"]).await.code, Some(0));
    serves_under("new-root.crt").await;
    let answered = server.reenrol("billing", "next.b64").await;
    server.keep(&answered, "next").await;
    let under = "verify -partial_chain -CAfile authority/issuing.crt next.crt";
    server.openssl(under).await;

    assert_eq!(server.ca(&["roll", "--finish", "--force"]).await.code, Some(0));
    let client = ["--cert", "billing.crt", "--key", "billing.key"];
    let refused = eventually("the old root to be forgotten", || async {
        let answered = server.curl(&[&client[..], &[&server.url("/cacerts")]].concat()).await;
        (answered.status != 200).then_some(answered)
    })
    .await;
    assert!(refused.error.contains("unknown ca"), "{refused:#?}");
    assert_eq!(server.reenrol("next", "next.b64").await.status, 200);
}

#[tokio::test]
async fn whom_the_authority_revokes_loses_its_permit_on_other_hosts_too() {
    let server = CaServer::start().await;
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Kind::Echo).await);
    let (ehr_has, billing_has) = (
        server.identity("ehr", &server.token("ehr").await),
        server.identity("billing", &server.token("billing").await),
    );
    let clock = Clock::new(mesh.dir());
    let setup = ehr(&mesh, &workload, &ehr_has);
    let mut command = setup.command();
    clock.worn_by(&mut command);
    let ehr = setup.spawn_by(&mut command).await;
    let billing = billing(&mesh, &ehr, &billing_has).await;
    let mut call = Call::by(&billing).await;
    call.echoes("before").await;

    let said = server.ca(&["revoke", "--spiffe", "spiffe://hospital.example/billing"]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    server.publishes_lists().await;
    clock.set("+6m"); // lists are asked for every five minutes

    let withdrawn = ehr.trail().wait_for("connection-withdrawn", 1).await.remove(0);
    assert_eq!(withdrawn.reason(), "revoked", "{withdrawn:#?}");
    call.ends().await;
    Call::by(&billing).await.ends().await;
    let refused = ehr.trail().wait_for("connection-refused", 1).await.remove(0);
    assert_eq!(refused.reason(), "revoked", "{refused:#?}");
}

#[tokio::test]
async fn killed_in_the_middle_of_enrolments_it_has_on_record_whatever_it_gave_out() {
    const KILLS: u32 = 8;
    let mut server = CaServer::start().await;
    server.ec_request("ehr").await;
    let begun = tokio::time::Instant::now();
    assert_eq!(server.enrol(&server.token_for("ehr", HOUR, HOUR), "ehr.b64").await.status, 200);
    let whole = begun.elapsed() * 2;
    let (mut given, mut left) = (Vec::new(), Vec::<String>::new());

    for step in 0..KILLS {
        let tokens: Vec<_> = (0..3).map(|_| server.token_for("ehr", HOUR, HOUR)).collect();
        let (mut answers, mut failed) = (Vec::new(), None);
        {
            let id = server.process().id().to_string();
            let kill = async {
                tokio::time::sleep(whole * step / KILLS).await;
                std::process::Command::new("kill").args(["-9", &id]).status().unwrap();
            };
            let enrol = async {
                // Those whose answer was lost, with the same key once more.
                for token in left.drain(..).chain(tokens).chain(std::iter::repeat(String::new())) {
                    let answered = match token.is_empty() {
                        true => server.curl(&[&server.url("/cacerts")]).await,
                        false => server.enrol(&token, "ehr.b64").await,
                    };
                    if answered.status == 0 {
                        failed = Some(token);
                        return;
                    }
                    assert_eq!(answered.status, 200, "{answered:#?}");
                    answers.extend((!token.is_empty()).then_some(answered));
                }
            };
            tokio::join!(kill, enrol);
        }
        server.process().ended().await;
        left.extend(failed.filter(|token| !token.is_empty()));
        for answered in &answers {
            given.push(server.keep(answered, "given").await);
        }
        server.begin().await;
    }
    for token in left {
        let answered = server.enrol(&token, "ehr.b64").await;
        given.push(server.keep(&answered, "given").await);
    }

    let list = server.list().await;
    let on_record = |serial: &String| list.iter().any(|it| it["serial"] == serial.as_str());
    assert!(given.len() >= 3, "{given:?}");
    assert!(given.iter().all(on_record), "{given:?} {list:#?}");
    until("it to be there", || std::net::TcpStream::connect(server.address()).is_ok()).await;
}
