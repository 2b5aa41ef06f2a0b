//! Cases of a policy, checked against the configuration that they are put to.

use http::Method;

use super::only::only;
use crate::config::keys::Section;
use crate::config::nearest::nearest;
use crate::config::problem::{Fault, quoted};
use crate::config::read::{At, Fields, Located, Reader, located, one};
use crate::config::scalar::{choice, flag, moment, remark};
use crate::config::yaml::Node;
use crate::config::{Case, CaseAsked, CaseWho, Config, Protocol};
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
    later: &[],
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
    let protocol = listener.as_ref().and_then(|name| protocol(reader, name, config));
    let one_way = ("somebody is named in exactly one way", "keep one, or make it two cases");
    let who =
        only(reader, &mut fields, WHO, one_way, |reader, key, node| who(reader, key, node, config));
    let who = who.or(|| {
        let fault = Fault::new("nothing says who asks");
        reader.error(at, fault.hint("add one of peer, spiffe, dns, or `plaintext: true`"));
    });
    let asked = asked(reader, &mut fields, protocol);
    let moment = fields.optional("at", one(moment));
    let expect = fields.required("expect", one(choice(EXPECT, &[])));
    let rule = fields.optional("rule", one(text));
    let reason = fields.optional("reason", located(|given: &str| reason(given, reasons)));
    fields.finish();
    let (expect, reason) = (expect?, reason?);
    if let Some(reason) = reason.as_ref().filter(|_| expect) {
        let fault = Fault::new("`reason` beside `expect: allowed`: what is allowed has none");
        reader.error(reason.at(), fault.hint("remove it"));
        return None;
    }
    protocol?;
    Some(Case {
        name: name?,
        line: at.line(),
        listener: listener?.value,
        who: who?,
        asked: asked?,
        at: moment?,
        allowed: expect,
        rule: rule?,
        reason: reason.map(|reason| reason.value),
    })
}

