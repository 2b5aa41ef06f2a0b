//! Rules for HL7 v2 messages.

use std::sync::Arc;

use super::Context;
use super::rules::{Kind, Naming, Rules};
use crate::config::problem::Fault;
use crate::config::read::{Fields, Located, located, one};
use crate::config::yaml::{Node, Value};
use crate::config::{MessageRule, MessageType, OnDenied, SenderRule, keys};
use crate::identity::PeerName;
use crate::protocol::mllp;

/// `on_denied`
pub(super) const ON_DENIED: &[(&str, OnDenied)] =
    &[("close", OnDenied::Close), ("nack", OnDenied::Nack)];

static MESSAGES: Kind = Kind {
    one: "rule",
    things: "messages",
    key: "messages",
    otherwise: "send messages of every type",
};
static SENDERS: Kind = Kind {
    one: "sender",
    things: "messages",
    key: "senders",
    otherwise: "name whatever sender they like",
};

/// `messages`. `allow`: who may connect, `None` when that is wrong.
pub(super) fn messages(
    context: &Context<'_, '_>,
    allow: Option<&[Located<PeerName>]>,
    node: &Node,
) -> Option<Vec<MessageRule>> {
    let rules = Rules::new(context, &MESSAGES, allow);
    let covers = |earlier: &MessageRule, later: &MessageRule| {
        let covered = |t: &MessageType| earlier.types.iter().any(|e| type_covers(e, t));
        earlier.types.is_empty() || (!later.types.is_empty() && later.types.iter().all(covered))
    };
    rules.list(
        node,
        |rules, node| match &node.value {
            Value::Text(_) => {
                let kind = context.reader.located(node, message_type)?;
                let (rule, mark) = rules.short(kind.at(), kind.value.to_string())?;
                Some((MessageRule { rule, types: vec![kind.value] }, mark))
            }
            _ => message_rule(rules, node),
        },
        covers,
    )
}

fn message_rule(rules: &mut Rules<'_, '_, '_>, node: &Node) -> Option<(MessageRule, Located<()>)> {
    let mut fields = Fields::open(rules.context.reader, node, &keys::MESSAGE)?;
    let common = rules.common(&mut fields, Naming::Required, true);
    let types = fields.required("types", |reader, node| {
        let empty = ("an empty list of types", "write [\"*\"] for all types");
        reader.one_or_some(node, one(message_type), empty)
    });
    fields.finish();
    let (rule, mark) = rules.rule(common, String::new)?;
    Some((MessageRule { rule, types: types? }, mark))
}

fn type_covers(earlier: &MessageType, later: &MessageType) -> bool {
    let covers = |earlier: &Option<Arc<str>>, later: &Option<Arc<str>>| {
        earlier.is_none() || earlier == later
    };
    covers(&earlier.code, &later.code) && covers(&earlier.trigger, &later.trigger)
}

/// MSH-9 as rules have it: `ADT^A01`, `ADT^*`, or `*` for all.
fn message_type(text: &str) -> Result<MessageType, Fault> {
    let wrong = || Fault::new("is not a type of messages");
    let like =
        "write it like MSH-9: \"ADT^A01\", or \"ADT^*\" for every trigger event, or \"*\" for all";
    if text == "*" {
        return Ok(MessageType { code: None, trigger: None });
    }
    let Some((code, trigger)) = text.split_once('^') else {
        return Err(match component(text) {
            Some(Some(code)) => {
                wrong().quoting(format!("write \"{code}^*\" for every trigger event"))
            }
            _ => wrong().hint(like),
        });
    };
    if let Some((trigger, _structure)) = trigger.split_once('^') {
        return Err(wrong().quoting(format!(
            "write \"{code}^{trigger}\": what follows (MSH-9.3) only repeats it, and many leave it out"
        )));
    }
    match (component(code), component(trigger)) {
        (Some(code), Some(trigger)) => Ok(MessageType { code, trigger }),
        _ if text.bytes().any(|b| b.is_ascii_lowercase()) => {
            Err(Fault::new("is not in upper case, as types of messages are")
                .quoting(format!("did you mean `{}`?", text.to_ascii_uppercase())))
        }
        _ => Err(wrong().hint(like)),
    }
}

/// A code like `ADT` or `A01`; `Some(None)` for `*`.
fn component(text: &str) -> Option<Option<Arc<str>>> {
    match text {
        "*" => Some(None),
        code => mllp::is_code(code.as_bytes()).then(|| Some(code.into())),
    }
}

/// `senders`. `allow`: who may connect, `None` when that is wrong.
pub(super) fn senders(
    context: &Context<'_, '_>,
    allow: Option<&[Located<PeerName>]>,
    node: &Node,
) -> Option<Vec<SenderRule>> {
    let covers = |earlier: &SenderRule, later: &SenderRule| {
        (earlier.application.is_none() || earlier.application == later.application)
            && (earlier.facility.is_none() || earlier.facility == later.facility)
    };
    Rules::new(context, &SENDERS, allow).list(node, sender, covers)
}

fn sender(rules: &mut Rules<'_, '_, '_>, node: &Node) -> Option<(SenderRule, Located<()>)> {
    let reader = rules.context.reader;
    let mut fields = Fields::open(reader, node, &keys::SENDER)?;
    let mut common = rules.common(&mut fields, Naming::Optional, false);
    common.binds = true;
    let application = fields.optional("application", located(claim));
    let facility = fields.optional("facility", located(claim));
    let at = fields.at();
    let unknown = fields.finish();
    let (application, facility) = (application?, facility?);
    if application.is_none() && facility.is_none() {
        if unknown == 0 {
            let fault = Fault::new("a sender that is named by nothing");
            reader.error(
                at,
                fault.hint("add `application: LIS` (MSH-3) or `facility: MAIN` (MSH-4)"),
            );
        }
        return None;
    }
    let shown = |claim: &Option<Located<Arc<str>>>| {
        claim.as_ref().map_or_else(|| "*".to_owned(), |claim| claim.value.to_string())
    };
    let says = || format!("{}|{}", shown(&application), shown(&facility));
    let (rule, mark) = rules.rule(common, says)?;
    let [application, facility] = [application, facility].map(|claim| claim.map(|c| c.value));
    Some((SenderRule { rule, application, facility }, mark))
}

/// The first component of MSH-3 or MSH-4.
fn claim(text: &str) -> Result<Arc<str>, Fault> {
    match mllp::check_name(text) {
        Ok(()) => Ok(text.into()),
        Err(error) => Err(Fault::new("is not what MSH has of a sender").hint(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_messages_has_two_components() {
        for good in ["*", "ADT^*", "ADT^A01", "*^A01", "ZDS^Z01", "ORM^O01"] {
            assert_eq!(message_type(good).unwrap().to_string(), good);
        }
        for wrong in ["", "ADT", "ADT^", "^A01", "adt^a01", "ADT^A01^ADT_A01", "ADT^A**", "A T^*"] {
            assert!(message_type(wrong).is_err(), "{wrong}");
        }
        assert_eq!(message_type("*^*").unwrap(), message_type("*").unwrap());
    }
}
