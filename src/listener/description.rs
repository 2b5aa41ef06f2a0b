//! What a request asked for, as records tell it: in the words of healthcare, without ids and values.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::Method;

use super::question::condition;
use crate::audit::{Pseudonyms, Words};
use crate::authz::{Denied, Grant};
use crate::config::{PathTemplate, Route, RouteKind, Segment};
use crate::protocol::{Operation, dicomweb, fhir};
use crate::proxy::l7::Head;

/// What a record has of a request.
#[derive(Clone, Default)]
pub(super) struct Description {
    /// Its path with names in place of what may be an id.
    pub(super) template: Option<Arc<str>>,
    /// The operation.
    pub(super) operation: Option<Operation>,
    /// Whose resources it names, and by what it searches.
    pub(super) words: Option<Arc<Words>>,
}

impl Description {
    /// Of a request that was let through by `grant`. `form`: the parameters of its search that are in its body.
    pub(super) fn granted(
        grant: &Grant,
        head: &Head<'_>,
        form: Option<&str>,
        key: Option<&Pseudonyms>,
    ) -> Self {
        let plain = Self::plain(grant);
        let Some(base) = grant.template() else { return plain };
        let told = match grant.operation() {
            Some(Operation::Fhir(..)) => fhir(base, below(base, head.path), (head, form), key),
            Some(Operation::DicomWeb(_)) => dicomweb(base, below(base, head.path), head, key),
            Some(Operation::Soap(..)) | None => None,
        };
        told.unwrap_or(plain)
    }

    /// What `grant` itself has of it.
    pub(super) fn plain(grant: &Grant) -> Self {
        let (template, operation) = (grant.template().map(Arc::clone), grant.operation().cloned());
        Self { template, operation, words: None }
    }

    /// Of a request that was denied. What it would have been is known where its path lies below a base of
    /// FHIR or DICOMweb.
    pub(super) fn denied(
        denied: &Denied,
        routes: &[Route],
        head: &Head<'_>,
        key: Option<&Pseudonyms>,
    ) -> Self {
        let told = |route: &Route| {
            let base = &route.path;
            let rest = below_match(base, head.path)?;
            match route.kind {
                RouteKind::Fhir { .. } => fhir(&base.text, rest, (head, None), key),
                RouteKind::DicomWeb(_) => dicomweb(&base.text, rest, head, key),
                RouteKind::Plain | RouteKind::Soap(_) => None,
            }
        };
        let template = denied.template.clone();
        routes.iter().find_map(told).unwrap_or_else(|| Self { template, ..Self::default() })
    }
}

fn fhir(
    base: &str,
    rest: &str,
    (head, form): (&Head<'_>, Option<&str>),
    key: Option<&Pseudonyms>,
) -> Option<Description> {
    let asked = fhir::classify(head.method.as_str(), rest)?;
    let search = fhir::search(asked.resource, head.query.into_iter().chain(form));
    let named = asked.subject().into_iter();
    let searched = search.subjects.iter().map(|(kind, id)| (*kind, &**id));
    let subjects = match key {
        Some(key) => named.chain(searched).map(|(kind, id)| key.pseudonym(kind, id)).collect(),
        None => Vec::new(),
    };
    let words = Words {
        subjects,
        parameters: search.parameters,
        other_parameters: search.others,
        reaches: reaches(&asked, head, form),
    };
    Some(Description {
        template: Some(asked.template(base).into()),
        operation: Some(Operation::Fhir(asked.interaction, asked.resource)),
        words: Some(Arc::new(words)),
    })
}

/// The types that `asked` gets at beside its own. A form that nobody has looked at may ask for any.
fn reaches(asked: &fhir::Asked<'_>, head: &Head<'_>, form: Option<&str>) -> Vec<&'static str> {
    let condition = condition(head.headers);
    let reach = fhir::Reach::of(asked, head.query.into_iter().chain(form).chain(condition));
    let is_unread = asked.has_form() && head.method == Method::POST && form.is_none();
    let beside = reach.iter().map(|reached| reached.kind).filter(|kind| *kind != asked.resource);
    let all = beside.chain(is_unread.then_some(None));
    let types: BTreeSet<_> = all.map(|kind| kind.unwrap_or(fhir::ANY)).collect();
    types.into_iter().collect()
}

fn dicomweb(
    base: &str,
    rest: &str,
    head: &Head<'_>,
    key: Option<&Pseudonyms>,
) -> Option<Description> {
    let asked = dicomweb::classify(head.method.as_str(), rest)?;
    let study = key.zip(asked.study).map(|(key, study)| key.pseudonym(Pseudonyms::STUDY, study));
    let words = Words { subjects: study.into_iter().collect(), ..Words::default() };
    Some(Description {
        template: Some(asked.template(base).into()),
        operation: Some(Operation::DicomWeb(asked.transaction)),
        words: Some(Arc::new(words)),
    })
}

/// What is left of `path` below as many segments as `base` has. They were compared before.
fn below<'a>(base: &str, path: &'a str) -> &'a str {
    let mut rest = path;
    for _segment in base.split('/').filter(|segment| !segment.is_empty()) {
        rest = next(rest).1;
    }
    rest
}

/// What is left of `path` below `base`, if it lies there.
fn below_match<'a>(base: &PathTemplate, path: &'a str) -> Option<&'a str> {
    let mut rest = path;
    for segment in &base.segments {
        let (first, tail) = next(rest);
        let fits = match segment {
            Segment::Literal(text) => text == first,
            Segment::Any => !first.is_empty(),
            Segment::Rest => return Some(rest),
        };
        if !fits {
            return None;
        }
        rest = tail;
    }
    Some(rest)
}

/// The first segment of `path`, which begins with a slash, and what comes behind it, which does as well.
fn next(path: &str) -> (&str, &str) {
    let inner = path.strip_prefix('/').unwrap_or(path);
    inner.split_at(inner.find('/').unwrap_or(inner.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_a_base_begins_behind_its_segments() {
        for (base, path, rest) in [
            ("/fhir", "/fhir", Some("")),
            ("/fhir", "/fhir/", Some("/")),
            ("/fhir", "/fhir/Patient/1", Some("/Patient/1")),
            ("/", "/Patient/1", Some("/Patient/1")),
            ("/t/{tenant}/fhir", "/t/a/fhir/Patient", Some("/Patient")),
            ("/fhir", "/fhir2/Patient", None),
            ("/fhir", "/", None),
            ("/t/{tenant}", "/t", None),
        ] {
            let template = PathTemplate::parse(base).unwrap();
            assert_eq!(below_match(&template, path), rest, "{base} {path}");
            if let Some(rest) = rest {
                assert_eq!(below(base, path), rest, "{base} {path}");
            }
        }
    }
}
