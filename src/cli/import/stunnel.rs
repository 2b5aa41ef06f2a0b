//! `stunnel.conf` as stunnel reads it (stunnel(8), CONFIGURATION FILE): options, and services that inherit them.

use std::fmt;

/// A configuration file.
#[derive(Debug, Default)]
pub(super) struct File {
    /// What stands before the first service: for the program, or the services' defaults.
    pub(super) global: Vec<Entry>,
    /// The services, in their order.
    pub(super) services: Vec<Section>,
}

/// `[NAME]` and what follows.
#[derive(Debug)]
pub(super) struct Section {
    /// As it stands in the file.
    pub(super) name: String,
    /// Where.
    pub(super) line: usize,
    /// Its options, in their order.
    pub(super) entries: Vec<Entry>,
}

/// `option = value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// In lower case: stunnel does not tell them apart.
    pub(super) key: String,
    /// Without the blanks around it.
    pub(super) value: String,
    /// Where.
    pub(super) line: usize,
}

/// A line that is none of stunnel's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Odd {
    line: usize,
    what: &'static str,
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl File {
    /// Reads a whole file.
    ///
    /// # Errors
    ///
    /// The first line that stunnel would not take. It is not repeated, since it may hold a secret.
    pub(super) fn parse(text: &str) -> Result<Self, Odd> {
        let mut file = Self::default();
        for (number, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let odd = |what| Odd { line: number, what };
            let text = text.trim();
            if text.is_empty() || text.starts_with([';', '#']) {
                continue;
            }
            if let Some(name) = text.strip_prefix('[') {
                let name =
                    name.strip_suffix(']').ok_or_else(|| odd("a service's name ends with ]"))?;
                let section =
                    Section { name: name.trim().to_owned(), line: number, entries: Vec::new() };
                file.services.push(section);
                continue;
            }
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| odd("neither `option = value` nor `[service]`"))?;
            let (key, value) = (key.trim().to_lowercase(), value.trim().to_owned());
            let entry = Entry { key, value, line: number };
            match file.services.last_mut() {
                Some(service) => service.entries.push(entry),
                None => file.global.push(entry),
            }
        }
        Ok(file)
    }
}

impl Section {
    /// What an option says for this service: its own last word, or else the default before all services.
    pub(super) fn get<'a>(&'a self, file: &'a File, key: &str) -> Option<&'a Entry> {
        let last = |entries: &'a [Entry]| entries.iter().rev().find(|entry| entry.key == key);
        last(&self.entries).or_else(|| last(&file.global))
    }

    /// All that an option says that may stand several times.
    pub(super) fn all<'a>(&'a self, file: &'a File, key: &str) -> Vec<&'a Entry> {
        let of = |entries: &'a [Entry]| {
            entries.iter().filter(|entry| entry.key == key).collect::<Vec<_>>()
        };
        let own = of(&self.entries);
        if own.is_empty() { of(&file.global) } else { own }
    }

    /// Whether an option is `yes`.
    pub(super) fn is(&self, file: &File, key: &str) -> bool {
        self.get(file, key).is_some_and(|entry| entry.value.eq_ignore_ascii_case("yes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\u{feff}; comment\npid =\ncert=/a.pem\n\n[db]\n  CONNECT = 1\nconnect = 2 \n[web]\ncert = /b.pem\n";

    #[test]
    fn services_inherit_what_stands_before_them_and_may_say_otherwise() {
        let file = File::parse(FILE).unwrap();
        let [db, web] = &file.services[..] else { panic!("{file:?}") };

        assert_eq!((db.name.as_str(), db.line), ("db", 5));
        assert_eq!(db.get(&file, "cert").unwrap().value, "/a.pem");
        assert_eq!(web.get(&file, "cert").unwrap().value, "/b.pem");
        let connect: Vec<_> =
            db.all(&file, "connect").iter().map(|entry| entry.value.as_str()).collect();
        assert_eq!(connect, ["1", "2"]);
        assert_eq!(web.get(&file, "pid").unwrap().value, "");
    }

    #[test]
    fn what_is_no_line_of_stunnels_is_told_by_its_number_and_not_repeated() {
        let told = |text| File::parse(text).unwrap_err().to_string();

        assert_eq!(told("a = 1\nsecret\n"), "line 2: neither `option = value` nor `[service]`");
        assert_eq!(told("[db\n"), "line 1: a service's name ends with ]");
    }
}
