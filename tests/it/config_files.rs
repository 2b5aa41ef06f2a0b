//! The files in `config/` are what people copy: each is fit to be used.

use std::path::{Path, PathBuf};
use std::process::Command;

use myelin::config;

use super::cli::myelin;
use super::support::process::{Said, needs, run, write};

#[test]
fn every_file_in_config_is_fit_to_be_used() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut count = 0;

    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "yaml") {
            continue;
        }
        let filled_in = |name: &str| Some(format!("value-of-{name}"));
        if let Err(problems) = config::load(&path, &filled_in) {
            panic!("{}:\n{problems}", path.display());
        }
        count += 1;
    }

    assert!(count > 0, "there are none");
}

/// What a foreign validator says of `files` by the schema that editors read.
async fn validate(files: &[PathBuf]) -> Said {
    let validator = needs("check-jsonschema", "pip: tests/peers/requirements.txt");
    let schema = root().join("config/myelin.schema.json");
    run(Command::new(validator).arg("--schemafile").arg(schema).args(files), "").await
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn configurations(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "yaml"))
}

#[tokio::test]
async fn a_foreign_validator_finds_the_schema_sound_and_every_file_to_be_as_it_says() {
    let validator = needs("check-jsonschema", "pip: tests/peers/requirements.txt");
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().to_str().unwrap();
    let init = myelin(&["init", "--service", "ehr", "--dir", made, "--allow", "billing"]).await;
    assert_eq!(init.code, Some(0), "{init:#?}");
    let files: Vec<_> = [root().join("config"), root().join("docker/sidecars"), dir.path().into()]
        .iter()
        .flat_map(|dir| configurations(dir))
        .collect();
    assert!(files.len() >= 17, "{files:?}");

    let schema = root().join("config/myelin.schema.json");
    let sound = run(Command::new(validator).arg("--check-metaschema").arg(schema), "").await;
    let valid = validate(&files).await;

    assert_eq!(sound.code, Some(0), "{}", sound.all());
    assert_eq!(valid.code, Some(0), "{}", valid.all());
}

#[tokio::test]
async fn what_the_reader_refuses_for_its_form_a_foreign_validator_refuses_by_the_schema() {
    let dir = tempfile::tempdir().unwrap();
    let good = std::fs::read_to_string(root().join("config/inbound-http.yaml")).unwrap();
    let first = |key: &str| good.lines().find(|line| line.trim_start().starts_with(key)).unwrap();
    let protocol = first("protocol:");

    for (place, wrong) in [
        ("unknown", good.replace("forward:", "forwrd:")),
        ("choice", good.replace(protocol, &protocol.replace("http", "gopher"))),
        ("missing", good.replace(first("service:"), "")),
        ("version", good.replace("version: 1", "version: 2")),
        ("list", good.replace("inbound:\n", "inbound: {}\nx:\n")),
    ] {
        assert_ne!(good, wrong, "{place}");
        let file = write(dir.path(), &format!("{place}.yaml"), &wrong);

        let read = config::load(&file, &|name| Some(format!("value-of-{name}")));
        let said = validate(std::slice::from_ref(&file)).await;

        assert!(read.is_err(), "{place}");
        assert_eq!(said.code, Some(1), "{place}: {}", said.all());
    }
}
