//! The last records of some kinds, for the administrative pages that show them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::record::Record;
use crate::outcome::DenyReason;

/// How many are kept of each page.
const KEPT: usize = 200;

/// A page that shows records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// `/denials`: refusals and denials.
    Denials,
    /// `/observed`: what was let through only because policy is observed, not enforced.
    Observed,
}

/// The last records of each page, as their lines.
#[derive(Debug, Default)]
pub(super) struct Pages {
    denials: Lines,
    observed: Lines,
}

type Lines = Mutex<VecDeque<Box<[u8]>>>;

impl Page {
    /// Its name, where processes speak of it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Denials => "denials",
            Self::Observed => "observed",
        }
    }

    /// The one with this name.
    pub(super) fn named(label: &str) -> Option<Self> {
        [Self::Denials, Self::Observed].into_iter().find(|page| page.label() == label)
    }

    /// The page that shows `record`, if one does.
    pub(super) fn of(record: &Record) -> Option<Self> {
        if record.action.is_denial() {
            return Some(Self::Denials);
        }
        let nearest = record.rule.as_ref().and_then(|rule| rule.nearest.as_ref());
        let would_deny = nearest.and_then(|nearest| nearest.would_deny)?;
        // What a command is, nobody knows when its association is let through.
        let is_news = record.action.is_permit() || would_deny == DenyReason::SopClassMismatch;
        is_news.then_some(Self::Observed)
    }
}

impl Pages {
    /// Keeps `line`, and forgets the oldest of its page when there are too many.
    pub(super) fn keep(&self, page: Page, line: &[u8]) {
        let mut lines = self.lines(page).lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_back();
        }
        lines.push_front(line.into());
    }

    /// All that are kept of `page`, newest first.
    pub(super) fn newest_first(&self, page: Page) -> Vec<Value> {
        let lines = self.lines(page).lock().unwrap_or_else(PoisonError::into_inner).clone();
        lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    fn lines(&self, page: Page) -> &Lines {
        match page {
            Page::Denials => &self.denials,
            Page::Observed => &self.observed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{connection, rule};
    use super::super::record::{Action, Nearest};
    use super::*;

    #[test]
    fn the_newest_come_first_and_the_oldest_are_forgotten() {
        let pages = Pages::default();
        (0..250).for_each(|n: u32| pages.keep(Page::Denials, n.to_string().as_bytes()));

        let kept = pages.newest_first(Page::Denials);

        assert_eq!((kept.len(), &kept[0], &kept[199]), (200, &249.into(), &50.into()));
        assert!(pages.newest_first(Page::Observed).is_empty());
    }

    #[test]
    fn what_would_be_denied_is_shown_once_when_it_is_let_through() {
        let would_deny = Some(DenyReason::NoRoute);
        let nearest = Nearest { differs: None, text: "no route".into(), would_deny };
        let record = |action, nearest| Record {
            connection: Some(connection().into()),
            rule: Some(super::super::record::Rule { nearest, ..rule() }),
            ..Record::new(action)
        };

        let page = |action, nearest| Page::of(&record(action, nearest));

        assert_eq!(page(Action::RequestAllowed, Some(nearest.clone())), Some(Page::Observed));
        assert_eq!(page(Action::RequestCompleted, Some(nearest.clone())), None);
        assert_eq!(page(Action::RequestAllowed, None), None);
        let denied = Nearest { would_deny: None, ..nearest };
        assert_eq!(page(Action::RequestDenied, Some(denied)), Some(Page::Denials));
    }
}
