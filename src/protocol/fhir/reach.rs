//! Which types of resources a request gets at beside the one that its path names.
//!
//! A search for patients gives out observations (`_revinclude`), or tells of them by whom it finds (`_has`, a
//! chain). What is no word of the standard, or leads anywhere, counts as all types. Neither values nor names
//! that somebody made up are kept.

use std::fmt;

use super::classify::Asked;
use super::names::known;
use super::percent::{LONGEST, Room, decoded};
use super::resources::resource;

/// Most types that are told apart; more count as all.
const MOST: usize = 8;

/// Operations that give out nothing but resources of the type that their path names.
const CONFINED: [&str; 9] = [
    "$expand",
    "$lookup",
    "$match",
    "$meta",
    "$meta-add",
    "$meta-delete",
    "$subsumes",
    "$validate",
    "$validate-code",
];

/// What stands behind the colon of a parameter and leads nowhere. A type of resources does not either, where
/// no chain follows: it says only what a reference is to.
const MODIFIERS: [&str; 16] = [
    "above",
    "below",
    "code-text",
    "contains",
    "exact",
    "identifier",
    "in",
    "iterate",
    "logical",
    "missing",
    "not",
    "not-in",
    "of-type",
    "recurse",
    "text",
    "text-advanced",
];

/// References that lead to one type, wherever R4 and R5 have them.
const TARGETS: [(&str, &str); 14] = [
    ("appointment", "Appointment"),
    ("beneficiary", "Patient"),
    ("endpoint", "Endpoint"),
    ("insurer", "Organization"),
    ("location", "Location"),
    ("manufacturer", "Organization"),
    ("medication", "Medication"),
    ("organization", "Organization"),
    ("patient", "Patient"),
    ("practitioner", "Practitioner"),
    ("questionnaire", "Questionnaire"),
    ("relatedperson", "RelatedPerson"),
    ("schedule", "Schedule"),
    ("slot", "Slot"),
];

/// What a parameter of the standard does whose name begins with `_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It gets at nothing else.
    Nothing,
    /// `Observation:subject:Patient`: resources that refer to each other are given out together.
    Included,
    /// `Patient,Observation`
    Types,
    /// Unless it is `false`, what contains a resource is given out for it.
    Contained,
    /// It may follow a chain.
    Sorted,
    /// What it gets at is this type.
    Kind(&'static str),
    /// What it gets at is another's to say: a filter, a graph, a server's own search.
    Anything,
}

/// Parameters whose names begin with `_`. One that is missing here might do anything.
#[rustfmt::skip]
const EFFECTS: [(&str, Effect); 40] = {
    use Effect::{Anything, Contained, Included, Kind, Nothing, Sorted, Types};
    [
        ("_at", Nothing), ("_bundletype", Nothing), ("_contained", Contained), ("_containedType", Nothing),
        ("_content", Nothing), ("_count", Nothing), ("_cursor", Nothing), ("_elements", Nothing),
        ("_filter", Anything), ("_format", Nothing), ("_getpages", Anything), ("_getpagesoffset", Nothing),
        ("_graph", Anything), ("_has", Anything), ("_id", Nothing), ("_in", Anything), ("_include", Included),
        ("_language", Nothing), ("_lastUpdated", Nothing), ("_list", Kind("List")), ("_maxresults", Nothing),
        ("_offset", Nothing), ("_outputFormat", Nothing), ("_page", Nothing), ("_page_token", Nothing),
        ("_pretty", Nothing), ("_profile", Nothing), ("_query", Anything), ("_revinclude", Included),
        ("_score", Nothing), ("_security", Nothing), ("_since", Nothing), ("_skip", Nothing), ("_sort", Sorted),
        ("_source", Nothing), ("_summary", Nothing), ("_tag", Nothing), ("_text", Nothing), ("_total", Nothing),
        ("_type", Types),
    ]
};

/// By what a request gets at another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The operation that it asks for.
    Operation,
    /// This parameter.
    Parameter(&'static str),
    /// The chain or the modifier behind this parameter.
    Behind(&'static str),
    /// A parameter whose name is not the standard's, so that it is not told.
    Other,
    /// It is on record, and by what it was reached is not.
    Recorded,
}

/// A type of resources that a request gets at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The type; `None`: any.
    pub kind: Option<&'static str>,
    /// By what.
    pub by: By,
}

/// `Observation by _include`, as a denial says it.
impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.unwrap_or("any other"))?;
        match self.by {
            By::Operation => f.write_str(" by an operation that gives out other types"),
            By::Parameter(name) => write!(f, " by `{name}`"),
            By::Behind(name) => write!(f, " by what follows `{name}`"),
            By::Other => f.write_str(" by a parameter that FHIR does not have"),
            By::Recorded => Ok(()),
        }
    }
}

/// The types that a request gets at beside its own. Costs no allocation.
#[derive(Debug, Clone)]
pub struct Reach {
    reached: [Reached; MOST],
    count: usize,
}

