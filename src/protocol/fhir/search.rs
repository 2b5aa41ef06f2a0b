//! What the query of a search tells: by which parameters, and whose resources. Never the values.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::classify::is_id;
use super::names::is_known;
use super::percent::{self, LONGEST};
use super::resources::{is_resource, resource};

/// Most names that are told.
const MOST_NAMES: usize = 16;
/// Most resources that are told.
const MOST_SUBJECTS: usize = 8;
/// Most parts of a name: `_has:Observation:patient:_has:AuditEvent:entity:agent` is in the standard.
const MOST_PARTS: usize = 8;

/// What the query of a search tells. No `Debug`: ids may be patients' numbers.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Search<'a> {
    /// Names of parameters with their chains and modifiers, in alphabetical order. Only what is made of the
    /// standard's words: others may be anything.
    pub parameters: Vec<String>,
    /// How many parameters have names of their own, or too many.
    pub others: usize,
    /// The resources that parameters name by type and id: `patient=4711`, `subject=Patient/4711`, `_id=4711`.
    pub subjects: Vec<(&'static str, Cow<'a, str>)>,
}

/// Reads the parameters of a request that is about resources of type `kind`: its query, and the form in its body.
pub fn search<'a>(
    kind: Option<&'static str>,
    parameters: impl IntoIterator<Item = &'a str>,
) -> Search<'a> {
    let (mut names, mut found) = (BTreeSet::new(), Search::default());
    let pairs = parameters.into_iter().flat_map(|parameters| parameters.split('&'));
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(name) = decoded(name).filter(|name| is_of_the_standard(name)) else {
            found.others += 1;
            continue;
        };
        for id in subjects(kind, &name, value) {
            if found.subjects.len() < MOST_SUBJECTS && !found.subjects.contains(&id) {
                found.subjects.push(id);
            }
        }
        if names.len() < MOST_NAMES || names.contains(name.as_ref()) {
            names.insert(name.into_owned());
        } else {
            found.others += 1;
        }
    }
    found.parameters = names.into_iter().collect();
    found
}

/// `name`, `subject:Patient.birthdate`, `_has:Observation:patient:code`.
fn is_of_the_standard(name: &str) -> bool {
    let parts = || name.split([':', '.']);
    parts().count() <= MOST_PARTS && parts().all(|part| is_known(part) || is_resource(part))
}

/// What one parameter names by type and id.
fn subjects<'a>(
    kind: Option<&'static str>,
    name: &str,
    value: &'a str,
) -> Vec<(&'static str, Cow<'a, str>)> {
    if name.contains('.') {
        return Vec::new(); // it is about something else of the resource that it leads to
    }
    let (base, modifier) = name.split_once(':').unwrap_or((name, ""));
    let of = match base {
        "_id" => kind,
        "patient" => Some("Patient"),
        _ => resource(modifier),
    };
    let values = match decoded(value) {
        Some(Cow::Borrowed(value)) => value.split(',').map(Cow::Borrowed).collect(),
        Some(Cow::Owned(value)) => value.split(',').map(|one| Cow::Owned(one.to_owned())).collect(),
        None => Vec::new(),
    };
    let named = |value: Cow<'a, str>| match reference(&value) {
        Some((kind, start)) => Some((kind, tail(value, start))),
        None => of.filter(|_| is_id(&value)).map(|kind| (kind, value)),
    };
    values.into_iter().filter_map(named).collect()
}

/// `Patient/4711`, behind the base of its server or not: the type, and where the id begins.
fn reference(value: &str) -> Option<(&'static str, usize)> {
    let (before, id) = value.rsplit_once('/')?;
    let kind = before.rsplit('/').next().and_then(resource)?;
    is_id(id).then_some((kind, before.len() + 1))
}

fn tail(value: Cow<'_, str>, start: usize) -> Cow<'_, str> {
    match value {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(start..).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(start..).unwrap_or_default().to_owned()),
    }
}

/// Percent-encoding taken off. `None`: too long, or not UTF-8.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if text.len() <= LONGEST && !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    percent::decoded(text, &mut [0; LONGEST]).map(|text| Cow::Owned(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(query: &str) -> (Vec<String>, usize) {
        let found = search(Some("Patient"), [query]);
        (found.parameters, found.others)
    }

    fn subjects(query: &str) -> Vec<String> {
        let found = search(Some("Observation"), [query]).subjects;
        found.into_iter().map(|(kind, id)| format!("{kind}/{id}")).collect()
    }

    #[test]
    fn names_of_the_standard_are_told_in_order_and_others_counted() {
        let (told, others) =
            names("name=Meier&_id=4711&birthdate=ge1970&name=X&Meier=1&mrn=4711&_count");

        assert_eq!(told, ["_count", "_id", "birthdate", "name"]);
        assert_eq!(others, 2);
        let chained =
            "patient.identifier=1&_has:Observation:patient:code=2&name:exact=3&subject%3APatient=4";
        let (told, others) = names(chained);
        assert_eq!(
            told,
            [
                "_has:Observation:patient:code",
                "name:exact",
                "patient.identifier",
                "subject:Patient"
            ]
        );
        assert_eq!(others, 0);
        assert_eq!(names(""), (Vec::new(), 0));
        assert_eq!(names("name:Meier=1&Meier.name=2&%zz=3&=4"), (Vec::new(), 4));
    }

    #[test]
    fn however_many_names_come_a_bounded_number_is_told() {
        let many: Vec<_> = ["code", "date", "name", "status", "patient"]
            .iter()
            .flat_map(|name| {
                ["exact", "missing", "contains", "not"].map(|of| format!("{name}:{of}=1"))
            })
            .collect();

        let (told, others) = names(&many.join("&"));

        assert_eq!((told.len(), others), (16, 4));
    }

    #[test]
    fn resources_are_found_by_type_and_id_however_they_are_written() {
        assert_eq!(subjects("patient=4711"), ["Patient/4711"]);
        assert_eq!(subjects("patient=Patient/4711&code=x"), ["Patient/4711"]);
        assert_eq!(subjects("subject=Patient%2F4711"), ["Patient/4711"]);
        assert_eq!(subjects("subject:Patient=4711"), ["Patient/4711"]);
        assert_eq!(subjects("subject=https://ehr/fhir/Group/7"), ["Group/7"]);
        assert_eq!(subjects("_id=a,b,a"), ["Observation/a", "Observation/b"]);
        assert_eq!(subjects("patient=1,2%2C3"), ["Patient/1", "Patient/2", "Patient/3"]);
        for none in
            ["subject=4711", "patient.identifier=4711", "patient=a b", "patient=x/y", "code=a/b"]
        {
            assert_eq!(subjects(none), [""; 0], "{none}");
        }
        let many: Vec<_> = (0..20).map(|id| id.to_string()).collect();
        assert_eq!(subjects(&format!("patient={}", many.join(","))).len(), MOST_SUBJECTS);
    }

    proptest! {
        #[test]
        fn nothing_but_words_of_the_standard_is_told(query in "[a-zA-Z_:.%&=0-9/]{0,80}") {
            for name in search(None, [&*query]).parameters {
                let all_known = name.split([':', '.']).all(|part| is_known(part) || is_resource(part));
                prop_assert!(all_known, "{name}");
            }
        }
    }
}
