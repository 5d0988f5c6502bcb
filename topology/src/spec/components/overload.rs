//! What a spout, or an input of a bolt, says about records that come faster than they can be taken.

use super::super::problem::{Path, Problem, Problems};
use super::super::tree::{Node, Value};
use super::super::units::{Percent, Rate};

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
    let rate = node.text().and_then(|text| text.parse().ok());
    rate.ok_or_else(|| {
        Problem::new(path, format!("found {}", node.described()))
            .expected("records in a time, such as 1000/s, 50/m or 10/h")
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
    let keep = match &node.value {
        Value::Map(entries) if entries.len() == 1 => node.get("sample").and_then(Node::text),
        _ => None,
    };
    if let Some(keep) = keep.and_then(|keep| keep.parse().ok()) {
        return Ok(OnFull::Sample(keep));
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
