//! Which records are asked for.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use time::OffsetDateTime;

use super::super::super::moment;
use crate::audit::forms::Field;
use crate::audit::{Action, Sought, Window};
use crate::protocol::fhir;

#[derive(Debug, clap::Args)]
pub(in crate::cli::audit) struct Filter {
    /// A trail's directory; may be given several times [default: audit.dir of the configuration]
    #[arg(long, value_name = "DIR")]
    pub(super) audit: Vec<PathBuf>,
    /// Nothing older: a duration like 7d, a date like 2026-11-01, or a moment like 2026-11-01T18:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = moment::since)]
    from: Option<OffsetDateTime>,
    /// Nothing newer: the same; a date is its end
    #[arg(long, value_name = "WHEN", value_parser = moment::until)]
    to: Option<OffsetDateTime>,
    /// This peer alone, by its name in `peers`. Each filter may be repeated: any of its values is taken
    #[arg(long, value_name = "NAME")]
    peer: Vec<String>,
    /// This identity alone, like spiffe://hospital.example/lab
    #[arg(long, value_name = "ID")]
    identity: Vec<String>,
    /// This listener alone
    #[arg(long, value_name = "NAME")]
    listener: Vec<String>,
    /// This action alone
    #[arg(long, value_parser = PossibleValuesParser::new(Action::ALL.map(Action::label)), hide_possible_values = true)]
    action: Vec<String>,
    /// This outcome alone
    #[arg(long, value_parser = ["success", "failure"])]
    outcome: Vec<String>,
    /// This reason alone, like not_listed
    #[arg(long, value_name = "LABEL")]
    reason: Vec<String>,
    /// What this rule decided, or came nearest to: `listener`, or `listener/rule`
    #[arg(long, value_name = "NAME")]
    rule: Vec<String>,
    /// What happened on this connection; its id is the same on both sides
    #[arg(long, value_name = "ID", value_parser = connection)]
    connection: Vec<String>,
    /// FHIR requests for this type of resource
    #[arg(long, value_name = "TYPE", value_parser = resource)]
    resource: Vec<String>,
}

fn connection(text: &str) -> Result<String, String> {
    let id = text.to_ascii_lowercase();
    if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(id);
    }
    Err("32 hexadecimal digits, as `myelin.connection` has them".to_owned())
}

fn resource(text: &str) -> Result<String, String> {
    if fhir::is_resource(text) {
        return Ok(text.to_owned());
    }
    Err("no type of FHIR resources; they are written like Patient".to_owned())
}

impl Filter {
    /// What is asked for.
    ///
    /// # Errors
    ///
    /// The time ends before it begins.
    pub(in crate::cli::audit) fn sought(&self) -> Result<Sought, String> {
        let Self { from, to, .. } = *self;
        if let (Some(from), Some(to)) = (from, to)
            && to <= from
        {
            return Err("--to is before --from: nothing is between them".to_owned());
        }
        let field = |(name, values): (_, &Vec<_>)| Some((Field::named(name)?, values.clone()));
        let fields = self.wanted().filter_map(field).collect();
        Ok(Sought { window: Window { from, to }, fields })
    }

    /// Whether actions are asked for by name.
    pub(in crate::cli::audit) fn names_action(&self) -> bool {
        !self.action.is_empty()
    }

    /// The names of what narrows the answer.
    pub(in crate::cli::audit) fn names(&self) -> Vec<&'static str> {
        let times = [("from", self.from), ("to", self.to)];
        let times = times.into_iter().filter_map(|(name, time)| time.map(|_| name));
        times.chain(self.wanted().map(|(name, _)| name)).collect()
    }

    /// What fields are to be.
    fn wanted(&self) -> impl Iterator<Item = (&'static str, &Vec<String>)> {
        let wanted = [
            ("peer", &self.peer),
            ("identity", &self.identity),
            ("listener", &self.listener),
            ("action", &self.action),
            ("outcome", &self.outcome),
            ("reason", &self.reason),
            ("rule", &self.rule),
            ("connection", &self.connection),
            ("resource", &self.resource),
        ];
        wanted.into_iter().filter(|(_, values)| !values.is_empty())
    }
}
