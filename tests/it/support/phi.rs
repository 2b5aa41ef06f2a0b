//! A patient whom nobody knows, and all places in which something of a sidecar's can be read: what is written into
//! the one must not be found in the other.

use std::process::Command;

use super::mesh::{Setup, Spawned};
use super::outside::Outside;
use super::syslog::Receiver;
use crate::cli::myelin;

/// What a patient is known by: a name, a medical record number, a social security number and a birthday. None is
/// anywhere by chance.
pub(crate) const PATIENT: [&str; 4] = ["Zebrafinch", "4711081547", "078-05-1120", "1931-02-14"];

/// The same without marks, as HL7 and DICOM write it.
pub(crate) const BARE: [&str; 4] = ["ZEBRAFINCH", "4711081547", "078051120", "19310214"];

/// What is written by others of these tests: who the user is, and what engines answer.
const OTHERS: [&str; 4] = ["PHIDOE", "PHIMRN", "DR_HOUSE", "vicodn"];

/// Forms of `audit query`.
const FORMS: [&str; 7] = ["jsonl", "csv", "ecs", "ocsf", "cef", "atna", "fhir"];
/// Pages of the administrative listener.
const PAGES: [&str; 7] = ["/", "/live", "/ready", "/metrics", "/status", "/denials", "/observed"];

impl Setup {
    /// Starts it with a log that says as much as an operator may ask for.
    pub(crate) async fn spawn_talkative(&self) -> Spawned {
        let mut command: Command = self.command();
        self.spawn_by(command.env("MYELIN_LOG", "debug,myelin=trace")).await
    }
}

/// What can be read of a sidecar, each by its name.
#[derive(Debug, Default)]
pub(crate) struct Sinks(Vec<(String, String)>);

impl Sinks {
    /// All that a sidecar says in any place, while it runs and after it has ended.
    ///
    /// `receiver`: where its records go, as JSON at least.
    pub(crate) async fn of(mut sidecar: Spawned, receiver: Option<&Receiver>) -> Self {
        let mut sinks = Self::default();
        for path in PAGES {
            let page = sidecar.page(path).await;
            sinks.add(path, page.head + &page.body);
        }
        sidecar.process.stop("TERM");
        sidecar.process.ended().await;
        sinks.add("the log", sidecar.process.output());
        if let Some(receiver) = &receiver {
            let last = sidecar.trail().lines().last().unwrap().number("event.sequence");
            let exported = receiver.has_all(last).await;
            assert!(exported.contains("<AuditMessage"), "{exported}");
            sinks.add("what was exported", exported);
        }
        sinks.trail(&sidecar).await;
        assert!(
            !sidecar.trail().text().contains("\"flood\""),
            "some denials have no line of their own"
        );
        sinks
    }

    pub(crate) fn add(&mut self, name: &str, text: impl Into<String>) {
        self.0.push((name.to_owned(), text.into()));
    }

    /// The trail, and what the commands say that read it.
    async fn trail(&mut self, sidecar: &Outside) {
        for entry in std::fs::read_dir(sidecar.trail().dir()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            self.add(&path.display().to_string(), String::from_utf8_lossy(&bytes));
        }
        self.add("the trail", sidecar.trail().text());
        let dir = sidecar.trail().dir().display().to_string();
        let config = sidecar.config.display().to_string();
        let audit = ["--audit", &dir];
        for form in FORMS {
            self.says(&[&["audit", "query", "--format", form][..], &audit].concat()).await;
        }
        for field in ["path", "message"] {
            let query = ["audit", "query", "--group-by", field];
            self.says(&[&query[..], &audit].concat()).await;
        }
        for form in ["html", "json", "csv"] {
            let report = ["audit", "report", "--from", "1h", "--format", form];
            self.says(&[&report[..], &audit].concat()).await;
        }
        self.says(&[&["audit", "tail", "-n", "100000"][..], &audit].concat()).await;
        self.says(&["audit", "verify", &dir]).await;
        self.says(&[&["policy", "suggest", "-c", &config][..], &audit].concat()).await;
        self.says(&[&["policy", "replay", "-c", &config][..], &audit].concat()).await;
    }

    async fn says(&mut self, args: &[&str]) {
        let said = myelin(args).await;
        assert!(matches!(said.code, Some(0 | 1)), "{args:?} {said:#?}");
        self.add(&args.join(" "), said.all());
    }

    /// Nothing of the patient is in any of them.
    pub(crate) fn know_no_patient(&self) {
        for (name, text) in &self.0 {
            let told: Vec<_> = text.lines().filter_map(found_in).collect();
            assert!(told.is_empty(), "{name} tells of a patient:\n{}", told.join("\n"));
        }
    }
}

/// Where something of the patient stands in `text`, as it is or as somebody writes bytes down.
pub(crate) fn found_in(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let words = PATIENT.iter().chain(&BARE).chain(&OTHERS);
    let plain = words.flat_map(|word| written(&word.to_ascii_lowercase()));
    let name = |case: fn(&str) -> String| written(&case(PATIENT[0]));
    let (whole, upper) = (name(str::to_owned), name(str::to_ascii_uppercase));
    let at = plain
        .chain([whole, upper].into_iter().flatten())
        .find_map(|word| lower.find(&word.to_ascii_lowercase()))?;
    let near = |by: usize| lower.char_indices().map(|(place, _)| place).find(|place| *place >= by);
    let (from, to) = (near(at.saturating_sub(200)), near(at + 100));
    Some(lower[from.unwrap_or(0)..to.unwrap_or(lower.len())].to_owned())
}

/// A text as it is, in hexadecimal, and as Rust shows bytes.
fn written(word: &str) -> [String; 3] {
    let decimal: Vec<_> = word.bytes().map(|byte| byte.to_string()).collect();
    [word.to_owned(), hex::encode(word), decimal.join(", ")]
}
