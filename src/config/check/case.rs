//! Cases of a policy, checked against the configuration that they are put to.

use super::only::only;
use super::question::question;
use crate::config::keys::Section;
use crate::config::nearest::nearest;
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Fields, Located, Reader, located, one};
use crate::config::scalar::{choice, flag, moment, remark};
use crate::config::yaml::Node;
use crate::config::{Case, CaseWho, Config, Inbound, Listener, TLS_HANDSHAKE};
use crate::identity::{DnsName, PeerName, SpiffeId};

/// A case
static CASE: Section = Section {
    keys: &[
        "name",
        "listener",
        "peer",
        "spiffe",
        "dns",
        "plaintext",
        "method",
        "path",
        "host",
        "soap_action",
        "message",
        "sender",
        "calling_ae",
        "called_ae",
        "sop_classes",
        "at",
        "expect",
        "rule",
        "reason",
    ],
    required: &[("name", "billing reads patients"), ("listener", "fhir"), ("expect", "allowed")],
};
/// The keys of which a case has exactly one.
const WHO: &[&str] = &["peer", "spiffe", "dns", "plaintext"];
const EXPECT: &[(&str, bool)] = &[("allowed", true), ("denied", false)];

/// All cases of a file.
pub(in crate::config) fn all(
    reader: &Reader<'_>,
    root: &Node,
    config: &Config,
    reasons: &[&str],
) -> Option<Vec<Case>> {
    reader.list(root, |reader, node| case(reader, node, config, reasons))
}

fn case(reader: &Reader<'_>, node: &Node, config: &Config, reasons: &[&str]) -> Option<Case> {
    let mut fields = Fields::open(reader, node, &CASE)?;
    let at = fields.at();
    let name = fields.required("name", one(remark));
    let listener = fields.required("listener", located(text));
    let asked = listener.as_ref().and_then(|name| named(reader, name, config));
    let one_way = ("somebody is named in exactly one way", "keep one, or make it two cases");
    let who =
        only(reader, &mut fields, WHO, one_way, |reader, key, node| who(reader, key, node, config));
    let who = who.or(|| {
        let fault = Fault::new("nothing says who asks");
        reader.error(at, fault.hint("add one of peer, spiffe, dns, or `plaintext: true`"));
    });
    let question = question(reader, &mut fields, asked);
    let moment = fields.optional("at", one(moment));
    let expect = fields.required("expect", one(choice(EXPECT, &[])));
    let rule = fields.optional(
        "rule",
        one(|text: &str| match &listener {
            Some(listener) => rule(text, &listener.value, config),
            None => Ok(text.to_owned()),
        }),
    );
    let reason = fields.optional("reason", located(|given: &str| reason(given, reasons)));
    fields.finish();
    let (expect, reason) = (expect?, reason?);
    if let Some(reason) = reason.as_ref().filter(|_| expect) {
        let fault = Fault::new("`reason` beside `expect: allowed`: what is allowed has none");
        reader.error(reason.at(), fault.hint("remove it"));
        return None;
    }
    asked?;
    Some(Case {
        name: name?,
        line: at.line(),
        listener: listener?.value,
        who: who?,
        question: question?,
        at: moment?,
        allowed: expect,
        rule: rule?,
        reason: reason.map(|reason| reason.value),
    })
}

/// The listener that is asked.
fn named<'c>(
    reader: &Reader<'_>,
    name: &Located<String>,
    config: &'c Config,
) -> Option<Listener<'c>> {
    let wanted = name.value.as_str();
    let names = config.listeners().map(|listener| listener.name().as_str());
    if let Some(listener) = config.listeners().find(|one| one.name().as_str() == wanted) {
        return Some(listener);
    }
    let fault =
        Fault::new(format!("listener {} is not in the configuration", quoted(&name.written)));
    reader.error(name.at(), meant(fault, nearest(wanted, names)));
    None
}

fn meant(fault: Fault, nearest: Option<&str>) -> Fault {
    match nearest {
        Some(known) => fault.hint(format!("did you mean `{known}`?")),
        None => fault,
    }
}

fn who(reader: &Reader<'_>, key: &str, node: &Node, config: &Config) -> Option<CaseWho> {
    match key {
        "peer" => {
            let name = reader.located(node, text)?;
            if config.peers.contains_key(&PeerName::new(&name.value)) {
                return Some(CaseWho::Peer(PeerName::new(&name.value)));
            }
            if let Some(members) = config.groups.get(&PeerName::new(&name.value)) {
                let members: Vec<_> = members.iter().map(PeerName::as_str).collect();
                let fault = Fault::new(format!("{} is a group", quoted(&name.written)));
                let hint = format!("name one of its members: {}", members.join(", "));
                reader.error(name.at(), fault.hint(hint));
                return None;
            }
            let fault = Fault::new(format!(
                "peer {} is not in `peers` of the configuration",
                quoted(&name.written)
            ));
            let known = config.peers.keys().map(PeerName::as_str);
            reader.error(name.at(), meant(fault, nearest(&name.value, known)));
            None
        }
        "spiffe" => one(|text: &str| {
            SpiffeId::parse(text).map_err(|error| Fault::new("is not a SPIFFE ID").quoting(error))
        })(reader, node)
        .map(CaseWho::Spiffe),
        "dns" => one(|text: &str| {
            DnsName::parse(text).map_err(|error| Fault::new(format!("is {error}")))
        })(reader, node)
        .map(CaseWho::Dns),
        _ => {
            let plaintext = reader.located(node, flag)?;
            if plaintext.value {
                return Some(CaseWho::Plaintext);
            }
            let fault = Fault::new("`plaintext: false` says not who asks");
            reader.error(plaintext.at(), fault.hint("name somebody by peer, spiffe or dns"));
            None
        }
    }
}

/// The rule that is to decide at `listener`: by its own name, or with the listener's before it.
fn rule(text: &str, listener: &str, config: &Config) -> Result<String, Fault> {
    let inbound = config.inbound.iter().find(|one| one.name.as_str() == listener);
    let rules = inbound.into_iter().flat_map(Inbound::rules).map(|rule| &*rule.name);
    let short = text.strip_prefix(listener).and_then(|text| text.strip_prefix('/')).unwrap_or(text);
    let known: Vec<_> = rules.chain([listener, TLS_HANDSHAKE]).collect();
    if known.contains(&short) {
        return Ok(text.to_owned());
    }
    let fault = Fault::new(format!("is not a rule of listener {}", quoted(listener)));
    Err(meant(fault, nearest(short, known.into_iter())))
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a reader")]
fn text(text: &str) -> Result<String, Fault> {
    Ok(text.to_owned())
}

fn reason(text: &str, known: &[&str]) -> Result<String, Fault> {
    if known.contains(&text) {
        return Ok(text.to_owned());
    }
    let fault = Fault::new("is not a reason of a denial");
    Err(meant(fault, nearest(text, known.iter().copied())))
}
