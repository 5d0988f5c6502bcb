//! The lag of the last hour, as programs kept it and as far as it was asked for: a line for each spout and for
//! those of its partitions that were furthest behind, with the highest lag of each piece of the time.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::history::{HistoryDocument, Line};
use crate::lag::SpoutLag;
use crate::output::{Table, known};

const HOUR_MS: i64 = 3_600_000;
/// A program that was started just now has little to show: the time grows from this to an hour, as on the page.
const SPAN_MIN_MS: i64 = 300_000;
/// Pieces of the time: at least as long as it is between two looks, and two minutes of an hour.
const CELLS: usize = 30;
/// What was looked at counts until the next look, if that is not later than this: then the program was away.
const GAP_MS: i64 = 45_000;
/// Partitions that are shown of each spout.
const PARTITIONS_MAX: usize = 3;
/// From nothing to the highest of a line.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What is kept, by the address of the program.
#[derive(Default)]
pub struct Pasts(BTreeMap<String, Past>);

#[derive(Default)]
struct Past {
    last_ms: i64,
    /// Times in ms since 1970, ascending, with records; only what is known.
    lines: BTreeMap<Line, Vec<(i64, u64)>>,
}

/// The highest lag in each piece of the time; `None` where it is not known.
type Cells = [Option<u64>; CELLS];

impl Pasts {
    /// After which time more is to be asked for, in ms since 1970.
    pub fn last_ms(&self, address: &str) -> i64 {
        self.0.get(address).map_or(0, |past| past.last_ms)
    }

    /// Adds what came later. What was known before a restart of the program stays, and what is older than an
    /// hour goes.
    pub fn remember(&mut self, address: &str, newer: HistoryDocument) {
        let past = self.0.entry(address.to_owned()).or_default();
        past.last_ms = newer.last_ms().unwrap_or(0).max(past.last_ms);
        for (line, points) in newer.lag() {
            past.lines.entry(line).or_default().extend(points);
        }
        let from = past.last_ms - HOUR_MS;
        past.lines.retain(|_, points| {
            points.retain(|(at, _)| *at >= from);
            !points.is_empty()
        });
    }

    /// The lines of these spouts, by the programs at these addresses; nothing where nothing is known.
    pub(super) fn table(&self, spouts: &[SpoutLag], addresses: &[&str]) -> String {
        let asked = addresses.iter();
        let asked = asked.filter_map(|address| self.0.get(*address));
        let asked: Vec<&Past> = asked.filter(|past| !past.lines.is_empty()).collect();
        let Some(span_ms) = asked.iter().map(|past| past.span_ms()).max() else {
            return String::new();
        };
        let time = match span_ms {
            HOUR_MS.. => "LAST HOUR".to_owned(),
            _ => format!("LAST {} MIN", span_ms / 60_000),
        };
        let mut table = Table::new(["LAG", &time, "HIGHEST>", "WHEN"]);
        for spout in spouts {
            let mut partitions: Vec<(String, Cells)> = spout
                .partitions
                .iter()
                .map(|one| {
                    let line = Line {
                        spout: spout.spout.clone(),
                        topic: Some(one.topic.clone()),
                        partition: Some(one.partition),
                    };
                    let name = format!("  {}/{}", one.topic, one.partition);
                    (name, of_any(&asked, &line, span_ms))
                })
                .collect();
            let all = match asked.as_slice() {
                // It knows its sums, those of more partitions than have a line, too.
                [one] => {
                    let line = Line {
                        spout: spout.spout.clone(),
                        topic: None,
                        partition: None,
                    };
                    one.cells(&line, span_ms)
                }
                _ if partitions.is_empty() => [None; CELLS],
                _ => sum(partitions.iter().map(|(_, cells)| cells)),
            };
            table.row(row(spout.spout.clone(), &all, span_ms));
            if partitions.len() > 1 {
                partitions.retain(|(_, cells)| highest(cells) > Some(0));
                partitions.sort_by_key(|(_, cells)| Reverse(highest(cells)));
                for (name, cells) in partitions.into_iter().take(PARTITIONS_MAX) {
                    table.row(row(name, &cells, span_ms));
                }
            }
        }
        table.text()
    }
}

