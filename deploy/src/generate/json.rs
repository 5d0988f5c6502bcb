//! Log events as JSON objects.

use std::fmt::Write;

use super::Event;
use super::random::Random;

pub(super) fn write(event: &Event, random: &mut Random, line: &mut String) {
    let trace = u128::from(random.next()) << 64 | u128::from(random.next());
    write!(
        line,
        "{{\"timestamp\":\"{:.3}\",\"level\":\"{}\",\"host\":\"{}\",\"service\":\"{}\",\"number\":{},\
         \"trace\":\"{trace:032x}\",\"http\":{{\"method\":\"{}\",\"path\":\"{}/{}\",\"status\":{},\"bytes\":{}}},\
         \"duration_ms\":{}.{:03},\"client\":\"192.0.2.{}\",\"customer\":{},\"session\":\"{:016x}\",\"message\":\"",
        event.time,
        event.level,
        event.host,
        event.service,
        event.number,
        event.method,
        event.path,
        event.item,
        event.status,
        event.bytes,
        event.duration_us / 1_000,
        event.duration_us % 1_000,
        1 + random.below(254),
        random.below(100_000),
        random.next(),
    )
    .expect("writing to a string does not fail");
    event.message(random, line);
    line.push_str("\",\"version\":\"2.14.0\",\"region\":\"eu-central\"}");
}
