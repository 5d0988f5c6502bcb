//! The report at the end of a run: how it ended, what became of each record, what each bolt did.

use std::time::Duration;

use isobar_topology::{Finish, Graph, Output, Running, Stream};
use serde::Serialize;

use crate::accounting::Accounting;
use crate::command::watch::End;
use crate::exit::Exit;
use crate::lag::{self, SpoutLag};
use crate::observer::Observer;
use crate::output::{number, time};
use crate::progress::Screen;
use crate::statistics::Statistics;

/// Version of the JSON form.
const VERSION: u32 = 1;
/// How long one question about the lag may take at the end of a run.
const LAG_WITHIN: Duration = Duration::from_secs(2);

/// The report.
#[derive(Debug, Serialize)]
pub(in crate::command) struct Report {
    version: u32,
    topology: String,
    /// `drained`, `handed_back`, `gave_up`, `cut_short` or `broken`.
    end: &'static str,
    exit_code: u8,
    /// One sentence.
    summary: String,
    /// What there is to say about the exit code; empty when all went well.
    why: Vec<String>,
    seconds: f64,
    /// Records that bolts rejected or the runtime gave up on: dead letters that are written, what a
    /// policy dropped, and what other bolts took over, that with repetitions.
    rejected: u64,
    pub(in crate::command) accounting: Accounting,
    statistics: Statistics,
    /// As the brokers say it after the end: of all partitions, whoever reads them.
    lag: Vec<SpoutLag>,
    #[serde(skip)]
    is_at_end: bool,
    #[serde(skip)]
    is_in_order: bool,
    #[serde(skip)]
    exit: Exit,
}

impl Report {
    /// Makes the report of a run that has ended; `bounded` ones were to catch up.
    pub(in crate::command) fn of(
        observer: &Observer,
        end: End,
        bounded: bool,
        fail_on_reject: bool,
    ) -> Self {
        let accounting = observer.accounting();
        let statistics = observer.statistics();
        let rejected = rejected(&observer.running, &accounting, &statistics);
        let uptime = observer.uptime_ms();
        let lag = match end {
            // Whoever sends a second signal does not want to wait.
            End::CutShort(_) => Vec::new(),
            End::Finished { .. } | End::GaveUp { .. } => {
                let caught_up = bounded && end.is_caught_up();
                let lag = observer.lag.ask(LAG_WITHIN).into_iter();
                lag.map(|spout| spout.after_the_end(caught_up)).collect()
            }
        };
        let mut why = Vec::new();
        let stopped_early = match &end {
            End::Finished { stopped_by, .. } => stopped_by.filter(|_| bounded),
            End::CutShort(_) | End::GaveUp { .. } => None,
        };
        let (is_at_end, is_in_order) = (end.is_caught_up(), end.is_in_order());
        let (word, mut exit, text) = judge(end, &time(uptime), &accounting, &mut why);
        if let (Some(signal), Exit::Done) = (stopped_early, exit) {
            why.push(format!("stopped by {signal} before it had caught up"));
            exit = Exit::Failed;
        }
        if bounded && accounting.total.lost > 0 {
            let lost = number(accounting.total.lost);
            why.push(format!(
                "up to {lost} records were deleted at the source before they were read"
            ));
            exit = exit.worse(Exit::Threshold);
        }
        if fail_on_reject && rejected > 0 {
            why.push(format!(
                "{} records were rejected (--fail-on-reject)",
                number(rejected)
            ));
            exit = exit.worse(Exit::Threshold);
        }
        if accounting
            .spouts
            .iter()
            .any(|spout| spout.terms.difference != 0)
        {
            why.push(
                "the account does not add up: this is a bug of Isobar, please report it".to_owned(),
            );
            exit = Exit::Failed;
        }
        Self {
            version: VERSION,
            topology: accounting.topology.clone(),
            end: word,
            exit_code: exit.code(),
            summary: text,
            why,
            seconds: uptime as f64 / 1000.0,
            rejected,
            accounting,
            statistics,
            lag,
            is_at_end,
            is_in_order,
            exit,
        }
    }

    /// Whether a run with an end came to it.
    pub(in crate::command) fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// Whether it came to its end, or was stopped and has settled or handed back what it had in flight.
    pub(in crate::command) fn is_in_order(&self) -> bool {
        self.is_in_order
    }

    /// One sentence.
    pub(in crate::command) fn summary(&self) -> &str {
        &self.summary
    }

    pub(in crate::command) fn exit(&self) -> Exit {
        self.exit
    }

    /// The text for people.
    pub(in crate::command) fn text(&self) -> String {
        let mut text = format!(
            "{}: {}\n\n{}\n{}",
            self.topology,
            self.summary,
            self.accounting.table(),
            self.statistics.table()
        );
        if !self.lag.is_empty() {
            text.push('\n');
            text.push_str(&lag::table(&self.lag));
        }
        text
    }

