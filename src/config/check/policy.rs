//! Policy in Rego, which narrows the allowlist.

use std::sync::Arc;
use std::time::Duration;

use crate::config::problem::Fault;
use crate::config::read::{Fields, Reader, one};
use crate::config::scalar::duration;
use crate::config::yaml::Node;
use crate::config::{RegoSettings, keys};

/// How long an evaluation may take when the file does not say.
const TIMEOUT: Duration = Duration::from_millis(50);
/// What is asked when the file does not say.
const QUERY: &str = "data.myelin.allow";

/// `policy`
pub(super) fn settings(reader: &Reader<'_>, node: &Node) -> Option<RegoSettings> {
    let mut fields = Fields::open(reader, node, &keys::POLICY)?;
    let files = fields.required("rego", |reader, node| {
        let empty = ("an empty list of modules", "name a file, or remove `policy`");
        reader.one_or_some(node, Reader::path, empty)
    });
    let data = fields.or("data", Vec::new(), |reader, node| {
        let empty = ("an empty list of documents", "name a file, or remove the key");
        reader.one_or_some(node, Reader::path, empty)
    });
    let query = fields.or("query", QUERY.into(), one(query));
    let bounds = Duration::from_millis(1)..=Duration::from_secs(5);
    let timeout = fields.or("timeout", TIMEOUT, one(duration(bounds)));
    fields.finish();
    Some(RegoSettings { files: files?, data: data?, query: query?, timeout: timeout? })
}

/// A rule, by its path from `data`.
fn query(text: &str) -> Result<Arc<str>, Fault> {
    let name = |part: &str| {
        let begins = part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        begins && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let path = text.strip_prefix("data.").filter(|path| path.split('.').all(name));
    path.filter(|_| text.len() <= 255).map(|_path| text.into()).ok_or_else(|| {
        Fault::new("is not the path of a rule")
            .hint("write data.PACKAGE.RULE, like data.myelin.allow")
    })
}
