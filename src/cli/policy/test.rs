//! `myelin policy test`

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::findings::Findings;
use super::super::narrowing::narrowing;
use super::super::{ConfigFile, Exit, Format, console, load};
use crate::clock;
use crate::config::{self, Case, Config, Problems};
use crate::outcome::DenyReason;
use crate::report::Count;
use crate::review::{Tried, Verdict, try_all};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The cases
    #[arg(value_name = "CASES")]
    cases: PathBuf,
    #[command(flatten)]
    file: ConfigFile,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let read = |arguments: &Arguments| -> Result<(Config, Vec<Case>), Problems> {
        let config = load(&arguments.file.config)?;
        let reasons: Vec<_> =
            DenyReason::ALL.into_iter().map(DenyReason::label).chain(["plaintext"]).collect();
        let cases = config::cases(&arguments.cases, &config, &reasons)?;
        Ok((config, cases))
    };
    let (config, cases) = match read(arguments) {
        Ok(read) => read,
        Err(problems) => {
            Findings::of(problems).print(arguments.format)?;
            return Ok(Exit::BadConfig);
        }
    };
    let rego = match narrowing(&config, arguments.format)? {
        Ok(rego) => rego,
        Err(exit) => return Ok(exit),
    };
    let tried = try_all(&config, rego.as_ref(), &cases, clock::now());
    let failed = tried.iter().filter(|tried| !tried.is_expected).count();
    let name = |path: &Path| path.file_name().map(Path::new).unwrap_or(path).display().to_string();
    let (cases, file) = (name(&arguments.cases), name(&config.path));
    match arguments.format {
        Format::Text => {
            for tried in tried.iter().filter(|tried| !tried.is_expected) {
                console::line(&told(tried, &cases, &file));
            }
            let count = Count(tried.len() as u64, "case");
            console::line(&format!("{count}: {} as expected, {failed} not", tried.len() - failed));
        }
        Format::Json => {
            let values: Vec<_> = tried.iter().map(to_json).collect();
            console::line(&serde_json::to_string_pretty(&values)?);
        }
    }
    Ok(if failed == 0 { Exit::Fine } else { Exit::Failed })
}

fn told(tried: &Tried<'_>, cases: &str, file: &str) -> String {
    let Case { name, line, allowed, rule, reason, .. } = tried.case;
    let mut expected = if *allowed { "allowed" } else { "denied" }.to_owned();
    expected.extend(reason.iter().map(|reason| format!(" ({reason})")));
    expected.extend(rule.iter().map(|rule| format!(" by {rule}")));
    let got = match &tried.verdict {
        Verdict::Allowed { rule, line } => format!("allowed by {rule} ({file}:{line})"),
        Verdict::Denied(denial) => {
            let (rule, line, why) = (&denial.rule, denial.line, &denial.why);
            format!("denied ({}) by {rule} ({file}:{line}): {why}", denial.label())
        }
        Verdict::Unjudged(why) => why.text().to_owned(),
    };
    format!("{cases}:{line}: {name}\n  expected: {expected}\n  got:      {got}")
}

fn to_json(tried: &Tried<'_>) -> Value {
    let case = tried.case;
    let (allowed, rule, line, reason, why) = match &tried.verdict {
        Verdict::Allowed { rule, line } => (true, Some(rule), Some(*line), None, None),
        Verdict::Denied(denial) => {
            let (label, why) = (Some(denial.label()), Some(denial.why.as_str()));
            (false, Some(&denial.rule), Some(denial.line), label, why)
        }
        Verdict::Unjudged(why) => (false, None, None, None, Some(why.text())),
    };
    json!({
        "name": case.name,
        "line": case.line,
        "as_expected": tried.is_expected,
        "expected": { "allowed": case.allowed, "rule": case.rule, "reason": case.reason },
        "got": { "allowed": allowed, "rule": rule, "line": line, "reason": reason, "why": why },
    })
}