impl Reach {
    /// What `asked` gets at by itself, and by parameters in any of `texts`: its query, the form in its body,
    /// the condition in its head.
    pub fn of<'t>(asked: &Asked<'_>, texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut reach = Self::default();
        if asked.operation().is_some_and(|name| !CONFINED.contains(&name)) {
            reach.add(None, By::Operation);
        }
        texts.into_iter().for_each(|text| reach.read(text));
        reach
    }

    /// The same, and these types, which are on record. `None`: any.
    #[must_use]
    pub fn and(mut self, recorded: &[Option<&'static str>]) -> Self {
        recorded.iter().for_each(|kind| self.add(*kind, By::Recorded));
        self
    }

    /// What parameters get at by themselves.
    pub fn of_parameters(text: &str) -> Self {
        let mut reach = Self::default();
        reach.read(text);
        reach
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Reached> {
        self.reached.iter().take(self.count)
    }

    /// The first that is none of `listed`; an empty list has all types.
    pub fn beyond(&self, listed: &[impl AsRef<str>]) -> Option<&Reached> {
        let is_listed = |kind: &str| listed.iter().any(|name| name.as_ref() == kind);
        self.iter().find(|one| !listed.is_empty() && !one.kind.is_some_and(is_listed))
    }

    fn add(&mut self, kind: Option<&'static str>, by: By) {
        if self.iter().any(|one| one.kind == kind) {
            return;
        }
        if let Some(place) = self.reached.get_mut(self.count) {
            (*place, self.count) = (Reached { kind, by }, self.count + 1);
        } else if let Some(last) = self.reached.last_mut() {
            last.kind = None;
        }
    }

    /// Some servers end a parameter at `;`, and a condition may have a path before its `?`.
    fn read(&mut self, text: &str) {
        let mut room: Room = [0; LONGEST];
        for pair in text.split(['&', ';', '?']).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match decoded(name, &mut room).filter(|name| is_plain(name)) {
                Some(name) => self.parameter(name, value),
                None => self.add(None, By::Other),
            }
        }
    }

    fn parameter(&mut self, name: &str, value: &str) {
        let mut links = name.split('.').peekable();
        while let Some(link) = links.next() {
            let last = self.had(link);
            let (stem, modifier) = last.split_once(':').unwrap_or((last, ""));
            if links.peek().is_some() {
                self.add(target(stem, modifier), by_name(stem));
            } else {
                self.end(stem, modifier, value);
            }
        }
    }

    /// What is left of `_has:Observation:patient:code` behind the types that it looks for.
    fn had<'t>(&mut self, link: &'t str) -> &'t str {
        let mut left = link;
        loop {
            let mut parts = left.splitn(4, ':');
            if !parts.next().is_some_and(|word| word.eq_ignore_ascii_case("_has")) {
                return left;
            }
            self.add(parts.next().and_then(resource), By::Parameter("_has"));
            let _reference = parts.next();
            let Some(rest) = parts.next() else {
                self.add(None, By::Parameter("_has"));
                return "";
            };
            left = rest;
        }
    }

    /// A parameter without a chain, or what stands at the end of one.
    fn end(&mut self, stem: &str, modifier: &str, value: &str) {
        if !(modifier.is_empty() || MODIFIERS.contains(&modifier) || resource(modifier).is_some()) {
            self.add(None, by_name(stem));
        }
        if !stem.starts_with('_') {
            return;
        }
        let found = EFFECTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(stem));
        let Some((name, effect)) = found else { return self.add(None, By::Other) };
        self.take(*effect, By::Parameter(name), value);
    }

    fn take(&mut self, effect: Effect, by: By, value: &str) {
        let mut room: Room = [0; LONGEST];
        let Some(value) = decoded(value, &mut room) else {
            if effect != Effect::Nothing {
                self.add(None, by);
            }
            return;
        };
        match effect {
            Effect::Nothing => {}
            Effect::Kind(kind) => self.add(Some(kind), by),
            Effect::Anything => self.add(None, by),
            Effect::Contained if value == "false" => {}
            Effect::Contained => self.add(None, by),
            Effect::Types => value.split(',').for_each(|kind| self.add(resource(kind), by)),
            Effect::Sorted if value.contains(['.', ':']) => self.add(None, by),
            Effect::Sorted => {}
            Effect::Included => value.split(',').for_each(|one| self.included(one, by)),
        }
    }

    /// `Observation:subject:Patient`: which resources refer, by what, and to which. A reference that may be
    /// to several types has to say which, except backwards: then it is to what was found.
    fn included(&mut self, value: &str, by: By) {
        let mut parts = value.split(':');
        let (source, reference) = (parts.next().unwrap_or_default(), parts.next());
        self.add(resource(source), by);
        match (reference, parts.next(), parts.next()) {
            (Some(_), Some(kind), None) => self.add(resource(kind), by),
            (Some(_), None, None) if by == By::Parameter("_revinclude") => {}
            (Some(reference), None, None) => self.add(target(reference, ""), by),
            _ => self.add(None, by),
        }
    }
}

impl Default for Reach {
    fn default() -> Self {
        Self { reached: [Reached { kind: None, by: By::Other }; MOST], count: 0 }
    }
}

/// By what follows this parameter, if its name may be told.
fn by_name(stem: &str) -> By {
    known(stem).map_or(By::Other, By::Behind)
}

/// The type that a reference is to.
fn target(stem: &str, modifier: &str) -> Option<&'static str> {
    if !modifier.is_empty() {
        return resource(modifier);
    }
    TARGETS.iter().find(|(name, _)| *name == stem).map(|(_, kind)| *kind)
}

/// Names of parameters are made of these. What has another character may be cut at it.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte))
}
