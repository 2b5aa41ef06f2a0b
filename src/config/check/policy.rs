//! Policy in Rego, which narrows the allowlist.

use std::sync::Arc;
use std::time::Duration;

use crate::config::problem::Fault;
use crate::config::read::{Fields, Reader, one};
use crate::config::scalar::duration;
use crate::config::yaml::Node;
use crate::config::{Outline, RegoFile, RegoSettings, keys};
use crate::identity::Fingerprint;

/// Largest module, and largest document of data.
const MAX_BYTES: u64 = 1 << 20;
/// How long an evaluation may take when the file does not say.
const TIMEOUT: Duration = Duration::from_millis(50);
/// What is asked when the file does not say.
const QUERY: &str = "data.myelin.allow";

/// `policy`
pub(super) fn settings(reader: &Reader<'_>, node: &Node) -> Option<RegoSettings> {
    let mut fields = Fields::open(reader, node, &keys::POLICY)?;
    if cfg!(not(feature = "rego")) {
        let fault = Fault::new("`policy` wants Rego, and this build has none");
        reader.error(fields.at(), fault.hint("build with `cargo build --release --features rego`"));
    }
    let files = fields.required("rego", |reader, node| {
        let empty = ("an empty list of modules", "name a file, or remove `policy`");
        reader.one_or_some(node, file, empty)
    });
    let data = fields.or("data", Vec::new(), |reader, node| {
        let empty = ("an empty list of documents", "name a file, or remove the key");
        reader.one_or_some(node, file, empty)
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

fn file(reader: &Reader<'_>, node: &Node) -> Option<RegoFile> {
    let (path, text) = reader.file(node, MAX_BYTES)?;
    Some(RegoFile { path, text: text.into() })
}

/// What stands where in the configuration, with these files of policy.
pub(super) fn outline(root: &Node, rego: Option<&RegoSettings>) -> Outline {
    let mut outline = Outline::of(root);
    for file in rego.into_iter().flat_map(|rego| rego.files.iter().chain(&rego.data)) {
        outline.add_file(&file.path, &file.text);
    }
    outline
}

/// The version of a policy that the configuration with this digest and these files make, as a shell has it:
/// `sha256sum FILES | cut -c1-64 | sha256sum`.
pub(super) fn version(configuration: Fingerprint, rego: Option<&RegoSettings>) -> Fingerprint {
    let Some(rego) = rego else { return configuration };
    let files = rego.files.iter().chain(&rego.data);
    let digests = files.map(|file| Fingerprint::of(file.text.as_bytes()));
    let lines = [configuration].into_iter().chain(digests).map(|digest| format!("{digest}\n"));
    Fingerprint::of(lines.collect::<String>().as_bytes())
}
