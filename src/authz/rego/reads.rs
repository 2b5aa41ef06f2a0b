//! What of the question a policy looks at, as far as its text shows.
//!
//! For those who put made-up questions: an answer that rests on a field which they do not have is none.

use std::collections::BTreeSet;

/// Every path below `input` that the modules name, like `input.myelin.peer`. One that ends early, because
/// what follows is computed, or a name is given to it, stands for all that is below.
pub(super) fn all<'a>(modules: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    modules.flat_map(|text| of(&uncommented(text))).collect()
}

fn of(text: &str) -> Vec<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let places = text.match_indices("input").filter_map(|(at, word)| {
        let (before, rest) = (text.get(..at)?, text.get(at + word.len()..)?);
        let stands_alone =
            !before.ends_with(|c| is_name(c) || c == '.') && !rest.starts_with(is_name);
        stands_alone.then(|| path(rest))
    });
    places.collect()
}

/// `input` with the fields that follow it.
fn path(mut rest: &str) -> String {
    let mut path = "input".to_owned();
    loop {
        let (name, behind) = if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            after.split_at(end.unwrap_or(after.len()))
        } else if let Some(after) = rest.strip_prefix("[\"")
            && let Some(named) = after.split_once("\"]")
        {
            named
        } else {
            return path;
        };
        path.push('.');
        path.push_str(name);
        rest = behind;
    }
}

/// The text without its comments; lines stay where they are.
pub(super) fn uncommented(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['#', '"', '`']) {
        let (before, from) = rest.split_at(at);
        kept.push_str(before);
        let end = match from.as_bytes().first() {
            Some(b'#') => {
                rest = from.trim_start_matches(|c| c != '\n');
                continue;
            }
            Some(b'"') => closing_quote(from),
            _ => from.get(1..).and_then(|inside| inside.find('`')).map(|end| end + 2),
        };
        let (string, behind) = from.split_at(end.unwrap_or(from.len()));
        kept.push_str(string);
        rest = behind;
    }
    kept.push_str(rest);
    kept
}

/// Where a string ends that begins here.
fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let closes = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes
    });
    end.map(|end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        all([text].into_iter()).into_iter().collect()
    }

    #[test]
    fn fields_are_found_however_they_are_written() {
        let text = "allow if input.myelin.peer == \"lab\"\n\
                    later if input[\"@timestamp\"] > input.now\n\
                    any if input.myelin[x]\n\
                    # input.commented.out\n\
                    hash if \"#\" == input.tls.version # input.b\n\
                    not_it if data.input.x; inputs.y; my_input.z";

        let expected = [
            "input.@timestamp",
            "input.myelin",
            "input.myelin.peer",
            "input.now",
            "input.tls.version",
        ];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn whoever_takes_the_question_as_a_whole_reads_all_of_it() {
        assert_eq!(read("allow if f(input)"), ["input"]);
        assert_eq!(read("import input as question"), ["input"]);
    }
}
