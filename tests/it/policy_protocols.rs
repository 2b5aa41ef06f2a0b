//! From the traffic of programs that nobody here wrote to an allowlist under which it goes on: HL7 messages, DICOM
//! associations, WebSocket. Observed, suggested, pasted, held against the trail, enforced.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::cli::myelin;
use crate::policy_traffic::pasted;
use crate::support::dicom::{asks, image, storescp, tls};
use crate::support::lenient::FAR;
use crate::support::mesh::{Mesh, Setup, Spawned};
use crate::support::outside::Outside;
use crate::support::process::{Said, write};
use crate::support::python::{finishes, peer, serves};

/// A suggestion in place of the rules that were only observed.
struct Suggested {
    mesh: Mesh,
    setup: Setup,
    /// The directory of the trail that it was made of.
    audit: String,
    text: String,
    listener: &'static str,
}

impl Suggested {
    /// What `myelin policy suggest` makes of the trail of `setup`, which is stopped.
    async fn of(mesh: Mesh, setup: Setup, listener: &'static str) -> Self {
        let (audit, config) = (setup.trail().dir().display().to_string(), setup.write());
        let args = ["policy", "suggest", "--audit", &audit, "-c", config.to_str().unwrap()];
        let said = myelin(&args).await;
        assert_eq!(said.code, Some(0), "{said:#?}");
        let own = format!("dir: {}/enforced", mesh.dir().display());
        let setup = setup.audit(&own);
        let text = pasted(&setup.text(), &said.stdout);
        Self { mesh, setup, audit, text, listener }
    }

    /// The trail that was seen, held against `text`.
    async fn replay(&self, text: &str) -> Said {
        let file = write(self.mesh.dir(), "replayed.yaml", text);
        myelin(&["policy", "replay", "--audit", &self.audit, "-c", file.to_str().unwrap()]).await
    }

    /// Nothing of what was seen would be denied; without the rule `name` something would, to `whom`.
    async fn fits(&self, name: &str, whom: &str) {
        let replayed = self.replay(&self.text).await;
        assert_eq!(replayed.code, Some(0), "{replayed:#?}\n{}", self.text);
        assert!(replayed.stdout.contains(" 0 newly denied, 0 newly allowed"), "{replayed:#?}");
        let without = without(&self.text, name);
        assert_ne!(without, self.text, "there is no rule {name}");
        let replayed = self.replay(&without).await;
        assert_eq!(replayed.code, Some(1), "{replayed:#?}\n{without}");
        let told = format!("newly denied on {}: {whom}\n", self.listener);
        assert!(replayed.stdout.contains(&told), "{replayed:#?}");
    }

    /// A sidecar that enforces it.
    async fn enforced(&self) -> Spawned {
        assert!(!self.text.contains("enforce: false"), "{}", self.text);
        let file: PathBuf = write(self.mesh.dir(), "pasted.yaml", &self.text);
        let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
        command.args(["run", "--config"]).arg(file).env("MYELIN_LOG_FORMAT", "json");
        self.setup.spawn_by(&mut command).await
    }
}

/// `text` without the rule `name`.
fn without(text: &str, name: &str) -> String {
    let begin = format!("      - name: {name}");
    let mut is_of_it = false;
    let kept = text.lines().filter(|line| {
        is_of_it = *line == begin || (is_of_it && line.starts_with("        "));
        !is_of_it
    });
    kept.map(|line| format!("{line}\n")).collect()
}

/// python-hl7 with TLS of its own, as the service `name`, sending messages of these types.
async fn sends(mesh: &Mesh, name: &str, to: &Outside, types: &[&str]) -> Said {
    let identity = mesh.pem(name);
    let paths = [identity.cert(), identity.key(), identity.trust_bundle()];
    let [cert, key, ca] = paths.map(|path| path.display().to_string());
    let port = to.address().port().to_string();
    let args = [&["tls", &port, "ehr", &cert, &key, &ca], types].concat();
    finishes(peer("mllp_peer", "hl7", &args)).await
}

