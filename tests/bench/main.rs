//! `tests/bench/run [CASE...]`: what a record costs. Every case runs beside `limit`, a program that
//! does the least for the same records on the same broker and server, in turns; figures are CPU time
//! of the whole process, and ratios to `limit`, since those hold when the machine's speed drifts.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

mod cases;
mod check;
mod expected;
mod in_process;
mod lag;
mod live;
mod proof;
mod replay;
mod report;
mod stage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use serde_json::Value;

use cases::Case;
use report::{Figures, Row, Took};
use stage::{Run, Stage};
use testkit::figures::Spread;

const USAGE: &str = "\
Usage: tests/bench/run [CASE...] [--runs N] [--save]

Measures the named cases, or all. A name that ends in `*` means all that begin like it.

  --runs N   runs of each case and of `limit` beside it (default 5); a case that runs another number
             of times says so in its row
  --save     writes the JSON to tests/bench/results/ instead of printing it; at least 5 runs
  --list     lists the cases

Environment:
  ISOBAR_SERVICES  where fetched services are kept (default: .services in the checkout)
";

/// Runs of a case unless it is told otherwise, and the fewest whose figures are kept.
const RUNS: usize = 5;

struct Arguments {
    names: Vec<String>,
    runs: usize,
    save: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|one| one == "-h" || one == "--help") {
        print!("{USAGE}");
        return Ok(());
    }
    let all = cases::all();
    if arguments.iter().any(|one| one == "--list") {
        for case in &all {
            println!("{:<18}  {}", case.name, case.work);
        }
        for (name, work) in others() {
            println!("{name:<18}  {work}");
        }
        return Ok(());
    }
    let arguments = read(arguments)?;
    let known = |name: &str| {
        let mut names = all.iter().map(|case| &*case.name);
        names.any(|known| matches(name, known)) || others().any(|(n, _)| matches(name, n))
    };
    if let Some(name) = arguments.names.iter().find(|name| !known(name)) {
        bail!("there is no case {name}: --list names all");
    }
    let wanted = |name: &str| {
        arguments.names.is_empty() || arguments.names.iter().any(|one| matches(one, name))
    };

    let programs = programs()?;
    // What was built, before anything is edited beside a long run.
    let revision = report::revision()?;
    ensure!(
        !arguments.save || !revision.ends_with(report::DIRTY),
        "--save: figures that are kept are those of a revision: commit first"
    );
    ensure!(
        !arguments.save || arguments.runs >= RUNS,
        "--save: figures that are kept are the middle of {RUNS} runs and more"
    );
    let mut rows = Vec::new();
    for (name, work) in in_process::CASES {
        if wanted(name) {
            eprintln!("{name}");
            rows.push(in_process::measure(&programs, name, work, arguments.runs)?);
        }
    }
    let chosen: Vec<&Case> = all.iter().filter(|case| wanted(&case.name)).collect();
    let chosen_live: Vec<_> = live::CASES
        .iter()
        .filter(|(name, _)| wanted(name))
        .collect();
    let [replays, lags] = [&replay::CASES[..], &lag::CASES[..]].map(|cases| {
        let names = cases.iter().map(|(name, _)| *name);
        names.filter(|name| wanted(name)).collect::<Vec<_>>()
    });
    let needs_stage = !replays.is_empty() || !lags.is_empty() || wanted(proof::CASE.0);
    if !chosen.is_empty() || !chosen_live.is_empty() || needs_stage {
        let mut stage = Stage::start(&programs)?;
        for case in chosen {
            eprintln!("{}", case.name);
            let beside = all.iter().find(|other| case.beside == Some(&*other.name));
            rows.push(measure(&mut stage, case, beside, arguments.runs)?);
        }
        for (name, work) in chosen_live {
            eprintln!("{name}");
            rows.push(live::measure(&mut stage, name, work, arguments.runs)?);
        }
        for name in replays {
            eprintln!("{name}");
            rows.push(replay::measure(&mut stage, name, arguments.runs)?);
        }
        for name in lags {
            eprintln!("{name}");
            rows.push(lag::measure(&mut stage, name)?);
        }
        if wanted(proof::CASE.0) {
            eprintln!("{}", proof::CASE.0);
            rows.extend(proof::measure(&mut stage, arguments.runs)?);
        }
    }
    print!("{}", report::table(&rows));
    let command = std::iter::once("tests/bench/run".to_owned()).chain(arguments.names);
    let runs = ["--runs".to_owned(), arguments.runs.to_string()];
    let command = command.chain(runs).collect::<Vec<_>>().join(" ");
    let json = report::json(&rows, &command, &revision)?;
    match arguments.save {
        true => {
            let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/results");
            println!("\n{}", report::save(&json, &results)?.display());
        }
        false => println!("\n{json:#}"),
    }
    Ok(())
}

