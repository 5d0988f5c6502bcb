//! Addresses of IPv6 in text, in all the forms of RFC 4291, section 2.2. What the standard library reads
//! as one is one; here is only where to look, and what is rather something else.

use std::net::Ipv6Addr;
use std::ops::Range;

/// Longest address as text: `0000:0000:0000:0000:0000:ffff:255.255.255.255`.
const LENGTH_MAX: usize = 45;
/// Shortest one besides `::`, which is nobody's.
const LENGTH_MIN: usize = 3;

/// The first address from byte `from` on, the longest that starts there.
pub(super) fn find(text: &str, from: usize) -> Option<Range<usize>> {
    let mut may_start = is_apart(text[..from].chars().next_back());
    for (at, next) in text[from..].char_indices() {
        let start = from + at;
        if may_start
            && (next == ':' || next.is_ascii_hexdigit())
            && let Some(end) = end_of_longest(text, start)
        {
            return Some(start..end);
        }
        // Behind a colon, too: `IPv6:2001:db8::1`.
        may_start = is_apart(Some(next));
    }
    None
}

/// Where the longest address ends that begins at `start`.
fn end_of_longest(text: &str, start: usize) -> Option<usize> {
    let bytes = &text.as_bytes()[start..];
    // Most words that could be the start of one are none.
    let _colon = bytes.iter().take(5).position(|byte| *byte == b':')?;
    let may_be_part = |byte: &&u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let part = bytes.iter().take(LENGTH_MAX).take_while(may_be_part);
    let ends = (LENGTH_MIN..=part.count()).rev();
    ends.map(|length| start + length)
        .find(|end| is_apart(text[*end..].chars().next()) && is_address(&text[start..*end]))
}

/// Whether the character beside an address is none of a word that it would be part of.
fn is_apart(beside: Option<char>) -> bool {
    !beside.is_some_and(char::is_alphanumeric)
}

/// Names in programs such as `dead::beef` are written as addresses, too. Those that are in use have a
/// digit: global ones begin with 2 or 3, link-local ones with fe80, and others are random.
fn is_address(text: &str) -> bool {
    let may_be = !text.contains("::") || text.bytes().any(|byte| byte.is_ascii_digit());
    may_be
        && text
            .parse()
            .is_ok_and(|address: Ipv6Addr| !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_and_names_in_programs_are_not() {
        for (text, expected) in [
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("to fe80::1%eth0", Some("fe80::1")),
            ("::1", Some("::1")),
            ("fe80::", Some("fe80::")),
            ("from 2001:db8::1: refused", Some("2001:db8::1")),
            ("from 2001:db8::1.", Some("2001:db8::1")),
            ("2001:DB8:1:2:3:4:5:6", Some("2001:DB8:1:2:3:4:5:6")),
            ("(::ffff:192.0.2.1).", Some("::ffff:192.0.2.1")),
            ("ip=2001:db8::1/64", Some("2001:db8::1")),
            ("id_2001:db8::1_x", Some("2001:db8::1")),
            // RFC 5321, section 4.1.3.
            ("[IPv6:2001:db8::1]", Some("2001:db8::1")),
            ("source:2001:db8::1:error", Some("2001:db8::1")),
            ("face:a:b:c:d:e:f:a", Some("face:a:b:c:d:e:f:a")),
            ("Foo::Bar::new", None),
            ("std::vector", None),
            ("std::chrono::v1", None),
            ("Ab::Cd::new dead::beef", None),
            ("ä::b1", None),
            ("at 12:30:00, 00:1b:44:11:3a:b7", None),
            ("::", None),
            ("a:", None),
            (":::::", None),
            ("12345::1x", None),
        ] {
            let found = find(text, 0).map(|found| &text[found]);
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(find("::1 ::1", 3), Some(4..7));
        let colons = ":1".repeat(100_000);
        assert_eq!(find(&colons, 0), Some(1..16));
    }
}
