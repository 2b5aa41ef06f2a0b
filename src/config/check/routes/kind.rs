//! What a route asks of requests in the words of healthcare.

use std::sync::Arc;

use crate::config::check::words;
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Fields, Located, Reader, located, one};
use crate::config::yaml::{Node, Value};
use crate::config::{RouteKind, SoapAction, keys};
use crate::protocol::soap::{self, Element};
use crate::protocol::{dicomweb, ihe};

/// Longest URI of an action, and longest local name, in bytes.
const MAX_TEXT: usize = 1024;

/// `soap_action` with `soap_body`, `ihe`, `fhir` or `dicomweb`: one of them at most.
pub(super) fn kind(reader: &Reader<'_>, fields: &mut Fields<'_, '_>) -> Option<RouteKind> {
    const KEYS: [&str; 4] = ["soap_action", "ihe", "fhir", "dicomweb"];
    let given: Vec<_> =
        KEYS.into_iter().filter_map(|key| Some((key, fields.entry(key)?))).collect();
    let mut alone = true;
    if let [(first, _), others @ ..] = given.as_slice() {
        for (other, entry) in others {
            let fault =
                Fault::new(format!("`{other}` beside `{first}`: a route looks at one of them"));
            reader.error(entry.at(), fault.hint("make it two routes"));
            alone = false;
        }
    }
    let actions = fields.optional("soap_action", |reader, node| {
        let empty = ("an empty list of actions", "name one, or remove the key");
        reader.one_or_some(node, located(uri), empty)
    });
    let body = fields.entry("soap_body");
    let bodies = fields.optional("soap_body", |reader, node| {
        let empty = ("an empty list of elements", "remove the key: they follow from `soap_action`");
        reader.one_or_some(node, one(element), empty)
    });
    let transactions = fields.optional("ihe", transactions);
    let fhir = fields.optional("fhir", fhir);
    let dicomweb = fields.optional("dicomweb", dicomweb);
    let (actions, bodies) = (actions?, bodies?);
    if let (None, Some(body)) = (&actions, body) {
        let fault =
            Fault::new("`soap_body` without `soap_action`: it tells what an action's body is");
        reader.error(body.at(), fault.hint("add `soap_action`, or name the transaction in `ihe`"));
        return None;
    }
    let soap = match actions {
        Some(actions) => Some(soap(reader, actions, bodies.as_deref())?),
        None => transactions?,
    };
    let soap = soap.map(RouteKind::Soap);
    let kind = soap.or(fhir?).or(dicomweb?.map(RouteKind::DicomWeb)).unwrap_or(RouteKind::Plain);
    alone.then_some(kind)
}

/// The actions, each with what its body begins with: what is said, or what is known, or what follows.
fn soap(
    reader: &Reader<'_>,
    actions: Vec<Located<Arc<str>>>,
    said: Option<&[Element]>,
) -> Option<Vec<SoapAction>> {
    let one = |action: Located<Arc<str>>| {
        let known = ihe::bodies(&action.value).collect();
        let bodies = said.map_or(known, <[_]>::to_vec);
        let bodies = if bodies.is_empty() { following(&action.value) } else { bodies };
        if bodies.is_empty() {
            let text =
                format!("nothing says what bodies of {} begin with", quoted(&action.written));
            reader.error(
                action.at(),
                Fault::new(text).hint("add `soap_body` with the element's name"),
            );
            return None;
        }
        let ihe = ihe::by_action(&action.value).map(|transaction| transaction.name);
        Some(SoapAction { uri: action.value, bodies, ihe })
    };
    let all: Vec<_> = actions.into_iter().map(one).collect();
    all.into_iter().collect()
}

/// The last part of an action's URI, and the same with `Request`, as tools for WSDL name elements.
fn following(uri: &str) -> Vec<Element> {
    let last = uri.rsplit(['/', '#', ':']).next().unwrap_or_default();
    match local_name(last) {
        Ok(name) => [name, &format!("{name}Request")].map(|name| Element::new(None, name)).into(),
        Err(_not_a_name) => Vec::new(),
    }
}

