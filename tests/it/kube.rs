//! Kubernetes: what `myelin inject` writes and what `examples/kubernetes` renders to, held against the schemas of
//! Kubernetes, of cert-manager and of the Prometheus operator, and against the Pod Security Standards.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::cli::myelin;
use super::readme::{blocks, shell};
use super::support::process::{Said, needs, run, write};
use super::support::{node, python};

/// The oldest release that has sidecars without a feature gate, and one of today.
const VERSIONS: [&str; 2] = ["1.29", "1.35"];

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// What `kubectl kustomize` makes of a directory.
async fn rendered(dir: &Path) -> String {
    let unpacked = root().join("target/peers/kubectl/kubectl");
    let kubectl = if unpacked.is_file() { unpacked } else { needs("kubectl", "`.ci/run setup`") };
    let said = run(Command::new(kubectl).arg("kustomize").arg(dir), "").await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    said.stdout
}

/// What the schemas of each release of [`VERSIONS`] and the standard `restricted` say of the documents. All that make
/// pods must be fit for both.
async fn good(manifests: &str) -> Vec<Value> {
    let mut documents: Vec<Value> = Vec::new();
    for version in VERSIONS {
        let mut peer = python::peer("kubernetes_peer", "kubernetes_validate", &[version]);
        let said = run(&mut peer, manifests).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        documents = serde_json::from_str(&said.stdout).unwrap();
        for document in &documents {
            assert_eq!(document["fault"], Value::Null, "{version}: {document}");
            let pod = document["pod"].as_array();
            assert!(pod.is_none_or(Vec::is_empty), "{version}: {document}\n{manifests}");
        }
    }
    documents
}

