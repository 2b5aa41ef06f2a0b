//! `inject` as a whole: what it writes, what it leaves alone, what it refuses.

use serde_json::{Value, json};

use super::manifests::{Answer, Order, inject};
use super::pod::Storage;
use super::tree::read;
use super::{Identity, object, quantity};

const CONFIG: &str = "\
version: 1
service: ehr
trust_domain: hospital.example
identity: { files: { cert: tls/tls.crt, key: tls/tls.key, trust_bundle: tls/ca.crt } }
peers: { billing: { spiffe: spiffe://hospital.example/billing } }
inbound:
  - { name: fhir, listen: 0.0.0.0:8443, forward: 127.0.0.1:8080, protocol: http, phi: true, allow: [billing] }
audit: { dir: /var/log/myelin/trail }
admin: { probe_listen: 0.0.0.0:9902, probes: [{ path: /health/ehr, http: \"http://127.0.0.1:8080/healthz\" }] }
limits: { drain_timeout: 50s }
";

const DEPLOYMENT: &str = "\
# The EHR.
apiVersion: apps/v1
kind: Deployment
metadata: { name: ehr, namespace: ward } # ours
spec:
  strategy: { type: Recreate }
  template:
    metadata:
      labels: { app: ehr }
    spec:
      # The workload.
      containers:
        - name: ehr
          image: \"ehr:1\" # pinned elsewhere
          ports: [{ containerPort: 8080 }]
          readinessProbe: { httpGet: { path: /healthz, port: 8080 }, periodSeconds: 3 }
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: &n ehr }
spec: { selector: { matchLabels: { app: *n } } }
";

fn secret() -> Identity {
    Identity::Secret("ehr-tls".to_owned())
}

fn order<'a>(identity: &'a Identity) -> Order<'a> {
    Order {
        file: "ehr.yaml",
        config: Some(("myelin.yaml".to_owned(), CONFIG.to_owned())),
        config_map: None,
        image: "registry.example/myelin:1",
        identity: Some(identity),
        workloads: &[],
        storage: Storage { claim: Some("ehr-audit".to_owned()), size: "10Gi".to_owned() },
    }
}

fn injected(text: &str, order: &Order<'_>) -> (String, String) {
    match inject(text.to_owned(), order) {
        Answer::Injected { text, said } => (text, said),
        other => panic!("{other:?}"),
    }
}

fn refused(text: &str, order: &Order<'_>) -> String {
    match inject(text.to_owned(), order) {
        Answer::Refused(said) | Answer::BadConfig(said) => said,
        Answer::Injected { text, .. } => panic!("{text}"),
    }
}

fn object_of(text: &str, kind: &str) -> Value {
    let objects = read(text).unwrap();
    objects.iter().map(super::tree::Node::json).find(|object| object["kind"] == kind).unwrap()
}

#[test]
fn a_pod_gets_the_sidecar_first_and_all_that_it_needs() {
    let (text, said) = injected(DEPLOYMENT, &order(&secret()));

    assert_eq!(said, "");
    let template = &object_of(&text, "Deployment")["spec"]["template"];
    let pod = &template["spec"];
    let sidecar = &pod["initContainers"][0];
    assert_eq!(sidecar["name"], "myelin");
    assert_eq!(sidecar["restartPolicy"], "Always");
    assert_eq!(sidecar["image"], "registry.example/myelin:1");
    assert_eq!(sidecar["ports"][0], json!({"name": "mtls", "containerPort": 8443}));
    assert_eq!(sidecar["volumeMounts"][1]["mountPath"], "/etc/myelin/tls");
    assert_eq!(sidecar["volumeMounts"][2]["mountPath"], "/var/log/myelin");
    assert_eq!(pod["volumes"][1]["secret"], json!({"secretName": "ehr-tls", "defaultMode": 0o440}));
    assert_eq!(pod["volumes"][2]["persistentVolumeClaim"]["claimName"], "ehr-audit");
    assert_eq!(pod["terminationGracePeriodSeconds"], 65);
    assert_eq!(
        pod["securityContext"],
        json!({"fsGroup": 65532, "fsGroupChangePolicy": "OnRootMismatch"})
    );
    assert_eq!(
        template["metadata"]["annotations"]["myelin.example/injected"],
        env!("CARGO_PKG_VERSION")
    );
    let map = object_of(&text, "ConfigMap");
    assert_eq!(map["metadata"], json!({"name": "ehr-myelin", "namespace": "ward"}));
    assert_eq!(map["data"]["myelin.yaml"], CONFIG);
}

#[test]
fn a_probe_that_the_sidecar_can_ask_is_pointed_to_it() {
    let (text, _) = injected(DEPLOYMENT, &order(&secret()));

    let probe = json!({"httpGet": {"path": "/health/ehr", "port": 9902}, "periodSeconds": 3});
    let pod = &object_of(&text, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["readinessProbe"], probe);
}

#[test]
fn a_probe_that_nobody_can_ask_any_more_is_told_with_the_line_and_the_mend() {
    let text = DEPLOYMENT.replace("/healthz, port: 8080", "/up, port: 8080");
    let (text, said) = injected(&text, &order(&secret()));

    assert!(text.contains("path: /up"), "{text}");
    assert!(said.starts_with("warning: ehr.yaml:16: Deployment/ehr: readinessProbe"), "{said}");
    assert!(said.contains("http: \"http://127.0.0.1:8080/up\""), "{said}");
}

#[test]
fn a_probe_over_grpc_does_not_become_a_mere_connection() {
    let text =
        DEPLOYMENT.replace("httpGet: { path: /healthz, port: 8080 }", "grpc: { port: 8080 }");
    let asked = "probes: [{ path: /health/ehr, tcp: \"127.0.0.1:8080\" }, { path: /health/up, ";
    let identity = secret();
    let order = Order {
        config: Some((
            "myelin.yaml".to_owned(),
            CONFIG.replace("probes: [{ path: /health/ehr, ", asked),
        )),
        ..order(&identity)
    };

    let (grpc, said) = injected(&text, &order);
    let (tcp, _) = injected(&text.replace("grpc:", "tcpSocket:"), &order);

    let probe = |text: &str| {
        let pod = &object_of(text, "Deployment")["spec"]["template"]["spec"];
        pod["containers"][0]["readinessProbe"].clone()
    };
    assert_eq!(probe(&grpc), json!({"grpc": {"port": 8080}, "periodSeconds": 3}));
    assert!(said.contains("(grpc)") && said.contains("grpc_health_probe"), "{said}");
    assert!(!said.contains("admin.probes"), "{said}");
    assert_eq!(probe(&tcp)["httpGet"], json!({"path": "/health/ehr", "port": 9902}));
}

#[test]
fn every_line_of_the_owner_stays_and_other_documents_are_not_looked_at() {
    let (text, _) = injected(DEPLOYMENT, &order(&secret()));

    for line in DEPLOYMENT.lines().filter(|line| !line.contains("readinessProbe")) {
        assert!(text.lines().any(|other| other == line), "{line} is gone:\n{text}");
    }
    assert!(text.contains(&DEPLOYMENT[DEPLOYMENT.find("---").unwrap()..]), "{text}");
}

#[test]
fn a_second_run_changes_no_byte() {
    let (once, _) = injected(DEPLOYMENT, &order(&secret()));
    let (twice, said) = injected(&once, &order(&secret()));

    assert_eq!(once, twice);
    assert_eq!(said, "");
}

#[test]
fn another_image_or_configuration_changes_only_what_is_ours() {
    let (once, _) = injected(DEPLOYMENT, &order(&secret()));
    let grown = once.replace("memory: 256Mi", "memory: 512Mi");
    let identity = secret();
    let mut newer = order(&identity);
    newer.image = "registry.example/myelin:2";
    let (file, text) = newer.config.take().unwrap();
    newer.config = Some((file, text.replace("50s", "51s")));

    let (twice, _) = injected(&grown, &newer);

    let changed: Vec<_> =
        twice.lines().filter(|line| !grown.lines().any(|old| old == *line)).collect();
    assert_eq!(changed.len(), 4, "{changed:?}");
    assert!(changed[0].contains("config-digest"), "{changed:?}");
    assert!(changed[2].contains("terminationGracePeriodSeconds: 66"), "{changed:?}");
    assert!(changed[1].contains("registry.example/myelin:2"), "{changed:?}");
    assert!(changed[3].contains("51s"), "{changed:?}");
    assert_eq!(twice.lines().count(), grown.lines().count());
}

#[test]
fn every_kind_that_makes_pods_is_taken_alone_or_in_a_list_as_yaml_or_json() {
    let pod = json!({"containers": [{"name": "a", "image": "a:1"}]});
    let template = json!({"template": {"spec": pod}});
    let identity = secret();
    for (version, kind, spec, at) in [
        ("v1", "Pod", pod, "/spec"),
        ("v1", "ReplicationController", template.clone(), "/spec/template/spec"),
        ("apps/v1", "StatefulSet", template.clone(), "/spec/template/spec"),
        ("apps/v1", "ReplicaSet", template.clone(), "/spec/template/spec"),
        ("batch/v1", "Job", template.clone(), "/spec/template/spec"),
        (
            "batch/v1",
            "CronJob",
            json!({"jobTemplate": {"spec": template}}),
            "/spec/jobTemplate/spec/template/spec",
        ),
    ] {
        let one =
            json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}, "spec": spec});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Secret"}, one]});
        for (text, prefix) in
            [(one.to_string(), String::new()), (list.to_string(), "/items/1".to_owned())]
        {
            let (text, _) = injected(&text, &order(&identity));

            let at = format!("{prefix}{at}/initContainers/0/name");
            assert_eq!(
                read(&text).unwrap()[0].json().pointer(&at),
                Some(&json!("myelin")),
                "{text}"
            );
        }
    }
}

