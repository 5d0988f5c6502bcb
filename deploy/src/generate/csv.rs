//! Lines of CSV (<https://www.rfc-editor.org/rfc/rfc4180>): time, host, service, level, method, path,
//! status, bytes, duration in ms, and message.

use std::fmt::Write;

use super::Event;
use super::random::Random;

pub(super) fn write(event: &Event, random: &mut Random, line: &mut String) {
    write!(
        line,
        "{:.3},{},{},{},{},{}/{},{},{},{}.{:03},\"",
        event.time,
        event.host,
        event.service,
        event.level,
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
