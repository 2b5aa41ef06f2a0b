//! From method and path to the transaction.

use std::fmt;

use super::Transaction;

/// The longest UID (PS3.5, 9.1).
const LONGEST_UID: usize = 64;

/// The longest AE title (PS3.5, 6.2).
const LONGEST_AE: usize = 16;

/// How deep the path to a piece of bulk data may go below its instance.
const DEEPEST_BULK: usize = 16;

/// The longest part of such a path.
const LONGEST_BULK_PART: usize = 64;

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The transaction.
    pub transaction: Transaction,
    /// The study that the path names.
    pub study: Option<&'a str>,
    /// Its path below the base, with names in place of UIDs.
    template: Template,
}

/// Without the study: its UID leads to a patient.
impl fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transaction.name(), self.template(""))
    }
}

/// A template in two pieces: where, and what of it.
type Template = (&'static str, &'static str);

impl Asked<'_> {
    /// The path below `base` with names in place of UIDs: `/dicom-web/studies/{study}/series`.
    pub fn template(&self, base: &str) -> String {
        let (place, of) = self.template;
        let text = [base.trim_end_matches('/'), place, of].concat();
        if text.is_empty() { "/".to_owned() } else { text }
    }
}

/// What a request asks for with this method and `rest`, the decoded path below the base. `None`: no
/// transaction of the standard.
pub fn classify<'a>(method: &str, rest: &'a str) -> Option<Asked<'a>> {
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    let (first, below) = match rest.split_once('/') {
        Some((first, below)) => (first, Some(below)),
        None => (rest, None),
    };
    let is_get = matches!(method, "GET" | "HEAD");
    let asked =
        |transaction, place| Some(Asked { transaction, study: None, template: (place, "") });
    match (first, below) {
        // WADO-URI: everything is in the query.
        ("", None) if is_get => asked(Transaction::Retrieve, ""),
        ("studies", None) if is_get => asked(Transaction::Search, "/studies"),
        ("series", None) if is_get => asked(Transaction::Search, "/series"),
        ("instances", None) if is_get => asked(Transaction::Search, "/instances"),
        ("studies", None) if method == "POST" => asked(Transaction::Store, "/studies"),
        ("studies", Some(below)) => in_study(method, below),
        ("workitems", _) => in_worklist(method, below),
        // The WebSocket over which a worklist tells its subscribers.
        ("subscribers", Some(ae)) if is_get && is_ae(ae) => {
            asked(Transaction::Worklist, "/subscribers/{ae}")
        }
        _ => None,
    }
}

/// How deep in the patient's tree a path points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Study,
    Series,
    Instance,
}

fn in_study<'a>(method: &str, below: &'a str) -> Option<Asked<'a>> {
    let (study, rest) = uid(below)?;
    let (level, rest) = match rest.map(|rest| under(rest, "series")) {
        None => (Level::Study, None),
        Some(None) => (Level::Study, rest),
        Some(Some(below)) => {
            let (_series, rest) = uid(below)?;
            match rest.map(|rest| under(rest, "instances")) {
                None => (Level::Series, None),
                Some(None) => (Level::Series, rest),
                Some(Some(below)) => (Level::Instance, uid(below)?.1),
            }
        }
    };
    let place = match level {
        Level::Study => "/studies/{study}",
        Level::Series => "/studies/{study}/series/{series}",
        Level::Instance => "/studies/{study}/series/{series}/instances/{instance}",
    };
    let (transaction, of) =
        match (method, rest) {
            ("POST", None) if level == Level::Study => (Transaction::Store, ""),
            ("GET" | "HEAD", None) => (Transaction::Retrieve, ""),
            ("GET" | "HEAD", Some(rest)) => searched(level, rest)
                .map(|of| (Transaction::Search, of))
                .or_else(|| retrieved(level, rest).map(|of| (Transaction::Retrieve, of)))?,
            _ => return None,
        };
    Some(Asked { transaction, study: Some(study), template: (place, of) })
}

