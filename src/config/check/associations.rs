//! Rules for DICOM associations.

use std::sync::Arc;

use super::Context;
use super::rules::{Kind, Naming, Rules};
use crate::config::problem::Fault;
use crate::config::read::{Fields, Located, located, one};
use crate::config::yaml::Node;
use crate::config::{AssociationRule, TextError, keys};
use crate::identity::PeerName;
use crate::protocol::dicom;

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
pub(super) fn title(text: &str) -> Result<Arc<str>, Fault> {
    match dicom::check_title(text) {
        Ok(()) => Ok(text.into()),
        Err(error) => Err(Fault::new("is not an AE title").hint(error.to_string())),
    }
}

/// Reads a SOP class as the configuration has them, by its keyword or its UID.
///
/// # Errors
///
/// It is neither, and the keyword that was probably meant.
pub fn read_sop_class(text: &str) -> Result<Arc<str>, TextError> {
    sop_class(text).map_err(TextError::of)
}

/// A SOP class, by its keyword or its UID.
pub(super) fn sop_class(text: &str) -> Result<Arc<str>, Fault> {
    if dicom::is_uid(text) {
        return Ok(text.into());
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && !text.is_empty() {
        return Err(Fault::new("is not a UID")
            .hint("numbers without leading zeros, joined by '.', at most 64 characters"));
    }
    super::words::sop_class(text)
}
