//! Sets of numbers as bits: of rules, and of peers.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::iter::repeat_n;
use std::ops::Range;

/// Numbers in one word.
const WORD: u32 = 64;

/// A set of numbers. Kept from its first word to its last, so few that are near each other take little.
#[derive(Debug, Clone, Default)]
pub(super) struct Bits {
    from: u32,
    words: Vec<u64>,
}

impl Bits {
    pub(super) fn insert(&mut self, number: u32) {
        let word = number / WORD;
        if self.words.is_empty() {
            self.from = word;
        }
        if let Some(missing) = self.from.checked_sub(word) {
            self.words.splice(0..0, repeat_n(0, missing as usize));
            self.from = word;
        }
        let at = (word - self.from) as usize;
        if self.words.len() <= at {
            self.words.resize(at + 1, 0);
        }
        if let Some(word) = self.words.get_mut(at) {
            *word |= 1 << (number % WORD);
        }
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        self.word(number / WORD) >> (number % WORD) & 1 == 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Numbers `64 * word` to `64 * word + 63`, the first in the lowest bit.
    pub(super) fn word(&self, word: u32) -> u64 {
        let at = word.checked_sub(self.from).map(|at| at as usize);
        at.and_then(|at| self.words.get(at)).copied().unwrap_or(0)
    }

    /// The words that may have a bit.
    pub(super) fn words(&self) -> Range<u32> {
        // As many as there are numbers, at most.
        self.from..self.from.saturating_add(u32::try_from(self.words.len()).unwrap_or(u32::MAX))
    }
}

impl FromIterator<u32> for Bits {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut bits = Self::default();
        numbers.into_iter().for_each(|number| bits.insert(number));
        bits
    }
}

/// The words in which `count` numbers from 0 on are.
pub(super) fn words(count: u32) -> Range<u32> {
    0..count.div_ceil(WORD)
}

/// The first number that has a bit, where `bits` gives each word of `words`.
pub(super) fn first(words: Range<u32>, bits: impl Fn(u32) -> u64) -> Option<u32> {
    let mut words = words.map(|word| (word, bits(word)));
    words.find(|(_, bits)| *bits != 0).map(|(word, bits)| word * WORD + bits.trailing_zeros())
}

/// Which rules take a value: those that name it, and those that take any.
#[derive(Debug)]
pub(super) struct Index<K> {
    named: HashMap<K, Bits>,
    any: Bits,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self { named: HashMap::new(), any: Bits::default() }
    }
}

impl<K: Eq + Hash> Index<K> {
    /// `rule` takes `values`; any, if there is none.
    pub(super) fn take(&mut self, rule: u32, values: impl IntoIterator<Item = K>) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            self.any.insert(rule);
        }
        for value in values {
            self.named.entry(value).or_default().insert(rule);
        }
    }

    /// Which rules take `value`; without one, those that take any.
    pub(super) fn takers<Q: Eq + Hash + ?Sized>(&self, value: Option<&Q>) -> Takers<'_>
    where
        K: Borrow<Q>,
    {
        Takers { named: value.and_then(|value| self.named.get(value)), any: &self.any }
    }
}

/// The rules that take one value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Takers<'a> {
    named: Option<&'a Bits>,
    any: &'a Bits,
}

impl Takers<'_> {
    pub(super) fn word(&self, word: u32) -> u64 {
        self.named.map_or(0, |named| named.word(word)) | self.any.word(word)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_are_a_set(numbers in proptest::collection::vec(0_u32..400, 0..20)) {
            let bits: Bits = numbers.iter().copied().collect();
            let set: BTreeSet<u32> = numbers.into_iter().collect();

            prop_assert_eq!(bits.is_empty(), set.is_empty());
            for number in 0..512 {
                prop_assert_eq!(bits.contains(number), set.contains(&number));
            }
            prop_assert_eq!(first(bits.words(), |word| bits.word(word)), set.first().copied());
            prop_assert_eq!(first(words(400), |word| bits.word(word)), set.first().copied());
        }
    }

    #[test]
    fn rules_that_name_no_value_take_any() {
        let mut index = Index::default();
        index.take(0, ["a", "b"]);
        index.take(1, []);
        let takers = |value| {
            let takers = index.takers(value);
            (0..2).filter(|rule| takers.word(0) >> rule & 1 == 1).collect::<Vec<_>>()
        };

        assert_eq!(takers(Some("a")), [0, 1]);
        assert_eq!(takers(Some("c")), [1]);
        assert_eq!(takers(None), [1]);
    }
}