/// Names and work of what is not in the table of [`cases`].
fn others() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    let own = in_process::CASES.iter().chain(&live::CASES);
    let own = own.chain(&replay::CASES).chain(&lag::CASES);
    own.chain([&proof::CASE])
}

fn read(arguments: &[String]) -> Result<Arguments> {
    let mut read = Arguments {
        names: Vec::new(),
        runs: RUNS,
        save: false,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match &**argument {
            "--save" => read.save = true,
            "--runs" => {
                let number = rest.next().context("--runs needs a number")?;
                read.runs = number
                    .parse()
                    .with_context(|| format!("--runs: {number} is no number"))?;
                ensure!(read.runs > 0, "--runs: at least 1");
            }
            option if option.starts_with('-') => bail!("there is no {option}: see --help"),
            name => read.names.push(name.to_owned()),
        }
    }
    Ok(read)
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

/// The directory of this program, where `run` has built the others too.
fn programs() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own
        .parent()
        .context("a program is in a directory")?
        .to_owned())
}

/// Checks a case, then runs it, `limit`, and the case that it is compared to, in turns.
fn measure(stage: &mut Stage, case: &Case, beside: Option<&Case>, runs: usize) -> Result<Row> {
    stage.load(&case.input)?;
    if let Some(other) = beside {
        stage.load(&other.input)?;
    }
    check::check(stage, case)?;
    if let Some(other) = beside {
        check::check(stage, other)?;
    }
    let bound = stage.memory_bound(case)?;
    let allocations = stage.allocations(case)?;
    let cpu = |run: &Run| run.usage.cpu.as_secs_f64();
    let mut pairs = Vec::new();
    let mut to_other = Vec::new();
    for _ in 0..runs {
        let (limit, product) = (stage.limit(case)?, stage.product(case)?);
        ensure!(
            product.usage.peak_memory <= bound,
            "{}: {} bytes of memory, where the plan says {bound} at most",
            case.name,
            product.usage.peak_memory
        );
        pairs.push((limit, product));
        if let Some(other) = beside {
            to_other.push(cpu(&product) / cpu(&stage.product(other)?));
        }
    }
    let to_other = beside.map(|_| Figures(vec![("times_beside", Spread::of(to_other))]));
    let note = beside.zip(to_other.as_ref());
    let note = note.map(|(other, figures)| format!("; beside {}: {}", other.name, figures.text()));
    let ratio = Spread::of(
        pairs
            .iter()
            .map(|(limit, product)| cpu(product) / cpu(limit)),
    );
    let records = case.input.records;
    let (limits, products): (Vec<Run>, Vec<Run>) = pairs.into_iter().unzip();
    Ok(Row {
        name: case.name.clone(),
        work: case.work.to_owned(),
        records,
        runs,
        took: Took::of(&products, records),
        limit: Some((Took::of(&limits, records), ratio)),
        allocations: Some(allocations),
        note: note.unwrap_or_default(),
        more: to_other.map_or(Value::Null, |figures| figures.json()),
    })
}
