//! The commands about runs that are under way or over: what the register knows of them, and what an
//! operator wants of them.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use isobar_operators::kafka::admin::Admin;
use isobar_operators::lag::Source;
use isobar_operators::replay::registry::{Entry, Listed, Registry, State, Wanted};
use isobar_topology::clock;
use serde::Serialize;
use serde_json::json;

use super::attend::{BY_OPERATOR, VERIFIED};
use super::claiming::named;
use super::document::VERSION;
use super::held::forget_group;
use super::purge::PURGE;
use crate::cli::OutputArgs;
use crate::command::Context;
use crate::command::runtime::Runtime;
use crate::command::source::{OfArgs, asking};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Table, known, number, time};

/// Between two looks at whether a run has heard what is wanted of it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What is said where no replay was ever run.
const NONE: &str = "no replay has been run";

/// Whose runs are meant.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    of: OfArgs,

    /// Shows so many at most, those that were heard of last; 0 for all.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: usize,

    #[command(flatten)]
    output: OutputArgs,
}

/// Which run is meant.
#[derive(Args, Debug)]
pub(super) struct RunOfArgs {
    #[command(flatten)]
    of: OfArgs,

    /// The run, by the id of its plan or the name of the redrive. Default: the only one that is under way.
    #[arg(long, value_name = "ID")]
    run: Option<String>,

    #[command(flatten)]
    output: OutputArgs,
}

/// A run, as it is shown.
#[derive(Serialize)]
struct Shown<'a> {
    /// Its state, or `lost` where it should be under way and has not been heard of.
    state: &'static str,
    /// What its check has found where it has come to its end: `exact`, `wrong`, `unknown` or `not verified`.
    verdict: Option<&'a str>,
    told_ms: i64,
    told: &'a isobar_operators::replay::registry::Entry,
}

fn state(run: &Listed) -> &'static str {
    match run.entry.state {
        active if active.is_active() && !run.is_alive() => "lost",
        state => state.word(),
    }
}

fn verdict(entry: &Entry) -> Option<&str> {
    let why = entry
        .why
        .as_deref()
        .filter(|_| entry.state == State::Done)?;
    Some(why.strip_prefix(VERIFIED).unwrap_or(why))
}

fn shown(run: &Listed) -> Shown<'_> {
    Shown {
        state: state(run),
        verdict: verdict(&run.entry),
        told_ms: run.told_ms,
        told: &run.entry,
    }
}

pub(super) fn list(args: &ListArgs, mut context: Context<'_>) -> Outcome {
    let (registry, _) = find(&args.of, &mut context)?;
    let mut runs = registry.runs().map_err(asking)?;
    let earlier = match args.limit {
        0 => 0,
        limit => runs.len().saturating_sub(limit),
    };
    drop(runs.drain(..earlier));
    match args.output.format {
        Format::Json => {
            let runs: Vec<Shown<'_>> = runs.iter().map(shown).collect();
            context.output.json(&json!({
                "version": VERSION,
                "topic": registry.topic(),
                "earlier": earlier,
                "runs": runs,
            }))?;
        }
        Format::Table if runs.is_empty() => context.output.line(NONE)?,
        Format::Table => context.output.text(&(table(&runs) + &not_shown(earlier)))?,
    }
    Ok(Exit::Done)
}

fn table(runs: &[Listed]) -> String {
    let mut table = Table::new([
        "RUN", "STATE", "VERDICT", "TARGET", "SETTLED>", "OFFSETS>", "HOST", "TOLD",
    ]);
    for run in runs {
        let (settled, offsets) = progress(run);
        table.row([
            run.entry.run.clone(),
            state(run).to_owned(),
            verdict(&run.entry).unwrap_or("-").to_owned(),
            run.entry.target.clone(),
            far(&run.entry, settled),
            number(offsets),
            run.entry.host.clone(),
            format!("{} ago", time(ago(run.told_ms))),
        ]);
    }
    table.text()
}

/// What is said behind the table of so many runs that are not in it.
fn not_shown(earlier: usize) -> String {
    match earlier {
        0 => String::new(),
        _ => format!(
            "{} earlier ones are not shown: --limit 0 shows all\n",
            number(earlier)
        ),
    }
}

/// Offsets that are settled, and all of the run.
fn progress(run: &Listed) -> (Option<i64>, i64) {
    let parts = &run.entry.partitions;
    let settled = parts
        .iter()
        .map(|part| Some(part.next?.min(part.to).saturating_sub(part.from).max(0)));
    let settled: Option<Vec<i64>> = settled.collect();
    let all = parts.iter().map(|part| part.to.saturating_sub(part.from));
    // Whoever may write to the register may write any number.
    let sum = |counts: Vec<i64>| counts.into_iter().fold(0, i64::saturating_add);
    (settled.map(sum), sum(all.collect()))
}

