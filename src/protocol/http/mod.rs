//! HTTP requests as rules see them: what all servers read in the same way, or not at all.

mod ambiguous;
mod host;
mod method;
mod path;

pub use self::ambiguous::Ambiguous;
pub use self::host::{NotAHost, asked_host, host_name, is_host};
pub use self::method::{NotAMethod, is_carried, method};
pub use self::path::{NotAPath, Target, asked_target, check_segment, decode};
