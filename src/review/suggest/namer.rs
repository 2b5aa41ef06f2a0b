//! Names for what has none: plain, short, and each once.

use std::collections::BTreeSet;

/// Longest name of the configuration, with room for a number.
const LONGEST: usize = 56;

/// Gives names.
#[derive(Debug, Default)]
pub(super) struct Namer {
    taken: BTreeSet<String>,
}

impl Namer {
    /// Does not give this name.
    pub(super) fn take(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// A name like `wanted` that nothing else has.
    pub(super) fn name(&mut self, wanted: &str) -> String {
        let plain = slug(wanted);
        let numbered = (2_u32..).map(|number| format!("{plain}-{number}"));
        let name = std::iter::once(plain.clone()).chain(numbered).find(|n| !self.taken.contains(n));
        let name = name.unwrap_or(plain);
        self.taken.insert(name.clone());
        name
    }
}

/// `text` as a name: letters, digits and dashes.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' | '0'..='9' | '.' | '_' if slug.len() < LONGEST => slug.push(c),
            _ if !slug.ends_with('-') && !slug.is_empty() && slug.len() < LONGEST => slug.push('-'),
            _ => {}
        }
    }
    let slug = slug.trim_start_matches(['.', '_', '-']).trim_end_matches(['.', '_', '-']);
    if slug.is_empty() { "rule".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_and_given_once() {
        let mut namer = Namer::default();

        assert_eq!(namer.name("Patient"), "patient");
        assert_eq!(namer.name("patient"), "patient-2");
        assert_eq!(namer.name("$everything"), "everything");
        assert_eq!(namer.name("ADT^A01"), "adt-a01");
        assert_eq!(namer.name("ü"), "rule");
    }
}
