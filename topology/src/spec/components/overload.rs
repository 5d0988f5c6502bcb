//! What a spout, or an input of a bolt, says about records that come faster than they can be taken.

use super::super::problem::{Path, Problem, Problems};
use super::super::tree::{Node, Value};
use super::super::units::{Percent, Rate};
use super::Input;
use super::inputs::written;

/// What becomes of records that come too fast; see [`crate::Overload`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overload {
    /// Records in a time, at most; others wait.
    pub throttle: Option<Rate>,
    /// What becomes of records for which there is no room.
    pub on_full: OnFull,
}

/// What becomes of records for which there is no room; see [`crate::OnFull`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// They wait.
    #[default]
    Block,
    /// They are dropped.
    DropNewest,
    /// What waits longest is dropped for them.
    DropOldest,
    /// This part of them waits, the rest is dropped.
    Sample(Percent),
}

impl OnFull {
    /// The word in the file, and what the policy is called after the id of the component; `None` for
    /// what drops nothing.
    pub(crate) fn policy(self) -> Option<&'static str> {
        match self {
            Self::Block => None,
            Self::DropNewest => Some("drop_newest"),
            Self::DropOldest => Some("drop_oldest"),
            Self::Sample(_) => Some("sample"),
        }
    }
}

/// The options, in the order in which they are listed to users.
pub(super) const OPTIONS: [&str; 2] = ["throttle", "on_full"];

/// What is bounded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bounded {
    Spout,
    Input,
}

/// Reads both options of a mapping; what is wrong is told and left out.
pub(super) fn read_overload(
    node: &Node,
    of: Bounded,
    path: &Path,
    problems: &mut Problems,
) -> Overload {
    let throttle = node.get("throttle").and_then(|node| {
        let path = path.key("throttle");
        problems.take(read_rate(node, path).map_err(Problems::from))
    });
    let on_full = node.get("on_full").and_then(|node| {
        let path = path.key("on_full");
        problems.take(read_on_full(node, of, path).map_err(Problems::from))
    });
    Overload {
        throttle,
        on_full: on_full.unwrap_or_default(),
    }
}

fn read_rate(node: &Node, path: Path) -> Result<Rate, Problem> {
    let text = node.text().unwrap_or_default();
    text.parse().map_err(|_| {
        let expected = match text.split_once('/').map(|(records, _)| records.trim()) {
            None => "records in a time, such as 1000/s, 50/m or 10/h",
            Some(records) if !is_whole(records) => {
                "a whole number of records in a time, such as 1000/s, 50/m or 10/h"
            }
            Some(records) => match records.parse::<u32>() {
                Ok(0) => "at least one record in a time, such as 1/s, 50/m or 10/h",
                Ok(_) => "records in a second, a minute or an hour, such as 1000/s, 50/m or 10/h",
                Err(_) => {
                    "at most 4294967295 records in a second, a minute or an hour, such as 1000/s"
                }
            },
        };
        Problem::new(path, format!("found {}", node.described()))
            .expected(expected)
            .at(node.place)
    })
}

fn is_whole(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The part that a sample keeps.
fn read_part(node: &Node, path: Path) -> Result<Percent, Problem> {
    node.text()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            Problem::new(path, format!("found {}", node.described()))
                .expected("a part in whole percent, from 0% to 100%, such as 10%")
                .at(node.place)
        })
}

fn read_on_full(node: &Node, of: Bounded, path: Path) -> Result<OnFull, Problem> {
    const WORDS: [(&str, OnFull); 3] = [
        ("block", OnFull::Block),
        ("drop_newest", OnFull::DropNewest),
        ("drop_oldest", OnFull::DropOldest),
    ];
    let word = node.text().unwrap_or_default();
    let known = WORDS.iter().find(|(known, _)| *known == word);
    match (known, of) {
        // A spout has nothing that waits.
        (Some((_, OnFull::DropOldest)), Bounded::Spout) => {
            let message = "the oldest records of a spout are with bolts and cannot be taken back";
            return Err(Problem::new(path, message)
                .expected("block, drop_newest or {sample: 10%}; drop_oldest is for inputs of bolts: {from: logs, on_full: drop_oldest}")
                .at(node.place));
        }
        (Some((_, known)), _) => return Ok(*known),
        (None, _) => {}
    }
    if let Value::Map(entries) = &node.value
        && let [entry] = entries.as_slice()
        && entry.key == "sample"
    {
        return read_part(&entry.node, path.key("sample")).map(OnFull::Sample);
    }
    let expected = match of {
        Bounded::Spout => "block, drop_newest or {sample: 10%}, the part that is kept",
        Bounded::Input => "block, drop_newest, drop_oldest or {sample: 10%}, the part that is kept",
    };
    Err(Problem::new(path, format!("found {}", node.described()))
        .expected(expected)
        .near(word, WORDS.map(|(word, _)| word))
        .at(node.place))
}

/// Options that stand beside `inputs`, where they would be of all of them: each has its own.
pub(super) fn refuse_overload_beside(
    inputs: &[Input],
    node: &Node,
    path: &Path,
    problems: &mut Problems,
) {
    for option in OPTIONS {
        let Some(beside) = node.entry(option) else {
            continue;
        };
        let from = inputs.first().map_or("orders".to_owned(), written);
        // What is expected is shown as it is.
        let shown = |node: &Node| node.text().filter(|_| !node.hidden).map(str::to_owned);
        let part = beside.node.get("sample").and_then(shown);
        let value = match (option, shown(&beside.node)) {
            (_, Some(text)) => text,
            ("throttle", _) => "1000/s".to_owned(),
            _ => format!("{{sample: {}}}", part.unwrap_or("10%".to_owned())),
        };
        let message = format!("`{option}` belongs to a spout, or to one input of a bolt");
        problems.push(
            Problem::new(path.key(option), message)
                .expected(format!("`inputs: [{{from: {from}, {option}: {value}}}]`"))
                .at(beside.key_place),
        );
    }
}
