//! The agent behind the Workload API comes late, goes away, comes back, and says no.

use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::support::client::connect;
use crate::support::eventually;
use crate::support::mesh::{Mesh, Setup, Spawned};
use crate::support::pki::{Ca, Identity, sha256};
use crate::support::process::Process;
use crate::support::workload::{Kind, Workload};
use crate::support::workload_api::{Agent, Update, check};

/// What all of these begin with: an authority, and the setup of a sidecar that asks the agent.
struct Ward {
    mesh: Mesh,
    ca: Ca,
    workload: Workload,
}

impl Ward {
    async fn new() -> Self {
        let (mesh, ca) = (Mesh::new(), Ca::new("Hospital CA"));
        Self { mesh, ca, workload: Workload::tcp(Kind::Line).await }
    }

    fn setup(&self) -> Setup {
        let setup = self.mesh.inbound("db").allow("web").forward(self.workload.target());
        setup.spiffe(&self.mesh.dir().join("agent.sock"))
    }

    async fn agent_saying(&self, identity: &Identity) -> Agent {
        Agent::saying(self.mesh.dir(), &Update::of(identity)).await
    }

    /// SHA-256 of what is presented to a peer that is let in.
    async fn presented(&self, db: &Spawned) -> String {
        let mut peer = connect(&self.ca.issue("web"), db.address(), "db").await.unwrap();
        let presented = sha256(&peer.stream.get_ref().1.peer_certificates().unwrap()[0]);
        peer.send("hello\n").await;
        assert_eq!(peer.rest().await, b"you said hello\n");
        presented
    }

    async fn comes_to_present(&self, db: &Spawned, identity: &Identity) {
        let wanted = sha256(&identity.leaf());
        eventually("the new certificate", || async {
            (self.presented(db).await == wanted).then_some(())
        })
        .await;
    }
}

/// How often it said so.
fn times(db: &Spawned, words: &str) -> usize {
    db.process.output().lines().filter(|line| line.contains(words)).count()
}

#[tokio::test]
async fn a_sidecar_waits_for_an_agent_that_starts_after_it() {
    let ward = Ward::new().await;
    let identity = ward.ca.issue("db");
    let mut early = Process::start(&mut ward.setup().command());
    early.says("there is no such socket").await;

    let _agent = ward.agent_saying(&identity).await;

    early.says("\"ready\"").await;
}

