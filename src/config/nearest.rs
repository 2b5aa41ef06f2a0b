//! What a misspelt name was probably meant to be.

/// Longest text that may be a slip of the hand for a known name.
const MAX_SLIP: usize = 100;

/// The one of `known` that `name` was probably meant to be.
pub fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > MAX_SLIP {
        return None;
    }
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let name = plain(name);
    // A third of the letters may be wrong, one always.
    let bound = (name.chars().count() / 3).max(1);
    known
        .map(|known| (strsim::damerau_levenshtein(&name, &plain(known)), known))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_one_that_a_slip_of_the_hand_explains() {
        let known = ["listen", "limits", "forward", "forward_protocol"];
        let nearest = |name| nearest(name, known.into_iter());

        assert_eq!(nearest("lisen"), Some("listen"));
        assert_eq!(nearest("Listen"), Some("listen"));
        assert_eq!(nearest("forward-protocol"), Some("forward_protocol"));
        assert_eq!(nearest("address"), None);
        assert_eq!(nearest(&"x".repeat(1000)), None);
    }
}
