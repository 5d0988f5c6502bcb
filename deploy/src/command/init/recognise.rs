//! Finds the format of records by trying them: every proposal is a topology that the sample is run
//! through, and the one that rejects least is it.

use std::path::Path;

use anyhow::anyhow;
use isobar_operators::sample::Sampled;
use isobar_topology::Registry;
use isobar_topology::spec::Problem;
use serde_json::Value;

use super::proposal::{Format, Proposal, Subject, Time};
use crate::exit::{Exit, Failure};
use crate::rehearsal::{Stage, Told};
use crate::substitute::Outside;
use crate::topology_file::TopologyFile;

/// What was found.
pub(super) struct Recognised {
    /// The topology file.
    pub(super) text: String,
    /// What to tell, a line each.
    pub(super) told: Vec<String>,
}

/// Names of fields that usually hold the time of an event, the likeliest first.
const TIME_FIELDS: [&str; 14] = [
    "@timestamp",
    "timestamp",
    "event_time",
    "eventTime",
    "time",
    "ts",
    "datetime",
    "date",
    "at",
    "occurred_at",
    "created_at",
    "createdAt",
    "logged_at",
    "t",
];

/// Characters that part the values of a line.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// Finds the format of records, and the time of the event in them.
///
/// Fails when no format fits most of them.
pub(super) fn recognise(
    subject: &Subject,
    records: &[Sampled],
    registry: &Registry,
) -> Result<Recognised, Failure> {
    let of_format = |format| Proposal {
        format,
        time: None,
        any_time: true,
    };
    let mut formats = vec![
        Format::Json,
        Format::Syslog,
        Format::Access,
        Format::KeyValue,
    ];
    formats.extend(DELIMITERS.into_iter().filter_map(|one| csv(records, one)));
    let mut best: Option<(usize, Proposal, Vec<Told>)> = None;
    let mut counts = Vec::new();
    for format in formats {
        let proposal = of_format(format);
        let told = run(subject, &proposal, records, registry)?;
        let fits = fitting(&told);
        counts.push(format!("{} {fits}", proposal.format));
        if best.as_ref().is_none_or(|(most, ..)| fits > *most) {
            best = Some((fits, proposal, told));
        }
    }
    let all = records.len();
    let found = best.filter(|(fits, ..)| fits * 2 > all);
    let Some((fits, mut proposal, told)) = found else {
        return Err(Failure::new(
            Exit::Failed,
            anyhow!(
                "no format fits more than half of the {all} records that were looked at ({}); write the \
                 file by hand, with `parse_grok` or `parse_regex` (`isobar operators parse_grok`)",
                counts.join(", ")
            ),
        ));
    };
    let percent = fits * 100 / all;
    let mut head = vec![format!(
        "Made by `isobar init` for the topic {}: of {all} records, {fits} are {} ({percent} %).",
        subject.topic, proposal.format
    )];
    let says_it = matches!(proposal.format, Format::Syslog | Format::Access);
    for time in times(&told) {
        let with_time = Proposal {
            time: Some(time),
            ..proposal.clone()
        };
        if !says_it && fitting(&run(subject, &with_time, records, registry)?) == fits {
            proposal = with_time;
            break;
        }
    }
    head.push(match (&proposal.time, says_it) {
        (_, true) => "The time of the event is that of the line.".to_owned(),
        (Some(time), _) => format!(
            "The time of the event is in `{}` ({}).",
            time.field, time.format
        ),
        (None, _) => {
            "No field holds a time in all of them: that of the record is taken.".to_owned()
        }
    });
    let within = Proposal {
        any_time: false,
        ..proposal.clone()
    };
    if fitting(&run(subject, &within, records, registry)?) == fits {
        proposal = within;
    }
    let mut told = head.clone();
    told[0] = format!(
        "of {all} records of {}, {fits} are {}{}",
        subject.topic,
        proposal.format,
        match all - fits {
            0 => String::new(),
            1 => "; the other one would be dead-lettered".to_owned(),
            others => format!("; the other {others} would be dead-lettered"),
        }
    );
    head.extend(
        [
            "",
            "  isobar try FILE    what becomes of the newest records; writes nothing",
            "  isobar test FILE   unit tests, once there are some",
            "  isobar run FILE",
        ]
        .map(str::to_owned),
    );
    Ok(Recognised {
        text: proposal.text(subject, &head),
        told,
    })
}

