//! `isobar top`, over the paths that it asks: what the page shows, at a terminal.

use std::time::Duration;

use isobar::exit::Exit;
use serde_json::Value;
use testkit::process::{Launch, Process};
use testkit::{http, ports, wait};

use super::{SOON, Served, WAITING};
use crate::support::{File, isobar};

/// Looks at the lag are ten seconds apart, and the first one is made before the brokers have answered.
const LOOKED: Duration = Duration::from_secs(60);

#[test]
fn what_is_most_important_comes_first_and_what_is_held_is_named() {
    let served = Served::start(WAITING);
    let _ = served.settle(190);
    wait::until("everything to be open", SOON, || {
        anyhow::ensure!(served.get("/readyz").status == 200, "not yet");
        Ok(())
    })
    .expect("it opens");
    let url = format!("http://{}", served.address);
    let done = isobar("top", "", &["top", &url, "--once"]);
    assert_eq!(done.exit, Exit::Done, "{}", done.error);
    let (first, rest) = done.output.split_once('\n').expect("lines");
    assert!(first.starts_with("waiting: OK, up "), "{first}");
    let expected = "\
? records/s read, 0 of 1,000 in flight, 99 % settled within ?

NODE         TYPE        RECORDS/S  RECORDS  BUSY  QUEUE  REJECTED  FAILURES
in           numbers             ?      190          0 %
odd          refuse_odd          ?      190     ?    0/8        94         0
count        count               ?       96     ?    0/8         0         0
drop         drop                ?       96     ?      -         0         0
dead_letter  sink                ?       94     ?    0/8         0         0

BOLT   HOST       REQUESTS/S  HALF WITHIN  99 % WITHIN
count  es-1:9200           ?            ?            ?

SPOUT  READ  DELIVERED";
    assert!(rest.starts_with(expected), "{rest}");
    let program = program(&served);
    let end = format!(
        "
BOLT  REASON  REJECTED  OF READ
odd   odd           94  49.47 %

EDGE                         RECORDS/S  SENT  QUEUE
in -> odd                            ?   190    0/8
odd -> count                         ?    96    0/8
odd.rejected -> dead_letter          ?    94    0/8
count -> drop                        ?    96      -

{program}; --configuration shows it
"
    );
    assert!(rest.ends_with(&end), "{rest}");

    let health = served.observer.running.health();
    health.set("drop", "held", "closed");
    let shown = isobar("top-held", "", &["top", &url, "--once"]).output;
    assert!(shown.starts_with("waiting: not ready, up "), "{shown}");
    assert!(shown.contains("\n\ndrop: held for "), "{shown}");
    let bottleneck = "\nBottleneck: drop: held\n";
    assert!(shown.contains(bottleneck), "{shown}");
    // In place of its type.
    let marked = |start: &str| shown.lines().any(|line| line.starts_with(start));
    assert!(marked("drop <       held "), "{shown}");
    assert!(marked("count -> drop <  "), "{shown}");
    drop(served);
    let done = isobar("top-gone", "", &["top", &url, "--once"]);
    assert_eq!(done.exit, Exit::Undetermined);
    let expected = format!("{} does not say its statistics: ", &url["http://".len()..]);
    assert!(done.error.starts_with(&expected), "{}", done.error);
}

/// Which configuration a program says that it runs.
fn program(served: &Served) -> String {
    let facts = served.json("/diagnostics");
    let text = |name: &str| facts[name].as_str().unwrap_or_default().to_owned();
    let revision = match &*text("revision") {
        "" => String::new(),
        revision => format!(" ({revision})"),
    };
    format!(
        "Configuration {} of t.yaml, Isobar {}{revision}",
        text("configuration_hash"),
        text("version")
    )
}

