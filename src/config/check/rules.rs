//! What rules of every kind have in common, and lists of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use time::OffsetDateTime;

use super::quota::quota;
use super::{Context, dates};
use crate::config::problem::{Fault, quoted};
use crate::config::read::{At, Fields, Located, located};
use crate::config::scalar::name;
use crate::config::yaml::Node;
use crate::config::{Quota, Rule};
use crate::identity::PeerName;

/// What a kind of rules is called.
pub(super) struct Kind {
    /// One of them, like `route`.
    pub(super) one: &'static str,
    /// What they decide about, like `requests`.
    pub(super) things: &'static str,
    /// The key that has them, like `routes`.
    pub(super) key: &'static str,
    /// What listed peers may do when there are none.
    pub(super) otherwise: &'static str,
}

/// The rules of one listener and one kind, while they are read.
pub(super) struct Rules<'r, 'c, 'a> {
    /// What the rest of the file says.
    pub(super) context: &'r Context<'c, 'a>,
    /// Who may connect at all; `None` when that list is wrong.
    pub(super) allow: Option<&'r [Located<PeerName>]>,
    kind: &'static Kind,
    /// The names that are taken, and who has them.
    names: BTreeMap<String, String>,
    /// Those that do not say who may, and whether they bind what somebody claims to be.
    silent: Vec<(Located<()>, bool)>,
    /// Whether any says who may.
    some_say: bool,
}

/// Whether a rule must have a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// It must.
    Required,
    /// One that has none is named after what it says.
    Optional,
}

/// What was read of one rule.
pub(super) struct Common<'f> {
    at: At<'f>,
    /// `None` when it is wrong, or missing and required.
    name: Option<Option<Located<String>>>,
    /// Whether it is for those who claim to be somebody.
    pub(super) binds: bool,
    allow: Option<Option<Vec<Located<PeerName>>>>,
    expires: Option<Option<OffsetDateTime>>,
    limits: Option<Option<Quota>>,
}

impl<'r, 'c, 'a> Rules<'r, 'c, 'a> {
    /// No rules so far.
    pub(super) fn new(
        context: &'r Context<'c, 'a>,
        kind: &'static Kind,
        allow: Option<&'r [Located<PeerName>]>,
    ) -> Self {
        Self { context, allow, kind, names: BTreeMap::new(), silent: Vec::new(), some_say: false }
    }

    /// Reads all of them, and warns of those that are never reached. `covers`: the first decides about
    /// everything that the second is for.
    pub(super) fn list<R: Clone>(
        mut self,
        node: &Node,
        mut one: impl FnMut(&mut Self, &Node) -> Option<(R, Located<()>)>,
        covers: impl Fn(&R, &R) -> bool,
    ) -> Option<Vec<R>> {
        let (reader, kind) = (self.context.reader, self.kind);
        let mut earlier: Vec<(R, Located<()>)> = Vec::new();
        let list = reader.list(node, |_, node| {
            let (rule, mark) = one(&mut self, node)?;
            if let Some((_, covering)) = earlier.iter().find(|(other, _)| covers(other, &rule)) {
                let text = format!(
                    "{} {} is never reached: {} before it takes all of its {}",
                    kind.one,
                    quoted(&mark.written),
                    quoted(&covering.written),
                    kind.things
                );
                let hint = format!("put the narrower {} first, or remove it", kind.one);
                reader.warn(mark.at(), Fault::new(text).hint(hint));
            }
            earlier.push((rule.clone(), mark));
            Some(rule)
        })?;
        self.inherited();
        if list.is_empty() {
            let Kind { key, things, otherwise, .. } = kind;
            let text = format!("an empty list of {key}: all {things} are denied");
            let hint = format!("remove `{key}` to let listed peers {otherwise}");
            reader.warn(node.at(), Fault::new(text).hint(hint));
        }
        Some(list)
    }

