//! Paths that stand for a template on record: what is judged when the path itself is not known.

use super::what::{Words, canonical};
use crate::config::Segment;
use crate::protocol::{dicomweb, fhir};

/// Stands for an identifier. FHIR, DICOM and lists of frames all take it for one, and no rule names it.
pub(super) const PLACE: &str = "90071992";

/// Paths that a template matches: one, or several when it ends in all that is left.
pub(super) fn paths(segments: &[Segment]) -> Vec<String> {
    let mut path = String::new();
    for segment in segments {
        match segment {
            Segment::Literal(literal) => {
                path.push('/');
                path.push_str(literal);
            }
            Segment::Any => {
                path.push('/');
                path.push_str(PLACE);
            }
            Segment::Rest => {
                let deep = format!("{path}/{PLACE}/{PLACE}");
                let one = format!("{path}/{PLACE}");
                return vec![if path.is_empty() { "/".to_owned() } else { path }, one, deep];
            }
        }
    }
    vec![if path.is_empty() { "/".to_owned() } else { path }]
}

/// Paths on which a request with this template was what `words` say. `None`: there is none.
pub(super) fn worded(method: &str, segments: &[Segment], words: &Words) -> Option<Vec<String>> {
    let paths = paths(segments);
    let [path] = paths.as_slice() else { return Some(paths) };
    let below = match words {
        Words::Soap(_) => return Some(paths),
        Words::Fhir { interaction, resource, .. } => {
            let wanted = (*interaction, *resource);
            if of_fhir(method, segments).is_some_and(|(_, seen)| seen == wanted) {
                return Some(paths);
            }
            let below = fhir_below(method, wanted);
            let asked = fhir::classify(method, &below)?;
            ((asked.interaction, asked.resource) == wanted).then_some(below)?
        }
        Words::DicomWeb(transaction) => {
            if of_dicomweb(method, segments).is_some_and(|(_, seen)| seen == *transaction) {
                return Some(paths);
            }
            let below = dicomweb_below(*transaction);
            (dicomweb::classify(method, below)?.transaction == *transaction)
                .then(|| below.to_owned())?
        }
    };
    let base = path.trim_end_matches('/');
    Some(vec![if below.is_empty() { path.clone() } else { format!("{base}/{below}") }])
}

/// A FHIR interaction, with the type of its resource.
pub(super) type Interaction = (fhir::Interaction, Option<&'static str>);

/// The base and the interaction of a path that names a type of resources.
pub(super) fn of_fhir(method: &str, segments: &[Segment]) -> Option<(String, Interaction)> {
    let is_type = |segment: &Segment| match segment {
        Segment::Literal(literal) => fhir::is_resource(literal),
        Segment::Any | Segment::Rest => false,
    };
    let at = segments.iter().position(is_type)?;
    fhir_at(method, segments, at)
}

/// The interaction of a path below the base of the first `at` segments.
pub(super) fn fhir_at(
    method: &str,
    segments: &[Segment],
    at: usize,
) -> Option<(String, Interaction)> {
    let (base, below) = apart(segments, at)?;
    let asked = fhir::classify(method, &below)?;
    Some((base, (asked.interaction, asked.resource)))
}

/// Whether it is an operation that gives out other types than that of its path, so that no rule for the one
/// takes it.
pub(super) fn is_wide(method: &str, segments: &[Segment]) -> bool {
    let Some((base, _)) = of_fhir(method, segments) else { return false };
    let at = base.split('/').filter(|segment| !segment.is_empty()).count();
    let below = apart(segments, at).map(|(_, below)| below).unwrap_or_default();
    let asked = fhir::classify(method, &below);
    asked.is_some_and(|asked| fhir::Reach::of(&asked, []).iter().next().is_some())
}

/// The base and the transaction of a path of DICOMweb.
pub(super) fn of_dicomweb(
    method: &str,
    segments: &[Segment],
) -> Option<(String, dicomweb::Transaction)> {
    let begins = |segment: &Segment| match segment {
        Segment::Literal(literal) => ["studies", "workitems"].contains(&literal.as_str()),
        Segment::Any | Segment::Rest => false,
    };
    let at = segments.iter().position(begins)?;
    let (base, below) = apart(segments, at)?;
    Some((base, dicomweb::classify(method, &below)?.transaction))
}

/// The base as a template, and a path for what is below it.
fn apart(segments: &[Segment], at: usize) -> Option<(String, String)> {
    let (base, below) = segments.split_at_checked(at)?;
    if below.contains(&Segment::Rest) || base.contains(&Segment::Rest) {
        return None;
    }
    let below = paths(below).pop()?;
    Some((canonical(base), below.trim_start_matches('/').to_owned()))
}

/// What a FHIR interaction looks like below its base.
fn fhir_below(method: &str, (interaction, resource): Interaction) -> String {
    use fhir::Interaction as I;

    let kind = resource.unwrap_or_default();
    let is_post = method == "POST";
    match interaction {
        I::Read | I::Update | I::Patch | I::Delete => format!("{kind}/{PLACE}"),
        I::Vread => format!("{kind}/{PLACE}/_history/{PLACE}"),
        I::HistoryInstance => format!("{kind}/{PLACE}/_history"),
        I::HistoryType => format!("{kind}/_history"),
        I::HistorySystem => "_history".to_owned(),
        I::Create => kind.to_owned(),
        I::SearchType if is_post => format!("{kind}/_search"),
        I::SearchType => kind.to_owned(),
        I::SearchSystem if is_post => "_search".to_owned(),
        I::SearchSystem | I::Batch => String::new(),
        I::Capabilities => "metadata".to_owned(),
        I::Operation if resource.is_some() => format!("{kind}/$operation"),
        I::Operation => "$operation".to_owned(),
    }
}

/// What a DICOMweb transaction looks like below its base.
fn dicomweb_below(transaction: dicomweb::Transaction) -> &'static str {
    match transaction {
        dicomweb::Transaction::Store | dicomweb::Transaction::Search => "studies",
        dicomweb::Transaction::Retrieve => "studies/2.25.1",
        dicomweb::Transaction::Worklist => "workitems",
    }
}

#[cfg(test)]
mod tests {
    use super::super::what::segments;
    use super::*;

    #[test]
    fn a_path_below_a_base_is_found_for_every_interaction_on_record() {
        for interaction in fhir::Interaction::ALL {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                for resource in [Some("Patient"), None] {
                    let below = fhir_below(method, (interaction, resource));
                    let Some(asked) = fhir::classify(method, &below) else { continue };
                    let wanted = (asked.interaction, asked.resource);
                    let (interaction, resource) = wanted;
                    let words = Words::Fhir { interaction, resource, reached: Vec::new() };
                    let found = worded(method, &segments("/fhir"), &words).unwrap();
                    let (_, seen) = fhir_at(method, &segments(&found[0]), 1).unwrap();
                    assert_eq!(seen, wanted, "{method} {found:?}");
                }
            }
        }
    }

    #[test]
    fn a_template_that_says_what_was_asked_for_is_taken_as_it_is() {
        let (interaction, resource) = (fhir::Interaction::Read, Some("Patient"));
        let words = Words::Fhir { interaction, resource, reached: Vec::new() };

        let found = worded("GET", &segments("/fhir/Patient/{id}"), &words).unwrap();

        assert_eq!(found, [format!("/fhir/Patient/{PLACE}")]);
        assert_eq!(paths(&segments("/a/{rest...}")).len(), 3);
    }
}
