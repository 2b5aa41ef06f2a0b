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
    paths: Vec<Way>,
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
    /// A line for any POSIX shell.
    command: String,
    /// How the line exits.
    exit: i32,
    /// Text that it prints, among more.
    says: &'static str,
}

impl Guide {
    /// For what is running. `myelin` is what this program was called as.
    pub(super) fn to(place: &Place, clinic: &Clinic, sidecars: &Sidecars, myelin: &Path) -> Self {
        let [fhir, pdq, lab] = sidecars.ways_out();
        let way = |service, speaks, out, sidecar, workload| Way {
            service,
            speaks,
            out,
            sidecar,
            workload,
        };
        let all = sidecars.all();
        Self {
            dir: place.dir().to_owned(),
            kept: place.is_kept(),
            paths: vec![
                way("fhir", "REST", fhir, sidecars.fhir.first(), clinic.fhir.address),
                way("pdq", "SOAP 1.1", pdq, sidecars.pdq.first(), clinic.pdq.address),
                way("lab", "HL7 v2 over MLLP", lab, sidecars.lab.first(), clinic.lab.address),
            ],
            sidecars: all
                .map(|running| Beside {
                    service: running.service,
                    config: running.config.clone(),
                    admin: running.admin,
                })
                .into(),
            lines: calls(place, sidecars)
                .into_iter()
                .chain(looks(place, sidecars, myelin))
                .collect(),
        }
    }
}

/// Calls, some of which are turned away.
fn calls(place: &Place, sidecars: &Sidecars) -> Vec<Try> {
    let [fhir, pdq, lab] = sidecars.ways_out();
    let file = |name: &str| quoted(&place.path(name));
    let port = sidecars.fhir.first().port();
    let straight = |who: &str| {
        format!(
            "curl -sS --cacert {} --cert {} --key {} \\\n  --resolve fhir:{port}:127.0.0.1 https://fhir:{port}/fhir/Patient",
            file("ca.crt"),
            file(&format!("{who}.crt")),
            file(&format!("{who}.key")),
        )
    };
    vec![
        Try::of(
            "The billing program reads a patient. It speaks plaintext, and so does the service.",
            format!("curl -sS http://{fhir}/fhir/Patient/4711"),
            0,
            "\"family\": \"Mustermann\"",
        ),
        Try::of(
            "It may not register one: that is for admission alone (403).",
            format!("curl -sS -d @{} http://{fhir}/fhir/Patient", file("patient.json")),
            0,
            "not allowed",
        ),
        Try::of(
            "Admission may. It speaks mutual TLS itself, with PEM files, and needs no sidecar.",
            format!("{} \\\n  -d @{}", straight("admission"), file("patient.json")),
            0,
            "\"family\": \"Newcomer\"",
        ),
        Try::of(
            "The kiosk has a certificate of the same authority, and is on nobody's list.",
            straight("kiosk"),
            KIOSK_EXIT,
            KIOSK_SAYS,
        ),
        Try::of(
            "A stranger calls itself billing, by a certificate of another authority.",
            straight("stranger"),
            STRANGER_EXIT,
            STRANGER_SAYS,
        ),
        Try::of(
            "A SOAP call. (http://…/pdq?wsdl describes the service to a SOAP client.)",
            format!(
                "curl -sS -H 'Content-Type: text/xml' -H 'SOAPAction: \"{FIND_PATIENTS}\"' \\\n  --data-binary @{} http://{pdq}/pdq",
                file("find.xml")
            ),
            0,
            "<given>Erika</given>",
        ),
        Try::of(
            "An HL7 v2 message over MLLP, and its acknowledgement.",
            format!(
                "(cat {}; sleep 1) | curl -sS telnet://{lab} | tr '\\013\\034\\r' '  \\n'",
                file("adt.hl7")
            ),
            0,
            "MSA|AA|MSG00001",
        ),
    ]
}

/// Looks at what was put on record.
fn looks(place: &Place, sidecars: &Sidecars, myelin: &Path) -> Vec<Try> {
    let admin = sidecars.fhir.admin;
    let trail = quoted(&sidecars.fhir.trail);
    let (myelin, config) = (quoted(myelin), quoted(&place.path("fhir.yaml")));
    vec![
        Try::of(
            "The last record of the trail. No patient is in it, only who did what, and by which rule.",
            format!("cat {trail}/trail-*.jsonl | tail -n 1 | python3 -m json.tool"),
            0,
            "\"event\": {",
        ),
        Try::of(
            "Every record names the SHA-256 of the one before: nobody changes one unnoticed.",
            format!("{myelin} audit verify {trail}"),
            0,
            "an unbroken chain",
        ),
        Try::of(
            "Who was turned away, and which rule came nearest.",
            format!("curl -sS http://{admin}/denials"),
            0,
            "\"nearest\": ",
        ),
        Try::of(
            "What Prometheus would scrape.",
            format!("curl -sS http://{admin}/metrics | grep ^myelin_requests_total"),
            0,
            "decision=\"denied\"",
        ),
        Try::of(
            "What the sidecar is doing, its certificate and its policy.",
            format!("curl -sS http://{admin}/status"),
            0,
            "\"spiffe\": \"spiffe://clinic.example/fhir\"",
        ),
        Try::of(
            "Why billing may not register a patient, without anybody trying (exit code 1).",
            format!(
                "{myelin} explain -c {config} --peer billing --method POST --path /fhir/Patient"
            ),
            1,
            "route `create-patient` does not allow peer `billing`",
        ),
    ]
}

const KIOSK_EXIT: i32 = 56;
const KIOSK_SAYS: &str = "curl: (56)";
const STRANGER_EXIT: i32 = 56;
const STRANGER_SAYS: &str = "alert unknown ca";

impl Try {
    fn of(about: &'static str, command: String, exit: i32, says: &'static str) -> Self {
        Self { about, command, exit, says }
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
        writeln!(
            f,
            "A sample clinic is running on this machine, on loopback only. Everybody in it is made up.\n"
        )?;
        writeln!(f, "  the billing program's         the services' own           legacy services,")?;
        writeln!(f, "  sidecar                       sidecars                    which know no TLS\n")?;
        for Way { service, speaks, out, sidecar, workload } in &self.paths {
            writeln!(
                f,
                "  {out} ══ mutual TLS ══▶ {sidecar} ──plaintext──▶ {workload}  {service} ({speaks})"
            )?;
        }
        writeln!(f, "\nEach sidecar is spiffe://{TRUST_DOMAIN}/… , and has a configuration of its own:\n")?;
        for Beside { service, config, admin } in &self.sidecars {
            writeln!(f, "  {service:<8} {}   (admin: http://{admin})", config.display())?;
        }
        writeln!(f, "\nTry these in another terminal:")?;
        for (index, line) in self.lines.iter().enumerate() {
            write!(f, "\n{:>3}. {line}", index + 1)?;
        }
        let end = if self.kept { "stays" } else { "is removed then" };
        writeln!(
            f,
            "\nCtrl-C ends it; {} {end}. Until then, what the services' sidecars decide is shown here.\n\
             Change a configuration, and `kill -HUP {}` puts it in place.\n",
            self.dir.display(),
            std::process::id()
        )
    }
}

impl fmt::Display for Try {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { about, command, says, .. } = self;
        writeln!(f, "{about}")?;
        for line in command.lines() {
            writeln!(f, "       {line}")?;
        }
        writeln!(f, "     → {says}")
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