/// What the listener carries; `None` within for an outbound one, whose rules look at the peer alone.
fn protocol(
    reader: &Reader<'_>,
    name: &Located<String>,
    config: &Config,
) -> Option<Option<Protocol>> {
    let wanted = name.value.as_str();
    let inbound = config.inbound.iter().find(|listener| listener.name.as_str() == wanted);
    if let Some(listener) = inbound {
        return Some(Some(listener.protocol));
    }
    if config.outbound.iter().any(|listener| listener.name.as_str() == wanted) {
        return Some(None);
    }
    let inbound = config.inbound.iter().map(|listener| listener.name.as_str());
    let known = inbound.chain(config.outbound.iter().map(|listener| listener.name.as_str()));
    let fault =
        Fault::new(format!("listener {} is not in the configuration", quoted(&name.written)));
    reader.error(name.at(), meant(fault, nearest(wanted, known)));
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

/// What is asked for: it has to be something that the listener carries.
fn asked(
    reader: &Reader<'_>,
    fields: &mut Fields<'_, '_>,
    protocol: Option<Option<Protocol>>,
) -> Option<CaseAsked> {
    let at = fields.at();
    let method = fields.optional("method", one(method));
    let path = fields.optional("path", located(path));
    let host = fields.optional("host", one(host));
    let soap_action = fields.optional("soap_action", one(text));
    let message = fields.optional("message", located(message));
    let sender = fields.optional("sender", one(sender));
    let calling = fields.optional("calling_ae", located(text));
    let called = fields.optional("called_ae", one(text));
    let classes = fields.optional("sop_classes", |reader, node| {
        let empty = ("an empty list of SOP classes", "remove the key");
        reader.one_or_some(node, one(super::associations::sop_class), empty)
    });
    let (method, path, host, soap_action) = (method?, path?, host?, soap_action?);
    let (message, sender, calling, called, classes) =
        (message?, sender?, calling?, called?, classes?);
    let protocol = protocol?;
    let is_http = path.is_some() || method.is_some() || host.is_some() || soap_action.is_some();
    let is_mllp = message.is_some() || sender.is_some();
    let is_dicom = calling.is_some() || called.is_some() || classes.is_some();
    fits(reader, at, protocol, [is_http, is_mllp, is_dicom])?;
    match (path, message, calling, called) {
        (Some(path), ..) => Some(CaseAsked::Request {
            method: method.unwrap_or(Method::GET),
            host,
            path: path.value,
            soap_action,
        }),
        (_, Some(message), ..) => {
            Some(CaseAsked::Message { kind: message.value, sender: sender.unwrap_or_default() })
        }
        (_, _, Some(calling), Some(called)) => Some(CaseAsked::Association {
            calling: calling.value,
            called,
            classes: classes.into_iter().flatten().map(|uid| uid.to_string()).collect(),
        }),
        _ if is_http || is_mllp || is_dicom => {
            let missing = match (is_http, is_mllp) {
                (true, _) => "`path`",
                (_, true) => "`message`",
                _ => "`calling_ae` and `called_ae`",
            };
            reader.error(at, Fault::new(format!("{missing} is missing in this case")));
            None
        }
        _ => Some(CaseAsked::Connect),
    }
}

/// Whether what is asked for is something that the listener carries.
fn fits(
    reader: &Reader<'_>,
    at: At<'_>,
    protocol: Option<Protocol>,
    given: [bool; 3],
) -> Option<()> {
    let kinds = [
        (Protocol::Http, "http", "method, path, host, soap_action"),
        (Protocol::Mllp, "mllp", "message, sender"),
        (Protocol::Dicom, "dicom", "calling_ae, called_ae, sop_classes"),
    ];
    let mut good = true;
    for ((wants, name, keys), _) in kinds.into_iter().zip(given).filter(|(_, given)| *given) {
        if protocol != Some(wants) {
            let text =
                format!("{keys} are for listeners with `protocol: {name}`, which this is not");
            reader.error(at, Fault::new(text).hint("remove them, or name another listener"));
            good = false;
        }
    }
    good.then_some(())
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a reader")]
fn text(text: &str) -> Result<String, Fault> {
    Ok(text.to_owned())
}

fn method(text: &str) -> Result<Method, Fault> {
    Method::from_bytes(text.as_bytes())
        .map_err(|_error| Fault::new("is not an HTTP method").hint("write it like GET or POST"))
}

fn host(text: &str) -> Result<String, Fault> {
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    match text.is_empty() || has_port {
        true => Err(Fault::new("is not a host").hint("rules look at it without a port")),
        false => Ok(text.trim_end_matches('.').to_ascii_lowercase()),
    }
}

/// A path as rules see it. What else a request may hold is refused before any rule is asked.
fn path(text: &str) -> Result<String, Fault> {
    let wrong = || Fault::new("is not a path as rules see it");
    let is_dotted = |part: &str| matches!(part, "." | "..");
    let mut parts = text.split('/').skip(1);
    let ends = parts.clone().count();
    if !text.starts_with('/') {
        return Err(wrong().hint("it begins with '/'"));
    }
    if text.contains(['?', '#', '%', '\\']) || text.chars().any(char::is_control) {
        return Err(wrong().hint("write it without query, fragment and percent escapes"));
    }
    if parts.clone().any(is_dotted)
        || parts.by_ref().take(ends.saturating_sub(1)).any(str::is_empty)
    {
        return Err(wrong().hint("it has no '.', '..' or empty segment"));
    }
    Ok(text.to_owned())
}

fn message(text: &str) -> Result<(String, String), Fault> {
    let (code, trigger) = text.split_once('^').unwrap_or((text, ""));
    let trigger = trigger.split('^').next().unwrap_or_default();
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match !code.is_empty() && plain(code) && plain(trigger) {
        true => Ok((code.to_owned(), trigger.to_owned())),
        false => {
            Err(Fault::new("is not a type of messages").hint("write it like MSH-9: \"ADT^A01\""))
        }
    }
}

fn sender(text: &str) -> Result<(String, String), Fault> {
    match text.split_once('|') {
        Some((application, facility)) if !facility.contains('|') => {
            Ok((application.to_owned(), facility.to_owned()))
        }
        _ => Err(Fault::new("is not a sender")
            .hint("write MSH-3 and MSH-4 with a | between: \"LIS|MAIN\"")),
    }
}

fn reason(text: &str, known: &[&str]) -> Result<String, Fault> {
    if known.contains(&text) {
        return Ok(text.to_owned());
    }
    let fault = Fault::new("is not a reason of a denial");
    Err(meant(fault, nearest(text, known.iter().copied())))
}
