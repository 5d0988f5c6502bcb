//! Lines of keys and values, as programs write them that log for people and machines (logfmt).

use std::fmt::Write;

use super::Event;
use super::random::Random;

pub(super) fn write(event: &Event, random: &mut Random, line: &mut String) {
    write!(
        line,
        "time={:.3} level={} host={} service={} method={} path={}/{} status={} bytes={} duration_ms={}.{:03} msg=\"",
        event.time,
        event.level,
        event.host,
        event.service,
        event.method,
        event.path,
        event.item,
        event.status,
        event.bytes,
        event.duration_us / 1_000,
        event.duration_us % 1_000,
    )
    .expect("writing to a string does not fail");
    event.message(random, line);
    line.push('"');
}