/// QIDO-RS below a study.
fn searched(level: Level, rest: &str) -> Option<&'static str> {
    match (level, rest) {
        (Level::Study, "series") => Some("/series"),
        (Level::Study | Level::Series, "instances") => Some("/instances"),
        (Level::Study | Level::Series | Level::Instance, _) => None,
    }
}

/// WADO-RS: what there is of a study, a series or an instance beside itself.
fn retrieved(level: Level, rest: &str) -> Option<&'static str> {
    let (first, below) = match rest.split_once('/') {
        Some((first, below)) => (first, Some(below)),
        None => (rest, None),
    };
    match (first, below) {
        ("metadata", None) => Some("/metadata"),
        ("rendered", None) => Some("/rendered"),
        ("thumbnail", None) => Some("/thumbnail"),
        ("pixeldata", None) => Some("/pixeldata"),
        ("bulkdata", None) => Some("/bulkdata"),
        ("bulkdata" | "bulk", Some(path)) if is_bulk(path) => Some("/bulkdata/{rest...}"),
        ("frames", Some(frames)) if level == Level::Instance => frames_of(frames),
        _ => None,
    }
}

fn frames_of(text: &str) -> Option<&'static str> {
    let (list, of) = match text.split_once('/') {
        Some((list, of)) => (list, Some(of)),
        None => (text, None),
    };
    let is_list =
        !list.is_empty() && list.bytes().all(|byte| byte.is_ascii_digit() || byte == b',');
    match of {
        _ if !is_list => None,
        None => Some("/frames/{frames}"),
        Some("rendered") => Some("/frames/{frames}/rendered"),
        Some("thumbnail") => Some("/frames/{frames}/thumbnail"),
        Some(_) => None,
    }
}

/// UPS-RS.
fn in_worklist<'a>(method: &str, below: Option<&'a str>) -> Option<Asked<'a>> {
    let asked = |of| {
        let (transaction, template) = (Transaction::Worklist, ("/workitems", of));
        Some(Asked { transaction, study: None, template })
    };
    let Some(below) = below else {
        return matches!(method, "GET" | "HEAD" | "POST").then(|| asked(""))?;
    };
    let (_item, rest) = uid(below)?;
    match (method, rest) {
        ("GET" | "HEAD" | "POST" | "PUT", None) => asked("/{item}"),
        ("PUT", Some("state")) => asked("/{item}/state"),
        ("POST", Some("cancelrequest")) => asked("/{item}/cancelrequest"),
        ("POST" | "DELETE", Some(rest)) => {
            let subscriber = under(rest, "subscribers")?;
            match subscriber.split_once('/') {
                None if is_ae(subscriber) => asked("/{item}/subscribers/{ae}"),
                Some((ae, "suspend")) if method == "POST" && is_ae(ae) => {
                    asked("/{item}/subscribers/{ae}/suspend")
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// What comes below `name` in `rest`.
fn under<'a>(rest: &'a str, name: &str) -> Option<&'a str> {
    rest.strip_prefix(name)?.strip_prefix('/')
}

/// The UID with which `text` begins, and what comes below it.
fn uid(text: &str) -> Option<(&str, Option<&str>)> {
    let (uid, rest) = match text.split_once('/') {
        Some((uid, rest)) => (uid, Some(rest)),
        None => (text, None),
    };
    let fits = (1..=LONGEST_UID).contains(&uid.len())
        && uid.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    fits.then_some((uid, rest))
}

fn is_ae(text: &str) -> bool {
    (1..=LONGEST_AE).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'/' | b'\\'))
}

/// Tags, item numbers and file names: servers choose them, and refer to them in the metadata.
fn is_bulk(path: &str) -> bool {
    let fits = |part: &str| {
        (1..=LONGEST_BULK_PART).contains(&part.len())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
    };
    path.split('/').all(fits) && path.split('/').count() <= DEEPEST_BULK
}