#[test]
fn a_statefulset_claims_a_volume_for_each_trail() {
    let identity = secret();
    let mut order = order(&identity);
    order.storage.claim = None;
    let text = DEPLOYMENT
        .replace("kind: Deployment", "kind: StatefulSet")
        .replace("strategy: { type: Recreate }", "replicas: 3");

    let (text, _) = injected(&text, &order);

    let spec = &object_of(&text, "StatefulSet")["spec"];
    assert_eq!(spec["volumeClaimTemplates"][0]["metadata"]["name"], "myelin-audit");
    assert_eq!(injected(&text, &order).0, text);
}

#[test]
fn spiffe_comes_by_its_csi_driver() {
    let mut order = order(&Identity::SpiffeCsi);
    let files = CONFIG.lines().find(|line| line.starts_with("identity")).unwrap();
    let spiffe = CONFIG
        .replace(files, "identity: { spiffe: { socket: unix:///run/spire/sockets/agent.sock } }");
    order.config = Some(("myelin.yaml".to_owned(), spiffe));
    order.identity = None;

    let (text, _) = injected(DEPLOYMENT, &order);

    let pod = &object_of(&text, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][1]["csi"], json!({"driver": "csi.spiffe.io", "readOnly": true}));
    assert_eq!(pod["initContainers"][0]["volumeMounts"][1]["mountPath"], "/run/spire/sockets");
}

