//! From method and path to the interaction.

use std::fmt;

use super::Interaction;
use super::resources::resource;

/// Types whose instances have a compartment (R4, CompartmentDefinition).
const COMPARTMENTS: [&str; 5] = ["Device", "Encounter", "Patient", "Practitioner", "RelatedPerson"];

/// The longest id of a resource or version (R4, 2.24.0.1).
const LONGEST_ID: usize = 64;

/// The longest name of an operation.
const LONGEST_OPERATION: usize = 64;

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The interaction.
    pub interaction: Interaction,
    /// The type of resource that it is about. In a compartment: the type that is searched for.
    pub resource: Option<&'static str>,
    /// The id that the path names: a resource's, or the compartment's.
    pub id: Option<&'a str>,
    shape: Shape<'a>,
}

/// Without the id: it may be a patient's number.
impl fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.interaction.code(), self.template(""))
    }
}

/// The shapes of FHIR's paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape<'a> {
    /// The base itself, or one word below it.
    System(&'a str),
    /// A type, and perhaps one word below it.
    Type(&'static str, &'a str),
    /// A resource, and perhaps one word below it.
    Instance(&'static str, &'a str),
    /// A version of a resource, and perhaps one word below it.
    Version(&'static str, &'a str),
    /// What is in the compartment of a resource: of one type, or of all (`*`); perhaps one word below it.
    Compartment(&'static str, &'a str, &'a str),
}

/// What a request asks for with this method and `rest`, the decoded path below the base. `None`: no
/// interaction of the standard.
///
/// Types and ids are taken in exactly the standard's form. A slash at the end is one more spelling of the
/// base and of a type; after an id it once meant the whole compartment (DSTU2), so there it is nothing.
pub fn classify<'a>(method: &str, rest: &'a str) -> Option<Asked<'a>> {
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    let mut parts = rest.split('/');
    let first = parts.next()?;
    let path = [parts.next(), parts.next(), parts.next(), parts.next()];
    if parts.next().is_some() {
        return None;
    }
    match (resource(first), path) {
        (None, [None, ..]) => system(method, first),
        (None, [Some(_), ..]) => None,
        (Some(kind), [None | Some(""), None, ..]) => of_type(method, kind, ""),
        (Some(kind), [Some(word), None, ..]) if !is_id(word) => of_type(method, kind, word),
        (Some(kind), [Some(id), below @ ..]) if is_id(id) => of_instance(method, kind, id, below),
        (Some(_), _) => None,
    }
}

fn system<'a>(method: &str, word: &'a str) -> Option<Asked<'a>> {
    let interaction = match (verb(method)?, word) {
        (Verb::Get, "") => Interaction::SearchSystem,
        (Verb::Post, "") => Interaction::Batch,
        (Verb::Post, "_search") => Interaction::SearchSystem,
        (Verb::Get, "_history") => Interaction::HistorySystem,
        (Verb::Get, "metadata") => Interaction::Capabilities,
        (Verb::Get | Verb::Post, _) if is_operation(word) => Interaction::Operation,
        _ => return None,
    };
    Some(Asked { interaction, resource: None, id: None, shape: Shape::System(word) })
}

fn of_type<'a>(method: &str, kind: &'static str, word: &'a str) -> Option<Asked<'a>> {
    let interaction = match (verb(method)?, word) {
        (Verb::Get, "") => Interaction::SearchType,
        (Verb::Post, "") => Interaction::Create,
        // Conditional: the query says which resource is meant.
        (Verb::Put, "") => Interaction::Update,
        (Verb::Patch, "") => Interaction::Patch,
        (Verb::Delete, "") => Interaction::Delete,
        (Verb::Post, "_search") => Interaction::SearchType,
        (Verb::Get, "_history") => Interaction::HistoryType,
        (Verb::Get | Verb::Post, _) if is_operation(word) => Interaction::Operation,
        _ => return None,
    };
    Some(Asked { interaction, resource: Some(kind), id: None, shape: Shape::Type(kind, word) })
}