#[test]
fn the_configuration_is_shown_without_secrets_and_differences_are_told() {
    let served = Served::start(WAITING);
    let other = Served::start(&WAITING.replace("records: 95", "records: 96"));
    let [url, another] = [&served, &other].map(|one| format!("http://{}", one.address));
    let shown = isobar("top-file", "", &["top", "--configuration", &url]);
    assert_eq!(shown.exit, Exit::Done, "{}", shown.error);
    let text = shown.output;
    let facts = served.json("/diagnostics");
    let start = format!("# {}\n", program(&served));
    assert!(text.starts_with(&start), "{text}");
    let place = format!(
        "\n# at {}, process {}, started ",
        served.address, facts["process"]
    );
    assert!(text.contains(&place), "{text}");
    assert!(text.contains(" lanes, queues of 4 batches and "), "{text}");
    let spout = "
spouts:
  in:
    type: numbers
    records: 95
    partitions: 2
    waits: true
    password: <hidden>
";
    assert!(text.contains(spout), "{text}");
    assert!(!text.contains("hunter2"), "{text}");

    let both = ["top", "--configuration", &url, &another];
    let both = isobar("top-files", "", &both).output;
    let (first, second) = both.split_once("\n---\n").expect("two documents");
    assert_eq!(format!("{first}\n"), text);
    assert!(second.contains("\n    records: 96\n"), "{second}");
    let differ = "\n\nthe replicas run with different configurations\n";
    let once = ["top", "--once", &url, &another];
    let once = isobar("top-differ", "", &once).output;
    assert!(once.contains(differ), "{once}");
    let line = format!("\n{}: {}\n", program(&served), served.address);
    assert!(once.contains(&line), "{once}");

    let address = other.address.clone();
    drop(other);
    let gone = ["top", "--configuration", &another, &url];
    let gone = isobar("top-file-gone", "", &gone);
    assert_eq!((gone.exit, gone.output), (Exit::Undetermined, text));
    let failure = format!("{address} does not say its diagnostics: ");
    assert!(gone.error.starts_with(&failure), "{}", gone.error);
}

#[test]
fn lag_is_shown_with_its_parts_and_over_the_last_hour() {
    let address = format!("127.0.0.1:{}", ports::free().expect("a free port"));
    let file = "\
isobar: 1
name: waiting
connections:
  kafka: {type: kafka, brokers: embedded}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  end: {type: blackhole, inputs: [logs], on_rejected: drop}
";
    let file = File::new("top-lag", file);
    let log = file.path.with_extension("log");
    let launch = Launch::new(env!("CARGO_BIN_EXE_isobar"), &log)
        .arguments(["run", "--http", &address])
        .arguments([&file.path]);
    let mut process = Process::start(launch).expect("it starts");
    let looked = wait::until("a look at the lag", LOOKED, || {
        process.check_running()?;
        let history: Value = http::get(&address, "/history")?.json()?;
        let looks = history["lines"][0]["lag"].as_array();
        let looks = looks.is_some_and(|looks| looks.contains(&0.into()));
        anyhow::ensure!(looks, "{history}");
        Ok(())
    });
    looked.unwrap_or_else(|error| panic!("{error:#}"));
    let url = format!("http://{address}");
    let shown = isobar("top-lag", "", &["top", "--once", &url]).output;
    let parts = "\nlogs: committed lag 0 = read lag 0 + open 0 + commit debt 0\n";
    let (_, behind) = shown.split_once(parts).unwrap_or_else(|| panic!("{shown}"));
    let (head, line) = behind.trim_start().split_once('\n').expect("lines");
    let words: Vec<&str> = head.split_whitespace().collect();
    assert_eq!(words, ["LAG", "LAST", "5", "MIN", "HIGHEST", "WHEN"]);
    let words: Vec<&str> = line
        .lines()
        .next()
        .expect("a line")
        .split_whitespace()
        .collect();
    let [spout, drawn, highest, when] = words[..] else {
        panic!("{shown}");
    };
    assert_eq!([spout, highest, when], ["logs", "0", "-"], "{shown}");
    assert!(drawn.chars().all(|block| block == '▁'), "{shown}");
    // What stands for the path of the file in the output of tests.
    assert!(shown.contains(" of FILE, Isobar "), "{shown}");
    assert_eq!(process.stop(SOON).expect("it ends").code(), Some(0));
}