/// `ihe`
fn transactions(reader: &Reader<'_>, node: &Node) -> Option<Vec<SoapAction>> {
    let empty = ("an empty list of transactions", "name one, or remove the key");
    let listed = reader.one_or_some(node, one(words::transaction), empty)?;
    let actions = listed.iter().flat_map(|transaction| {
        transaction.actions.iter().map(|uri| SoapAction {
            uri: Arc::from(*uri),
            bodies: transaction.bodies_of(uri).collect(),
            ihe: Some(transaction.name),
        })
    });
    Some(actions.collect())
}

/// `fhir`
fn fhir(reader: &Reader<'_>, node: &Node) -> Option<RouteKind> {
    let mut fields = Fields::open(reader, node, &keys::FHIR)?;
    let interactions = fields.or("interactions", Vec::new(), |reader, node| {
        let empty = ("an empty list of interactions", "remove the key for all of them");
        reader.one_or_some(node, one(words::interaction), empty)
    });
    let resources = fields.or("resources", Vec::new(), |reader, node| {
        let empty = ("an empty list of resources", "remove the key for all types");
        reader.one_or_some(node, one(words::resource), empty)
    });
    fields.finish();
    Some(RouteKind::Fhir { interactions: interactions?, resources: resources? })
}

/// `dicomweb`: `all`, or some of them.
fn dicomweb(reader: &Reader<'_>, node: &Node) -> Option<Vec<dicomweb::Transaction>> {
    if matches!(&node.value, Value::Text(text) if text == "all") {
        return Some(Vec::new());
    }
    let empty = ("an empty list of transactions", "write `dicomweb: all` for all of them");
    reader.one_or_some(node, one(words::dicomweb), empty)
}

/// The URI of an action, as a header quotes it.
pub(in crate::config::check) fn uri(text: &str) -> Result<Arc<str>, Fault> {
    match soap::check_action(text) {
        Ok(()) if text.len() <= MAX_TEXT => Ok(text.into()),
        Ok(()) => Err(Fault::new(format!("is longer than {MAX_TEXT} bytes"))
            .hint("no request can be told by so long an action: name a shorter one")),
        Err(error) => Err(Fault::new("is not the URI of an action").hint(error.to_string())),
    }
}

/// The name of an element: `{urn:hl7-org:v3}PRPA_IN201305UV02`, or the local name alone for whichever namespace.
fn element(text: &str) -> Result<Element, Fault> {
    match text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((namespace, local)) if uri(namespace).is_ok() => {
            Ok(Element::new(Some(namespace), local_name(local)?))
        }
        Some(_) | None => Ok(Element::new(None, local_name(text)?)),
    }
}

/// A local name: a name of XML without a colon.
fn local_name(text: &str) -> Result<&str, Fault> {
    let begins = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let plain = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    if !begins || text.len() > MAX_TEXT || !text.chars().all(plain) {
        return Err(Fault::new("is not the name of an element").hint(
            "write it without its prefix, like PRPA_IN201305UV02, or behind its namespace, like \
             {urn:hl7-org:v3}PRPA_IN201305UV02",
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_body_begins_with_follows_from_the_last_part_of_its_action() {
        let following = |uri| following(uri).iter().map(ToString::to_string).collect::<Vec<_>>();

        assert_eq!(following("urn:x:GetBill"), ["GetBill", "GetBillRequest"]);
        assert_eq!(following("http://x.example/a#GetBill"), ["GetBill", "GetBillRequest"]);
        assert_eq!(following("http://x.example/GetBill"), ["GetBill", "GetBillRequest"]);
        assert!(following("http://x.example/").is_empty());
        assert!(following("urn:x:1").is_empty());
    }
}
