//! What is logged: levels, for all or for some modules.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Longest text that is taken for a filter, in bytes.
const LONGEST: usize = 1024;
/// What is logged when nothing says otherwise.
const DEFAULT: &str = "info";
/// Our own modules begin so. They are written so that no level shows patient data; those of others are not.
const OURS: &str = "myelin";

/// Which levels are logged, such as `info` or `myelin::tls=debug,info`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(String);

/// A text that is no [`Filter`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It is longer than any filter has to be.
    #[error("is longer than {LONGEST} bytes")]
    TooLong,
    /// A part is neither a level nor a module with a level.
    #[error(
        "`{0}` is neither a level nor MODULE=LEVEL; levels are off, error, warn, info, debug and trace"
    )]
    Unclear(String),
    /// A part asks for what libraries say of every byte.
    #[error(
        "`{0}` would log what libraries say at their finest level, which may show data of patients; \
         write `debug`, and `myelin=trace` beside it"
    )]
    Revealing(String),
}

impl Filter {
    /// What `tracing` makes of it. Every part has been looked at: none can be ignored.
    pub(super) fn compiled(&self) -> EnvFilter {
        EnvFilter::builder().parse_lossy(&self.0)
    }

    /// The same, if it may be asked for while patient data passes.
    ///
    /// # Errors
    ///
    /// Names the part that may not.
    pub fn discreet(self) -> Result<Self, FilterError> {
        let revealing = self.0.split(',').find(|part| {
            let (target, level) = part.rsplit_once('=').unwrap_or(("", part));
            let is_ours = target == OURS || target.starts_with("myelin::");
            !is_ours && level.parse().is_ok_and(|level: LevelFilter| level == LevelFilter::TRACE)
        });
        match revealing {
            Some(part) => Err(FilterError::Revealing(part.to_owned())),
            None => Ok(self),
        }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    /// An empty text is the default.
    fn from_str(text: &str) -> Result<Self, FilterError> {
        if text.len() > LONGEST {
            return Err(FilterError::TooLong);
        }
        let parts: Vec<_> =
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        if let Some(unclear) = parts.iter().find(|part| !is_clear(part)) {
            return Err(FilterError::Unclear(unclear.escape_debug().to_string()));
        }
        Ok(if parts.is_empty() { Self::default() } else { Self(parts.join(",")) })
    }
}

fn is_clear(part: &str) -> bool {
    let is_module = |c: char| c.is_ascii_alphanumeric() || "_:-".contains(c);
    let (target, level) = part.rsplit_once('=').unwrap_or(("all", part));
    let is_level = level.chars().all(|c| c.is_ascii_alphabetic());
    is_level
        && level.parse::<LevelFilter>().is_ok()
        && !target.is_empty()
        && target.chars().all(is_module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_modules_with_levels_are_filters() {
        for (text, filter) in [
            ("", "info"),
            ("warn", "warn"),
            (" myelin::tls=debug, INFO ,", "myelin::tls=debug,INFO"),
            ("debug,myelin=trace,h2=off", "debug,myelin=trace,h2=off"),
        ] {
            let parsed: Filter = text.parse().unwrap();
            assert_eq!(parsed.to_string(), filter);
            assert_eq!(parsed.clone().discreet(), Ok(parsed));
        }
    }

    #[test]
    fn a_slip_of_the_hand_is_named_and_does_not_silence_the_log() {
        for (text, part) in [
            ("inof", "inof"),
            ("info,myelin=4", "myelin=4"),
            ("=info", "=info"),
            ("[a{b=c}]=info", "[a{b=c}]=info"),
            ("info,\u{1b}[2J", "\\u{1b}[2J"),
        ] {
            assert_eq!(
                text.parse::<Filter>(),
                Err(FilterError::Unclear(part.to_owned())),
                "{text}"
            );
        }
        assert_eq!("a".repeat(1025).parse::<Filter>(), Err(FilterError::TooLong));
    }

    #[test]
    fn the_finest_level_is_for_our_own_modules() {
        for text in ["trace", "info,h2=trace", "myelinx=TRACE"] {
            let filter: Filter = text.parse().unwrap();
            assert!(matches!(filter.discreet(), Err(FilterError::Revealing(_))), "{text}");
        }
    }
}
