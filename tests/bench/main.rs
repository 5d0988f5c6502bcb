//! `tests/bench/run [CASE...]`: what a record costs. Every case runs beside `limit`, a program that
//! does the least for the same records on the same broker and server, in turns; figures are CPU time
//! of the whole process, and ratios to `limit`, since those hold when the machine's speed drifts.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

mod cases;
mod check;
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

use cases::Case;
use report::Row;
use stage::{Run, Stage};
use testkit::figures::Spread;

const USAGE: &str = "\
Usage: tests/bench/run [CASE...] [--runs N] [--save]

Measures the named cases, or all. A name that ends in `*` means all that begin like it.

  --runs N   runs of each case and of `limit` beside it (default 5)
  --save     writes the JSON to tests/bench/results/ instead of printing it
  --list     lists the cases

Environment:
  ISOBAR_SERVICES  where fetched services are kept (default: .services in the checkout)
";

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
    let others = [proof::CASE.0, lag::CASE.0].into_iter();
    let replays: Vec<&str> = replay::CASES.iter().map(|(name, _)| *name).collect();
    let needs_stage = others.chain(replays.iter().copied()).any(wanted);
    if !chosen.is_empty() || !chosen_live.is_empty() || needs_stage {
        let mut stage = Stage::start(&programs)?;
        for case in chosen {
            eprintln!("{}", case.name);
            rows.push(measure(&mut stage, case, arguments.runs)?);
        }
        for (name, work) in chosen_live {
            eprintln!("{name}");
            rows.push(live::measure(&mut stage, name, work)?);
        }
        for name in replays.into_iter().filter(|name| wanted(name)) {
            eprintln!("{name}");
            rows.push(replay::measure(&mut stage, name, arguments.runs)?);
        }
        if wanted(lag::CASE.0) {
            eprintln!("{}", lag::CASE.0);
            rows.push(lag::measure(&mut stage)?);
        }
        if wanted(proof::CASE.0) {
            eprintln!("{}", proof::CASE.0);
            rows.extend(proof::measure(&mut stage, arguments.runs)?);
        }
    }
    print!("{}", report::table(&rows));
    let command = std::iter::once("tests/bench/run".to_owned()).chain(arguments.names);
    let command = command.collect::<Vec<_>>().join(" ");
    let json = report::json(&rows, &command, arguments.runs)?;
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
    own.chain(&replay::CASES).chain([&lag::CASE, &proof::CASE])
}

fn read(arguments: &[String]) -> Result<Arguments> {
    let mut read = Arguments {
        names: Vec::new(),
        runs: 5,
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

/// Checks a case, then runs it and `limit` in turns.
fn measure(stage: &mut Stage, case: &Case, runs: usize) -> Result<Row> {
    stage.load(&case.input)?;
    check::check(stage, case)?;
    let allocations = stage.allocations(case)?;
    let mut pairs = Vec::new();
    for _ in 0..runs {
        pairs.push((stage.limit(case)?, stage.product(case)?));
    }
    let records = case.input.records as f64;
    let per_record = |run: &Run| run.usage.cpu.as_secs_f64() * 1e6 / records;
    let limit = Spread::of(pairs.iter().map(|(limit, _)| per_record(limit)));
    let ratios = pairs
        .iter()
        .map(|(limit, product)| per_record(product) / per_record(limit));
    let products = || pairs.iter().map(|(_, product)| product);
    Ok(Row {
        name: case.name.clone(),
        work: case.work.to_owned(),
        records: case.input.records,
        cpu: Spread::of(products().map(per_record)),
        ratio: Some(Spread::of(ratios)),
        rate: Spread::of(products().map(|run| records / run.wall.as_secs_f64())),
        peak_memory: Spread::of(products().map(|run| run.usage.peak_memory as f64)),
        allocations: Some(allocations),
        note: format!("; limit {:.2} us", limit.median),
    })
}
