//! What a probe has seen, for people: a column of steps, and what stands behind each.

use std::fmt::Write;

use super::{Arguments, Expectation};
use crate::certs::Seen as Material;
use crate::clock::rfc3339;
use crate::config::Config;
use crate::probe::{
    Answer, Certificate, CertificateRequest, Check, Diagnosis, Judged, Level, Named, Negotiated,
    Ours, Outcome, Part, Seen, Shaken, Verdict, alert_name,
};
use crate::report::Count;

/// The width of the column of steps.
const STEP: usize = 12;
/// Names of a certificate, or authorities of a server, that are shown.
const LISTED: usize = 12;
/// Certificates of a chain that are shown.
const CHAIN: usize = 8;
/// Where long texts are broken.
const WIDTH: usize = 100;

/// Lines whose first says which step they are of.
#[derive(Default)]
struct Steps(String);

impl Steps {
    fn step(&mut self, step: &str, text: &str) {
        let _ = writeln!(self.0, "{step:STEP$}{text}");
    }

    fn under(&mut self, text: &str) {
        self.step("", text);
    }
}

/// Who asks whom, for what.
pub(super) fn heading(
    config: &Config,
    arguments: &Arguments,
    material: &Material,
    expectation: Option<&Expectation>,
) -> anyhow::Result<String> {
    let mut steps = Steps::default();
    let to = &arguments.to;
    let whose = match &material.material {
        Some(material) => material.facts.spiffe.as_ref().map_or_else(
            || format!("with the certificate of {}", material.facts.subject.text),
            |id| format!("as {id}"),
        ),
        None => format!("as {}, which has no certificate yet", config.spiffe_id()?),
    };
    steps.step("probe", &format!("{}:{} {whose}", to.host, to.port));
    let text = match expectation {
        Some(Expectation { names, listener, .. }) => {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            let of = listener.as_ref().map(|(name, _)| format!(", by listener `{name}`"));
            format!("{}{}", names.join(" or "), of.unwrap_or_default())
        }
        None => "anybody whose certificate is good: no outbound listener leads there, no --expect"
            .into(),
    };
    steps.step("expect", &text);
    for warning in &material.warnings {
        steps.step("warning", warning);
    }
    Ok(steps.0)
}

/// One part, as soon as it is known.
pub(super) fn part(part: Part<'_>) -> String {
    let mut steps = Steps::default();
    match part {
        Part::Resolved(resolved) => match &resolved.error {
            Some(error) => steps.step("resolve", &format!("failed: {error}")),
            None => {
                let all: Vec<_> = resolved.addresses.iter().map(|a| a.ip().to_string()).collect();
                steps.step("resolve", &all.join(", "));
            }
        },
        Part::Tried(attempt) => {
            let how = match &attempt.error {
                Some(error) => format!("failed: {error}"),
                None => "connected".to_owned(),
            };
            let text = format!("{} {how}, {} ms", attempt.address, attempt.milliseconds);
            steps.step("connect", &text);
        }
        Part::Shaken(shaken) => handshake(&mut steps, shaken),
        Part::Judged(judged) => server(&mut steps, judged),
        Part::Ours(ours) => own(&mut steps, ours),
        Part::Answered(answer) => steps.step("answer", &answered(answer)),
    }
    steps.0
}

fn handshake(steps: &mut Steps, shaken: &Shaken) {
    let how = match &shaken.outcome {
        Outcome::Established => "established".to_owned(),
        Outcome::ServerRefused => "ended by us: the server's certificate fails".to_owned(),
        Outcome::Alert { alert, .. } => format!("ended by the server: {}", alert_name(*alert)),
        Outcome::Version => "no version in common".to_owned(),
        Outcome::Suite { .. } => "no cipher suite or group in common".to_owned(),
        Outcome::NoExtendedMasterSecret => "no extended master secret".to_owned(),
        Outcome::NotTls { spoken, .. } => format!("none: the server speaks {}", spoken.name()),
        Outcome::Closed { .. } => "ended by the server without a word".to_owned(),
        Outcome::Reset { .. } => "broken off".to_owned(),
        Outcome::Silent { .. } => "no answer in time".to_owned(),
        Outcome::Protocol { message } => format!("broken: {message}"),
    };
    let Negotiated { version, cipher, group, alpn } = &shaken.negotiated;
    let mut text = format!("{how}, {} ms", shaken.milliseconds);
    let parts = [
        version.map(|version| format!("TLS {version}")),
        cipher.clone(),
        group.clone(),
        alpn.as_ref().map(|alpn| format!("protocol {alpn}")),
    ];
    for part in parts.into_iter().flatten() {
        let _ = write!(text, ", {part}");
    }
    steps.step("handshake", &text);
    match &shaken.asked {
        Some(asked) => asks(steps, asked),
        None if shaken.outcome == Outcome::Established => {
            steps.step("asks", "for no certificate: not mutual TLS");
        }
        None => {}
    }
}

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Waits => {
            "none within a second: it accepts us, or says so only to a request (nginx does)"
                .to_owned()
        }
        Answer::Speaks { bytes } => format!("it accepts us and speaks first, {bytes} bytes"),
        Answer::Alert { alert } => format!("it refuses us: {}", alert_name(*alert)),
        Answer::Closed => "it ended the connection".to_owned(),
        Answer::Reset => "it broke the connection off".to_owned(),
    }
}

