//! The alert rules and the dashboard: tried by promtool and a real Prometheus, held against what real sidecars tell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::admin::ask;
use crate::support::client::{self, Peer};
use crate::support::dicom::{End, request};
use crate::support::eventually;
use crate::support::mesh::{Mesh, Running};
use crate::support::mllp::{Engine, exchange};
use crate::support::process::{Process, Said, free_port, loopback, needs, run, write};
use crate::support::python::{finishes, peer};

/// Labels that Prometheus gives to whatever it scrapes here.
const TARGET: [&str; 3] = ["job", "instance", "service"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn dir() -> PathBuf {
    root().join("config/prometheus")
}

/// Rules or panels, their expressions taken apart.
async fn asked(kind: &str, file: &str) -> Vec<Value> {
    let file = root().join(file).display().to_string();
    let said = finishes(peer("watch_peer", "promql_parser", &[kind, &file])).await;
    serde_json::from_str(&said.stdout).unwrap()
}

async fn rules() -> Vec<Value> {
    asked("rules", "config/prometheus/alerts.yaml").await
}

async fn panels() -> Vec<Value> {
    asked("dashboard", "config/grafana/myelin.json").await
}

async fn promtool(args: &[&str], input: &str) -> Said {
    let mut promtool = Command::new(needs("promtool", "prometheus"));
    run(promtool.args(args).current_dir(dir()), input).await
}

#[tokio::test]
async fn promtool_takes_the_rules_and_the_configuration_that_scrapes() {
    let rules = ["check", "rules", "--lint-fatal", "alerts.yaml"];
    for args in [rules.as_slice(), &["check", "config", "prometheus.yaml"]] {
        let said = promtool(args, "").await;
        assert_eq!(said.code, Some(0), "{}", said.all());
    }
}

#[tokio::test]
async fn each_alert_fires_when_it_should_and_is_silent_when_it_should_be() {
    let said = promtool(&["test", "rules", "alerts.test.yaml"], "").await;
    assert_eq!(said.code, Some(0), "{}", said.all());
}

#[tokio::test]
async fn so_do_those_that_take_days() {
    let said = promtool(&["test", "rules", "alerts.days.test.yaml"], "").await;
    assert_eq!(said.code, Some(0), "{}", said.all());
}

#[tokio::test]
async fn each_alert_says_what_it_means_has_a_case_and_leads_to_a_page_that_says_more() {
    let page = std::fs::read_to_string(root().join("docs/incidents.md")).unwrap();
    let headings: BTreeSet<_> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let cases = ["alerts.test.yaml", "alerts.days.test.yaml"]
        .map(|name| std::fs::read_to_string(dir().join(name)).unwrap())
        .concat();

    let rules = rules().await;
    let alerts: BTreeSet<_> = rules.iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    for rule in &rules {
        let alert = rule["alert"].as_str().unwrap();
        let says = |key: &str| rule["annotations"][key].as_str().unwrap_or_default();
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{alert}: {severity}");
        let named = says("summary").contains("{{ $labels.") || alert == "MyelinNotScraped";
        assert!(named, "{alert} does not say where");
        assert!(says("description").contains(". "), "{alert} does not say what to do");
        assert_eq!(says("runbook"), format!("docs/incidents.md#{}", alert.to_lowercase()));
        let fires = format!("alertname=\"{alert}\", ");
        let fires = cases.contains(&fires) || cases.contains(&format!("alertname: {alert}\n"));
        let listed = cases.contains(&format!("alertname=\"{alert}\", alertstate"));
        assert!(fires || listed, "no case is about {alert}");
    }
    assert_eq!(headings, alerts, "docs/incidents.md has a heading for each alert, and no other");
}

/// Sidecars in which everything has happened that a panel shows.
struct Ward {
    mesh: Mesh,
    ehr: Running,
    web: Running,
    /// `admin.probe_listen` of `ehr`.
    probe: SocketAddr,
    _engine: Engine,
}

impl Ward {
    async fn new() -> Self {
        let mesh = Mesh::new();
        let engine = Engine::start().await;
        let (probe, nobody) = (loopback(free_port()), loopback(free_port()));
        let mllp = format!(
            "{{ name: adt, listen: \"127.0.0.1:0\", forward: \"{}\", protocol: mllp, allow: [web], \
             mode: permissive, enforce: false, until: 2099-12-31 }}",
            engine.target()
        );
        let dicom = format!(
            "{{ name: pacs, listen: \"127.0.0.1:0\", forward: \"{nobody}\", protocol: dicom, allow: [web], \
             associations: [{{ calling_ae: CT1, called_ae: PACS, sop_classes: [Verification], allow: [web] }}] }}"
        );
        let audit = format!(
            "dir: {}/trail, export: [{{ syslog: {{ name: siem, address: \"{nobody}\", format: json }} }}]",
            mesh.dir().display()
        );
        let routes = "routes: [{ name: ping, path: /ping, respond: 204, allow: [web] }, \
                      { name: down, path: /down, allow: [web] }]";
        let setup = mesh.inbound("ehr").allow("web").http().phi().forward(&nobody.to_string());
        let setup = setup.with(routes).also(&mllp).also(&dicom).audit(&audit);
        let admin = format!("listen: 127.0.0.1:0, probe_listen: \"{probe}\"");
        let ehr = setup.admin(&admin).start().await;
        let web = mesh.outbound("web").allow("ehr").http().to(ehr.address()).start().await;
        Self { mesh, ehr, web, probe, _engine: engine }
    }

    async fn connect(&self, listener: &str) -> Peer {
        let address = self.ehr.address_of(listener);
        client::connect(&self.mesh.pem("web"), address, "ehr").await.unwrap()
    }

    /// A request, a denial, a failure of the workload, a message and an association.
    async fn works(&self) {
        let mut http = self.mesh.http("web", &self.ehr).await;
        for (path, status) in [("/ping", 204), ("/nothing", 403), ("/down", 502)] {
            assert_eq!(http.get(path).await.status(), status, "{path}");
        }
        exchange(&mut self.connect("adt").await.stream, "ADT^A01", "1").await;
        let mut scanner = End::new(self.connect("pacs").await.stream);
        scanner.send(&request(&["1.2.840.10008.1.1"])).await;
        assert_eq!(scanner.next().await[0], 3, "A-ASSOCIATE-RJ");
    }
}

/// What a text of metrics has: the labels of each name, and the values of each label.
fn told(text: &str) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut told: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, _value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let known = told.entry(name.to_owned()).or_default();
        for label in labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty()) {
            let (key, value) = label.split_once("=\"").unwrap();
            let value = value.trim_end_matches('"').to_owned();
            known.entry(key.to_owned()).or_default().insert(value);
        }
    }
    told
}

