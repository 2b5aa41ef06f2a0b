//! The examples, run as a reader would.

use std::process::Command;

use super::support::process::{Process, Said, run};

fn example(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--example", name, "--"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// `cargo test` has built it; when a part of the tests is run alone, this may take longer than patience is.
fn built() {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--examples"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success());
}

#[tokio::test]
async fn two_sidecars_pass_a_request_and_verify_its_trail() {
    built();

    let Said { code, stdout, stderr } = run(&mut example("two_sidecars"), "").await;

    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("hello, chart"), "{stdout}");
    assert!(stdout.contains("URI=spiffe://hospital.example/billing"), "{stdout}");
    assert!(stdout.contains("an unbroken chain"), "{stdout}");
}

#[tokio::test]
async fn the_legacy_service_tells_what_it_sees() {
    built();
    // Not by way of cargo: its end would not be the example's.
    let target = std::path::Path::new(env!("CARGO_BIN_EXE_myelin")).parent().unwrap();
    let mut service =
        Process::start(Command::new(target.join("examples/legacy_service")).arg("127.0.0.1:0"));
    let said = service.says("listening on 127.0.0.1:").await;
    let address = said.trim().trim_start_matches("listening on ");

    let answer = super::support::admin::get(address.parse().unwrap(), "/chart").await.unwrap();

    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with("GET /chart HTTP/1.1\n"), "{}", answer.body);
}
