//! Lines that are indented wrongly: the parser says where it could not go on, and not that.

/// Says how a line is indented and how its neighbours are, after an error of the parser in it; `None` where
/// something else may be wrong. `line` counts from 1, `column` from 0 in characters.
pub(super) fn mistake(text: &str, info: &str, line: usize, column: usize) -> Option<String> {
    let lines: Vec<&str> = text.lines().take(line).collect();
    let (this, before) = lines.split_last()?;
    let own = spaces(this);
    let mut before = (before.iter().copied().rev()).filter(|line| is_written(line));
    let neighbours = if info.contains("did not find expected key") {
        // Back to the line that the block belongs to: all between are of the block or below it.
        let rest: Vec<usize> = before.map(spaces).collect();
        let inside = rest.iter().position(|other| *other <= own)?;
        // What stands in the column of another line is indented well.
        (rest[inside] < own)
            .then(|| rest[..inside].iter().min().copied())
            .flatten()
    } else if info.contains("mapping values are not allowed") {
        // A line that is indented more goes on with the value before it, as if it were text.
        let is_first = !this.chars().take(column).any(|letter| letter == ':');
        before
            .next()
            .filter(|line| is_first && spaces(line) < own && is_option(line))
            .map(spaces)
    } else {
        None
    };
    let neighbours = neighbours?;
    let unit = if own == 1 { "space" } else { "spaces" };
    Some(format!(
        "this line is indented by {own} {unit}, its neighbours by {neighbours}"
    ))
}

fn spaces(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Whether a line is neither empty nor a comment.
fn is_written(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with('#')
}

/// Whether a line is a key with a value, and no element of a list: its key stands where the line starts.
fn is_option(line: &str) -> bool {
    !line.trim_start().starts_with('-') && line.contains(": ")
}