/// How far a run is. A redrive takes letters in no order of offsets, so there it is no number that anybody could know.
fn far(entry: &Entry, offset: Option<i64>) -> String {
    match offset {
        None if entry.is_redrive() => "-".to_owned(),
        offset => known(offset),
    }
}

fn ago(ms: i64) -> u64 {
    u64::try_from(clock::unix_ms() - ms).unwrap_or(0)
}

pub(super) fn status(args: &RunOfArgs, mut context: Context<'_>) -> Outcome {
    let (registry, _) = find(&args.of, &mut context)?;
    let runs = registry.runs().map_err(asking)?;
    if runs.is_empty() && args.run.is_none() {
        match args.output.format {
            Format::Json => context
                .output
                .json(&json!({"version": VERSION, "run": null}))?,
            Format::Table => context.output.line(NONE)?,
        }
        return Ok(Exit::Done);
    }
    let run = chosen(runs, args.run.as_deref()).map_err(Failure::usage)?;
    show(&run, args, &context)?;
    Ok(Exit::Done)
}

fn show(run: &Listed, args: &RunOfArgs, context: &Context<'_>) -> Result<(), Failure> {
    match args.output.format {
        Format::Json => context
            .output
            .json(&json!({"version": VERSION, "run": shown(run)}))?,
        Format::Table => context.output.text(&text(run))?,
    }
    Ok(())
}

fn text(run: &Listed) -> String {
    let entry = &run.entry;
    let why = entry
        .why
        .as_ref()
        .map_or_else(String::new, |why| format!(": {why}"));
    let kind = match entry.is_redrive() {
        true => "Redrive",
        false => "Replay",
    };
    let mut text = format!(
        "{kind} {}: {}{why}\nSpout {}, target {}, on {} (process {}), heard of {} ago\n",
        entry.run,
        state(run),
        entry.spout,
        entry.target,
        entry.host,
        entry.pid,
        time(ago(run.told_ms))
    );
    if let Some(asked) = &entry.asked {
        let with = match asked.options.is_empty() {
            true => String::new(),
            false => format!(" with {}", asked.options.join(" ")),
        };
        text.push_str(&format!(
            "Begun by {}{with}, by the topology of configuration {}\n",
            asked.user, asked.configuration
        ));
    }
    text.push('\n');
    let mut table = Table::new(["TOPIC", "PARTITION>", "FROM>", "TO>", "SETTLED TO>"]);
    for part in &entry.partitions {
        table.row([
            part.topic.clone(),
            part.partition.to_string(),
            number(part.from),
            number(part.to),
            far(entry, part.next),
        ]);
    }
    text.push_str(&table.text());
    if entry.is_redrive() {
        text.push_str("How far it is: `isobar dlq stats` counts the letters that are open still\n");
    }
    text
}

/// Tells a run what is wanted of it, and waits until it does so.
pub(super) fn want(args: &RunOfArgs, wanted: Wanted, mut context: Context<'_>) -> Outcome {
    let (registry, source) = find(&args.of, &mut context)?;
    let run = choose(&registry, args.run.as_deref())?;
    let within = args.of.timeout.get();
    let runtime = Runtime::new()?;
    let is_heard = match run.entry.state.is_active() && !run.is_alive() {
        true => {
            let seconds = run.entry.lease_ms / 1_000;
            context.screen.line(&format!(
                "isobar: nothing was heard of {} lately, by the clock of this machine: waiting {seconds} s whether it \
                 still is",
                named(&run.entry)
            ));
            runtime.block_on(is_heard(&registry, &run))?
        }
        false => run.is_alive(),
    };
    let forget = |entry: &Entry| {
        let admin = Admin::of_group(source.connection(), &entry.group, within);
        let admin = admin.map_err(asking)?;
        Ok::<_, Failure>(forget_group(&admin, &entry.group, &context.screen))
    };
    let run = match (is_heard, wanted, run.entry.state) {
        (true, ..) => runtime.block_on(tell(&registry, &run, wanted, within))?,
        // Nobody hears it any more.
        (false, Wanted::Abort, State::Running | State::Paused | State::Stopped) => {
            let mut run = run;
            run.entry.state = State::Aborted;
            run.entry.why = Some("an operator aborted it while it was not running".to_owned());
            let told = runtime.block_on(registry.tell(&run.entry));
            told.map_err(asking)?;
            if leaves_a_group(&run.entry) {
                let _ = forget(&run.entry)?;
            }
            run.told_ms = clock::unix_ms();
            run
        }
        // It died between its last word and the end of its group, whose lag would be shown for ever.
        (false, Wanted::Abort, _) if leaves_a_group(&run.entry) && forget(&run.entry)? => {
            context.screen.line(&format!(
                "isobar: the replay {} was {} already; the group {}, which it had left behind, is deleted",
                run.entry.run,
                state(&run),
                run.entry.group
            ));
            run
        }
        (false, ..) => {
            return Err(Failure::usage(format!(
                "{} is not under way: it is {}",
                named(&run.entry),
                state(&run)
            )));
        }
    };
    show(&run, args, &context)?;
    Ok(Exit::Done)
}

