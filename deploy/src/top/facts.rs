//! What is shown of `/diagnostics`: which program runs, with which configuration, and what is wrong with it.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::output::{bytes, number, time};
use crate::yaml;

/// The facts of a program.
#[derive(Debug, Deserialize)]
pub struct Facts {
    version: String,
    revision: Option<String>,
    process: u32,
    started: String,
    pub(super) uptime_seconds: f64,
    pub(super) ready: bool,
    reasons: Vec<String>,
    pub(super) conditions: Vec<Condition>,
    pub(super) plan: Plan,
    pub(super) configuration_hash: String,
    /// Of a program that says it.
    #[serde(default)]
    configuration_file: Option<String>,
    configuration: Value,
}

/// What is wrong with a spout or bolt, or with whom metrics are sent to.
#[derive(Debug, Deserialize)]
pub(super) struct Condition {
    pub(super) component: String,
    pub(super) kind: String,
    text: String,
    since: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Plan {
    pub(super) lanes: usize,
    pub(super) memory: Memory,
    pub(super) nodes: Vec<Node>,
    bounds: Bounds,
}

#[derive(Debug, Deserialize)]
pub(super) struct Memory {
    pub(super) total: usize,
}

#[derive(Debug, Deserialize)]
pub(super) struct Node {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

#[derive(Debug, Deserialize)]
struct Bounds {
    queue_batches: usize,
    queue_bytes: usize,
}

impl Facts {
    /// What is wrong, a sentence each: first what lasts, once for all of whom it is said, and for how long; then
    /// why it does not read besides.
    pub(super) fn wrong(&self) -> Vec<String> {
        let mut lasting: Vec<(Vec<&str>, &str, String, Option<u64>)> = Vec::new();
        for one in &self.conditions {
            let (text, ms) = (plain(&one.text), self.lasts_ms(one));
            let mut known = lasting.iter_mut();
            match known.find(|(_, kind, same, _)| *kind == one.kind && *same == text) {
                Some((of, _, _, longest)) => {
                    of.push(&one.component);
                    *longest = ms.max(*longest);
                }
                None => lasting.push((vec![&one.component], &one.kind, text, ms)),
            }
        }
        let lasting = lasting.into_iter().map(|(of, kind, text, ms)| {
            let lasts = ms.map_or_else(String::new, |ms| format!(" for {}", time(ms)));
            format!("{}: {kind}{lasts}: {text}", of.join(", "))
        });
        let is_said = |reason: &String| {
            let mut conditions = self.conditions.iter();
            conditions.any(|one| *reason == format!("{}: {}", one.head(), one.text))
        };
        let rest = self.reasons.iter().filter(|reason| !is_said(reason));
        lasting.chain(rest.cloned()).collect()
    }

    /// By the clock of the program, which need not be ours.
    fn lasts_ms(&self, condition: &Condition) -> Option<u64> {
        let ms = |text: &str| Some(text.parse::<Timestamp>().ok()?.as_millisecond());
        let now = ms(&self.started)? + (self.uptime_seconds * 1000.0) as i64;
        Some(u64::try_from(now - ms(&condition.since)?).unwrap_or(0))
    }

    /// Which configuration, and which program.
    pub(super) fn line(&self) -> String {
        let file = self.configuration_file.iter();
        let file: String = file.map(|file| format!(" of {file}")).collect();
        format!(
            "Configuration {}{file}, {}",
            self.configuration_hash,
            self.program()
        )
    }

    fn program(&self) -> String {
        let revision = self.revision.iter();
        let revision: String = revision.map(|commit| format!(" ({commit})")).collect();
        format!("Isobar {}{revision}", self.version)
    }

    /// The topology file with all defaults and secrets hidden, as YAML; above it, as comments, what runs it.
    pub fn configuration(&self, address: &str) -> String {
        let Bounds {
            queue_batches,
            queue_bytes,
        } = self.plan.bounds;
        format!(
            "# {}\n# at {address}, process {}, started {}\n\
             # {} lanes, queues of {} batches and {}, at most {} of memory\n{}",
            self.line(),
            self.process,
            self.started,
            self.plan.lanes,
            number(queue_batches),
            bytes(queue_bytes),
            bytes(self.plan.memory.total),
            yaml::write(&self.configuration)
        )
    }
}

impl Condition {
    fn head(&self) -> String {
        format!("{}: {}", self.component, self.kind)
    }
}

/// A sentence without what a condition of these programs says in its own place: `errors: held`.
pub(super) fn shortened<'s>(sentence: &'s str, facts: &[&Facts]) -> &'s str {
    let mut conditions = facts.iter().flat_map(|facts| &facts.conditions);
    let end = conditions.find_map(|one| {
        let head = one.head();
        let said = format!("{head}: ");
        let mut starts = sentence.match_indices(&said).map(|(start, _)| start);
        // Its name may be how another one ends.
        let start = starts.find(|start| *start == 0 || sentence[..*start].ends_with(' '))?;
        Some(start + head.len())
    });
    end.map_or(sentence, |end| &sentence[..end])
}

/// An error without what only programmers read in it, as on the page.
fn plain(text: &str) -> String {
    let text = text.replace("tcp connect error: ", "");
    let mut parts = text.split(" (");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((inner, behind))
                if inner.starts_with("os error ") || inner.ends_with(" times in a row") =>
            {
                plain.push_str(behind)
            }
            _ => plain = format!("{plain} ({part}"),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts(conditions: &[[&str; 4]], reasons: &[&str]) -> Facts {
        let conditions = conditions.iter();
        let conditions = conditions.map(|[component, kind, text, since]| {
            json!({"component": component, "kind": kind, "text": text, "since": since})
        });
        let document = json!({
            "version": "1", "revision": null, "process": 1, "started": "2026-01-01T00:00:00Z",
            "uptime_seconds": 60.0, "ready": false, "reasons": reasons,
            "conditions": conditions.collect::<Vec<_>>(),
            "plan": {
                "lanes": 1, "memory": {"total": 1}, "nodes": [],
                "bounds": {"queue_batches": 1, "queue_bytes": 1},
            },
            "configuration_hash": "h", "configuration": {},
        });
        serde_json::from_value(document).expect("the form that is written")
    }

    #[test]
    fn what_is_wrong_is_said_once_with_how_long_it_lasts() {
        let refused = |times: u32| {
            format!(
                "http://es: tcp connect error: refused (os error 111) ({times} times in a row); records (all) wait"
            )
        };
        let (first, second) = (refused(3), refused(4));
        let facts = facts(
            &[
                ["errors", "connecting", &first, "2026-01-01T00:00:50Z"],
                ["parse", "held", "closed", "2026-01-01T00:00:59.5Z"],
                ["index", "connecting", &second, "2026-01-01T00:00:30Z"],
            ],
            &["parse: held: closed", "lane 0 has ended"],
        );
        assert_eq!(
            facts.wrong(),
            [
                "errors, index: connecting for 30.0 s: http://es: refused; records (all) wait",
                "parse: held for 500 ms: closed",
                "lane 0 has ended",
            ]
        );
        let check = |sentence: &str, expected: &str| {
            assert_eq!(shortened(sentence, &[&facts]), expected);
        };
        check(
            "a/0: index: connecting: http://es: refused (5 times in a row)",
            "a/0: index: connecting",
        );
        check("index: connecting: refused", "index: connecting");
        for other in [
            "a/0: parse: restarting: in 5 s",
            "a/0: old_index: connecting: http://es: refused",
        ] {
            check(other, other);
        }
        check(
            "old_index: connecting: index: connecting: refused",
            "old_index: connecting: index: connecting",
        );
    }
}
