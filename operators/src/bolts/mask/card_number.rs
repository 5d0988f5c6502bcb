//! Numbers of payment cards in text: written at a stretch or in groups, with the right check digit.

use std::ops::{Range, RangeInclusive};

/// Digits of a card number: ISO/IEC 7812-1 has at most 19, and nobody issues less than 13.
const DIGITS: RangeInclusive<usize> = 13..=19;

/// The first place from byte `from` on where card numbers are. Groups of digits with one space or dash
/// between them can be read together in several ways, with what stands before or behind a card; of all
/// that makes a card number, nothing may stay.
pub(super) fn find(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = from;
    let mut found: Option<Range<usize>> = None;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        if found.as_ref().is_some_and(|found| at >= found.end) {
            break;
        }
        if let Some(end) = end_of_longest(bytes, at) {
            let range = found.get_or_insert(at..end);
            range.end = range.end.max(end);
        }
        at += digits(&bytes[at..]);
    }
    found
}

/// Where the longest card number ends that begins at `start`, where a group of digits does.
fn end_of_longest(text: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut count, mut longest) = (start, 0, None);
    loop {
        let group = digits(&text[at..]);
        count += group;
        at += group;
        if group == 0 || count > *DIGITS.end() {
            return longest;
        }
        if DIGITS.contains(&count) && luhn(&text[start..at]) {
            longest = Some(at);
        }
        if !matches!(text.get(at), Some(b' ' | b'-')) {
            return longest;
        }
        at += 1;
    }
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Whether the digits of a text add up as ISO/IEC 7812-1, annex B, has it.
fn luhn(text: &[u8]) -> bool {
    let digits = text.iter().rev().filter(|byte| byte.is_ascii_digit());
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            match (place % 2, digit) {
                (0, digit) => digit,
                (_, digit @ 0..5) => digit * 2,
                (_, digit) => digit * 2 - 9,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_card_number_is_found_whatever_stands_beside_it() {
        for (text, expected) in [
            ("4111111111111111", Some("4111111111111111")),
            ("4111111111111111 123", Some("4111111111111111")),
            (
                "card 4111 1111 1111 1111 12/27 123",
                Some("4111 1111 1111 1111"),
            ),
            ("Amex 3782 822463 10005 123", Some("3782 822463 10005")),
            ("order-4111111111111111-1", Some("4111111111111111")),
            ("id_4111111111111111_v", Some("4111111111111111")),
            ("x4111111111111111x", Some("4111111111111111")),
            ("7 4111-1111-1111-1111", Some("4111-1111-1111-1111")),
            ("4222222222222", Some("4222222222222")),
            ("6304000000000000000", Some("6304000000000000000")),
            ("4111111111111112", None),
            ("422222222222", None),
            // A longer number is no card with digits beside it.
            ("41111111111111110000", None),
            ("4111  1111  1111  1111", None),
            ("", None),
        ] {
            let found = find(text, 0).map(|found| &text[found]);
            assert_eq!(found, expected, "{text}");
        }
        let text = "a 4111111111111111, 4111111111111111";
        assert_eq!(find(text, 3), Some(20..36));
        // Both ways to read a card number out of the groups.
        assert_eq!(find("4222222222222 4222222222222 5", 0), Some(0..13));
        assert_eq!(find("0000 0000 0000 0000 0000", 0), Some(0..24));
    }

    proptest! {
        /// Digits with a right check digit, between others, in groups of any size.
        #[test]
        fn nothing_of_a_card_number_stays(
            before in "([0-9]{1,6}[ -]){0,2}", card in "[0-9]{12,18}", cuts in any::<u32>(),
            after in "([ -][0-9]{1,6}){0,2}",
        ) {
            let check = (b'0'..=b'9').find(|check| {
                luhn(&[card.as_bytes(), &[*check]].concat())
            });
            let check = char::from(check.expect("one of ten"));
            let mut text = before.clone();
            for (at, digit) in card.chars().chain([check]).enumerate() {
                if at > 0 && cuts >> at & 1 == 1 {
                    text.push(' ');
                }
                text.push(digit);
            }
            let card = before.len()..text.len();
            text.push_str(&after);
            let mut at = 0;
            let mut covered = Vec::new();
            while let Some(found) = find(&text, at) {
                at = found.end;
                covered.extend(found);
            }
            prop_assert!(card.clone().all(|byte| covered.contains(&byte)), "{} {:?}", text, card);
        }
    }
}