fn asks(steps: &mut Steps, asked: &CertificateRequest) {
    if asked.count == 0 {
        steps.step("asks", "for a certificate, of any authority");
        return;
    }
    let count = Count(u64::try_from(asked.count).unwrap_or(u64::MAX), "name");
    steps.step("asks", &format!("for a certificate from one of these authorities ({count}):"));
    listed(steps, &asked.authorities, asked.count);
}

fn listed(steps: &mut Steps, names: &[String], count: usize) {
    for name in names.iter().take(LISTED) {
        steps.under(&format!("  {name}"));
    }
    if count > LISTED {
        steps.under(&format!("  and {} more", count - LISTED));
    }
}

fn server(steps: &mut Steps, judged: &Judged) {
    for (index, certificate) in judged.chain.iter().take(CHAIN).enumerate() {
        let step = if index == 0 { "server" } else { "" };
        steps.step(step, &format!("{} {}", index + 1, certificate.subject));
        describe(steps, certificate);
    }
    if judged.presented > CHAIN {
        steps.under(&format!("and {} more certificates", judged.presented - CHAIN));
    }
    for (index, Check { name, verdict, text }) in judged.checks.iter().enumerate() {
        let step = if index == 0 { "checks" } else { "" };
        let word = match verdict {
            Verdict::Passed => "ok",
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "-",
            Verdict::Noted => "note",
        };
        steps.step(step, &format!("{word:7}{name}: {text}"));
    }
}

fn describe(steps: &mut Steps, certificate: &Certificate) {
    let Certificate { names, issuer, not_before, not_after, key, signature, sha256, .. } =
        certificate;
    if !names.is_empty() {
        let more = if names.len() > LISTED { ", …" } else { "" };
        let shown: Vec<_> = names.iter().take(LISTED).map(String::as_str).collect();
        steps.under(&format!("    names   {}{more}", shown.join(", ")));
    }
    steps.under(&format!("    issuer  {issuer}"));
    let (from, to) = (rfc3339(*not_before), rfc3339(*not_after));
    steps.under(&format!("    valid   {from} to {to}"));
    steps.under(&format!("    key     {key}, signed by {signature}"));
    steps.under(&format!("    sha256  {sha256}"));
}

fn own(steps: &mut Steps, ours: &Ours) {
    let Some(certificate) = &ours.certificate else {
        return steps.step("ours", "none to show");
    };
    let shown = if ours.shown { "shown" } else { "not shown" };
    steps.step("ours", &format!("{}, {shown}", certificate.subject));
    describe(steps, certificate);
    let named = match &ours.named {
        Named::NoneNamed => "the server names no authorities".to_owned(),
        Named::Ours { authority } => format!("the server names our authority, {authority}"),
        Named::Others => "the server names other authorities than ours".to_owned(),
    };
    let clients = if ours.for_clients { "for clients" } else { "not for clients (no clientAuth)" };
    steps.under(&format!("    seen    {named}; the certificate is {clients}"));
}

/// What it means.
pub(super) fn verdict(seen: &Seen, diagnoses: &[Diagnosis]) -> String {
    let mut text = String::new();
    for Diagnosis { code, level, cause, mend } in diagnoses {
        let word = match level {
            Level::Failure => "FAILED",
            Level::Warning => "warning",
        };
        let _ = write!(
            text,
            "\n{word} {code}\n{}{}",
            paragraph("cause", cause),
            paragraph("mend", mend)
        );
    }
    if !diagnoses.iter().any(|one| one.level == Level::Failure) {
        let who = seen.server.as_ref().and_then(|server| server.recognized.identity.as_deref());
        let _ = write!(text, "\nfine: {} is {}\n", seen.target, who.unwrap_or("there"));
    }
    text
}

/// A text under its heading, broken at spaces.
fn paragraph(heading: &str, text: &str) -> String {
    const INDENT: usize = 9;
    let mut lines = String::new();
    let mut line = format!("  {heading:7}");
    for word in text.split(' ') {
        let begun = line.chars().count() > INDENT;
        if begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line = " ".repeat(INDENT);
        } else if begun {
            line.push(' ');
        }
        line.push_str(word);
    }
    format!("{lines}{line}\n")
}
