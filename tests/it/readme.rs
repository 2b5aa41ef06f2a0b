//! What README.md and docs/ show of configurations is sound. Their commands are in pages.rs.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use myelin::config;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

fn readme() -> String {
    page("README.md")
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
    let shown = blocks(&page("docs/policy.md"), "yaml upkeep");
    let head = "version: 1\nservice: ehr\ntrust_domain: hospital.example\n\
                identity: { embedded: { dir: a } }\n";

    let checked = config::parse(Path::new("README.md"), &[head, &shown[0]].concat(), &|_| None);

    assert_eq!(shown.len(), 1);
    let checked = checked.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(checked.inbound[0].allow.len(), 2);
}

#[test]
fn the_control_socket_that_is_shown_has_no_problems() {
    let shown = blocks(&page("docs/operations.md"), "yaml operating");
    let head = "version: 1\nservice: ehr\ntrust_domain: hospital.example\n\
                identity: { embedded: { dir: a } }\n";

    let checked = config::parse(Path::new("README.md"), &[head, &shown[0]].concat(), &|_| None);

    let socket = checked.unwrap_or_else(|problems| panic!("{problems}")).admin.socket;
    assert_eq!(socket.unwrap(), Path::new("/run/myelin/control.sock"));
}

#[test]
fn the_sealing_that_is_shown_is_what_there_is_without() {
    let shown = blocks(&page("docs/audit.md"), "yaml sealed");
    let head = "version: 1\nservice: ehr\ntrust_domain: hospital.example\n\
                identity: { embedded: { dir: a } }\n";
    let checkpoints = |audit: &str| {
        let checked = config::parse(Path::new("README.md"), &[head, audit].concat(), &|_| None);
        checked.unwrap_or_else(|problems| panic!("{problems}")).audit.unwrap().checkpoints
    };

    assert_eq!(checkpoints(&shown[0]), checkpoints("audit: { dir: a }\n"));
}

#[test]
fn the_traces_that_are_shown_have_no_problems() {
    let shown = blocks(&page("docs/operations.md"), "yaml traces");
    let head = "version: 1\nservice: ehr\ntrust_domain: hospital.example\n\
                identity: { embedded: { dir: a } }\n";

    let checked = config::parse(Path::new("README.md"), &[head, &shown[0]].concat(), &|_| None);

    let traces = checked.unwrap_or_else(|problems| panic!("{problems}")).traces.unwrap();
    assert!(matches!(traces.sample, config::Sample::Share(_)), "{traces:?}");
}

#[test]
fn the_exports_that_are_shown_have_no_problems() {
    let shown = blocks(&page("docs/audit.md"), "yaml export");
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
    let readme = page("docs/fhir.md");
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
    let (yaml, keys) =
        (blocks(&readme(), "yaml"), blocks(&page("docs/migration.md"), "yaml lenient"));
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
fn the_rule_for_associations_stands_in_the_sample_for_dicom() {
    let sample = std::fs::read_to_string(root().join("config/dicom.yaml")).unwrap();

    let rules = blocks(&page("docs/dicom.md"), "yaml dicom");

    assert_eq!(rules.len(), 1);
    assert!(sample.contains(&rules[0]), "{}", rules[0]);
}

#[test]
fn the_routes_for_soap_fit_into_its_configuration() {
    let (yaml, routes) = (blocks(&readme(), "yaml"), blocks(&page("docs/soap.md"), "yaml soap"));
    let place = "      - { name: read-patient";
    let routes = routes[0].strip_prefix("    routes:\n").unwrap();
    let text = yaml[0].replace(place, &format!("{routes}{place}"));
    assert_ne!(text, yaml[0]);

    let checked = config::parse(Path::new("README.md"), &text, &|_| None);
    assert_eq!(checked.unwrap().inbound[0].routes.as_ref().unwrap().len(), 4);
}
