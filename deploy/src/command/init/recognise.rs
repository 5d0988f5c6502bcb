//! Finds the format of records by trying them: every proposal is a topology that the sample is run
//! through, and the one that rejects least is it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::anyhow;
use isobar_operators::sample::Sampled;
use isobar_topology::spec::Problem;
use isobar_topology::{Registry, clock};
use serde_json::{Map, Value};

use super::advice::{advice, has_commas_in_times};
use super::proposal::{FarOff, Format, Proposal, Subject, Time};
use super::times::{is_plain, times};
use crate::command::brokers::quoted;
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

/// Characters that part the values of a line.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// Words that programs write behind the time of a line.
const LEVELS: [&str; 10] = [
    "trace", "debug", "info", "notice", "warn", "warning", "error", "err", "critical", "fatal",
];

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
        some_have_none: false,
        far_off: FarOff::OF_ANY,
    };
    let mut formats = vec![
        Format::Json,
        Format::Syslog { is_lenient: false },
        Format::Syslog { is_lenient: true },
        Format::Access { has_rest: false },
        Format::Access { has_rest: true },
        Format::KeyValue,
    ];
    formats.extend(DELIMITERS.into_iter().filter_map(|one| csv(records, one)));
    let mut best: Option<(usize, Proposal, Vec<Told>)> = None;
    let mut counts = Vec::new();
    for format in formats {
        let proposal = of_format(format);
        let told = run(subject, &proposal, records, registry)?;
        let fits = fitting(&proposal, &told);
        counts.push(format!("{} {fits}", proposal.format));
        // A few lines that only the laxer of two takes are garbage.
        let least = match proposal.format {
            Format::Access { has_rest: true } | Format::Syslog { is_lenient: true } => {
                records.len() / 10
            }
            _ => 0,
        };
        if best.as_ref().is_none_or(|(most, ..)| fits > *most + least) {
            best = Some((fits, proposal, told));
        }
    }
    let all = records.len();
    let found = best.filter(|(fits, ..)| fits * 2 > all);
    let Some((fits, mut proposal, told)) = found else {
        return Err(Failure::new(
            Exit::Failed,
            anyhow!(
                "no format fits more than half of the {all} records that were looked at ({}); {}",
                counts.join(", "),
                advice(records)
            ),
        ));
    };
    let percent = fits * 100 / all;
    let mut head = vec![format!(
        "Made by `isobar init` for the topic {}: of {all} records, {fits} are {} ({percent} %).",
        subject.topic, proposal.format
    )];
    let says_it = matches!(
        proposal.format,
        Format::Syslog { .. } | Format::Access { .. }
    );
    // The most that have a time in a field that some have one in.
    let mut nearly: Option<(usize, Time)> = None;
    for time in times(&told).into_iter().filter(|_| !says_it) {
        let with_time = Proposal {
            time: Some(time.clone()),
            ..proposal.clone()
        };
        let have_it = fitting(&with_time, &run(subject, &with_time, records, registry)?);
        if have_it == fits {
            proposal = with_time;
            nearly = None;
            break;
        }
        if nearly.as_ref().is_none_or(|(most, _)| have_it > *most) {
            nearly = Some((have_it, time));
        }
    }
    if let Some((_, time)) = nearly.as_ref().filter(|(some, _)| some * 2 > fits) {
        proposal.time = Some(time.clone());
        proposal.some_have_none = true;
    }
    head.push(match (&proposal.time, nearly) {
        _ if says_it => "The time of the event is that of the line.".to_owned(),
        (Some(time), nearly) => {
            let zone = match time.needs_zone() {
                true => "; it does not say its zone, and UTC is assumed",
                false => "",
            };
            let others = match nearly {
                Some((some, _)) => {
                    format!("; {some} of them have it, the others keep the time of the record")
                }
                None => String::new(),
            };
            format!(
                "The time of the event is in `{}` ({}){zone}{others}.",
                time.field, time.format
            )
        }
        (None, Some((some, time))) => format!(
            "Only {some} of them have a time in `{}`: that of the record is taken.",
            time.field
        ),
        (None, None) => {
            "No field holds a time of a known format: that of the record is taken.".to_owned()
        }
    });
    if let Some((field, some)) = json_inside(&told) {
        let (keep, others) = match some == fits {
            true => ("", ""),
            false => (", `on_invalid: keep`", "; the others stay as they are"),
        };
        head.push(format!(
            "The field `{field}` holds JSON objects as text in {some} of them: a second bolt `parse_json`, with \
             `field: {}`{keep} and `merge: true`, makes fields of what is in them{others}.",
            quoted(&field)
        ));
    }
    let within = Proposal {
        far_off: FarOff::default(),
        ..proposal.clone()
    };
    proposal.far_off = match fitting(&within, &run(subject, &within, records, registry)?) == fits {
        true => FarOff::default(),
        false => far_off(&run(subject, &proposal, records, registry)?),
    };
    if proposal.far_off.ahead {
        head.push(
            "Some events are more than a day ahead: look at the clock, or the zone, of who writes them."
                .to_owned(),
        );
    }
    let rejected = told.iter().filter(|told| told.is_rejected()).count();
    let others = of_others(all - fits - rejected, rejected);
    let mut told = head.clone();
    told[0] = format!(
        "of {all} records of {}, {fits} are {}{others}",
        subject.topic, proposal.format
    );
    head.extend(
        [
            "",
            "  isobar try FILE     what becomes of the newest records; writes nothing",
            "  isobar test FILE    unit tests, once there are some",
            "  isobar doctor FILE  what is wrong with Kafka and the index for this file, or soon will be",
            "  isobar run FILE",
        ]
        .map(str::to_owned),
    );
    let text = proposal.text(subject, &head);
    // Not only what it was made of.
    let _sound = file(text.clone()).plan(registry, 1)?;
    Ok(Recognised { text, told })
}