    /// Says on standard error why the exit code is not 0.
    pub(in crate::command) fn say_why(&self, screen: &Screen) {
        for why in &self.why {
            screen.line(&format!("isobar: {why}"));
        }
    }
}

fn judge(
    end: End,
    after: &str,
    accounting: &Accounting,
    why: &mut Vec<String>,
) -> (&'static str, Exit, String) {
    let settled = match accounting.total.handed_back {
        0 => "everything that was read is settled",
        _ => "everything that was read is settled, or was handed back when its partition moved",
    };
    match end {
        End::Finished {
            finish: Finish::Drained,
            stopped_by: None,
        } => {
            let text = format!("caught up after {after}: {settled}");
            ("drained", Exit::Done, text)
        }
        End::Finished {
            finish: Finish::Drained,
            stopped_by: Some(signal),
        } => {
            let text = format!("stopped by {signal} after {after}: {settled}");
            ("drained", Exit::Done, text)
        }
        End::Finished {
            finish: Finish::HandedBack,
            stopped_by,
        } => {
            let by = stopped_by.map_or_else(String::new, |signal| format!(" by {signal}"));
            let text = format!(
                "stopped{by} after {after} with records handed back: whoever reads their partitions next starts before them"
            );
            ("handed_back", Exit::Done, text)
        }
        End::Finished {
            finish: Finish::Broken(text),
            ..
        } => {
            why.push(format!("a lane ended by a fault of the runtime: {text}"));
            let text = format!("ended after {after} by a fault of the runtime");
            ("broken", Exit::Failed, text)
        }
        End::CutShort(signal) => {
            why.push(format!("ended at once by a second signal ({signal})"));
            let text = format!(
                "cut short after {after} with {} records in flight: they are not committed and will be read again",
                number(accounting.total.in_flight)
            );
            ("cut_short", Exit::Failed, text)
        }
        End::GaveUp {
            after: waited,
            reasons,
        } => {
            why.push(format!(
                "gave up: nothing was read or settled for {waited} (--give-up-after): {}",
                reasons.join("; ")
            ));
            let text = format!("gave up after {after}, before it had caught up");
            ("gave_up", Exit::Undetermined, text)
        }
    }
}

/// Records that were rejected, wherever they went. Dead letters and what a policy drops count once in the
/// account, also those that the runtime gave up on.
fn rejected(running: &Running, accounting: &Accounting, statistics: &Statistics) -> u64 {
    let graph = running.graph();
    let policies =
        graph
            .bolts
            .iter()
            .filter_map(|bolt| match bolt.outputs.get(Stream::REJECTED.index()) {
                Some(Output::Drop(policy)) => graph.policies.get(policy.index()),
                _ => None,
            });
    let dropped = policies.filter_map(|policy| accounting.total.dropped_by_policy.get(policy));
    // Only bolts know of records that other bolts took over; again after a retry.
    let by_bolts = |otherwise: bool| -> u64 {
        let bolts = graph.bolts.iter().zip(&statistics.bolts);
        let such = bolts.filter(|(bolt, _)| {
            let rejected = bolt.outputs.get(Stream::REJECTED.index());
            let rejected = rejected.filter(|output| matches!(output, Output::To(_)));
            rejected.is_some_and(|output| may_end_otherwise(graph, output) == otherwise)
        });
        such.map(|(_, counts)| counts.rejected).sum()
    };
    let dead_lettered = accounting.total.dead_lettered;
    // Dead letters of such bolts are among both.
    let counted = dead_lettered.saturating_sub(by_bolts(false));
    dead_lettered + dropped.sum::<u64>() + by_bolts(true).saturating_sub(counted)
}

/// Whether a bolt has a policy of its own by which it drops records, such as `NAME.filtered`.
fn drops(graph: &Graph, bolt: usize) -> bool {
    let name = &*graph.bolts[bolt].id;
    let mut policies = graph.policies.iter();
    policies.any(|policy| {
        let own = policy
            .strip_prefix(name)
            .and_then(|own| own.strip_prefix('.'));
        own.is_some_and(|own| own != "rejected")
    })
}

/// Whether rejected records that leave here may end in another way than as dead letters: as what another bolt
/// makes of them, or dropped by a bolt, under a policy with its name.
fn may_end_otherwise(graph: &Graph, output: &Output) -> bool {
    let Output::To(targets) = output else {
        return false;
    };
    let mut others = targets.iter().filter(|target| !target.dead_letter);
    others.any(|target| {
        let streams = graph.bolts[target.bolt].outputs.iter().enumerate();
        let mut on = streams.filter(|(stream, _)| *stream != Stream::REJECTED.index());
        let is_sink = on.clone().all(|(_, output)| match output {
            Output::To(targets) => targets.is_empty(),
            Output::Drop(_) => false,
        });
        is_sink
            || drops(graph, target.bolt)
            || on.any(|(_, output)| may_end_otherwise(graph, output))
    })
}
