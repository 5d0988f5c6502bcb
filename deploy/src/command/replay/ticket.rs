//! What came of a replay as a file that stands alone, for a ticket: what was planned, what the run says and what
//! the index says, in Markdown or JSON.

use std::path::Path;

use isobar_topology::clock;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::document::{PlanFile, ReportFile, VERSION};
use super::files::replace;
use super::verify::{Verdict, Verified, others_of};
use crate::exit::Failure;
use crate::output::{known, number};

/// What the index said, or why it was not asked.
type Checked<'a> = Result<&'a Verdict, &'a str>;

/// Writes it: Markdown where the name ends in `.md`, else JSON. A file that is there is replaced.
pub(super) fn write(
    path: &Path,
    plan: &PlanFile,
    report: Option<&ReportFile>,
    checked: Checked<'_>,
) -> Result<(), Failure> {
    let now_ms = clock::unix_ms();
    let is_markdown = path.extension().is_some_and(|extension| extension == "md");
    let text = match is_markdown {
        true => markdown(plan, report, checked, now_ms),
        false => {
            let document = document(plan, report, checked, now_ms);
            format!("{document:#}\n")
        }
    };
    replace(path, &text)
}

fn document(
    plan: &PlanFile,
    report: Option<&ReportFile>,
    checked: Checked<'_>,
    now_ms: i64,
) -> Value {
    let mut document = json!({
        "version": VERSION,
        "checked_at_ms": now_ms,
        "plan": plan,
        "run": report,
        "verification": checked.ok(),
    });
    if let Err(why) = checked {
        document["not_verified"] = why.into();
    }
    document
}

fn markdown(
    plan: &PlanFile,
    report: Option<&ReportFile>,
    checked: Checked<'_>,
    now_ms: i64,
) -> String {
    let mut text = format!(
        "# Replay {} of {}: {}\n\n",
        plan.id,
        plan.topology,
        checked.map_or("not verified", Verdict::word)
    );
    text.push_str(&match checked {
        Ok(verdict) => format!("{}.\n\n", verdict.sentence()),
        Err(why) => format!("not verified: {why}.\n\n"),
    });
    let sinks = plan.sinks.iter();
    let indices: Vec<String> = sinks
        .map(|sink| {
            format!(
                "{}{} by {} (twice: {})",
                sink.index,
                sink.place(),
                sink.bolt,
                sink.guarantee
            )
        })
        .collect();
    let run = match report {
        None => "no report of a run is beside the plan".to_owned(),
        Some(report) if report.resumed => {
            format!("{}; it went on from an earlier one", report.summary)
        }
        Some(report) => report.summary.clone(),
    };
    text.push_str("| what | |\n|---|---|\n");
    for (what, value) in [
        ("spout", plan.spout.clone()),
        ("range", format!("from {} to {}", plan.from, plan.to)),
        ("target", plan.target.clone()),
        ("indices", indices.join(", ")),
        ("cluster", plan.cluster_id.clone()),
        ("configuration", plan.configuration.clone()),
        ("planned", moment(plan.made_at_ms)),
        ("run", run),
        ("checked", moment(now_ms)),
    ] {
        text.push_str(&format!("| {what} | {} |\n", cell(&value)));
    }
    text.push_str(
        "\n| partition | from | to | planned | in the index | stored by the run | there before | dead-lettered | \
         dropped | gaps | lost | twice | verdict |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|\n",
    );
    for (at, planned) in plan.partitions.iter().enumerate() {
        let found = checked
            .ok()
            .and_then(|verdict| verdict.partitions().get(at));
        let counted = report.and_then(|report| report.counts(planned));
        let [dead_lettered, dropped, gaps, lost] =
            found.map_or_else(|| others_of(planned, report), Verified::others);
        let cells = [
            format!("{}/{}", planned.topic, planned.partition),
            number(planned.from),
            number(planned.to),
            number(planned.offsets()),
            known(found.map(Verified::in_index)),
            known(counted.as_ref().map(|one| one.delivered)),
            known(counted.as_ref().map(|one| one.already_present)),
            known(dead_lettered),
            known(dropped),
            known(gaps),
            known(lost),
            known(found.map(Verified::twice)),
            found.map_or("not verified", Verified::word).to_owned(),
        ];
        text.push_str(&format!(
            "| {} |\n",
            cells.map(|one| cell(&one)).join(" | ")
        ));
    }
    let missing = plan
        .missing_indices
        .iter()
        .map(|name| match plan.makes_indices() {
            true => format!("{name} did not exist, and was to be made"),
            false => format!("{name} did not exist: documents for it were left out"),
        });
    let left_out = plan
        .left_out
        .iter()
        .map(|bolt| format!("{bolt} was left out"));
    let of_partitions = plan.partitions.iter().flat_map(|one| {
        let said = one.narrowed.iter().chain(&one.notes);
        said.map(move |said| format!("{}/{}: {said}", one.topic, one.partition))
    });
    let notes = checked.map_or_else(|_| String::new(), Verdict::notes);
    let notes = notes.lines().map(str::to_owned);
    let by_sink = checked.ok().and_then(Verdict::by_sink);
    let all: Vec<String> = by_sink
        .into_iter()
        .chain(notes)
        .chain(of_partitions)
        .chain(missing)
        .chain(left_out)
        .collect();
    if !all.is_empty() {
        text.push('\n');
    }
    for note in all {
        text.push_str(&format!("- {note}\n"));
    }
    text
}

