//! The values that a field has in a segment, in a bounded number of bytes.

use super::format::Salt;
use crate::audit::line::encode::hash;

/// So many are kept one by one.
const FEW: usize = 256;
/// Bits of a filter for each value: one in a hundred that are not there seems to be.
const BITS: usize = 10;
/// With fewer than this a filter would say yes too often to be of use.
const LEAST_BITS: usize = 2;

/// What stands for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Digest {
    first: u64,
    second: u64,
}

impl Digest {
    /// Of a value of the field with this number.
    pub(super) fn of(salt: &Salt, field: u8, text: &str) -> Self {
        let hash = hash(&[salt, &[field][..], text.as_bytes()].concat());
        let [first, second] = [hash.first_chunk(), hash.last_chunk()]
            .map(|bytes| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes)));
        Self { first, second }
    }

    /// Its places among so many.
    fn places(self, among: u64, probes: u8) -> impl Iterator<Item = u64> {
        // Two digests make as many as one likes (Kirsch and Mitzenmacher, 2006); an even step could go in circles.
        let place = move |n| self.first.wrapping_add((self.second | 1).wrapping_mul(n));
        (0..u64::from(probes)).filter_map(move |n| place(n).checked_rem(among))
    }
}

/// The values of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Values {
    /// Not known: it may be any.
    Any,
    /// Digests, sorted.
    Few(Vec<u64>),
    /// A Bloom filter, and how many of its bits each value sets.
    Many { bits: Vec<u8>, probes: u8 },
}

impl Values {
    /// These, in so many bytes at most.
    pub(super) fn of(mut digests: Vec<Digest>, bytes: usize) -> Self {
        digests.sort_unstable();
        digests.dedup();
        if digests.len() <= FEW {
            return Self::Few(digests.iter().map(|digest| digest.first).collect());
        }
        let bytes = (digests.len() * BITS / 8).min(bytes);
        let each = bytes * 8 / digests.len();
        if each < LEAST_BITS {
            return Self::Any;
        }
        // ln 2 of the bits that a value has are the best number.
        let probes = u8::try_from(each * 7 / 10).unwrap_or(1).max(1);
        let mut bits = vec![0; bytes];
        let among = 8 * bytes as u64;
        for place in digests.iter().flat_map(|digest| digest.places(among, probes)) {
            if let Some(byte) = usize::try_from(place / 8).ok().and_then(|at| bits.get_mut(at)) {
                *byte |= 1 << (place % 8);
            }
        }
        Self::Many { bits, probes }
    }

    /// Whether this may be one of them.
    pub(super) fn may_have(&self, digest: Digest) -> bool {
        match self {
            Self::Any => true,
            Self::Few(digests) => digests.binary_search(&digest.first).is_ok(),
            Self::Many { bits, probes } => {
                let is_set = |place: u64| {
                    let byte = usize::try_from(place / 8).ok().and_then(|at| bits.get(at));
                    byte.is_none_or(|byte| byte & (1 << (place % 8)) != 0)
                };
                digest.places(8 * bits.len() as u64, *probes).all(is_set)
            }
        }
    }
}