impl Past {
    /// The time that is shown, in ms.
    fn span_ms(&self) -> i64 {
        let first = self.lines.values().filter_map(|points| points.first());
        let first = first.map(|(at, _)| *at).min().unwrap_or(self.last_ms);
        (self.last_ms - first).clamp(SPAN_MIN_MS, HOUR_MS)
    }

    /// A line, in pieces of the time before the last look.
    fn cells(&self, line: &Line, span_ms: i64) -> Cells {
        let mut cells = [None; CELLS];
        let points = self.lines.get(line).map_or(&[][..], |points| points);
        let from = self.last_ms - span_ms;
        // The last look is at the end of the last piece.
        let cell = |at: i64| {
            let cell = ((at - from) * CELLS as i64 - 1).div_euclid(span_ms);
            // Times go back where the clock of the program was put back.
            usize::try_from(cell).ok().filter(|cell| *cell < CELLS)
        };
        for (place, (at, lag)) in points.iter().enumerate() {
            let Some(first) = cell(*at) else { continue };
            let next = points.get(place + 1).map(|(next, _)| *next);
            let next = next.filter(|next| (0..=GAP_MS).contains(&(next - at)));
            let next = next.and_then(cell);
            for cell in &mut cells[first..next.unwrap_or(0).max(first + 1)] {
                *cell = (*cell).max(Some(*lag));
            }
        }
        cells
    }
}

/// A partition that was read by one program after another.
fn of_any(pasts: &[&Past], line: &Line, span_ms: i64) -> Cells {
    let mut cells = [None; CELLS];
    for past in pasts {
        for (cell, theirs) in cells.iter_mut().zip(past.cells(line, span_ms)) {
            *cell = (*cell).max(theirs);
        }
    }
    cells
}

/// All partitions together; not known where one is not.
fn sum<'a>(partitions: impl Iterator<Item = &'a Cells> + Clone) -> Cells {
    std::array::from_fn(|cell| partitions.clone().map(|cells| cells[cell]).sum())
}

fn highest(cells: &Cells) -> Option<u64> {
    cells.iter().copied().max().flatten()
}

fn row(name: String, cells: &Cells, span_ms: i64) -> [String; 4] {
    let highest = highest(cells);
    // The last time, where it was so more than once.
    let latest = cells.iter().rposition(|cell| *cell == highest);
    let before = latest.map_or(0, |cell| CELLS - 1 - cell) as i64 * span_ms / CELLS as i64;
    let when = match (highest, before) {
        (None | Some(0), _) => "-".to_owned(),
        (_, 0) => "now".to_owned(),
        (_, ..60_000) => format!("{} s ago", before / 1_000),
        _ => format!("{} min ago", before / 60_000),
    };
    let blocks = cells.iter().map(|cell| block(*cell, highest.unwrap_or(0)));
    [name, blocks.collect(), known(highest), when]
}