/// A time as people are told it.
pub(super) fn moment(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms);
    time.map_or_else(|_| format!("{ms} ms since 1970"), |time| time.to_string())
}

/// A text that stays in its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::super::document::ReportedPartition;
    use super::*;

    fn plan() -> PlanFile {
        let plan = json!({
            "version": 2, "id": "19a", "made_at_ms": 0, "topology": "logs", "file": "/logs.yaml",
            "env_files": [], "configuration": "0f", "spout": "in", "group": "logs.replay.19a",
            "cluster_id": "c", "topics": {"t": null}, "from": "earliest", "to": "now",
            "target": "missing",
            "sinks": [{"bolt": "index", "index": "logs-{{ a | b }}", "guarantee": "exact",
                       "verifiable": true, "indices": {}}],
            "left_out": ["copy"], "narrowed": true, "missing_indices": ["logs-0"],
            "partitions": [{"topic": "t", "partition": 0, "from": 0, "to": 1300,
                            "narrowed": ["offsets 0 to 99 are gone"], "notes": []}],
        });
        serde_json::from_value(plan).expect("a plan")
    }

    fn report(resumed: bool) -> ReportFile {
        ReportFile {
            version: VERSION,
            id: "19a".to_owned(),
            complete: true,
            resumed,
            summary: "caught up after 1 s".to_owned(),
            partitions: vec![ReportedPartition {
                topic: "t".to_owned(),
                read: 1_298,
                delivered: 10,
                already_present: 1_287,
                dead_lettered: 1,
                ..ReportedPartition::default()
            }],
        }
    }

    #[test]
    fn a_ticket_has_all_that_somebody_asks_who_was_not_there() {
        let (plan, report) = (plan(), report(false));
        let verdict = Verdict::for_tests(&plan, &report, 1_297, &[]);
        let text = markdown(&plan, Some(&report), Ok(&verdict), 1_000);
        assert_eq!(
            text,
            "\
# Replay 19a of logs: exact

exact: every offset of the plan is accounted for.

| what | |
|---|---|
| spout | in |
| range | from earliest to now |
| target | missing |
| indices | logs-{{ a \\| b }} by index (twice: exact) |
| cluster | c |
| configuration | 0f |
| planned | 1970-01-01T00:00:00Z |
| run | caught up after 1 s |
| checked | 1970-01-01T00:00:01Z |

| partition | from | to | planned | in the index | stored by the run | there before | dead-lettered | dropped | gaps | lost | twice | verdict |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|
| t/0 | 0 | 1,300 | 1,300 | 1,297 | 10 | 1,287 | 1 | 0 | 2 | 0 | 0 | exact |

- t/0: offsets 0 to 99 are gone
- logs-0 did not exist: documents for it were left out
- copy was left out
"
        );
        let document = document(&plan, Some(&report), Ok(&verdict), 1_000);
        assert_eq!(document["verification"]["verdict"], "exact");
        assert_eq!(document["run"]["partitions"][0]["delivered"], 10);
    }

    #[test]
    fn what_is_in_the_index_twice_is_told_with_its_offsets() {
        let (plan, report) = (plan(), report(false));
        let verdict = Verdict::for_tests(&plan, &report, 1_297, &[7, 8]);
        let text = markdown(&plan, Some(&report), Ok(&verdict), 1_000);
        let row = "| t/0 | 0 | 1,300 | 1,300 | 1,297 | 10 | 1,287 | 1 | 0 | 2 | 0 | 2 | wrong |\n";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("- t/0: in two indices: 7, 8\n"), "{text}");
    }

    #[test]
    fn what_was_not_verified_is_told_with_the_reason_and_all_that_is_known() {
        let (plan, report) = (plan(), report(false));
        let why = "stopped by SIGINT";
        let text = markdown(&plan, Some(&report), Err(why), 1_000);
        let start = "# Replay 19a of logs: not verified\n\nnot verified: stopped by SIGINT.\n\n";
        assert!(text.starts_with(start), "{text}");
        let row =
            "| t/0 | 0 | 1,300 | 1,300 | ? | 10 | 1,287 | 1 | 0 | 2 | 0 | ? | not verified |\n";
        assert!(text.contains(row), "{text}");
        let whole = document(&plan, Some(&report), Err(why), 1_000);
        assert_eq!(whole["verification"], Value::Null);
        assert_eq!(whole["not_verified"], why);
        assert_eq!(whole["run"]["complete"], true);
        let nothing = markdown(&plan, None, Err("the ranges of the plan are empty"), 1_000);
        assert!(nothing.contains("\nnot verified: the ranges of the plan are empty.\n"));
    }

    #[test]
    fn what_an_earlier_run_counted_is_not_known() {
        let (plan, report) = (plan(), report(true));
        let verdict = Verdict::for_tests(&plan, &report, 1_297, &[]);
        let text = markdown(&plan, Some(&report), Ok(&verdict), 1_000);
        let row = "| t/0 | 0 | 1,300 | 1,300 | 1,297 | ? | ? | ? | ? | ? | ? | 0 | unknown |\n";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("it went on from an earlier one"), "{text}");
        assert!(
            text.contains("- t/0: without a document: 0, 1, 2\n"),
            "{text}"
        );
    }
}