#[tokio::test]
async fn messages_of_python_hl7_become_rules_under_which_they_go_on_and_no_others_do() {
    let mesh = Mesh::new();
    let (_server, target) = serves(peer("mllp_peer", "hl7", &["server"])).await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().forward(&target).observing(FAR);
    let ehr = setup.start().await;
    let answered = |count: usize| -> String {
        (0..count).map(|number| format!("answer MSA|AA|PHIMRN{number}\n")).collect()
    };
    assert_eq!(sends(&mesh, "lab", &ehr, &["ORU^R01", "ORU^R30"]).await.stdout, answered(2));
    assert_eq!(sends(&mesh, "ward", &ehr, &["ADT^A01"]).await.stdout, answered(1));
    ehr.stop().await;

    let suggested = Suggested::of(mesh, setup, "ehr").await;

    suggested.fits("adt-a01", "spiffe://hospital.example/ward").await;
    let (mesh, ehr) = (&suggested.mesh, suggested.enforced().await);
    assert_eq!(sends(mesh, "lab", &ehr, &["ORU^R01", "ORU^R30"]).await.stdout, answered(2));
    assert_eq!(sends(mesh, "ward", &ehr, &["ADT^A01"]).await.stdout, answered(1));
    let another = sends(mesh, "lab", &ehr, &["ORU^R01", "SIU^S12"]).await.stdout;
    assert_eq!(another, answered(1) + "closed\n", "another type");
    let others = sends(mesh, "lab", &ehr, &["ADT^A01"]).await.stdout;
    assert_eq!(others, "closed\n", "the type of another peer");
    let denied = ehr.trail().wait_for("message-denied", 2).await;
    assert_eq!(denied[0].reason(), "no_message_rule");
    assert_eq!(denied[1].reason(), "not_listed_for_message");
}

/// dcmtk's `program` over TLS as the service `name`.
async fn calls(
    mesh: &Mesh,
    (name, title): (&str, &str),
    program: &str,
    to: &Outside,
    more: &[&str],
) -> Said {
    let identity = mesh.pem(name);
    let options = tls(&identity);
    let mut options: Vec<_> = options.iter().map(String::as_str).collect();
    options.extend(["-aet", title]);
    asks(program, to, &options, more).await
}

#[tokio::test]
async fn associations_of_dcmtk_become_rules_under_which_they_go_on_and_no_others_do() {
    let (mesh, store) = (Mesh::new(), TempDir::new().unwrap());
    let (_scp, target) = storescp(store.path(), &[]).await;
    let image = image(mesh.dir(), 1000).await;
    let image = image.to_str().unwrap();
    let setup = mesh.inbound("pacs").allow("ct").with("protocol: dicom").phi().forward(&target);
    let setup = setup.observing(FAR);
    let pacs = setup.start().await;
    let (ct, mr) = (("ct", "CT2"), ("mr", "MR1"));
    let fine = |said: Said| assert_eq!(said.code, Some(0), "{}", said.all());
    fine(calls(&mesh, ct, "storescu", &pacs, &[image]).await);
    fine(calls(&mesh, mr, "echoscu", &pacs, &[]).await);
    pacs.stop().await;

    let suggested = Suggested::of(mesh, setup, "pacs").await;

    suggested.fits("mr1", "spiffe://hospital.example/mr").await;
    let (mesh, pacs) = (&suggested.mesh, suggested.enforced().await);
    fine(calls(mesh, ct, "storescu", &pacs, &[image]).await);
    fine(calls(mesh, mr, "echoscu", &pacs, &[]).await);
    for (who, program, more, reason) in [
        (("ct", "CT3"), "storescu", &[image][..], "no_association_rule"),
        (("mr", "CT2"), "storescu", &[image], "not_listed_for_association"),
        (mr, "storescu", &[image], "sop_class"),
    ] {
        let said = calls(mesh, who, program, &pacs, more).await;
        assert_ne!(said.code, Some(0), "{reason}: {}", said.all());
    }
    let denied = pacs.trail().wait_for("association-denied", 3).await;
    let reasons: Vec<_> = denied.iter().map(|record| record.reason()).collect();
    assert_eq!(reasons, ["no_association_rule", "not_listed_for_association", "sop_class"]);
}

#[tokio::test]
async fn a_websocket_becomes_a_route_under_which_it_goes_on_and_no_other_does() {
    let mesh = Mesh::new();
    let (_server, target) = serves(peer("websocket_peer", "websockets", &["server"])).await;
    let setup = mesh.inbound("ehr").allow("web").http().phi().forward(&target);
    let setup = setup.with("observe_paths: true").observing(FAR);
    let ehr = setup.start().await;
    let web = mesh.outbound("web").allow("ehr").http();
    let talks = async |to: &Outside, what: &[&str]| {
        let web = web.clone().to(to.address()).start().await;
        let port = web.address().port().to_string();
        let args = [&what[..1], &[&port], &what[1..]].concat();
        let said = finishes(peer("websocket_peer", "websockets", &args)).await.stdout;
        web.stop().await; // the next one writes the same trail
        said
    };
    let mut portal = mesh.http("portal", &ehr).await;
    assert_eq!(talks(&ehr, &["client"]).await, "all said\n");
    assert_eq!(portal.get("/page").await.status(), 426, "no handshake of WebSocket's");
    ehr.stop().await;

    let suggested = Suggested::of(mesh, setup, "ehr").await;

    suggested.fits("feed", "web").await;
    let ehr = suggested.enforced().await;
    assert_eq!(talks(&ehr, &["client"]).await, "all said\n");
    let said = talks(&ehr, &["ask", "/other"]).await;
    assert!(said.starts_with("403 "), "{said}");
    assert_eq!(ehr.trail().only("request-denied").await.reason(), "no_route");
}
