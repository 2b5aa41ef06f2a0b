//! A real Prometheus scrapes a sidecar, and answers the questions that an operator asks of it.

use std::process::Command;

use crate::support::admin::get;
use crate::support::eventually;
use crate::support::process::{Process, free_port, loopback, needs, write};
use crate::support::workload::Kind;
use crate::tcp::pair;

/// A Prometheus that scrapes one sidecar every second.
struct Prometheus {
    address: std::net::SocketAddr,
    _process: Process,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    async fn of(target: std::net::SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let jobs = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs: [{{job_name: myelin, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        let config = write(dir.path(), "prometheus.yml", &jobs);
        let address = loopback(free_port());
        let mut command = Command::new(needs("prometheus", "prometheus"));
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"));
        let mut process = Process::start(&mut command);
        process.listens(address).await;
        Self { address, _process: process, _dir: dir }
    }

    /// The value of the one series that `query`, without characters that a URL does not take, comes to.
    async fn says(&self, query: &str) -> f64 {
        eventually(&format!("an answer to {query}"), || async {
            let answer = get(self.address, &format!("/api/v1/query?query={query}")).await.ok()?;
            let answer: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
            let [one] = answer["data"]["result"].as_array()?.as_slice() else { return None };
            one["value"][1].as_str()?.parse().ok()
        })
        .await
    }
}

#[tokio::test]
async fn prometheus_takes_every_metric_and_answers_what_operators_ask() {
    let pair = pair(Kind::Line).await;
    assert_eq!(crate::outbound::ask(&pair.web, "hello\n").await, "you said hello\n");
    pair.db.ended("finished", 1.0).await;

    let prometheus = Prometheus::of(pair.db.admin).await;

    let sum = |what: &str| format!("sum(myelin_{what})");
    assert!((prometheus.says(&sum("connections_opened_total")).await - 1.0).abs() < 0.1);
    assert!((prometheus.says(&sum("handshake_duration_seconds_count")).await - 1.0).abs() < 0.1);
    let quantile = "histogram_quantile(0.99,myelin_handshake_duration_seconds_bucket)";
    assert!((0.0..10.0).contains(&prometheus.says(quantile).await));
    let left = "(myelin_certificate_not_after_timestamp_seconds-time())/3600";
    assert!((20.0..25.0).contains(&prometheus.says(left).await));
    assert!((prometheus.says("up").await - 1.0).abs() < 0.1, "a scrape failed");
}