    /// Reads what every rule has. `limits`: whether this kind of rules has them.
    pub(super) fn common<'f>(
        &self,
        fields: &mut Fields<'f, 'a>,
        naming: Naming,
        limits: bool,
    ) -> Common<'f> {
        let peers = &self.context.peers;
        let name = match naming {
            Naming::Required => fields.required("name", located(name)).map(Some),
            Naming::Optional => fields.optional("name", located(name)),
        };
        let allow = fields.optional("allow", |reader, node| peers.list(reader, node));
        let what = match &name {
            Some(Some(name)) => format!("{} {}", self.kind.one, quoted(&name.written)),
            _ => format!("this {}", self.kind.one),
        };
        let expires = dates::expires(fields, || {
            (format!("{what} has expired: it lets nobody in any more"), "remove the rule")
        });
        let limits = if limits { fields.optional("limits", quota) } else { Some(None) };
        let common = Common { at: fields.at(), name, binds: false, allow, expires, limits };
        self.who(&common, &what);
        common
    }

    /// The rule, and where it stands. `says`: what it is named after if it has no name.
    pub(super) fn rule(
        &mut self,
        common: Common<'_>,
        says: impl FnOnce() -> String,
    ) -> Option<(Rule, Located<()>)> {
        let Common { at, name, binds, allow, expires, limits } = common;
        let (name, mark) = match name? {
            Some(name) => {
                self.unique(&name);
                (name.value.clone(), name.mark())
            }
            None => self.unnamed(at, says()),
        };
        let allow = allow?;
        match &allow {
            Some(_) => self.some_say = true,
            None => self.silent.push((mark.clone(), binds)),
        }
        let allow = allow.as_deref().or(self.allow)?;
        let rule = Rule {
            name: Arc::from(name),
            line: at.line(),
            allow: allow.iter().map(|peer| peer.value.clone()).collect(),
            expires: expires?,
            limits: limits?,
        };
        Some((rule, mark))
    }

    /// A rule that is nothing but what it is for, like `ADT^*`: everybody may who may connect.
    pub(super) fn short(&mut self, at: At<'_>, says: String) -> Option<(Rule, Located<()>)> {
        let (name, mark) = self.unnamed(at, says);
        let allow = self.allow?.iter().map(|peer| peer.value.clone()).collect();
        let name = Arc::from(name);
        Some((Rule { name, line: at.line(), allow, expires: None, limits: None }, mark))
    }

    fn unique(&mut self, name: &Located<String>) {
        let reader = self.context.reader;
        if let Some(first) = self.names.get(&name.value) {
            let text = format!("a second {} is named {}", self.kind.one, quoted(&name.written));
            reader.error(name.at(), Fault::new(text).hint(format!("the first is {first}")));
        } else {
            self.names.insert(name.value.clone(), name.parent().into());
        }
    }

    /// A name that no other rule has, and begins with what this one `says`.
    fn unnamed(&mut self, at: At<'_>, says: String) -> (String, Located<()>) {
        let mark = at.called(&says);
        let taken = |name: &String| self.names.contains_key(name);
        let numbered = (2_u32..).map(|number| format!("{says}#{number}"));
        let name = std::iter::once(says.clone()).chain(numbered).find(|name| !taken(name));
        let name = name.unwrap_or(says);
        self.names.insert(name.clone(), mark.key().into());
        (name, mark)
    }

    /// Warns of rules that all may use who may connect, where that is likely not what was meant.
    fn inherited(&self) {
        let count = self.allow.map_or(0, <[_]>::len);
        if count < 2 {
            return;
        }
        for (mark, binds) in &self.silent {
            let what = format!("{} {} has no `allow`", self.kind.one, quoted(&mark.written));
            let may = format!("all {count} peers that may connect may use it");
            let (text, hint) = match (binds, self.some_say) {
                (true, _) => {
                    (format!("{what}, so it binds nothing: {may}"), "name in `allow` whose it is")
                }
                (false, true) => (
                    format!("{what}, unlike others here: {may}"),
                    "name peers in `allow`, all of them if that is meant",
                ),
                (false, false) => continue,
            };
            self.context.reader.warn(mark.at(), Fault::new(text).hint(hint));
        }
    }

    /// Warns of a rule that lets nobody in, or not all that it lists.
    fn who(&self, common: &Common<'_>, what: &str) {
        let reader = self.context.reader;
        let Some(Some(allow)) = &common.allow else { return };
        if allow.is_empty() {
            let fault = Fault::new(format!("nobody may use {what}: it allows no peer"));
            reader.warn(
                common.at,
                fault.hint("name peers in `allow`, or leave the key out for all who may connect"),
            );
        }
        let Some(listed) = self.allow else { return };
        let may = |peer: &Located<PeerName>| listed.iter().any(|other| other.value == peer.value);
        for (place, named) in allow.iter().enumerate() {
            // The members of a group stand side by side; of a group it is enough that one may.
            let first =
                place == 0 || allow.get(place - 1).is_none_or(|before| before.key() != named.key());
            let mut members = allow.iter().skip(place).take_while(|peer| peer.key() == named.key());
            if first && !members.any(may) {
                let text =
                    format!("{} may not connect, so this has no effect", quoted(&named.written));
                let fault = Fault::new(text).hint("add it to the listener's `allow` too");
                reader.warn(named.at(), fault);
            }
        }
    }
}
