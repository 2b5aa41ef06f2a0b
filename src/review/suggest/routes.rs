//! HTTP requests as routes.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Alike, Evidence, Kind, ListenerDraft, RuleDraft, TermsDraft, alike, together};
use super::namer::Namer;
use crate::config::{PathTemplate, Segment};
use crate::protocol::{fhir, ihe, soap};
use crate::review::candidates::{Interaction, fhir_at, is_wide, of_dicomweb, of_fhir};
use crate::review::what::{What, Words, canonical, segments};

/// So many words in one place are an interface's; more are data.
const SIBLINGS: usize = 8;

/// The types of resources that a rule has to list; `None`: all types, so it lists none.
type Types = Option<BTreeSet<&'static str>>;

/// Requests by what they were.
#[derive(Default)]
struct Sorted {
    soap: Alike<(String, String)>,
    fhir: Alike<((String, Types), fhir::Interaction)>,
    dicomweb: Alike<(String, &'static str)>,
    plain: Vec<(Vec<Segment>, String, Evidence)>,
    /// Those whose path is not on record.
    unknown: u64,
}

impl ListenerDraft<'_> {
    /// Routes for what was asked for.
    pub(super) fn routes(&mut self, asked: Vec<(&What, Evidence)>) {
        if asked.is_empty() {
            self.note(
                "no request is on record here (those that are no access to PHI are only counted): no routes can \
                 be suggested; `enforce: false`, `until:` and `observe_paths: true` put them on record"
                    .to_owned(),
            );
            return;
        }
        let sorted = Sorted::of(asked);
        if sorted.unknown > 0 {
            self.note(format!(
                "{} requests have no path on record, and routes would deny them, so none are suggested: \
                 `enforce: false`, `until:` and `observe_paths: true` put the shapes of paths on record",
                super::draft::thousands(sorted.unknown)
            ));
            return;
        }
        let mut namer = Namer::default();
        let mut rules = self.answered(&mut namer);
        rules.extend(sorted.rules(&mut namer));
        self.rules.insert("routes", rules);
    }

    /// Routes of the configuration that the sidecar answers by itself, kept: what is asked of them is not on
    /// record.
    fn answered(&self, namer: &mut Namer) -> Vec<RuleDraft> {
        let routes = self.configured.and_then(|listener| listener.routes.as_ref());
        let mut kept = Vec::new();
        for route in routes.into_iter().flatten() {
            let Some(status) = route.respond else { continue };
            let (path, kind) = (route.path.text.to_string(), Kind::Respond(status.as_u16()));
            let methods = route.methods.iter().map(ToString::to_string).collect();
            let allow = route.rule.allow.iter().map(|peer| peer.as_str().to_owned()).collect();
            let terms = TermsDraft::Route { path, methods, kind };
            kept.push(RuleDraft {
                name: namer.name(&route.rule.name),
                terms,
                allow,
                evidence: None,
            });
        }
        kept
    }
}

impl Sorted {
    fn of(asked: Vec<(&What, Evidence)>) -> Self {
        let mut sorted = Self::default();
        // A base is one once something below it was seen to be of its kind.
        let mut bases: BTreeSet<String> = BTreeSet::new();
        for (what, _) in &asked {
            let What::Request { method, path: Some(path), words } = what else { continue };
            match words {
                Some(Words::Fhir { .. }) => {
                    let named = of_fhir(method, &segments(path));
                    bases.insert(named.map_or_else(|| path.clone(), |(base, _)| base));
                }
                Some(Words::Soap(_) | Words::DicomWeb(_)) => {}
                None => bases.extend(of_fhir(method, &segments(path)).map(|(base, _)| base)),
            }
        }
        for (what, evidence) in asked {
            sorted.take(what, evidence, &bases);
        }
        sorted
    }

