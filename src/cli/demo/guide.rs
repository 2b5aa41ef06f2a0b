//! What is running, and what to try: lines to be copied into another terminal.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::clinic::{Clinic, FIND_PATIENTS};
use super::place::{Place, TRUST_DOMAIN};
use super::sidecars::Sidecars;

/// What is running, and what to try.
#[derive(Debug, Serialize)]
pub(super) struct Guide {
    /// The directory of everything.
    dir: PathBuf,
    /// Whether that stays at the end.
    kept: bool,
    /// From the caller to each service.
    ways: Vec<Way>,
    /// The sidecars.
    sidecars: Vec<Beside>,
    /// What to try.
    #[serde(rename = "try")]
    lines: Vec<Try>,
}

/// From the caller to a service.
#[derive(Debug, Serialize)]
struct Way {
    service: &'static str,
    speaks: &'static str,
    /// The plaintext side of the caller's sidecar.
    out: SocketAddr,
    /// The mutual TLS side of the service's sidecar.
    sidecar: SocketAddr,
    /// The service itself, in plaintext.
    workload: SocketAddr,
}

/// Where a sidecar's things are.
#[derive(Debug, Serialize)]
struct Beside {
    service: &'static str,
    config: PathBuf,
    admin: SocketAddr,
}

/// One thing to try.
#[derive(Debug, Serialize)]
struct Try {
    /// What it shows.
    about: &'static str,
    /// For any POSIX shell, in the directory of everything.
    command: String,
    /// Whether it exits with 0.
    succeeds: bool,
    /// Text that it prints, among more.
    says: &'static str,
    /// What a reader will see, when that is more than what it is sure to print.
    #[serde(skip_serializing_if = "Option::is_none")]
    shows: Option<&'static str>,
}

impl Guide {
    /// For what is running. `myelin` is how this program is called.
    pub(super) fn to(place: &Place, clinic: &Clinic, sidecars: &Sidecars, myelin: &Path) -> Self {
        let [fhir, pdq, lab] = sidecars.ways_out();
        let way = |service, speaks, out, sidecar, workload| Way {
            service,
            speaks,
            out,
            sidecar,
            workload,
        };
        let beside = sidecars.all().map(|running| Beside {
            service: running.service,
            config: running.config.clone(),
            admin: running.admin,
        });
        Self {
            dir: place.dir().to_owned(),
            kept: place.is_kept(),
            ways: vec![
                way("fhir", "REST", fhir, sidecars.fhir.first(), clinic.fhir.address),
                way("pdq", "SOAP 1.1", pdq, sidecars.pdq.first(), clinic.pdq.address),
                way("lab", "HL7 v2 over MLLP", lab, sidecars.lab.first(), clinic.lab.address),
            ],
            sidecars: beside.into(),
            lines: [calls(sidecars), refusals(sidecars), other_protocols(sidecars)]
                .into_iter()
                .flatten()
                .chain(looks(sidecars))
                .chain(answers(sidecars, myelin))
                .collect(),
        }
    }
}

/// Accesses, allowed and denied.
fn calls(sidecars: &Sidecars) -> Vec<Try> {
    let [fhir, ..] = sidecars.ways_out();
    vec![
        Try::of(
            "The billing program reads a patient. It speaks plaintext, and so does the service.",
            format!("curl -sS http://{fhir}/fhir/Patient/4711"),
            "\"family\": \"Mustermann\"",
        ),
        Try::of(
            "It may not register one: that is for admission alone (403).",
            format!("curl -sS -d @patient.json http://{fhir}/fhir/Patient"),
            "not allowed",
        ),
        Try::of(
            "Admission may. It speaks mutual TLS itself, and needs no sidecar.",
            straight(sidecars, "admission", "-d @patient.json "),
            "\"family\": \"Newcomer\"",
        ),
    ]
}

/// Those who are turned away at the door.
fn refusals(sidecars: &Sidecars) -> Vec<Try> {
    vec![
        Try::of(
            "The kiosk has a certificate of the same authority, and is on nobody's list.",
            straight(sidecars, "kiosk", "--http1.1 "),
            "curl: (",
        )
        .fails("curl: (52) Empty reply from server"),
        Try::of(
            "A stranger calls itself billing, by a certificate of another authority.",
            straight(sidecars, "stranger", ""),
            "curl: (",
        )
        .fails("curl: (56) … alert unknown ca"),
    ]
}

/// Past the caller's own sidecar, by mutual TLS with the PEM files of `who`.
fn straight(sidecars: &Sidecars, who: &str, more: &str) -> String {
    let port = sidecars.fhir.first().port();
    format!(
        "curl -sS --cacert ca.crt --cert {who}.crt --key {who}.key {more}\\\n  \
         --resolve fhir:{port}:127.0.0.1 https://fhir:{port}/fhir/Patient"
    )
}

