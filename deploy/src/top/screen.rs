//! A text on a screen that may be too small for it.

/// The start of a text, which is the most important part of it, on so many rows of so many columns; in the last
/// one of them how much is missing. A terminal goes on in the next row where a line is too long.
pub fn fit(text: &str, rows: usize, columns: usize) -> String {
    // Behind the last end of a line the cursor is in one more row.
    let room = rows.saturating_sub(1);
    let rows_of = |line: &str| line.chars().count().div_ceil(columns.max(1)).max(1);
    if text.lines().map(rows_of).sum::<usize>() <= room {
        return text.to_owned();
    }
    // The note takes the last rows; how many are missing is not known yet.
    let mut taken = rows_of(&note(text.lines().count()));
    let shown = text.lines().take_while(|line| {
        taken += rows_of(line);
        taken <= room
    });
    let mut shown: Vec<&str> = shown.collect();
    while shown.last().is_some_and(|line| line.is_empty()) {
        let _ = shown.pop();
    }
    let missing = text.lines().count() - shown.len();
    let note = note(missing);
    let mut lines: Vec<&str> = shown;
    lines.push(&note);
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn note(missing: usize) -> String {
    format!("{missing} more lines: in a larger window, or with --once")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_long_lines_take_more_rows() {
        let check = |text: &str, rows: usize, expected: &str| {
            // The note is one row on the wide one, and 14 on the narrow one.
            assert_eq!(fit(text, rows, 60), expected, "{text} on {rows}");
            let narrow = fit(text, rows, 4);
            let taken = narrow
                .lines()
                .map(|line| line.chars().count().div_ceil(4).max(1));
            assert!(
                narrow.lines().count() == 1 || taken.sum::<usize>() < rows,
                "{narrow}"
            );
        };
        check("a\nb\nc\n", 4, "a\nb\nc\n");
        let missing =
            |lines: usize| format!("{lines} more lines: in a larger window, or with --once\n");
        check("a\nb\nc\n", 3, &format!("a\n{}", missing(2)));
        check("a≤bc\nb\n", 3, "a≤bc\nb\n");
        let long = "a".repeat(61);
        check(&format!("{long}\nb\n"), 3, &missing(2));
        // A line between two parts would be the last one.
        check("a\n\nb\nc\n", 4, &format!("a\n{}", missing(3)));
        check("a\nb\n", 0, &missing(2));
    }
}