    fn take(&mut self, what: &What, evidence: Evidence, bases: &BTreeSet<String>) {
        let What::Request { method, path, words } = what else { return };
        let path = path.as_deref().filter(|path| PathTemplate::parse(path).is_ok());
        let Some(path) = path else {
            self.unknown += evidence.allowed + evidence.denied;
            return;
        };
        let parts = segments(path);
        if is_wide(method, &parts) {
            return self.plain.push((parts, method.clone(), evidence));
        }
        match words {
            Some(Words::Soap(action)) if is_telling(action) => {
                return alike(&mut self.soap, (path.to_owned(), action.clone()), evidence);
            }
            Some(Words::DicomWeb(transaction)) => {
                let base = of_dicomweb(method, &parts).map_or_else(|| path.to_owned(), |(b, _)| b);
                return alike(&mut self.dicomweb, (base, transaction.name()), evidence);
            }
            Some(Words::Fhir { interaction, resource, reached }) => {
                let base = of_fhir(method, &parts).map_or_else(|| path.to_owned(), |(b, _)| b);
                let types = [*resource].into_iter().chain(reached.iter().copied()).collect();
                return alike(&mut self.fhir, ((base, types), *interaction), evidence);
            }
            Some(Words::Soap(_)) | None => {}
        }
        if let Some((base, (interaction, resource))) = fhir_below(method, &parts, bases) {
            let types = resource.map(|resource| [resource].into());
            alike(&mut self.fhir, ((base, types), interaction), evidence);
        } else if let Some((base, transaction)) = of_dicomweb(method, &parts) {
            alike(&mut self.dicomweb, (base, transaction.name()), evidence);
        } else {
            self.plain.push((parts, method.clone(), evidence));
        }
    }

    /// Rules, those first that look closest.
    fn rules(self, namer: &mut Namer) -> Vec<RuleDraft> {
        let mut rules = soap(self.soap, namer);
        rules.extend(of_fhir_rules(self.fhir, namer));
        for ((base, allow), (transactions, evidence)) in together(self.dicomweb) {
            let kind = Kind::DicomWeb(transactions);
            let terms = TermsDraft::Route { path: base, methods: BTreeSet::new(), kind };
            rules.push(RuleDraft::new(namer.name("dicomweb"), terms, allow, evidence));
        }
        rules.extend(plain(self.plain, namer));
        rules
    }
}

/// A path that names a type of resources, or one word below a base that is known.
fn fhir_below(
    method: &str,
    parts: &[Segment],
    bases: &BTreeSet<String>,
) -> Option<(String, Interaction)> {
    if let Some(found) = of_fhir(method, parts) {
        return Some(found);
    }
    let (base, asked) = (parts.len().checked_sub(1).into_iter().chain([parts.len()]))
        .filter_map(|at| fhir_at(method, parts, at))
        .find(|(base, _)| bases.contains(base))?;
    // Which operation it is, only its own path tells.
    (asked.0 != fhir::Interaction::Operation).then_some((base, asked))
}

/// Whether a route can be made of an action: something has to say what its bodies begin with.
fn is_telling(action: &str) -> bool {
    let last = action.rsplit(['/', '#', ':']).next().unwrap_or_default();
    let begins = last.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let plain = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    soap::check_action(action).is_ok()
        && (ihe::is_action(action) || (begins && last.chars().all(plain)))
}

fn soap(all: Alike<(String, String)>, namer: &mut Namer) -> Vec<RuleDraft> {
    let mut rules = Vec::new();
    for ((path, allow), (actions, evidence)) in together(all) {
        let known = |action: &&String| ihe::by_action(action);
        let ihe: BTreeSet<_> = actions.iter().filter_map(|a| known(&a)).map(|t| t.name).collect();
        let others: BTreeSet<_> = actions.iter().filter(|a| known(a).is_none()).cloned().collect();
        let mut push = |name: String, kind| {
            let methods = ["POST".to_owned()].into();
            let terms = TermsDraft::Route { path: path.clone(), methods, kind };
            let (allow, evidence) = (allow.clone(), evidence.clone());
            rules.push(RuleDraft::new(name, terms, allow, evidence));
        };
        if let Some(first) = ihe.first() {
            push(namer.name(first), Kind::Ihe(ihe.clone()));
        }
        if let Some(first) = others.first() {
            let last = first.rsplit(['/', '#', ':']).next().unwrap_or_default();
            push(namer.name(last), Kind::Soap(others.clone()));
        }
    }
    rules
}

