//! Bounds on everything that waits or grows.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::DAY;
use crate::config::problem::Fault;
use crate::config::read::{Fields, Reader, one};
use crate::config::scalar::{count, duration, size};
use crate::config::yaml::Node;
use crate::config::{Limits, keys};

/// No timeout is shorter: a slow link would trip over it at once.
const SHORTEST: Duration = Duration::from_millis(100);

/// From 100 ms to `longest`.
fn timeout(longest: Duration) -> RangeInclusive<Duration> {
    SHORTEST..=longest
}

/// `limits` of the file: what `node` says, over the defaults.
pub(super) fn of_file(reader: &Reader<'_>, node: &Node) -> Option<Limits> {
    over(reader, node, &Limits::default())
}

/// `limits`: what `node` says, over what `base` says.
pub(super) fn over(reader: &Reader<'_>, node: &Node, base: &Limits) -> Option<Limits> {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let mut fields = Fields::open(reader, node, &keys::LIMITS)?;
    let mut time = |key, default, longest| fields.or(key, default, one(duration(timeout(longest))));
    let handshake_timeout = time("handshake_timeout", base.handshake_timeout, minutes(5));
    let connect_timeout = time("connect_timeout", base.connect_timeout, minutes(5));
    let idle_timeout = time("idle_timeout", base.idle_timeout, 30 * DAY);
    let drain_timeout = time("drain_timeout", base.drain_timeout, DAY);
    let header_timeout = time("header_timeout", base.header_timeout, minutes(10));
    let response_timeout = time("response_timeout", base.response_timeout, DAY);
    let connections = fields.or("connections", base.connections, one(number(1..=1_000_000)));
    // Less than 8 KiB is less than the buffer that the HTTP library works with.
    let header_bytes = fields.or("header_bytes", base.header_bytes, one(bytes(8_192..=1 << 20)));
    let streams = fields.or("streams", base.streams, one(number(1..=10_000)));
    let most = one(number(1..=1_000_000));
    let batch_messages = fields.or("batch_messages", base.batch_messages, most);
    fields.finish();
    Some(Limits {
        connections: connections?,
        handshake_timeout: handshake_timeout?,
        connect_timeout: connect_timeout?,
        idle_timeout: idle_timeout?,
        drain_timeout: drain_timeout?,
        header_timeout: header_timeout?,
        response_timeout: response_timeout?,
        header_bytes: header_bytes?,
        streams: streams?,
        batch_messages: batch_messages?,
    })
}

/// A count whose range fits `T`.
pub(super) fn number<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, Fault> {
    fitting(count(range))
}

/// A size whose range fits `T`.
fn bytes<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, Fault> {
    fitting(size(range))
}

fn fitting<T: TryFrom<u64>>(
    parse: impl Fn(&str) -> Result<u64, Fault>,
) -> impl Fn(&str) -> Result<T, Fault> {
    move |text| T::try_from(parse(text)?).map_err(|_error| Fault::new("is too large"))
}