/// Whether nobody goes on with a run any more, so that the group with its progress is of no use. What a purge has
/// deleted is missing until somebody goes on from there; a redrive has no group.
fn leaves_a_group(entry: &Entry) -> bool {
    match entry.state {
        _ if entry.is_redrive() => false,
        State::Done => true,
        State::Aborted => entry.target != PURGE,
        State::Running | State::Paused | State::Stopped | State::Refused => false,
    }
}

/// Whether a run is heard of again within its lease. The clock of this machine may be ahead of the brokers', so that
/// one looks silent that is not.
async fn is_heard(registry: &Registry, run: &Listed) -> Result<bool, Failure> {
    let lease = Duration::from_millis(u64::try_from(run.entry.lease_ms).unwrap_or(0));
    let until = clock::now() + lease;
    loop {
        let is_last = clock::now() >= until;
        let runs = registry.runs().map_err(asking)?;
        let mut words = runs.iter().filter(|one| one.entry.run == run.entry.run);
        if words.any(|one| one.told_ms != run.told_ms) {
            return Ok(true);
        }
        if is_last {
            return Ok(false);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn tell(
    registry: &Registry,
    run: &Listed,
    wanted: Wanted,
    within: Duration,
) -> Result<Listed, Failure> {
    let (id, named) = (&run.entry.run, named(&run.entry));
    registry.want(id, wanted).await.map_err(asking)?;
    let until = clock::now() + within;
    loop {
        let runs = registry.runs().map_err(asking)?;
        let run = runs.into_iter().find(|one| one.entry.run == *id);
        if let Some(run) = run.filter(|run| is_as_wanted(run, wanted)) {
            return Ok(run);
        }
        if clock::now() > until {
            return Err(Failure::new(
                Exit::Undetermined,
                anyhow!("{named} was told and has not answered yet; see isobar replay status"),
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_as_wanted(run: &Listed, wanted: Wanted) -> bool {
    let entry = &run.entry;
    let is_paused = entry.state == State::Paused && entry.why.as_deref() == Some(BY_OPERATOR);
    match wanted {
        _ if !entry.state.is_active() => true,
        Wanted::Pause => is_paused,
        Wanted::Resume => !is_paused,
        Wanted::Abort => false,
    }
}

fn find(of: &OfArgs, context: &mut Context<'_>) -> Result<(Registry, Source), Failure> {
    let (file, source, _) = of.find(context)?;
    let registry = Registry::of(file.spec()?, &source.spout, of.timeout.get());
    let registry = registry.ok_or_else(|| Failure::usage("the spout has no connection"))?;
    Ok((registry, source))
}

fn choose(registry: &Registry, named: Option<&str>) -> Result<Listed, Failure> {
    let runs = registry.runs().map_err(asking)?;
    chosen(runs, named).map_err(Failure::usage)
}

fn chosen(mut runs: Vec<Listed>, named: Option<&str>) -> Result<Listed, String> {
    let ids = |runs: &[Listed]| {
        let ids: Vec<&str> = runs.iter().map(|run| run.entry.run.as_str()).collect();
        ids.join(", ")
    };
    if let Some(id) = named {
        let found = runs.iter().position(|run| run.entry.run == id);
        return match found {
            Some(run) => Ok(runs.swap_remove(run)),
            None if runs.is_empty() => Err(format!("there is no replay {id}: none was run")),
            None => Err(format!("there is no replay {id}; there is {}", ids(&runs))),
        };
    }
    let all = ids(&runs);
    runs.retain(Listed::is_alive);
    match runs.len() {
        1 => Ok(runs.remove(0)),
        0 if all.is_empty() => Err("no replay is under way, and none was run".to_owned()),
        0 => Err(format!(
            "no replay is under way; say with --run which is meant, one of {all}"
        )),
        _ => Err(format!(
            "several replays are under way; say with --run which is meant, one of {}",
            ids(&runs)
        )),
    }
}

/// What a run of the spout `logs` tells that is done, without partitions.
#[cfg(test)]
pub(in crate::command) fn entry_for_tests(run: &str, target: &str) -> Entry {
    Entry {
        version: 1,
        run: run.to_owned(),
        attempt: "x".to_owned(),
        spout: "logs".to_owned(),
        target: target.to_owned(),
        group: "g".to_owned(),
        host: "h".to_owned(),
        pid: 7,
        state: State::Done,
        why: None,
        claim: Some(1),
        word: None,
        started_ms: 0,
        lease_ms: 30_000,
        asked: None,
        dropped: None,
        partitions: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use isobar_operators::embedded::EmbeddedKafka;
    use isobar_operators::replay::registry::{Asked, Part, REDRIVE};

    use super::*;
    use crate::substitute::Outside;
    use crate::topology_file::TopologyFile;

    fn run(id: &str, state: State, told_ms: i64) -> Listed {
        let part = |partition, next| Part {
            topic: "t".to_owned(),
            partition,
            from: 10,
            to: 1_010,
            next,
        };
        Listed {
            entry: Entry {
                state,
                partitions: vec![part(0, Some(510)), part(1, Some(5_000))],
                ..entry_for_tests(id, "missing")
            },
            told_ms,
        }
    }

    #[test]
    fn a_run_that_was_not_heard_of_is_lost_and_never_called_running() {
        let now = clock::unix_ms();
        assert_eq!(state(&run("a", State::Running, now)), "running");
        assert_eq!(state(&run("a", State::Paused, now - 31_000)), "lost");
        assert_eq!(state(&run("a", State::Done, now - 31_000)), "done");
        let run = run("a", State::Running, now);
        assert_eq!(progress(&run), (Some(1_500), 2_000));
        let text = text(&run);
        assert!(
            text.contains("t              0    10  1,010         510\n"),
            "{text}"
        );
        let mut run = run;
        for part in &mut run.entry.partitions {
            (part.from, part.to) = (i64::MIN, i64::MAX);
        }
        assert_eq!(progress(&run), (Some(i64::MAX), i64::MAX));
    }

    #[test]
    fn what_the_check_of_a_run_has_found_is_shown_beside_that_it_is_done() {
        let of = |state, why: &str| {
            let mut run = run("a", state, clock::unix_ms());
            run.entry.why = Some(why.to_owned());
            run
        };
        let runs = [
            of(State::Done, "verified: exact"),
            of(State::Done, "verified: wrong"),
            of(State::Done, "not verified"),
            of(State::Stopped, "stopped by SIGINT"),
        ];
        let text = table(&runs) + &not_shown(7);
        let lines: Vec<&str> = text.lines().collect();
        for (line, shown) in lines.iter().zip([
            "RUN  STATE    VERDICT       TARGET",
            "a    done     exact         missing",
            "a    done     wrong         missing",
            "a    done     not verified  missing",
            "a    stopped  -             missing",
            "7 earlier ones are not shown: --limit 0 shows all",
        ]) {
            assert!(line.starts_with(shown), "{text}");
        }
        let json = serde_json::to_value(shown(&runs[1])).expect("JSON");
        assert_eq!(
            (&json["state"], &json["verdict"]),
            (&json!("done"), &json!("wrong"))
        );
        assert_eq!(not_shown(0), "");
    }

    #[test]
    fn what_a_run_keeps_of_its_progress_is_of_no_use_once_nobody_goes_on_with_it() {
        let check = |state, target: &str, expected: bool| {
            let mut entry = run("a", state, 0).entry;
            entry.target = target.to_owned();
            assert_eq!(leaves_a_group(&entry), expected, "{state:?} {target}");
        };
        for target in ["missing", PURGE] {
            check(State::Done, target, true);
            check(State::Stopped, target, false);
            check(State::Running, target, false);
            // Another attempt of its plan may be under way.
            check(State::Refused, target, false);
        }
        check(State::Aborted, "missing", true);
        check(State::Aborted, PURGE, false);
        check(State::Aborted, REDRIVE, false);
        check(State::Done, REDRIVE, false);
    }

    #[test]
    fn who_has_begun_a_run_and_how_is_told() {
        let mut run = run("a", State::Done, clock::unix_ms());
        assert!(text(&run).contains(", on h (process 7), heard of"));
        run.entry.asked = Some(Asked {
            user: "ops".to_owned(),
            configuration: "0f".to_owned(),
            options: vec!["--resume".to_owned(), "--rate=5".to_owned()],
        });
        let replay = text(&run);
        let said = "\nBegun by ops with --resume --rate=5, by the topology of configuration 0f\n\n";
        assert!(replay.contains(said), "{replay}");
        assert!(replay.starts_with("Replay a: done\n"), "{replay}");
        run.entry.target = REDRIVE.to_owned();
        let redrive = text(&run);
        assert!(redrive.starts_with("Redrive a: done\n"), "{redrive}");
    }

    #[test]
    fn how_far_a_redrive_is_letters_say_and_no_offset() {
        let mut run = run("a", State::Running, clock::unix_ms());
        for part in &mut run.entry.partitions {
            part.next = None;
        }
        let said = |run: &Listed| (text(run), table(std::slice::from_ref(run)));
        let (replay, listed) = said(&run);
        assert!(replay.ends_with("1    10  1,010           ?\n"), "{replay}");
        assert!(listed.contains("  ?  "), "{listed}");
        run.entry.target = REDRIVE.to_owned();
        let (redrive, listed) = said(&run);
        let expected = "1    10  1,010           -\nHow far it is: `isobar dlq stats` counts the letters that are open still\n";
        assert!(redrive.ends_with(expected), "{redrive}");
        assert!(
            listed.contains("  -  ") && !listed.contains('?'),
            "{listed}"
        );
    }

    #[tokio::test]
    async fn a_run_that_tells_something_is_alive_whatever_the_clock_here_says() {
        let kafka = EmbeddedKafka::start().expect("a stand-in cluster");
        kafka.create_topic("t.replays").expect("it is created");
        let file = format!(
            "isobar: 1\nname: t\nconnections: {{kafka: {{type: kafka, brokers: [\"{}\"]}}}}\nspouts: {{logs: {{type: \
             kafka, connection: kafka, topics: [logs], start: earliest}}}}\nbolts: {{out: {{type: blackhole, inputs: \
             [logs]}}}}\n",
            kafka.brokers()
        );
        let outside = Outside {
            variable: &|_| None,
            file: &|_| unreachable!("no file is named"),
        };
        let file = TopologyFile::from_text(Path::new("t.yaml"), file, &outside);
        let spec = file.spec().expect("a specification");
        let registry = Registry::of(spec, "logs", Duration::from_secs(10)).expect("a connection");
        let mut entry = run("a", State::Running, 0).entry;
        entry.lease_ms = 0;
        registry.tell(&entry).await.expect("written");
        let seen = registry.runs().expect("it answers").remove(0);
        assert_eq!(state(&seen), "lost");
        assert!(!is_heard(&registry, &seen).await.expect("it answers"));
        let earlier = Listed {
            told_ms: seen.told_ms - 1,
            ..seen
        };
        assert!(is_heard(&registry, &earlier).await.expect("it answers"));
    }

    #[test]
    fn the_only_run_under_way_is_meant_where_none_is_named() {
        let now = clock::unix_ms();
        let one = || vec![run("a", State::Done, now), run("b", State::Running, now)];
        let id = |runs, named| chosen(runs, named).map(|run| run.entry.run);
        assert_eq!(id(one(), None), Ok("b".to_owned()));
        assert_eq!(id(one(), Some("a")), Ok("a".to_owned()));
        let mut two = one();
        two.push(run("c", State::Paused, now));
        let problem = id(two, None).expect_err("two of them");
        assert!(problem.ends_with("one of b, c"), "{problem}");
        let problem = id(one(), Some("x")).expect_err("no such run");
        assert_eq!(problem, "there is no replay x; there is a, b");
        let none = id(vec![run("a", State::Stopped, now)], None);
        assert!(none.expect_err("none").ends_with("one of a"));
    }

    #[test]
    fn a_pause_for_the_live_topology_is_not_one_of_an_operator() {
        let now = clock::unix_ms();
        let mut paused = run("a", State::Paused, now);
        paused.entry.why = Some("the live topology is behind".to_owned());
        assert!(!is_as_wanted(&paused, Wanted::Pause));
        assert!(is_as_wanted(&paused, Wanted::Resume));
        paused.entry.why = Some(BY_OPERATOR.to_owned());
        assert!(is_as_wanted(&paused, Wanted::Pause));
        assert!(!is_as_wanted(&paused, Wanted::Resume));
        assert!(!is_as_wanted(&paused, Wanted::Abort));
        let ended = run("a", State::Done, now);
        assert!(
            is_as_wanted(&ended, Wanted::Pause),
            "it heard nothing of it"
        );
    }
}
