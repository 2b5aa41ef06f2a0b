//! Of several keys, exactly one.

use crate::config::problem::Fault;
use crate::config::read::{Fields, Reader};
use crate::config::yaml::Node;

/// What was found of several keys of which exactly one is wanted.
pub(super) enum Only<T> {
    /// Exactly one, and it is good.
    One(T),
    /// None. What that means is the caller's to say.
    Absent,
    /// Several, or a wrong one: it has been said.
    Wrong,
}

impl<T> Only<T> {
    /// What is there. `absent` notes that nothing is.
    pub(super) fn or(self, absent: impl FnOnce()) -> Option<T> {
        match self {
            Self::One(value) => Some(value),
            Self::Absent => {
                absent();
                None
            }
            Self::Wrong => None,
        }
    }
}

/// The one of `keys` that is given. All that are given are read, so that one run shows everything; of
/// those beside the first a fault says `why` there is exactly one, and how to mend it.
pub(super) fn only<'a, T>(
    reader: &Reader<'a>,
    fields: &mut Fields<'_, 'a>,
    keys: &[&'static str],
    (why, mend): (&str, &str),
    read: impl Fn(&Reader<'a>, &'static str, &Node) -> Option<T>,
) -> Only<T> {
    let given: Vec<_> = keys.iter().filter_map(|key| Some((*key, fields.entry(key)?))).collect();
    if let [(first, _), others @ ..] = given.as_slice() {
        for (other, beside) in others {
            let text = format!("`{other}` beside `{first}`: {why}");
            reader.error(beside.at(), Fault::new(text).hint(mend));
        }
    }
    let mut values: Vec<_> =
        given.iter().map(|(key, entry)| read(reader, key, &entry.node)).collect();
    match (values.len(), values.pop()) {
        (0, _) => Only::Absent,
        (1, Some(Some(value))) => Only::One(value),
        _ => Only::Wrong,
    }
}