#[tokio::test]
async fn a_sidecar_waits_for_its_registration_to_reach_the_agent() {
    let ward = Ward::new().await;
    let mut agent = Agent::start(ward.mesh.dir()).await;
    agent.does("deny").await;
    let mut early = Process::start(&mut ward.setup().command());
    early.says("the agent has no identity for this process").await;

    agent.say(&Update::of(&ward.ca.issue("db"))).await;

    early.says("\"ready\"").await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_opened_again() {
    let ward = Ward::new().await;
    let mut agent = ward.agent_saying(&ward.ca.issue("db")).await;
    let db = ward.setup().spawn().await;

    agent.does("drop").await;
    agent.says("stream 2").await;
    let next = ward.ca.issue("db");
    agent.say(&Update::of(&next)).await;

    ward.comes_to_present(&db, &next).await;
    assert_eq!(times(&db, "key material rejected"), 0);
}

#[tokio::test]
async fn while_the_agent_is_away_the_last_identity_serves_and_its_absence_is_logged_once() {
    let ward = Ward::new().await;
    let first = ward.ca.issue("db");
    let agent = ward.agent_saying(&first).await;
    let mut db = ward.setup().spawn().await;

    agent.crash().await;
    db.process.says("the agent is away; its last identity stays until it expires").await;
    assert_eq!(ward.presented(&db).await, sha256(&first.leaf()));
    // It says nothing and takes no call: the attempts that follow fail in another way.
    std::fs::remove_file(ward.mesh.dir().join("agent.sock")).unwrap();
    let mute = UnixListener::bind(ward.mesh.dir().join("agent.sock")).unwrap();
    drop(mute.accept().unwrap());
    drop(mute.accept().unwrap());
    drop(mute);
    std::fs::remove_file(ward.mesh.dir().join("agent.sock")).unwrap();

    let next = ward.ca.issue("db");
    let _agent = ward.agent_saying(&next).await;
    ward.comes_to_present(&db, &next).await;
    assert_eq!(times(&db, "the agent is away"), 1);
    assert_eq!(times(&db, "the agent is back"), 1);
    assert_eq!(times(&db, "key material rejected"), 0);
}

#[tokio::test]
async fn a_policy_takes_effect_while_the_agent_is_away() {
    let ward = Ward::new().await;
    let agent = ward.agent_saying(&ward.ca.issue("db")).await;
    let db = ward.setup().start().await;
    agent.crash().await;

    db.reload(&ward.setup().forget("web").allow("billing")).await.unwrap();

    let mut peer = connect(&ward.ca.issue("web"), db.address(), "db").await.unwrap();
    peer.first_read().await;
    assert_eq!(db.trail().only("connection-denied").await.reason(), "unknown_peer");
}

#[tokio::test]
async fn a_registration_that_is_deleted_is_told_once_with_the_mend_and_the_last_identity_serves() {
    let ward = Ward::new().await;
    let first = ward.ca.issue("db");
    let mut agent = ward.agent_saying(&first).await;
    let db = ward.setup().spawn().await;

    agent.does("deny").await;
    let rejected = db.trail().only("certificate-rejected").await;
    let message = rejected.text("message");
    assert!(message.contains("the agent has no identity for this process"), "{message}");
    assert!(message.contains("register the workload, as with `spire-server entry"), "{message}");
    agent.says("stream 3").await; // asked again, and refused again
    assert_eq!(ward.presented(&db).await, sha256(&first.leaf()));

    let next = ward.ca.issue("db");
    agent.say(&Update::of(&next)).await;
    ward.comes_to_present(&db, &next).await;
    assert_eq!(db.trail().all("certificate-rejected").len(), 1);
}

#[tokio::test]
async fn whom_a_new_bundle_leaves_out_is_logged() {
    let ward = Ward::new().await;
    let (lab, identity) = (Ca::new("Lab CA"), ward.ca.issue("db"));
    let federated = Update::of(&identity).federated("lab.example", &lab);
    let mut agent = Agent::saying(ward.mesh.dir(), &federated).await;
    let mut db = ward.setup().spawn().await;

    agent.say(&Update::of(&identity)).await;

    db.process.says("lab.example is no longer federated: its peers are refused").await;
}

#[tokio::test]
async fn the_line_to_the_agent_ends_with_the_sidecar_and_with_a_look() {
    let ward = Ward::new().await;
    let mut agent = ward.agent_saying(&ward.ca.issue("db")).await;

    assert_eq!(check(&ward.setup()).await.code, Some(0));
    agent.says("gone 1").await;
    let db = ward.setup().start().await;
    agent.says("stream 2").await;
    db.stop().await;
    agent.says("gone 2").await;
}

/// What `check` says of the setup.
async fn told(ward: &Ward) -> String {
    let said = check(&ward.setup()).await;
    assert_eq!(said.code, Some(3), "{}", said.all());
    let at = format!("unix:{}: ", ward.mesh.dir().join("agent.sock").display());
    let all = said.all();
    all.split_once(&at).unwrap_or_else(|| panic!("{at} in {all}")).1.to_owned()
}

#[tokio::test]
async fn each_way_in_which_there_is_no_agent_is_told_with_its_mend() {
    let ward = Ward::new().await;
    let socket = ward.mesh.dir().join("agent.sock");

    let missing = told(&ward).await;
    assert!(missing.contains("no such socket: does the agent run, and is"), "{missing}");

    std::fs::create_dir(&socket).unwrap();
    let directory = told(&ward).await;
    assert!(directory.contains("is a directory, not a socket: container engines"), "{directory}");

    std::fs::remove_dir(&socket).unwrap();
    std::fs::write(&socket, "").unwrap();
    let file = told(&ward).await;
    assert!(file.contains("is not a socket: identity.spiffe.socket must be"), "{file}");

    std::fs::remove_file(&socket).unwrap();
    drop(UnixListener::bind(&socket).unwrap());
    let dead = told(&ward).await;
    assert!(dead.contains("nobody listens on the socket: the agent has ended"), "{dead}");
}

#[tokio::test]
async fn each_way_in_which_an_agent_says_no_is_told_with_its_mend() {
    let ward = Ward::new().await;
    let mut agent = Agent::start(ward.mesh.dir()).await;

    for (command, text) in [
        ("deny", "(no identity issued): register the workload, as with `spire-server entry create"),
        ("refuse PERMISSION_DENIED", "(refused by the test): register the workload"),
        ("refuse UNIMPLEMENTED", "does not offer the Workload API (unimplemented: refused by"),
        ("refuse INVALID_ARGUMENT", "is it the agent's socket for workloads?"),
        ("refuse UNAVAILABLE", "was lost or has failed (unavailable: refused by the test)"),
        ("hush", "no answer within 5s: does the agent run well?"),
    ] {
        agent.does(command).await;
        let said = told(&ward).await;
        assert!(said.contains(text), "{command}: {said}");
    }
}

#[tokio::test]
async fn a_user_who_may_not_open_the_socket_is_told_so() {
    let ward = Ward::new().await;
    let _agent = ward.agent_saying(&ward.ca.issue("db")).await;
    // Root may open everything; without its capabilities it is a user like any other.
    let socket = ward.mesh.dir().join("agent.sock");
    let mut command = Command::new("sh");
    command.args(["-c", "chmod 0 \"$1\" && shift && exec \"$@\"", "sh"]).arg(&socket);
    if rustix::process::geteuid().is_root() {
        command.args(["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]);
    }
    command.args([env!("CARGO_BIN_EXE_myelin"), "check", "--config"]).arg(ward.setup().write());
    let said = crate::support::process::run(&mut command, "").await;

    assert_eq!(said.code, Some(3), "{}", said.all());
    assert!(
        said.all().contains("may not open the socket: it needs to write to it"),
        "{}",
        said.all()
    );
}