/// It is not only REST that hospitals speak.
fn other_protocols(sidecars: &Sidecars) -> Vec<Try> {
    let [_, pdq, lab] = sidecars.ways_out();
    vec![
        Try::of(
            "A SOAP call. A SOAP client finds the description of the service at /pdq?wsdl.",
            format!(
                "curl -sS -H 'Content-Type: text/xml' -H 'SOAPAction: \"{FIND_PATIENTS}\"' \\\n  \
                 -d @find.xml http://{pdq}/pdq"
            ),
            "<given>Erika</given>",
        ),
        Try::of(
            "An HL7 v2 message over MLLP, and its acknowledgement.",
            format!(
                "(cat adt.hl7; sleep 1) | curl -s -m 2 telnet://{lab} | tr '\\013\\034\\r' '  \\n'"
            ),
            "MSA|AA|MSG00001",
        ),
    ]
}

/// What was put on record, and what is counted.
fn looks(sidecars: &Sidecars) -> Vec<Try> {
    let admin = sidecars.fhir.admin;
    vec![
        Try::of(
            "The last record of the trail. No patient is in it, only who did what, by which rule.",
            "cat audit/fhir/trail-*.jsonl | tail -n 1 | python3 -m json.tool".to_owned(),
            "\"event\": {",
        ),
        Try::of(
            "Who was turned away, and how far each was from what a rule wants.",
            format!("curl -sS http://{admin}/denials"),
            "\"nearest\": ",
        ),
        Try::of(
            "What Prometheus would scrape.",
            format!("curl -sS http://{admin}/metrics | grep ^myelin_requests_total"),
            "decision=\"denied\"",
        ),
        Try::of(
            "What the sidecar is doing, its certificate and its policy.",
            format!("curl -sS http://{admin}/status"),
            "\"spiffe\": \"spiffe://clinic.example/fhir\"",
        ),
    ]
}

/// What this program has to say about it, and a change of mind.
fn answers(sidecars: &Sidecars, myelin: &Path) -> Vec<Try> {
    let (myelin, [fhir, ..]) = (quoted(myelin), sidecars.ways_out());
    vec![
        Try::of(
            "Every record names the SHA-256 of the one before: none is changed unnoticed.",
            format!("{myelin} audit verify audit/fhir"),
            "an unbroken chain",
        ),
        Try::of(
            "Why billing may not register a patient, without anybody trying.",
            format!(
                "{myelin} explain -c fhir.yaml --peer billing --method POST --path /fhir/Patient"
            ),
            "route `create-patient` does not allow peer `billing`",
        )
        .fails("… route `create-patient` does not allow peer `billing`"),
        Try::of(
            "Let billing register patients from now on, without a restart.",
            format!(
                "sed -i '/create-patient/s/allow: \\[/&billing, /' fhir.yaml; kill -HUP {}; sleep 1\n\
                 curl -sS -d @patient.json http://{fhir}/fhir/Patient",
                std::process::id()
            ),
            "\"family\": \"Newcomer\"",
        ),
    ]
}

impl Try {
    fn of(about: &'static str, command: String, says: &'static str) -> Self {
        Self { about, command, succeeds: true, says, shows: None }
    }

    /// The command exits with a failure, and usually shows this.
    fn fails(self, shows: &'static str) -> Self {
        Self { succeeds: false, shows: Some(shows), ..self }
    }
}

/// As a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

impl fmt::Display for Guide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.dir.display();
        f.write_str(INTRODUCTION)?;
        for Way { service, speaks, out, sidecar, workload } in &self.ways {
            let [out, sidecar, workload] = [out, sidecar, workload].map(SocketAddr::port);
            writeln!(
                f,
                "  curl ──plaintext──▶ {out:<5} ══ mutual TLS ══▶ {sidecar:<5} ──plaintext──▶ \
                 {workload:<5}  {service}: {speaks}"
            )?;
        }
        writeln!(f, "\nEach sidecar runs from a configuration of its own:\n")?;
        let lengths = self.sidecars.iter().map(|beside| beside.config.display().to_string().len());
        let width = lengths.max().unwrap_or(0);
        for Beside { service, config, admin } in &self.sidecars {
            let config = config.display().to_string();
            let id = format!("spiffe://{TRUST_DOMAIN}/{service}");
            writeln!(f, "  {config:<width$}  {id:<32}  pages at http://{admin}/")?;
        }
        writeln!(f, "\nTo try it, in another terminal:\n\n     cd {}", quoted(&self.dir))?;
        for (index, line) in self.lines.iter().enumerate() {
            write!(f, "\n{:>3}. {line}", index + 1)?;
        }
        let then = if self.kept { "stays" } else { "is removed" };
        write!(
            f,
            "\nCtrl-C ends all of it, and {dir} {then}.\n\
             Until then, this is what the services' sidecars decide:\n"
        )
    }
}

/// Above the ways.
const INTRODUCTION: &str = "\
A sample clinic is running on this machine. Everybody in it is made up, and nothing but loopback is used.

                      billing's                services'                legacy services,
                      sidecar                  sidecars                 which know no TLS
";

impl fmt::Display for Try {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.about)?;
        for line in self.command.lines() {
            writeln!(f, "     {line}")?;
        }
        writeln!(f, "     → {}", self.shows.unwrap_or(self.says))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        assert_eq!(quoted(Path::new("/tmp/myelin-demo-1/ca.crt")), "/tmp/myelin-demo-1/ca.crt");
        assert_eq!(quoted(Path::new("/tmp/it's here")), r"'/tmp/it'\''s here'");
    }
}