#[test]
fn a_control_socket_has_a_directory_in_memory() {
    let identity = secret();
    let mut order = order(&identity);
    let text = CONFIG.replace("admin: {", "admin: { socket: /run/myelin/control.sock,");
    order.config = Some(("myelin.yaml".to_owned(), text));

    let (text, _) = injected(DEPLOYMENT, &order);

    let pod = &object_of(&text, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][2]["emptyDir"]["medium"], "Memory");
    assert_eq!(pod["initContainers"][0]["volumeMounts"][3]["mountPath"], "/run/myelin");
    assert_eq!(injected(&text, &order).0, text);
}

#[test]
fn a_configuration_among_the_manifests_is_read_from_its_configmap() {
    let identity = secret();
    let (once, _) = injected(DEPLOYMENT, &order(&identity));
    let mut by_name = order(&identity);
    by_name.config = None;
    by_name.config_map = Some("ehr-myelin");

    assert_eq!(injected(&once, &by_name).0, once);
    assert!(refused(DEPLOYMENT, &by_name).contains("there is no ConfigMap ehr-myelin"));
}

#[test]
fn what_cannot_be_right_is_refused_with_its_line_and_nothing_is_written() {
    for (from, to, wanted) in [
        (
            "containerPort: 8080",
            "containerPort: 9901",
            "ehr.yaml:15: Deployment/ehr: container ehr has port 9901, on which the sidecar listens (admin.listen)",
        ),
        (
            "{ containerPort: 8080 }",
            "{ containerPort: 80, name: mtls }",
            "ehr.yaml:15: Deployment/ehr: container ehr has a port named mtls",
        ),
        (
            "        - name: ehr",
            "        - name: myelin",
            "ehr.yaml:13: Deployment/ehr: there is a myelin that was not made by",
        ),
        (
            "      # The workload.",
            "      volumes: [{ name: myelin-audit }]",
            "ehr.yaml:11: Deployment/ehr: there is a myelin-audit that was not made by",
        ),
        (
            "      # The workload.",
            "      hostNetwork: true",
            "ehr.yaml:11: Deployment/ehr: this pod has the node's network",
        ),
        (
            "strategy: { type: Recreate }",
            "replicas: 2",
            "ehr.yaml:6: Deployment/ehr: a trail has one writer",
        ),
        ("labels: { app: ehr }", "labels: &l { app: ehr }", "line 9 has an anchor"),
        ("image: \"ehr:1\"", "name: other", "has a key that was given before"),
        ("containers:", "containers: []\n      x:", "this pod has no container"),
        ("kind: Deployment", "kind: Gateway", "nothing in it makes pods"),
        (
            "apiVersion: policy/v1\nkind: PodDisruptionBudget",
            "apiVersion: v1\nkind: Pod",
            "Deployment/ehr, Pod/ehr",
        ),
        ("labels: {", "labels: [", "this is no YAML"),
        ("labels:", "labels:\r", "control character"),
        ("strategy:", "strategy: # \r\n", "ehr.yaml:6: a control character"),
    ] {
        let text = DEPLOYMENT.replace(from, to).replace("&n ehr", "ehr").replace("*n", "ehr");
        assert_ne!(text, DEPLOYMENT, "{from}");

        let said = refused(&text, &order(&secret()));

        assert!(said.contains(wanted), "{wanted}:\n{said}");
    }
}