fn of_instance<'a>(
    method: &str,
    kind: &'static str,
    id: &'a str,
    below: [Option<&'a str>; 3],
) -> Option<Asked<'a>> {
    let verb = verb(method)?;
    let is_compartment = COMPARTMENTS.contains(&kind);
    let (interaction, shape) = match (verb, below) {
        (Verb::Get, [None, ..]) => (Interaction::Read, Shape::Instance(kind, "")),
        (Verb::Put, [None, ..]) => (Interaction::Update, Shape::Instance(kind, "")),
        (Verb::Patch, [None, ..]) => (Interaction::Patch, Shape::Instance(kind, "")),
        (Verb::Delete, [None, ..]) => (Interaction::Delete, Shape::Instance(kind, "")),
        (Verb::Get, [Some(word @ "_history"), None, ..]) => {
            (Interaction::HistoryInstance, Shape::Instance(kind, word))
        }
        (Verb::Get, [Some("_history"), Some(version), None]) if is_id(version) => {
            (Interaction::Vread, Shape::Version(kind, ""))
        }
        (Verb::Get | Verb::Post, [Some("_history"), Some(version), Some(word)])
            if is_id(version) && is_operation(word) =>
        {
            (Interaction::Operation, Shape::Version(kind, word))
        }
        (Verb::Get | Verb::Post, [Some(word), None, ..]) if is_operation(word) => {
            (Interaction::Operation, Shape::Instance(kind, word))
        }
        (verb, [Some(of), search, None]) if is_compartment => {
            return in_compartment(verb, (kind, id), of, search);
        }
        _ => return None,
    };
    Some(Asked { interaction, resource: Some(kind), id: Some(id), shape })
}

fn in_compartment<'a>(
    verb: Verb,
    (kind, id): (&'static str, &'a str),
    of: &'a str,
    search: Option<&'a str>,
) -> Option<Asked<'a>> {
    let word = match (verb, search) {
        (Verb::Get, None) => "",
        (Verb::Post, Some(word @ "_search")) => word,
        _ => return None,
    };
    let shape = Shape::Compartment(kind, of, word);
    let (interaction, resource) = match (of, resource(of)) {
        (_, Some(found)) => (Interaction::SearchType, Some(found)),
        ("*", None) => (Interaction::SearchSystem, None),
        (_, None) => return None,
    };
    Some(Asked { interaction, resource, id: Some(id), shape })
}

impl<'a> Asked<'a> {
    /// The resource that the path names: its type and its id. In a compartment, whose that is.
    pub fn subject(&self) -> Option<(&'static str, &'a str)> {
        let id = self.id?;
        match self.shape {
            Shape::System(_) | Shape::Type(..) => None,
            Shape::Instance(kind, _) | Shape::Version(kind, _) | Shape::Compartment(kind, ..) => {
                Some((kind, id))
            }
        }
    }

    /// The operation, with its `$`.
    pub fn operation(&self) -> Option<&'a str> {
        (self.interaction == Interaction::Operation).then(|| self.word())
    }

    /// Whether it is a search whose parameters may stand in its body, as a form.
    pub fn has_form(&self) -> bool {
        self.word() == "_search"
    }

    /// The last word of the path, where it is one of the standard's.
    fn word(&self) -> &'a str {
        match self.shape {
            Shape::System(word)
            | Shape::Type(_, word)
            | Shape::Instance(_, word)
            | Shape::Version(_, word)
            | Shape::Compartment(_, _, word) => word,
        }
    }

    /// The path below `base` with names in place of ids: `/fhir/Patient/{id}/_history/{vid}`.
    pub fn template(&self, base: &str) -> String {
        let mut text = base.trim_end_matches('/').to_owned();
        let (parts, word): ([&str; 3], &str) = match self.shape {
            Shape::System(word) => ([""; 3], word),
            Shape::Type(kind, word) => ([kind, "", ""], word),
            Shape::Instance(kind, word) => ([kind, "{id}", ""], word),
            Shape::Version(kind, word) => ([kind, "{id}", "_history/{vid}"], word),
            Shape::Compartment(kind, of, word) => ([kind, "{id}", of], word),
        };
        for part in parts.into_iter().chain([shown(word)]).filter(|part| !part.is_empty()) {
            text.push('/');
            text.push_str(part);
        }
        if text.is_empty() {
            text.push('/');
        }
        text
    }
}

/// The methods of the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    /// HEAD as well: it answers as GET does, without the body.
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

fn verb(method: &str) -> Option<Verb> {
    match method {
        "GET" | "HEAD" => Some(Verb::Get),
        "POST" => Some(Verb::Post),
        "PUT" => Some(Verb::Put),
        "PATCH" => Some(Verb::Patch),
        "DELETE" => Some(Verb::Delete),
        _ => None,
    }
}

pub(super) fn is_id(text: &str) -> bool {
    (1..=LONGEST_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

/// `$everything`: operations are part of a server's schema, not of its data.
fn is_operation(text: &str) -> bool {
    text.strip_prefix('$').is_some_and(|name| {
        (1..=LONGEST_OPERATION).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
    })
}

/// The last word as templates show it. An operation with a digit in its name might be somebody's number.
fn shown(word: &str) -> &str {
    let might_be_data = word.starts_with('$') && word.bytes().any(|byte| byte.is_ascii_digit());
    if might_be_data { "${operation}" } else { word }
}
