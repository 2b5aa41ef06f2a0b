//! README.md and docs/: whatever they tell to do is done, and says what they say.

use std::path::{Path, PathBuf};

use crate::support::page::follow;
use crate::support::process::needs;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

async fn done(page: &str) {
    for (program, package) in [("curl", "curl"), ("python3", "python3"), ("bash", "bash")] {
        needs(program, package);
    }
    follow(&std::fs::read_to_string(root().join(page)).unwrap()).await;
}

#[tokio::test]
async fn from_nothing_to_two_services_that_talk() {
    done("README.md").await;
}

#[tokio::test]
async fn a_soap_service() {
    done("docs/soap.md").await;
}

#[tokio::test]
async fn a_fhir_api() {
    done("docs/fhir.md").await;
}

#[tokio::test]
async fn an_hl7_interface() {
    needs("mllp_send", "python3-hl7, or pip install hl7");
    done("docs/hl7.md").await;
}

#[tokio::test]
async fn a_dicom_archive() {
    needs("storescp", "dcmtk");
    done("docs/dicom.md").await;
}

#[tokio::test]
async fn a_database() {
    needs("psql", "postgresql");
    done("docs/database.md").await;
}

#[tokio::test]
async fn from_plaintext_to_strict() {
    done("docs/migration.md").await;
}

#[tokio::test]
async fn from_stunnel() {
    needs("stunnel4", "stunnel4");
    done("docs/stunnel.md").await;
}

#[tokio::test]
async fn a_client_and_a_server_that_are_not_configured_anew() {
    done("docs/interception.md").await;
}

#[test]
fn every_link_leads_somewhere_and_every_page_is_in_the_list() {
    let mut pages =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docker/README.md"]
            .map(PathBuf::from)
            .to_vec();
    let list = std::fs::read_to_string(root().join("docs/README.md")).unwrap();
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let listed = name == "README.md" || list.contains(&format!("]({name})"));
        assert!(listed, "docs/README.md does not list {name}");
        pages.push(Path::new("docs").join(name));
    }
    for page in pages {
        let text = std::fs::read_to_string(root().join(&page)).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let file = link.split('#').next().unwrap();
            let beside = root().join(&page).parent().unwrap().join(file);
            let leads = link.starts_with("https://") || beside.exists();
            assert!(leads, "{}: {link}", page.display());
        }
    }
}