#[test]
fn a_configuration_that_no_pod_can_run_is_refused_with_the_mend() {
    let identity = secret();
    for (from, to, wanted) in [
        (
            "probe_listen: 0.0.0.0:9902",
            "probe_listen: 127.0.0.1:9902",
            "set `admin.probe_listen: 0.0.0.0:9902`",
        ),
        ("tls/ca.crt", "/etc/ca.crt", "keep all of `identity.files` in one"),
        ("127.0.0.1:8080,", "\"unix:/run/app.sock\",", "use a port of 127.0.0.1"),
        ("dir: /var/log/myelin/trail", "dir: /trail", "a volume cannot cover"),
        (
            "allow: [billing]",
            "allow: [nobody]",
            "which the pod will have as /etc/myelin/myelin.yaml",
        ),
    ] {
        let mut order = order(&identity);
        let text = CONFIG.replace(from, to);
        assert_ne!(text, CONFIG, "{from}");
        order.config = Some(("my.yaml".to_owned(), text));

        let said = refused(DEPLOYMENT, &order);

        assert!(said.contains(wanted) && said.contains("my.yaml"), "{wanted}:\n{said}");
    }
    let mut order = order(&identity);
    order.identity = None;
    assert!(refused(DEPLOYMENT, &order).contains("--identity secret:NAME"));
    order.identity = Some(&Identity::SpiffeCsi);
    assert!(refused(DEPLOYMENT, &order).contains("disagree"));
}

#[test]
fn a_service_that_still_leads_to_the_plaintext_side_is_told() {
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: { name: ehr }\nspec:\n  ports:\n  - port: 80\n    targetPort: 8080\n";
    let (text, said) = injected(&format!("{DEPLOYMENT}{service}"), &order(&secret()));

    assert!(said.contains("ehr.yaml:28: Service/ehr: leads to port 8080"), "{said}");
    assert!(text.contains(service));
}

#[test]
fn names_and_sizes_are_what_kubernetes_takes() {
    assert!(object("ehr-tls.v1").is_ok());
    assert!(["", "-a", "a_b", "A", "a."].iter().all(|text| object(text).is_err()));
    assert!(["10Gi", "5"].iter().all(|text| quantity(text).is_ok()));
    assert!(["", "Gi", "10 Gi", "-1Gi"].iter().all(|text| quantity(text).is_err()));
}
