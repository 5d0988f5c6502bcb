//! Lines as they come among logs and that no parser takes: traces of a crash, text that lost its form, a
//! JSON object that was cut on its way.

use super::Lines;
use super::random::Random;

pub(super) fn write(lines: Lines, random: &mut Random, line: &mut String) {
    // Half of a line of another format may still be one.
    if lines == Lines::Json && random.below(2) == 0 {
        line.truncate(line.len() / 2);
        return;
    }
    const TEXTS: [&str; 4] = [
        "panic: runtime error: index out of range [4] with length 4",
        "    at org.example.shop.Basket.total(Basket.java:113)",
        "Segmentation fault (core dumped)",
        "-- MARK --",
    ];
    line.clear();
    line.push_str(random.one_of(&TEXTS));
}