/// The custom resources among the documents, each taken by the model of those who define it.
async fn custom(manifests: &str) -> Vec<String> {
    let said = run(&mut node::peer("kubernetes_models", &[]), manifests).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let resources: Vec<Value> = serde_json::from_str(&said.stdout).unwrap();
    for resource in &resources {
        assert_eq!(resource["fault"], Value::Null, "{resource}");
        assert_eq!(resource["compared"], true, "the model takes anything: {resource}");
    }
    resources.iter().map(|resource| resource["kind"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_kustomize_base_and_its_overlays_render_to_what_kubernetes_takes_under_its_strictest_standard()
 {
    for (dir, wanted) in [
        ("base", vec![]),
        ("overlays/cert-manager", vec!["Certificate", "PodMonitor"]),
        ("overlays/spiffe-csi", vec![]),
        ("overlays/demo", vec!["Certificate", "Certificate", "Certificate", "Issuer", "Issuer"]),
    ] {
        let manifests = rendered(&root().join("examples/kubernetes").join(dir)).await;

        let documents = good(&manifests).await;
        let custom = custom(&manifests).await;

        assert_eq!(custom, wanted, "{dir}");
        let unknown = documents.iter().filter(|document| document["unknown"] == true).count();
        assert_eq!(unknown, wanted.len(), "{dir}: {documents:#?}");
        let pods: Vec<_> = documents.iter().filter(|document| document["pod"].is_array()).collect();
        assert_eq!(pods.len(), 1, "{dir}");
        assert_eq!(pods[0]["kind"], "StatefulSet", "{dir}");
    }
}

#[tokio::test]
async fn a_pod_that_the_standard_forbids_and_a_key_that_nobody_defined_are_found() {
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {hostPID: true, containers: [{name: a, odd: 1}]}\n";
    let mut peer = python::peer("kubernetes_peer", "kubernetes_validate", &[VERSIONS[0]]);

    let said = run(&mut peer, manifest).await;

    let documents: Vec<Value> = serde_json::from_str(&said.stdout).unwrap();
    assert!(documents[0]["fault"].as_str().unwrap().contains("'odd'"), "{documents:?}");
    let found = documents[0]["pod"].as_array().unwrap();
    assert!(found.contains(&"hostPID".into()) && found.contains(&"a: runAsNonRoot".into()));
}

/// `myelin inject` on a file of `tests/manifests`.
async fn injected(dir: &Path, file: &Path, config: &str, more: &[&str]) -> Said {
    let config = write(dir, "myelin.yaml", config);
    let args = ["inject", "-f", file.to_str().unwrap(), "-c", config.to_str().unwrap()];
    let image = ["--image", "registry.example/myelin:0.1.0"];
    myelin(&[&args[..], &image, more].concat()).await
}

/// A configuration with these listeners, whose key comes in a Secret.
fn config(service: &str, listeners: &str) -> String {
    format!(
        "version: 1\nservice: {service}\ntrust_domain: hospital.example\n\
         identity: {{ files: {{ cert: tls/tls.crt, key: tls/tls.key, trust_bundle: tls/ca.crt }} }}\n\
         peers: {{ fhir: {{ spiffe: spiffe://hospital.example/fhir }} }}\n{listeners}\n\
         audit: {{ dir: /var/log/myelin/trail }}\n\
         admin:\n  probe_listen: 0.0.0.0:9902\n  probes:\n\
         \x20   - {{ path: /health/page, http: \"http://127.0.0.1:8080/healthz\" }}\n\
         \x20   - {{ path: /health/port, tcp: 127.0.0.1:8080 }}\n"
    )
}

fn inbound(protocol: &str, port: u16) -> String {
    format!(
        "inbound: [{{ name: in, listen: 0.0.0.0:8443, forward: 127.0.0.1:{port}, protocol: {protocol}, phi: true, allow: [fhir] }}]"
    )
}

#[tokio::test]
async fn inject_makes_manifests_that_kubernetes_takes_and_a_second_run_changes_no_byte() {
    let outbound = "outbound: [{ name: fhir, listen: 127.0.0.1:9000, to: [\"fhir:8443\"], expect: [fhir], protocol: http }]";
    let claim = ["--identity", "secret:tls", "--audit-claim", "trail"];
    for (file, config, more, warnings) in [
        ("nginx.yaml", config("web", &inbound("http", 8080)), &claim[..], 1),
        ("postgres.yaml", config("postgres", &inbound("tcp", 5432)), &claim[..2], 0),
        ("cronjob.yaml", config("export", outbound), &claim[..], 0),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let original = root().join("tests/manifests").join(file);

        let once = injected(dir.path(), &original, &config, more).await;
        assert_eq!(once.code, Some(0), "{file}: {}", once.all());
        assert_eq!(once.stderr.matches("warning: ").count(), warnings, "{file}: {}", once.stderr);
        let documents = good(&once.stdout).await;
        let pods = documents.iter().filter(|document| document["pod"].is_array()).count();
        assert_eq!(pods, 1, "{file}: {documents:?}");

        let again = write(dir.path(), "again.yaml", &once.stdout);
        let twice = injected(dir.path(), &again, &config, more).await;
        assert_eq!(twice.stdout, once.stdout, "{file}");
        let original = std::fs::read_to_string(original).unwrap();
        let comments = original.lines().filter(|line| line.contains("# "));
        comments.for_each(|line| assert!(once.stdout.contains(line), "{file}: {line} is gone"));
    }
}

#[tokio::test]
async fn inject_writes_nothing_to_standard_output_when_it_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let file = root().join("tests/manifests/postgres.yaml");
    let config = config("postgres", &inbound("tcp", 5433).replace("8443", "5432"));

    let said = injected(dir.path(), &file, &config, &["--identity", "secret:tls"]).await;

    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{}", said.stderr);
    assert!(said.stderr.contains("container postgresql has port 5432"), "{}", said.stderr);
}

#[tokio::test]
async fn every_configuration_of_the_examples_is_fit_to_be_used() {
    for file in ["base/myelin.yaml", "overlays/spiffe-csi/myelin.yaml"] {
        let file = root().join("examples/kubernetes").join(file);
        if let Err(problems) = myelin::config::load(&file, &|_| None) {
            panic!("{problems}");
        }
    }
}

#[tokio::test]
async fn every_shell_line_of_the_guide_that_needs_no_cluster_works() {
    let guide = std::fs::read_to_string(root().join("docs/kubernetes.md")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for name in ["deployment.yaml", "myelin.yaml"] {
        write(dir.path(), name, &blocks(&guide, &format!("yaml file={name}")).concat());
    }
    let script = blocks(&guide, "sh").concat();
    assert!(script.contains("myelin inject"), "{script}");

    let said = run(&mut shell(dir.path(), &script), "").await;

    assert_eq!(said.code, Some(0), "{}", said.all());
    let manifests = std::fs::read_to_string(dir.path().join("ehr.yaml")).unwrap();
    let documents = good(&manifests).await;
    assert!(documents.iter().any(|document| document["kind"] == "ConfigMap"), "{documents:?}");
}
