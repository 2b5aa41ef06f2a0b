//! What README.md promises: every shell line in it is run, its configuration is checked.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use myelin::config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::support::admin::get;
use super::support::eventually;
use super::support::process::{Process, free_port, loopback, needs, run};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// The texts of all blocks that begin with this fence.
pub(crate) fn blocks(readme: &str, fence: &str) -> Vec<String> {
    readme
        .split(&format!("```{fence}\n"))
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// A shell that finds `myelin`, and stops at the first line that fails.
pub(crate) fn shell(dir: &Path, script: &str) -> Command {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_myelin"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).env("PATH", path).current_dir(dir);
    command
}

/// Answers every connection with one small page, and counts them.
async fn legacy_service() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let _head = socket.read(&mut [0; 4096]).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";
            let _gone = socket.write_all(answer).await;
        }
    });
    (address, connections)
}

#[tokio::test]
async fn every_shell_line_does_what_the_readme_says() {
    needs("curl", "curl");
    let dir = tempfile::tempdir().unwrap();
    let (workload, connections) = legacy_service().await;
    let (listen, admin) = (free_port(), free_port());
    let readme = readme()
        .replace("127.0.0.1:8080", &workload.to_string())
        .replace("8443", &listen.to_string())
        .replace("127.0.0.1:9901", &format!("127.0.0.1:{admin}"));
    let (before, running, beside) =
        (blocks(&readme, "sh"), blocks(&readme, "sh run"), blocks(&readme, "sh beside"));
    assert_eq!((before.len(), running.len(), beside.len()), (1, 1, 1));

    let made = run(&mut shell(dir.path(), &before[0]), "").await;
    assert_eq!(made.code, Some(0), "{}", made.all());
    assert!(made.stdout.contains("no problems"), "{}", made.stdout);
    assert!(made.stdout.contains("ehr: allowed by ehr"), "{}", made.stdout);
    let file = dir.path().join("ehr/myelin.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("127.0.0.1:9901", &format!("127.0.0.1:{admin}"))).unwrap();

    let mut sidecar = Process::start(&mut shell(dir.path(), &format!("exec {}", running[0])));
    sidecar.says("ready").await;
    sidecar.listens(loopback(admin)).await;
    // Whoever is refused hears of it before the denial is told of.
    let (asking, looking) = beside[0].split_once("curl http://").unwrap();
    let asked = run(&mut shell(dir.path(), asking), "").await;
    eventually("the refusal to be told of", || async move {
        let denials = get(loopback(admin), "/denials").await.ok()?;
        denials.body.contains("no_certificate").then_some(())
    })
    .await;
    let tried = run(&mut shell(dir.path(), &format!("curl http://{looking}")), "").await;

    assert_eq!(asked.code, Some(0), "{}", asked.all());
    assert!(asked.stdout.contains("refused, as it should be"), "{}", asked.all());
    assert_eq!(tried.code, Some(0), "{}", tried.all());
    assert!(tried.stdout.contains("no_certificate"), "{}", tried.stdout);
    assert!(tried.stdout.contains("an unbroken chain"), "{}", tried.stdout);
    assert_eq!(connections.load(Ordering::SeqCst), 1, "the stranger did not reach the service");
}

#[test]
fn the_two_commands_are_there() {
    let consoles = blocks(&readme(), "console").concat();
    assert_eq!(consoles, "cargo run --release -- demo\n.ci/run\n");

    let steps = root().join(".ci/run");
    assert_eq!(steps.metadata().unwrap().permissions().mode() & 0o111, 0o111);
    let parsed = Command::new("bash").arg("-n").arg(steps).status().unwrap();
    assert!(parsed.success());
}

#[test]
fn the_configuration_that_is_explained_has_no_problems() {
    let yaml = blocks(&readme(), "yaml");
    assert_eq!(yaml.len(), 1);

    let checked = config::parse(Path::new("README.md"), &yaml[0], &|_| None);

    assert!(checked.is_ok(), "{}", checked.unwrap_err());
}

#[test]
fn the_upkeep_that_is_shown_has_no_problems() {
    let shown = blocks(&readme(), "yaml upkeep");
    let head = "version: 1\nservice: ehr\ntrust_domain: hospital.example\n\
                identity: { embedded: { dir: a } }\n";

    let checked = config::parse(Path::new("README.md"), &[head, &shown[0]].concat(), &|_| None);

    assert_eq!(shown.len(), 1);
    let checked = checked.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(checked.inbound[0].allow.len(), 2);
}

#[test]
fn the_control_socket_that_is_shown_has_no_problems() {
    let shown = blocks(&readme(), "yaml operating");
    let head = "version: 1\nservice: ehr\ntrust_domain: hospital.example\n\
                identity: { embedded: { dir: a } }\n";

    let checked = config::parse(Path::new("README.md"), &[head, &shown[0]].concat(), &|_| None);

    let socket = checked.unwrap_or_else(|problems| panic!("{problems}")).admin.socket;
    assert_eq!(socket.unwrap(), Path::new("/run/myelin/control.sock"));
}

#[test]
fn the_sealing_that_is_shown_is_what_there_is_without() {
    let shown = blocks(&readme(), "yaml sealed");
    let head = "version: 1\nservice: ehr\ntrust_domain: hospital.example\n\
                identity: { embedded: { dir: a } }\n";
    let checkpoints = |audit: &str| {
        let checked = config::parse(Path::new("README.md"), &[head, audit].concat(), &|_| None);
        checked.unwrap_or_else(|problems| panic!("{problems}")).audit.unwrap().checkpoints
    };

    assert_eq!(checkpoints(&shown[0]), checkpoints("audit: { dir: a }\n"));
}

#[test]
fn the_exports_that_are_shown_have_no_problems() {
    let shown = blocks(&readme(), "yaml export");
    let head = "version: 1\nservice: ehr\ntrust_domain: hospital.example\n\
                identity: { embedded: { dir: a } }\n";

    let checked = config::parse(Path::new("README.md"), &[head, &shown[0]].concat(), &|_| None);

    let export = checked.unwrap_or_else(|problems| panic!("{problems}")).audit.unwrap().export;
    assert_eq!(
        export.iter().map(|export| &*export.name).collect::<Vec<_>>(),
        ["arr", "siem", "fhir", "otlp"]
    );
}

#[test]
fn the_rules_and_probes_that_are_shown_have_no_problems() {
    let readme = readme();
    let routes = blocks(&readme, "yaml http").concat().replace('\n', "\n    ");
    let probes = blocks(&readme, "yaml probes").concat();
    let text = format!(
        "version: 1\nservice: ehr\ntrust_domain: hospital.example\nidentity: {{ embedded: {{ dir: a }} }}\n\
         peers:\n  billing: {{ dns: billing.example }}\n  lab: {{ dns: lab.example }}\n\
         inbound:\n  - name: fhir\n    listen: 0.0.0.0:8443\n    forward: 127.0.0.1:8080\n    \
         protocol: http\n    allow: [billing, lab]\n    {routes}\n{probes}"
    );

    let checked = config::parse(Path::new("README.md"), &text, &|_| None).expect("no problems");

    assert_eq!(checked.inbound[0].routes.as_ref().map(Vec::len), Some(5));
    assert_eq!(checked.admin.probes.len(), 2);
}

#[test]
fn the_keys_that_make_a_listener_lenient_stand_in_that_configuration() {
    let (yaml, keys) = (blocks(&readme(), "yaml"), blocks(&readme(), "yaml lenient"));
    assert_eq!(keys.len(), 1);
    let place = "    protocol: http                   # declared";
    assert_eq!(yaml[0].matches(place).count(), 1);

    let text = yaml[0].replace(place, &format!("{}{place}", keys[0]));
    let checked = config::parse(Path::new("README.md"), &text, &|_| None);

    let config = checked.unwrap_or_else(|problems| panic!("{problems}"));
    assert!(config.inbound[0].permissive_until.is_some());
    assert!(config.inbound[0].observe_until.is_some());
}

#[test]
fn every_link_leads_somewhere() {
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let leads = link.starts_with("https://") || root().join(link).exists();
            assert!(leads, "{page}: {link}");
        }
    }
}

#[test]
fn the_rule_for_associations_stands_in_the_sample_for_dicom() {
    let sample = std::fs::read_to_string(root().join("config/dicom.yaml")).unwrap();

    let rules = blocks(&readme(), "yaml dicom");

    assert_eq!(rules.len(), 1);
    assert!(sample.contains(&rules[0]), "{}", rules[0]);
}

#[test]
fn the_routes_for_soap_fit_into_its_configuration() {
    let (yaml, routes) = (blocks(&readme(), "yaml"), blocks(&readme(), "yaml soap"));
    let place = "      - { name: read-patient";
    let routes = routes[0].strip_prefix("    routes:\n").unwrap();
    let text = yaml[0].replace(place, &format!("{routes}{place}"));
    assert_ne!(text, yaml[0]);

    let checked = config::parse(Path::new("README.md"), &text, &|_| None);
    assert_eq!(checked.unwrap().inbound[0].routes.as_ref().unwrap().len(), 4);
}
