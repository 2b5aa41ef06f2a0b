//! An index as it lies on the disk: numbers are little-endian, and the digest of all before ends it.

use super::stamp::Stamp;
use super::values::Values;
use super::{FIELDS, Index};
use crate::audit::line::encode::hash;

/// What it begins with. Another version has another name, and is made anew.
const NAME: &[u8; 16] = b"myelin index 1\n\0";

/// Random bytes.
pub(super) type Salt = [u8; 16];

/// The bytes of the index of a segment with this stamp.
pub(super) fn encode(stamp: &Stamp, index: &Index) -> Vec<u8> {
    let mut bytes = [&NAME[..], &index.salt, &stamp.length.to_le_bytes(), &stamp.end].concat();
    bytes.extend_from_slice(&index.earliest.to_le_bytes());
    bytes.extend_from_slice(&index.latest.to_le_bytes());
    for values in &index.values {
        let (kind, of_values) = match values {
            Values::Any => (0, Vec::new()),
            Values::Few(digests) => {
                (u8::MAX, digests.iter().flat_map(|d| d.to_le_bytes()).collect())
            }
            Values::Many { bits, probes } => (*probes, bits.clone()),
        };
        bytes.push(kind);
        bytes.extend_from_slice(&(of_values.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&of_values);
    }
    bytes.extend_from_slice(&hash(&bytes));
    bytes
}

/// What [`encode`] made these bytes of; `None` if it was something else.
pub(super) fn decode(bytes: &[u8]) -> Option<(Stamp, Index)> {
    let (bytes, digest) = bytes.split_last_chunk::<32>()?;
    if hash(bytes) != *digest {
        return None;
    }
    let mut rest = bytes.strip_prefix(NAME)?;
    let salt = take(&mut rest)?;
    let stamp = Stamp { length: u64::from_le_bytes(take(&mut rest)?), end: take(&mut rest)? };
    let earliest = i128::from_le_bytes(take(&mut rest)?);
    let latest = i128::from_le_bytes(take(&mut rest)?);
    let values = FIELDS.iter().map(|_| values(&mut rest)).collect::<Option<_>>()?;
    rest.is_empty().then_some((stamp, Index { salt, earliest, latest, values }))
}

fn values(rest: &mut &[u8]) -> Option<Values> {
    let [kind] = take(rest)?;
    let length = usize::try_from(u64::from_le_bytes(take(rest)?)).ok()?;
    let (bytes, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(match kind {
        0 => Values::Any,
        u8::MAX => {
            Values::Few(bytes.as_chunks().0.iter().map(|d| u64::from_le_bytes(*d)).collect())
        }
        probes => Values::Many { bits: bytes.to_vec(), probes },
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}
