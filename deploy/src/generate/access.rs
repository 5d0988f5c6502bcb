//! Lines of a web server in the combined log format
//! (<https://httpd.apache.org/docs/2.4/logs.html#combined>).

use std::fmt::Write;

use super::Event;
use super::random::Random;

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "curl/8.14.1",
];

pub(super) fn write(event: &Event, random: &mut Random, line: &mut String) {
    write!(
        line,
        "192.0.2.{} - - [{}] \"{} {}/{} HTTP/1.1\" {} {} \"https://shop.example{}\" \"{}\"",
        1 + random.below(254),
        event.time.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        event.method,
        event.path,
        event.item,
        event.status,
        event.bytes,
        event.path,
        random.one_of(&AGENTS),
    )
    .expect("writing to a string does not fail");
}
