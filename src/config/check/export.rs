//! Where the trail goes out to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::only::only;
use crate::config::address::endpoint;
use crate::config::keys::{self, Section};
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Fields, Located, Reader, located, one};
use crate::config::scalar::{choice, duration, flag, name};
use crate::config::yaml::Node;
use crate::config::{Endpoint, ExportFeed, ExportSettings, ExportTo, SyslogExport, SyslogFormat};

/// What was sent by syslog counts as delivered after so long when the file does not say.
const CONFIRM: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

const FEEDS: &[(&str, ExportFeed)] =
    &[("all", ExportFeed::All), ("failures", ExportFeed::Failures)];

/// `audit.export`
pub(super) fn all(reader: &Reader<'_>, node: &Node) -> Option<Vec<ExportSettings>> {
    let read = reader.list(node, item)?;
    let mut before: Vec<&Located<Arc<str>>> = Vec::new();
    let mut twice = false;
    for (name, _) in &read {
        if let Some(first) = before.iter().find(|other| other.value == name.value) {
            let text = format!("a second export is named {}", quoted(&name.value));
            let hint = format!("give each a `name`: the first is {}", first.parent());
            reader.error(name.at(), Fault::new(text).hint(hint));
            twice = true;
        }
        before.push(name);
    }
    (!twice).then(|| read.into_iter().map(|(_, settings)| settings).collect())
}

/// An item: one key, which says how.
fn item(reader: &Reader<'_>, node: &Node) -> Option<(Located<Arc<str>>, ExportSettings)> {
    let mut fields = Fields::open(reader, node, &keys::EXPORT)?;
    let kinds = keys::EXPORT.keys;
    let one_kind = ("an export has one receiver", "make it another item of the list");
    let read =
        only(reader, &mut fields, kinds, one_kind, |reader, kind, node| syslog(reader, kind, node));
    let at = fields.at();
    let unknown = fields.finish();
    read.or(|| {
        if unknown == 0 {
            let fault = Fault::new("this export names no receiver");
            reader.error(at, fault.hint(format!("add one of {}", kinds.join(", "))));
        }
    })
}

/// What all kinds share.
struct Shared {
    name: Option<Located<Arc<str>>>,
    feed: Option<ExportFeed>,
    trust_bundle: Option<Option<std::path::PathBuf>>,
    keep_undelivered: Option<bool>,
}

impl Shared {
    fn read<'f>(fields: &mut Fields<'f, '_>, kind: &str) -> Self {
        let given = fields.optional("name", located(|text| name(text).map(Into::into)));
        // Without a name it goes by its kind.
        let name = given.map(|given| {
            given.unwrap_or_else(|| fields.at().called(kind).holding(Arc::from(kind)))
        });
        Self {
            name,
            feed: fields.or("feed", ExportFeed::All, one(choice(FEEDS, &[]))),
            trust_bundle: fields.optional("trust_bundle", Reader::path),
            keep_undelivered: fields.or("keep_undelivered", true, one(flag)),
        }
    }

    fn with(self, to: ExportTo) -> Option<(Located<Arc<str>>, ExportSettings)> {
        let name = self.name?;
        let settings = ExportSettings {
            name: Arc::clone(&name.value),
            feed: self.feed?,
            trust_bundle: self.trust_bundle?,
            keep_undelivered: self.keep_undelivered?,
            to,
        };
        Some((name, settings))
    }
}

/// `syslog`
fn syslog(
    reader: &Reader<'_>,
    kind: &str,
    node: &Node,
) -> Option<(Located<Arc<str>>, ExportSettings)> {
    const FORMATS: &[(&str, SyslogFormat)] =
        &[("atna", SyslogFormat::Atna), ("json", SyslogFormat::Json)];
    static SECTION: &Section = &keys::SYSLOG;
    let mut fields = Fields::open(reader, node, SECTION)?;
    let shared = Shared::read(&mut fields, kind);
    let address = fields.required("address", located(endpoint));
    let format = fields.required("format", one(choice(FORMATS, &[])));
    let plaintext = fields.optional("plaintext", located(flag));
    let confirm = fields.or("confirm", CONFIRM, one(duration(SECOND..=HOUR)));
    fields.finish();
    let (address, plaintext) = (address?, plaintext?);
    let is_plain = plaintext.as_ref().is_some_and(|plaintext| plaintext.value);
    if let Some(plaintext) = plaintext.filter(|_| is_plain && !is_loopback(&address.value)) {
        let text = format!("{} would get the trail without TLS", quoted(&address.written));
        let hint = "remove `plaintext`, or send to an agent at 127.0.0.1, which sends it on by TLS";
        reader.error(plaintext.at(), Fault::new(text).hint(hint));
        return None;
    }
    shared.with(ExportTo::Syslog(SyslogExport {
        address: address.value,
        format: format?,
        plaintext: is_plain,
        confirm: confirm?,
    }))
}

/// Names are not: who answers for them is not decided here.
fn is_loopback(endpoint: &Endpoint) -> bool {
    endpoint.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
