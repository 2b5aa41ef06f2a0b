//! Listeners that let through what they will refuse one day: plaintext, or what policy denies.

use std::time::Duration;

use time::OffsetDateTime;

use crate::clock;
use crate::config::Protocol;
use crate::config::check::YEAR;
use crate::config::check::dates::has_passed;
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Fields, Located, Reader, located};
use crate::config::scalar::{choice, flag, moment};
use crate::identity::ListenerName;

/// What a listener does besides, and until when.
pub(super) struct Lenient {
    /// Takes plaintext, too.
    pub(super) permissive_until: Option<OffsetDateTime>,
    /// Lets through what policy denies.
    pub(super) observe_until: Option<OffsetDateTime>,
    /// Puts the shapes of paths on record while it does.
    pub(super) observe_paths: bool,
}

const MODES: &[(&str, bool)] = &[("strict", false), ("permissive", true)];

/// `mode`, `enforce`, `observe_paths` and `until`.
pub(super) fn lenient(
    reader: &Reader<'_>,
    fields: &mut Fields<'_, '_>,
    name: Option<&Located<ListenerName>>,
    protocol: Option<Protocol>,
) -> Option<Lenient> {
    let mode = fields.optional("mode", located(choice(MODES, &[])));
    let enforce = fields.optional("enforce", located(flag));
    let paths = fields.optional("observe_paths", located(flag));
    let until = fields.optional("until", located(moment));
    let permissive = mode?.filter(|mode| mode.value);
    let observe = enforce?.filter(|enforce| !enforce.value);
    if let Some(mode) = permissive.as_ref().filter(|_| protocol == Some(Protocol::Tcp)) {
        let fault = Fault::new(
            "`mode: permissive` is not for `protocol: tcp`: where the server may speak first, nobody \
             can tell plaintext from TLS",
        );
        reader.error(mode.at(), fault.hint("name the protocol if it is http, mllp or dicom"));
    }
    let paths = paths?.filter(|paths| paths.value);
    let observe_paths = paths.is_some();
    if let Some(paths) = paths {
        of_paths(reader, name, &paths, observe.is_some())?;
    }
    let end = match until? {
        Some(until) if permissive.is_none() && observe.is_none() => {
            let text = "`until` without `mode: permissive` or `enforce: false`: nothing ends then";
            let fault = Fault::new(text).hint("remove it, or add what is to end");
            reader.error(until.at(), fault);
            return None;
        }
        Some(until) => {
            tell(reader, name, &until, (permissive.as_ref(), observe.as_ref()));
            Some(until.value)
        }
        None => {
            let lenient = [("mode: permissive", &permissive), ("enforce: false", &observe)];
            let endless = lenient.into_iter().filter_map(|(what, key)| Some((what, key.as_ref()?)));
            if endless.map(|(what, key)| without_end(reader, what, key)).count() > 0 {
                return None;
            }
            None
        }
    };
    let (permissive_until, observe_until) = (permissive.and(end), observe.and(end));
    Some(Lenient { permissive_until, observe_until, observe_paths })
}

/// Says what `observe_paths` puts on record, or that it has no end.
fn of_paths(
    reader: &Reader<'_>,
    name: Option<&Located<ListenerName>>,
    paths: &Located<bool>,
    is_observed: bool,
) -> Option<()> {
    if !is_observed {
        let text = "`observe_paths` without `enforce: false`: paths are looked at while policy is observed";
        let hint =
            "add `enforce: false` and `until: YYYY-MM-DD`, or remove it: routes have templates";
        reader.error(paths.at(), Fault::new(text).hint(hint));
        return None;
    }
    let name = name.map_or_else(|| "this listener".into(), |name| quoted(&name.written));
    let fault = Fault::new(format!(
        "while policy is observed, {name} puts the words of paths on record, and {{id}} for all else"
    ));
    let hint = "a workload with patients' names in its paths should not have this; `myelin policy suggest` \
                makes routes of what is seen";
    reader.warn(paths.at(), fault.hint(hint));
    Some(())
}

fn without_end(reader: &Reader<'_>, what: &str, at: &Located<bool>) {
    let hint = "add `until: YYYY-MM-DD`, after which the listener turns strict by itself";
    reader.error(at.at(), Fault::new(format!("`{what}` has no end")).hint(hint));
}

/// Says what it means until then, or that it means nothing any more.
fn tell(
    reader: &Reader<'_>,
    name: Option<&Located<ListenerName>>,
    until: &Located<OffsetDateTime>,
    (permissive, observe): (Option<&Located<bool>>, Option<&Located<bool>>),
) {
    let name = name.map_or_else(|| "this listener".into(), |name| quoted(&name.written));
    let end = quoted(&until.written);
    if has_passed(until) {
        let fault = Fault::new(format!("{name} is strict: {end} has passed"));
        let hint = "remove `until` and what it ended, or set a later date";
        return reader.warn(until.at(), fault.hint(hint));
    }
    if let Some(mode) = permissive {
        let fault = Fault::new(format!(
            "until {end}, {name} takes plaintext, too: from anybody who reaches it, unauthenticated"
        ));
        reader
            .warn(mode.at(), fault.hint("`/status` and the records say who still comes that way"));
    }
    if let Some(enforce) = observe {
        let fault = Fault::new(format!(
            "until {end}, {name} lets through what policy denies, to everybody with a valid certificate"
        ));
        reader.warn(enforce.at(), fault.hint("`/status` and the records say what would be denied"));
    }
    if until.value > clock::now() + Duration::from_secs(YEAR) {
        let fault = Fault::new(format!("{end} is more than a year away"));
        reader.warn(until.at(), fault.hint("set an earlier date: what has a far end is forgotten"));
    }
}
