//! `isobar doctor`: what is wrong with the outside systems of a topology, or soon will be.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration as StdDuration;

use clap::Args;
use isobar_operators::doctor::{Depth, Finding, Patient, Status};
use isobar_topology::spec::Spec;
use isobar_topology::spec::units::Duration;
use serde::Serialize;

use super::Context;
use super::launch::refused;
use super::runtime::block_on;
use crate::cli::{FileArgs, OutputArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Table};

/// Version of the JSON form.
const VERSION: u32 = 1;

/// How long one question may take at a start.
const AT_START: StdDuration = StdDuration::from_secs(5);
/// How long a run that has ended waits for the checks that were made at its start.
const END_WITHIN: StdDuration = StdDuration::from_millis(500);

/// What `doctor` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct DoctorArgs {
    #[command(flatten)]
    file: FileArgs,

    /// How long each question may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Duration,

    /// Also writes a document to each index or data stream of a bolt that is there, and deletes it.
    ///
    /// It has the id `isobar-doctor-TIME` and no fields but, in a data stream, `@timestamp`; it goes through
    /// the bolt's `pipeline`. Of several indices the last one by name is taken. Nothing is written where it
    /// could not be deleted.
    #[arg(long)]
    write_test: bool,

    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLE: &str = "\
Examples:
  isobar doctor logs.yaml
  isobar doctor logs.yaml -o json | jq '.findings[].status'
  isobar doctor logs.yaml --write-test

A check ends as
  ok       all is as it should be
  info     worth knowing, nothing to do
  skipped  not permitted, or there is no such thing
  unknown  no answer
  warning  will go wrong, or costs something now
  error    goes wrong now, or loses records

The exit code is 3 for any warning or error, 4 when there is none but something \
got no answer, else 0.";

pub(super) fn execute(args: &DoctorArgs, mut context: Context<'_>) -> Outcome {
    let (file, plan) = args.file.plan(&mut context.environment, context.registry)?;
    let spec = file.spec()?;
    let patient = Patient::of(spec, plan.graph.lanes);
    let patient = patient.map_err(|problems| Failure::from(file.refuse(problems)))?;
    let depth = match args.write_test {
        true => Depth::Writing,
        false => Depth::All,
    };
    let findings = block_on(patient.examine(depth, args.timeout.get()))?.map_err(refused)?;
    let report = Report {
        version: VERSION,
        topology: &spec.name,
        findings,
    };
    match args.output.format {
        Format::Table => context.output.text(&report.text())?,
        Format::Json => context.output.json(&report)?,
    }
    Ok(report.exit())
}

/// Checks that go on beside a run.
pub(super) struct AtStart(Option<Receiver<()>>);

/// Makes the checks that cost least on a thread of their own, and logs what they find. A run does not
/// wait for them: what they find may be mended while it goes on.
pub(super) fn at_start(spec: &Spec, lanes: usize) -> AtStart {
    let patient = match Patient::of(spec, lanes) {
        Ok(patient) if !patient.is_empty() => patient,
        // What is wrong with the options, the plan has said.
        _ => return AtStart(None),
    };
    let (done, ended) = sync_channel(1);
    let check = move || {
        let examined = block_on(patient.examine(Depth::Start, AT_START));
        drop(patient);
        if let Ok(Ok(findings)) = examined {
            findings.iter().filter(|one| is_bad(one)).for_each(log);
        }
        let _ = done.send(());
    };
    let thread = std::thread::Builder::new().name("doctor".to_owned());
    AtStart(thread.spawn(check).ok().map(|_| ended))
}

impl AtStart {
    /// Lets checks end that are under way: a process should not exit amid a handshake.
    pub(super) fn end(self) {
        if let Some(ended) = self.0 {
            let _ = ended.recv_timeout(END_WITHIN);
        }
    }
}

fn log(finding: &Finding) {
    let Finding {
        check,
        connection,
        text,
        fix,
        ..
    } = finding;
    tracing::warn!(check, connection, found = text, fix, "Check at the start");
}

fn is_bad(finding: &Finding) -> bool {
    finding.status >= Status::Warning
}

/// What all checks found.
#[derive(Debug, Serialize)]
struct Report<'a> {
    version: u32,
    topology: &'a str,
    findings: Vec<Finding>,
}

impl Report<'_> {
    fn exit(&self) -> Exit {
        match self.findings.iter().map(|one| one.status).max() {
            Some(Status::Warning | Status::Error) => Exit::Threshold,
            Some(Status::Unknown) => Exit::Undetermined,
            _ => Exit::Done,
        }
    }

    fn text(&self) -> String {
        let mut table = Table::new(["CHECK", "STATUS", "CONNECTION", "FOUND"]);
        for finding in &self.findings {
            table.row([
                finding.check.to_owned(),
                finding.status.word().to_owned(),
                finding.connection.clone(),
                finding.text.clone(),
            ]);
        }
        let mut text = table.text();
        for finding in self.findings.iter().filter(|one| is_bad(one)) {
            text.push_str(&format!(
                "\n{} ({}): {}\n  Why: {}\n  Fix: {}\n",
                finding.check, finding.status, finding.text, finding.why, finding.fix
            ));
        }
        text.push_str(&format!("\n{}\n", self.summary()));
        text
    }

    fn summary(&self) -> String {
        let of = |status| self.findings.iter().filter(move |one| one.status == status);
        let counts = [
            (of(Status::Error).count(), "error", "errors"),
            (of(Status::Warning).count(), "warning", "warnings"),
            (
                of(Status::Unknown).count(),
                "without an answer",
                "without an answer",
            ),
            (of(Status::Skipped).count(), "skipped", "skipped"),
        ];
        let counts = counts.iter().filter(|(count, ..)| *count > 0);
        let counts = counts.map(|(count, one, several)| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {several}"),
        });
        let counts: Vec<String> = counts.collect();
        match counts.is_empty() {
            true => "Nothing is wrong.".to_owned(),
            false => format!("In all: {}.", counts.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(statuses: &[Status]) -> Report<'static> {
        let findings = statuses.iter().map(|status| Finding {
            check: "kafka.group",
            status: *status,
            connection: "kafka".to_owned(),
            text: "a stranger".to_owned(),
            why: "It matters.",
            fix: "Do something.",
        });
        Report {
            version: VERSION,
            topology: "logs",
            findings: findings.collect(),
        }
    }

    #[test]
    fn the_worst_finding_decides_about_the_exit_code() {
        use Status::{Error, Info, Ok, Skipped, Unknown, Warning};
        for (statuses, exit) in [
            (&[][..], Exit::Done),
            (&[Ok, Info, Skipped], Exit::Done),
            (&[Ok, Unknown, Skipped], Exit::Undetermined),
            (&[Unknown, Warning], Exit::Threshold),
            (&[Error, Ok], Exit::Threshold),
        ] {
            assert_eq!(report(statuses).exit(), exit, "{statuses:?}");
        }
    }

    #[test]
    fn what_is_wrong_comes_with_why_and_what_to_do() {
        assert_eq!(
            report(&[Status::Info, Status::Error]).text(),
            "\
CHECK        STATUS  CONNECTION  FOUND
kafka.group  info    kafka       a stranger
kafka.group  error   kafka       a stranger

kafka.group (error): a stranger
  Why: It matters.
  Fix: Do something.

In all: 1 error.
"
        );
        let fine = report(&[Status::Ok]).text();
        assert!(fine.ends_with("\nNothing is wrong.\n"), "{fine}");
    }
}