#[tokio::test]
async fn sidecars_tell_every_metric_label_and_value_that_rules_and_dashboard_name() {
    let ward = Ward::new().await;
    ward.works().await;
    // Looked after every few seconds, or told when a connection is over.
    for (name, labels) in [
        ("myelin_clock_behind_seconds", &[][..]),
        ("myelin_associations_ended_total", &[("result", "released")]),
    ] {
        eventually(name, || async {
            let text = ward.ehr.page("/metrics").await.body;
            crate::support::admin::metric(&text, name, labels).map(|_| ())
        })
        .await;
    }

    let texts = [ward.ehr.page("/metrics").await.body, ward.web.page("/metrics").await.body];
    for text in &texts {
        let said = promtool(&["check", "metrics"], text).await;
        assert_eq!((said.code, said.all().as_str()), (Some(0), ""));
    }
    let told = told(&texts.concat());
    for item in rules().await.iter().chain(&panels().await) {
        let expr = item["expr"].as_str().unwrap();
        let mut labels: BTreeSet<_> = TARGET.into_iter().collect();
        for selector in item["selectors"].as_array().unwrap() {
            let name = selector["name"].as_str().unwrap();
            if ["up", "ALERTS"].contains(&name) {
                labels.extend(["alertname", "severity", "listener"]); // Prometheus's own
                continue;
            }
            let known = told.get(name).unwrap_or_else(|| panic!("{name} does not exist: {expr}"));
            labels.extend(known.keys().map(String::as_str));
            for matcher in selector["matchers"].as_array().unwrap() {
                let (label, value) = (matcher[0].as_str().unwrap(), matcher[2].as_str().unwrap());
                if TARGET.contains(&label) {
                    continue;
                }
                let values = known.get(label).unwrap_or_else(|| panic!("no {label}: {expr}"));
                for value in value.split('|').filter(|value| *value != ".*") {
                    assert!(values.contains(value), "{name} has no {label} {value}: {values:?}");
                }
            }
        }
        for label in item["by"].as_array().unwrap() {
            assert!(labels.contains(label.as_str().unwrap()), "no label {label}: {expr}");
        }
    }
}

