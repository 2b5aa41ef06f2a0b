//! Which connections of one side must be on the other: those with a peer that the other side is.

use std::collections::{HashMap, HashSet};

use super::{Known, Pair, Side};

/// Names that peers have proved, numbered.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<String, u32>,
    texts: Vec<String>,
    given: [Vec<String>; 2],
}

impl Names {
    /// Of which some are said to be a side's.
    pub(super) fn given(identities: [&[String]; 2]) -> Self {
        Self { given: identities.map(<[String]>::to_vec), ..Self::default() }
    }

    /// The number of a name. There are no more of them than connections.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.numbers.insert(name.to_owned(), number);
        self.texts.push(name.to_owned());
        number
    }

    /// The name with a number.
    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", String::as_str)
    }

    /// The names by which peers know each side: what was given, SPIFFE IDs that end with its service's name, and what
    /// it proved on a connection that both sides have.
    pub(super) fn of_sides<'p>(
        &self,
        known: &[Known; 2],
        pairs: impl Iterator<Item = &'p Pair>,
    ) -> [HashSet<u32>; 2] {
        let mut sides = [Side::A, Side::B].map(|side| {
            let (given, known) = (side.of(&self.given), side.of(known));
            let is_its = |name: &str| {
                let path = name.strip_prefix("spiffe://").and_then(|id| id.split_once('/'));
                let fits = |service: &String| path.is_some_and(|(_, path)| path == service);
                given.iter().any(|given| given == name) || known.services.iter().any(fits)
            };
            let its = self.numbers.iter().filter(|(name, _)| is_its(name));
            its.map(|(_, number)| *number).collect::<HashSet<_>>()
        });
        for pair in pairs.filter(|pair| !pair.is_within) {
            if let [Some(a), Some(b)] = &pair.seen {
                let [names_a, names_b] = &mut sides;
                names_b.extend(a.who);
                names_a.extend(b.who);
            }
        }
        sides
    }
}