/// Refuses what no file can be written for, such as hosts that are none, before anybody is asked.
pub(super) fn check(subject: &Subject, registry: &Registry) -> Result<(), Failure> {
    let proposal = Proposal {
        format: Format::Json,
        time: None,
        any_time: true,
    };
    let refused = file(subject, &proposal).plan(registry, 1).err();
    let Some(refused) = refused else {
        return Ok(());
    };
    // Others follow from a name that cannot be used.
    let of_name = |problem: &&Problem| problem.path.to_string() == "name";
    if let Some(problem) = refused.problems().iter().find(of_name) {
        let expected = problem.expected.as_deref().unwrap_or_default();
        let message = &problem.message;
        return Err(Failure::usage(format!(
            "--name: {message}; expected {expected}"
        )));
    }
    // The lines that they are about are not written yet.
    let problems = refused.problems().iter().map(Problem::to_string);
    Err(Failure::usage(problems.collect::<Vec<_>>().join("\n")))
}

fn file(subject: &Subject, proposal: &Proposal) -> TopologyFile {
    let stand_in = || "stands for what is not asked for yet".to_owned();
    let outside = Outside {
        variable: &|name| (!matches!(name, "KAFKA" | "ES")).then(stand_in),
        file: &|_| Ok(stand_in()),
    };
    let text = proposal.text(subject, &[]);
    TopologyFile::from_text(Path::new("proposal.yaml"), text, &outside)
}

/// Runs the records through what is proposed.
fn run(
    subject: &Subject,
    proposal: &Proposal,
    records: &[Sampled],
    registry: &Registry,
) -> Result<Vec<Told>, Failure> {
    let file = file(subject, proposal);
    let mut stage = Stage::open(file.plan(registry, 1)?)?;
    let spout = file.spec()?.spouts[0].id.clone();
    let each = records.iter();
    each.map(|record| stage.run(&spout, record, None)).collect()
}

fn fitting(told: &[Told]) -> usize {
    told.iter().filter(|told| !told.is_rejected()).count()
}

/// The columns that most lines have, if those are enough to be no accident.
fn csv(records: &[Sampled], delimiter: char) -> Option<Format> {
    let mut counts = std::collections::BTreeMap::new();
    for record in records {
        let payload = record.payload.as_deref().unwrap_or_default();
        let mut in_quotes = false;
        let between = payload.iter().filter(|byte| {
            in_quotes ^= **byte == b'"';
            !in_quotes && **byte == delimiter as u8
        });
        *counts.entry(between.count() + 1).or_insert(0) += 1;
    }
    let (columns, lines) = counts.into_iter().max_by_key(|(_, lines)| *lines)?;
    (columns >= 3 && lines * 2 > records.len()).then_some(Format::Csv(columns, delimiter))
}

/// Where the time may stand: fields of the first document, those of usual names first.
fn times(told: &[Told]) -> Vec<Time> {
    let documents = told.iter().filter(|told| !told.is_rejected());
    let document = documents
        .filter_map(|told| told.steps.first()?.document.as_ref()?.as_object())
        .next();
    let Some(document) = document else {
        return Vec::new();
    };
    let usual = TIME_FIELDS
        .iter()
        .filter_map(|name| document.get_key_value(*name));
    // Elsewhere numbers are of anything.
    let texts = document.iter().filter(|(name, value)| {
        !TIME_FIELDS.contains(&name.as_str()) && value.as_str().is_some_and(|text| text.len() >= 19)
    });
    let plain = |name: &str| {
        let mut letters = name.chars();
        letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '@'))
    };
    usual
        .chain(texts)
        .filter(|(name, _)| plain(name))
        .filter_map(|(name, value)| {
            Some(Time {
                field: name.clone(),
                format: format_of(value)?,
            })
        })
        .collect()
}

/// How a value writes a time, if it is one.
fn format_of(value: &Value) -> Option<&'static str> {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
    if let Some(number) = number {
        // From 2001 on, and not after the year 5138, each range is of one unit.
        return match number {
            1e9..1e11 => Some("unix_s"),
            1e12..1e14 => Some("unix_ms"),
            1e15..1e17 => Some("unix_us"),
            1e18..1e19 => Some("unix_ns"),
            _ => None,
        };
    }
    let text = value.as_str()?;
    if text.parse::<jiff::Timestamp>().is_ok() {
        return Some("rfc3339");
    }
    let patterns = [
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%S",
        "%d/%b/%Y:%H:%M:%S %z",
    ];
    let fits = |pattern: &&str| jiff::fmt::strtime::parse(pattern, text).is_ok();
    patterns.into_iter().find(fits)
}