#[tokio::test]
async fn panels_say_what_they_show_in_which_unit_and_do_not_overlap() {
    let text = std::fs::read_to_string(root().join("config/grafana/myelin.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let (mut places, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is another's");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title} is too wide");
        for (x, y) in (at("x")..at("x") + at("w"))
            .flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
        {
            assert!(places.insert((x, y)), "{title} lies over another panel");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}");
        let defaults = &panel["fieldConfig"]["defaults"];
        assert!(defaults["unit"].is_string(), "{title} has no unit");
        assert!(defaults["thresholds"]["steps"].is_array(), "{title} has no thresholds");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
    }
}

/// A Prometheus that does as `config/prometheus/prometheus.yaml` says, only more often and of other targets.
struct Prometheus {
    _process: Process,
    address: SocketAddr,
}

impl Prometheus {
    async fn of(ward: &Ward) -> Self {
        let config = std::fs::read_to_string(dir().join("prometheus.yaml")).unwrap();
        let rules = dir().join("alerts.yaml").display().to_string();
        let ehr = format!("\"{}\", \"{}\"", ward.ehr.admin, ward.probe);
        let config = config
            .replace("30s", "1s")
            .replace("alerts.yaml", &rules)
            .replace("\"ehr.hospital.example:9902\"", &ehr)
            .replace(
                "\"lab1.hospital.example:9902\", \"lab2.hospital.example:9902\"",
                &format!("\"{}\"", ward.web.admin),
            );
        let config = write(ward.mesh.dir(), "prometheus.yml", &config);
        let address = loopback(free_port());
        let mut process = Process::start(
            Command::new(needs("prometheus", "prometheus"))
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", ward.mesh.dir().join("tsdb").display()))
                .arg(format!("--web.listen-address={address}")),
        );
        process.listens(address).await;
        Self { _process: process, address }
    }

    /// The answer of its API; nothing while it is not ready.
    async fn get(&self, path: &str) -> Option<Value> {
        // HTTP/1.0: an answer in chunks would have to be put together.
        let head = format!("GET /api/v1/{path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        let answer = ask(self.address, &head).await.ok()?;
        serde_json::from_str(&answer.body).ok()
    }

    async fn query(&self, expr: &str) -> Value {
        let encoded: String = expr.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.get(&format!("query?query={encoded}")).await.unwrap()
    }
}

#[tokio::test]
async fn a_real_prometheus_scrapes_sidecars_without_an_error_and_tells_a_burst_of_denials() {
    let ward = Ward::new().await;
    let prometheus = Prometheus::of(&ward).await;
    let targets = eventually("three targets to be up", || async {
        let targets = prometheus.get("targets").await?["data"]["activeTargets"].as_array()?.clone();
        let up = targets.iter().filter(|target| target["health"] == "up").count();
        (up == 3).then_some(targets)
    })
    .await;
    assert!(targets.iter().all(|target| target["lastError"] == ""), "{targets:#?}");

    ward.works().await;
    let mut http = ward.mesh.http("web", &ward.ehr).await;
    for _ in 0..300 {
        assert_eq!(http.get("/nothing").await.status(), 403);
    }

    let alert = eventually("the burst to be told", || async {
        let alerts = prometheus.get("alerts").await?["data"]["alerts"].as_array()?.clone();
        let burst = |alert: &Value| {
            alert["state"] == "firing" && alert["labels"]["alertname"] == "MyelinDenialsBurst"
        };
        alerts.into_iter().find(burst)
    })
    .await;
    let label = |key: &str| alert["labels"][key].as_str().unwrap();
    assert_eq!((label("service"), label("listener"), label("reason")), ("ehr", "ehr", "no_route"));
    let summary = alert["annotations"]["summary"].as_str().unwrap();
    // How many depends on when the burst was first looked at.
    let count = summary.strip_prefix("ehr (ehr) denied ").and_then(|rest| rest.split(' ').next());
    let count: f64 = count.unwrap_or_else(|| panic!("{summary}")).parse().unwrap();
    assert!(count > 100.0 && summary.ends_with(" in five minutes: no_route"), "{summary}");

    for item in rules().await.iter().chain(&panels().await) {
        let answer = prometheus.query(item["expr"].as_str().unwrap()).await;
        assert_eq!(answer["status"], "success", "{item:#}\n{answer:#}");
        assert!(answer["warnings"].is_null(), "{item:#}\n{answer:#}");
    }
    eventually("each rule to be evaluated", || async {
        let groups = prometheus.get("rules").await?["data"]["groups"].as_array()?.clone();
        let rules: Vec<_> = groups.iter().flat_map(|g| g["rules"].as_array().unwrap()).collect();
        assert!(rules.iter().all(|rule| rule["health"] != "err"), "{rules:#?}");
        rules.iter().all(|rule| rule["health"] == "ok").then_some(())
    })
    .await;
}