fn of_fhir_rules(
    all: Alike<((String, Types), fhir::Interaction)>,
    namer: &mut Namer,
) -> Vec<RuleDraft> {
    let by_type =
        together(all).into_iter().map(|(((base, types), _), (interactions, evidence))| {
            let codes: BTreeSet<_> =
                interactions.into_iter().map(fhir::Interaction::code).collect();
            (((base, types.is_some(), codes), types), evidence)
        });
    // The same peers do the same with several types: that is one rule.
    let mut drafts = Vec::new();
    for (((base, _, interactions), allow), (types, evidence)) in together(by_type) {
        let resources: BTreeSet<_> = types.into_iter().flatten().flatten().collect();
        let name = match (resources.first(), resources.len()) {
            (Some(one), 1) => namer.name(one),
            _ => namer.name(&format!("fhir-{}", interactions.first().copied().unwrap_or_default())),
        };
        let kind = Kind::Fhir { interactions, resources };
        let terms = TermsDraft::Route { path: base, methods: BTreeSet::new(), kind };
        drafts.push(RuleDraft::new(name, terms, allow, evidence));
    }
    drafts
}

/// Routes by path and method, the narrowest first.
fn plain(all: Vec<(Vec<Segment>, String, Evidence)>, namer: &mut Namer) -> Vec<RuleDraft> {
    let mut paths: Vec<_> = all.iter().map(|(parts, ..)| parts.clone()).collect();
    generalise(&mut paths);
    let mut methods: Alike<(Vec<Narrow>, String)> = BTreeMap::new();
    for (parts, (_, method, evidence)) in paths.into_iter().zip(all) {
        let path = parts.into_iter().map(Narrow::from).collect();
        alike(&mut methods, (path, method), evidence);
    }
    let mut drafts = Vec::new();
    for ((path, allow), (methods, evidence)) in together(methods) {
        let last = path.iter().rev().find_map(|part| match part {
            Narrow::Literal(literal) => Some(literal.as_str()),
            Narrow::Any | Narrow::Rest => None,
        });
        let name = namer.name(last.unwrap_or("any"));
        let path: Vec<_> = path.into_iter().map(Segment::from).collect();
        let terms = TermsDraft::Route { path: canonical(&path), methods, kind: Kind::Plain };
        drafts.push(RuleDraft::new(name, terms, allow, evidence));
    }
    drafts
}

/// A segment, in the order of how little it matches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Narrow {
    Literal(String),
    Any,
    Rest,
}

impl From<Segment> for Narrow {
    fn from(segment: Segment) -> Self {
        match segment {
            Segment::Literal(literal) => Self::Literal(literal),
            Segment::Any => Self::Any,
            Segment::Rest => Self::Rest,
        }
    }
}

impl From<Narrow> for Segment {
    fn from(narrow: Narrow) -> Self {
        match narrow {
            Narrow::Literal(literal) => Self::Literal(literal),
            Narrow::Any => Self::Any,
            Narrow::Rest => Self::Rest,
        }
    }
}

/// Makes a place of what has too many values to be an interface's word.
fn generalise(paths: &mut [Vec<Segment>]) {
    let deepest = paths.iter().map(Vec::len).max().unwrap_or(0);
    for depth in 0..deepest {
        let mut siblings: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for path in paths.iter() {
            if let (Some(before), Some(Segment::Literal(word))) =
                (path.get(..depth), path.get(depth))
            {
                siblings.entry(canonical(before)).or_default().insert(word.clone());
            }
        }
        for path in paths.iter_mut() {
            let before = path.get(..depth).map(canonical).unwrap_or_default();
            let many = siblings.get(&before).is_some_and(|words| words.len() > SIBLINGS);
            if let Some(segment @ Segment::Literal(_)) = path.get_mut(depth).filter(|_| many) {
                *segment = Segment::Any;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_words_in_one_place_are_data_and_a_few_are_an_interface() {
        let mut paths: Vec<_> =
            (b'a'..=b'i').map(|c| segments(&format!("/p/{}", char::from(c)))).collect();
        paths.push(segments("/q/a"));

        generalise(&mut paths);

        let texts: BTreeSet<_> = paths.iter().map(|path| canonical(path)).collect();
        assert_eq!(texts, ["/p/{id}", "/q/a"].map(str::to_owned).into());
    }
}