/// Refuses what no file can be written for, such as hosts that are none, before anybody is asked.
pub(super) fn check(subject: &Subject, registry: &Registry) -> Result<(), Failure> {
    let proposal = Proposal {
        format: Format::Json,
        time: None,
        some_have_none: false,
        far_off: FarOff::OF_ANY,
    };
    let refused = file(proposal.text(subject, &[])).plan(registry, 1).err();
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

fn file(text: String) -> TopologyFile {
    let stand_in = || "stands for what is not asked for yet".to_owned();
    let outside = Outside {
        variable: &|name| (!matches!(name, "KAFKA" | "ES")).then(stand_in),
        file: &|_| Ok(stand_in()),
    };
    TopologyFile::from_text(Path::new("proposal.yaml"), text, &outside)
}

/// Runs the records through what is proposed.
fn run(
    subject: &Subject,
    proposal: &Proposal,
    records: &[Sampled],
    registry: &Registry,
) -> Result<Vec<Told>, Failure> {
    let file = file(proposal.text(subject, &[]));
    let mut stage = Stage::open(file.plan(registry, 1)?)?;
    let spout = file.spec()?.spouts[0].id.clone();
    let each = records.iter();
    each.map(|record| stage.run(&spout, record, None)).collect()
}

/// What becomes of records that are not of the format: so many are taken all the same, so many rejected.
fn of_others(taken: usize, rejected: usize) -> String {
    let text =
        format!("; of {taken} others only the text would be taken, with the time of the record");
    match (taken, rejected) {
        (0, 0) => String::new(),
        (0, 1) => "; the other one would be dead-lettered".to_owned(),
        (0, others) => format!("; the other {others} would be dead-lettered"),
        (_, 0) => text,
        (_, others) => format!("{text}, and {others} would be dead-lettered"),
    }
}

/// How many records are of the format that is proposed.
fn fitting(proposal: &Proposal, told: &[Told]) -> usize {
    let is_one = |told: &&Told| match proposal.format {
        Format::Syslog { is_lenient: true } => !told.is_rejected() && is_syslog(told),
        _ => !told.is_rejected(),
    };
    told.iter().filter(is_one).count()
}

/// Whether a document is that of a line of syslog: `mode: lenient` makes one of any text. Lines of programs
/// often begin with a time and a level, which stands where the name of the host would.
fn is_syslog(told: &Told) -> bool {
    let document = told.steps.first().and_then(|step| step.document.as_ref());
    let Some(document) = document else {
        return false;
    };
    let host = document["hostname"].as_str();
    let has_sender = document.get("app_name").is_some() || document.get("priority").is_some();
    let is_level = |host: &str| {
        let host = host.trim_matches(['[', ']', ':']);
        LEVELS.iter().any(|level| level.eq_ignore_ascii_case(host))
    };
    document.get("timestamp").is_some() && has_sender && host.is_some_and(|host| !is_level(host))
}

/// On which side of now there are events outside of the usual bounds of a sink.
fn far_off(told: &[Told]) -> FarOff {
    const DAY: i64 = 86_400_000;
    let now = clock::unix_ms();
    let times = told.iter().filter_map(|told| told.steps.last()?.event_time);
    times.fold(FarOff::default(), |far, time| FarOff {
        past: far.past || time < now - 365 * DAY,
        ahead: far.ahead || time > now + DAY,
    })
}

/// A field in which most documents have a JSON object as text, as container runtimes write the lines of
/// programs, and how many have.
fn json_inside(told: &[Told]) -> Option<(String, usize)> {
    let is_object = |text: &str| {
        text.starts_with('{') && serde_json::from_str::<Map<String, Value>>(text).is_ok()
    };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let documents = told.iter().filter(|told| !told.is_rejected());
    let documents = documents.filter_map(|told| told.steps.first()?.document.as_ref()?.as_object());
    let mut all = 0;
    for document in documents {
        all += 1;
        for (name, value) in document {
            if value.as_str().is_some_and(is_object) {
                *counts.entry(name).or_default() += 1;
            }
        }
    }
    let (name, some) = counts.into_iter().max_by_key(|(_, some)| *some)?;
    (is_plain(name) && some * 2 > all).then(|| (name.to_owned(), some))
}

/// The columns that most lines have, if those are enough to be no accident.
fn csv(records: &[Sampled], delimiter: char) -> Option<Format> {
    if delimiter == ',' && has_commas_in_times(records) {
        return None;
    }
    let mut counts = BTreeMap::new();
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
