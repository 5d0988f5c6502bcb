//! Syslog lines of RFC 5424 (<https://www.rfc-editor.org/rfc/rfc5424>), one in three with structured
//! data.

use std::fmt::Write;

use super::Event;
use super::random::Random;

/// Facility local0 (section 6.2.1).
const FACILITY: u8 = 16;

pub(super) fn write(event: &Event, random: &mut Random, line: &mut String) {
    let severity = match event.level {
        "error" => 3,
        "warn" => 4,
        _ => 6,
    };
    let priority = FACILITY * 8 + severity;
    write!(
        line,
        "<{priority}>1 {:.3} {} {} {} REQ",
        event.time,
        event.host,
        event.service,
        1_000 + random.below(30_000),
    )
    .expect("writing to a string does not fail");
    if random.below(3) == 0 {
        // 32473 is the enterprise number for examples (RFC 5612).
        write!(
            line,
            " [http@32473 method=\"{}\" path=\"{}/{}\" status=\"{}\"] ",
            event.method, event.path, event.item, event.status
        )
        .expect("writing to a string does not fail");
    } else {
        line.push_str(" - ");
    }
    event.message(random, line);
}