/// Anything is more than nothing; what is not known is blank.
fn block(lag: Option<u64>, highest: u64) -> char {
    match lag {
        None => ' ',
        Some(0) => BLOCKS[0],
        Some(lag) => {
            let steps = (BLOCKS.len() - 1) as f64;
            let step = (lag as f64 / highest as f64 * steps).ceil() as usize;
            BLOCKS[step.clamp(1, BLOCKS.len() - 1)]
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::lag::tests::{lag, row as partition};

    const START: i64 = 1_700_000_000_000;

    /// A history with a point every 10 s: of the spout, and of its partitions.
    fn history(from: i64, lines: &[(Option<i32>, &[Option<u64>])]) -> HistoryDocument {
        let times: Vec<i64> = (0..lines[0].1.len() as i64)
            .map(|number| START + from + number * 10_000)
            .collect();
        let lines: Vec<Value> = lines
            .iter()
            .map(|(partition, lag)| {
                let topic = partition.map(|_| "a");
                json!({
                    "spout": "in", "topic": topic, "partition": partition, "lag": lag,
                    "oldest_age_seconds": [], "incoming_per_second": [], "outgoing_per_second": [],
                })
            })
            .collect();
        let document = json!({
            "version": 1, "interval_seconds": 10, "times_ms": times, "lines": lines,
        });
        serde_json::from_value(document).expect("the form that is written")
    }

    fn spouts(partitions: i32) -> Vec<SpoutLag> {
        let rows = (0..partitions).map(|number| partition(number, Some(0), Some(0)));
        vec![lag(rows.collect())]
    }

    fn check(pasts: &Pasts, partitions: i32, addresses: &[&str], expected: &str) {
        assert_eq!(pasts.table(&spouts(partitions), addresses), expected);
    }

    #[test]
    fn an_hour_is_drawn_with_what_was_highest_and_when() {
        let mut pasts = Pasts::default();
        check(&pasts, 1, &["x"], "");
        // Ten minutes of nothing, ten of growth, ten of which nothing is known, and half an hour of little.
        let lag: Vec<Option<u64>> = (0..361)
            .map(|number| match number {
                0..60 => Some(0),
                60..120 => Some((number - 59) * 100),
                120..180 => None,
                _ => Some(1),
            })
            .collect();
        pasts.remember("x", history(0, &[(None, &lag)]));
        check(
            &pasts,
            1,
            &["x"],
            "\
LAG  LAST HOUR                       HIGHEST  WHEN
in   ▁▁▁▁▂▃▄▆▇█    ▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂    6,000  40 min ago
",
        );
        check(&pasts, 1, &["y"], "");
        // What comes later is added, and what is older than an hour goes.
        assert_eq!(pasts.last_ms("x"), START + 3_600_000);
        let later = [Some(7_000); 6];
        pasts.remember("x", history(3_610_000, &[(None, &later)]));
        assert_eq!(pasts.last_ms("x"), START + 3_660_000);
        assert_eq!(pasts.0["x"].lines.values().next().map(Vec::len), Some(301));
        let table = pasts.table(&spouts(1), &["x"]);
        assert!(table.ends_with("█    7,000  now\n"), "{table}");
    }

    #[test]
    fn a_clock_that_was_put_back_ends_nothing() {
        let mut pasts = Pasts::default();
        let mut document = history(0, &[(None, &[Some(3); 7])]);
        document.put_back(3, 600_000);
        pasts.remember("x", document);
        let table = pasts.table(&spouts(1), &["x"]);
        assert!(table.contains("    3  now"), "{table}");
    }

    #[test]
    fn partitions_that_were_furthest_behind_are_drawn_and_the_time_grows_from_five_minutes() {
        let mut pasts = Pasts::default();
        let (none, some) = (
            [Some(0); 7],
            [Some(0), Some(5), Some(0), None, Some(0), Some(0), Some(0)],
        );
        let lines: [(Option<i32>, &[Option<u64>]); 4] = [
            (
                None,
                &[
                    Some(9),
                    Some(17),
                    Some(8),
                    Some(7),
                    Some(0),
                    Some(0),
                    Some(0),
                ],
            ),
            (Some(0), &none),
            (Some(1), &some),
            (
                Some(2),
                &[
                    Some(9),
                    Some(8),
                    Some(8),
                    Some(7),
                    Some(0),
                    Some(0),
                    Some(0),
                ],
            ),
        ];
        pasts.remember("x", history(0, &lines));
        check(
            &pasts,
            3,
            &["x"],
            "\
LAG    LAST 5 MIN                      HIGHEST  WHEN
in                            ▅█▅▄▁▁▁       17  50 s ago
  a/2                         ███▇▁▁▁        9  1 min ago
  a/1                         ▁█▁▁▁▁▁        5  50 s ago
",
        );
    }

    #[test]
    fn of_several_programs_partitions_are_put_together_and_their_sum_is_known_where_all_are() {
        let mut pasts = Pasts::default();
        // Partition 1 moves from one to the other, and nobody has the start of partition 0.
        let (of_all, moved) = ([Some(4); 4], [Some(2), Some(2), None, None]);
        pasts.remember("x", history(0, &[(None, &of_all), (Some(1), &moved)]));
        let (zero, one) = (
            [None, Some(1), Some(1), Some(1)],
            [None, None, Some(3), Some(3)],
        );
        let lines: [(Option<i32>, &[Option<u64>]); 3] =
            [(None, &of_all), (Some(0), &zero), (Some(1), &one)];
        pasts.remember("y", history(0, &lines));
        check(
            &pasts,
            2,
            &["x", "y"],
            "\
LAG    LAST 5 MIN                      HIGHEST  WHEN
in                                ▇██        4  now
  a/1                            ▆▆██        3  now
  a/0                             ███        1  now
",
        );
    }
}
