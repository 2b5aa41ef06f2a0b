//! Rules for DICOM associations.

use std::sync::Arc;

use super::Context;
use super::rules::{Kind, Naming, Rules};
use crate::config::problem::Fault;
use crate::config::read::{Fields, Located, located, one};
use crate::config::yaml::Node;
use crate::config::{AssociationRule, keys};
use crate::identity::PeerName;

/// Longest AE title (PS3.5, 6.2: AE).
const MAX_TITLE: usize = 16;
/// Longest UID (PS3.5, 9).
const MAX_UID: usize = 64;

static KIND: Kind = Kind {
    one: "rule",
    things: "associations",
    key: "associations",
    otherwise: "have any association",
};

/// `associations`. `allow`: who may connect, `None` when that is wrong.
pub(super) fn all(
    context: &Context<'_, '_>,
    allow: Option<&[Located<PeerName>]>,
    node: &Node,
) -> Option<Vec<AssociationRule>> {
    Rules::new(context, &KIND, allow).list(node, rule, covers)
}

/// Whether `earlier` decides about every association that `later` is for. AE titles alone lead to a rule:
/// one that does not have a SOP class denies it.
fn covers(earlier: &AssociationRule, later: &AssociationRule) -> bool {
    let title = |earlier: &Option<Arc<str>>, later| earlier.is_none() || earlier == later;
    title(&earlier.calling_ae, &later.calling_ae) && title(&earlier.called_ae, &later.called_ae)
}

fn rule(rules: &mut Rules<'_, '_, '_>, node: &Node) -> Option<(AssociationRule, Located<()>)> {
    let mut fields = Fields::open(rules.context.reader, node, &keys::ASSOCIATION)?;
    let mut common = rules.common(&mut fields, Naming::Optional, true);
    let calling = fields.optional("calling_ae", located(title));
    let called = fields.optional("called_ae", located(title));
    let sop_classes = fields.or("sop_classes", Vec::new(), |reader, node| {
        let empty = ("an empty list of SOP classes", "remove the key for all of them");
        reader.one_or_some(node, one(sop_class), empty)
    });
    fields.finish();
    let (calling, called) = (calling?, called?);
    common.binds = calling.is_some();
    let shown = |title: &Option<Located<Arc<str>>>| {
        title.as_ref().map_or_else(|| "*".to_owned(), |title| title.value.to_string())
    };
    let says = || format!("{}>{}", shown(&calling), shown(&called));
    let (rule, mark) = rules.rule(common, says)?;
    let [calling_ae, called_ae] = [calling, called].map(|title| title.map(|title| title.value));
    Some((AssociationRule { rule, calling_ae, called_ae, sop_classes: sop_classes? }, mark))
}

/// An AE title: what is in it counts, the spaces around it do not.
fn title(text: &str) -> Result<Arc<str>, Fault> {
    let wrong = || Fault::new("is not an AE title");
    if text.is_empty() || text.len() > MAX_TITLE {
        return Err(
            wrong().hint(format!("it has 1 to {MAX_TITLE} characters; leave the key out for any"))
        );
    }
    if text.starts_with(' ') || text.ends_with(' ') {
        return Err(wrong().hint("leave out the spaces around it, they do not count"));
    }
    if !text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'\\') {
        return Err(
            wrong().hint("it has characters of ASCII, no backslash and no control character")
        );
    }
    Ok(text.into())
}

/// A SOP class, by its keyword or its UID.
pub(super) fn sop_class(text: &str) -> Result<Arc<str>, Fault> {
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && !text.is_empty() {
        return match is_uid(text) {
            true => Ok(text.into()),
            false => Err(Fault::new("is not a UID").hint(format!(
                "numbers without leading zeros, joined by '.', at most {MAX_UID} characters"
            ))),
        };
    }
    super::words::sop_class(text)
}

fn is_uid(text: &str) -> bool {
    let number = |part: &str| part == "0" || (!part.is_empty() && !part.starts_with('0'));
    text.len() <= MAX_UID && text.contains('.') && text.split('.').all(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ae_title_is_short_and_plain() {
        for good in ["CT2", "a", "MY PACS", "ABCDEFGHIJKLMNOP"] {
            assert!(title(good).is_ok(), "{good}");
        }
        for wrong in ["", " CT2", "CT2 ", "ABCDEFGHIJKLMNOPQ", "A\\B", "A\tB", "PÄCS"] {
            assert!(title(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_uid_has_numbers_and_dots() {
        for good in ["1.2.840.10008.1.1", "2.25.0"] {
            assert!(is_uid(good), "{good}");
        }
        for wrong in ["1", "1..2", "1.02", ".1.2", "1.2.", &format!("1.{}", "2".repeat(63))] {
            assert!(!is_uid(wrong), "{wrong}");
        }
    }
}
