//! What the README and the help show of a program with embedded services, run as it is written.

use std::time::Duration;

use anyhow::ensure;
use testkit::process::{Launch, Process};
use testkit::scratch::Scratch;
use testkit::{http, ports, wait};

use super::{LIMIT, Shown};
use crate::help::examples_of;
use crate::support::{in_bash, shell};

const README: &str = include_str!("../../../../README.md");
/// Runs the program from the sources, where it is built if need be.
const CARGO: &str = "cargo run --release --";
/// Where a program listens that is not told.
const USUAL: &str = "127.0.0.1:10132";

/// A program that a block of the README has started, in a directory that has the file which it names.
struct Started {
    process: Process,
    scratch: Scratch,
}

impl Started {
    /// Only the program is the one that is built already, and the shell becomes it.
    fn new(name: &str, block: &str) -> Self {
        let scratch = Scratch::new(name).expect("a directory");
        let file = "topologies/logs-to-elasticsearch.yaml";
        let _ = scratch.directory("deploy/topologies").expect("made");
        let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let copied = std::fs::copy(shipped, scratch.path().join("deploy").join(file));
        let _ = copied.expect("it is shipped");
        assert_eq!(block.matches(CARGO).count(), 1, "{block}");
        let script = block.replace(CARGO, "exec isobar");
        let launch = Launch::new("bash", &scratch.path().join("log"))
            .arguments(in_bash(&script))
            .directory(scratch.path());
        Self {
            process: Process::start(launch).expect("it starts"),
            scratch,
        }
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(self.process.log()).unwrap_or_default()
    }

    /// What it prints between these two, as soon as it does.
    fn prints(&mut self, before: &str, after: &str) -> String {
        let found = wait::until(before, LIMIT, || {
            self.process.check_running()?;
            let printed = self.printed();
            let found = printed.split_once(before);
            let found = found.and_then(|(_, from)| from.split_once(after));
            ensure!(found.is_some(), "{printed}");
            Ok(found.expect("some").0.to_owned())
        });
        found.expect("it is printed")
    }

    fn ends(mut self) {
        let end = self.process.stop(LIMIT).expect("it ends");
        assert_eq!(end.code(), Some(0), "{}", self.printed());
        drop(self.scratch);
    }
}

#[test]
fn the_blocks_of_see_it_work_run_as_they_are_written() {
    let (_, from) = README
        .split_once("## See it work\n")
        .expect("such a section");
    let (section, _) = from.split_once("\n## ").expect("its end");
    let blocks = section.split("```sh\n").skip(1);
    let blocks: Vec<&str> = blocks.filter_map(|from| from.split("```").next()).collect();
    let [demo, run] = blocks[..] else {
        panic!("two blocks: {blocks:?}");
    };

    let mut demo = Started::new("readme-demo", demo);
    let address = demo.prints("http://", "/#token=");
    let stored = wait::until("documents", LIMIT, || {
        let stored = http::get(&address, "/demo")?.json()?["sum"]["stored"].clone();
        ensure!(stored.as_u64() > Some(0), "{stored}");
        Ok(())
    });
    stored.expect("they are stored");
    demo.ends();

    // The usual port may be taken on the machine of the tests; the demo takes another one by itself then.
    let address = format!("127.0.0.1:{}", ports::free().expect("a free port"));
    let run = format!("{} --http {address}", run.trim_end());
    let mut run = Started::new("readme-run", &run);
    let brokers = run.prints("brokers=\"", "\"");
    let index = run.prints("url=\"http://", "\"");
    let feed = section.split('`').find(|code| {
        code.strip_prefix(CARGO)
            .is_some_and(|rest| rest.starts_with(" generate "))
    });
    let feed = feed.expect("it says how it is fed");
    let feed = feed.replace(CARGO, "isobar").replace("ADDRESS", &brokers);
    let fed = shell(&feed).output().expect("bash is there");
    assert!(
        fed.status.success(),
        "{}",
        String::from_utf8_lossy(&fed.stderr)
    );
    let indexed = wait::until("all that was made up", LIMIT, || {
        let count = http::get(&index, "/logs-*/_count")?.json()?["count"].clone();
        ensure!(count == 1_000, "{count}");
        Ok(())
    });
    indexed.expect("it is indexed");
    run.ends();
}

/// Asks a demonstration by the lines that its help shows, and that of `run`, at its own address. Its index is
/// stopped then.
pub(super) fn the_help_asks_of_a_demonstration(shown: &Shown) {
    let lines = ["isobar run", "isobar demo"].map(examples_of).concat();
    let asks = |line: &&String| line.starts_with("curl ") || line.starts_with("isobar tap ");
    let lines: Vec<&String> = lines.iter().filter(asks).collect();
    assert!(lines.len() >= 7, "{lines:?}");
    for line in lines {
        assert!(line.contains(USUAL), "{line}");
        let script = line.replace(USUAL, &shown.program.address);
        // An answer that is no 2xx fails.
        let script = match script.strip_prefix("curl ") {
            Some(rest) => format!("curl -sS --fail {rest}"),
            None => script,
        };
        let answered = wait::until(line, Duration::from_secs(30), || {
            let done = shell(&script).env("TOKEN", &shown.token).output()?;
            let told = String::from_utf8_lossy(&done.stderr);
            ensure!(done.status.success() && !done.stdout.is_empty(), "{told}");
            Ok(())
        });
        answered.unwrap_or_else(|error| panic!("{line}\n{error:#}"));
    }
    let demo = shown.program.get("/demo").expect("it answers");
    assert_eq!(demo["by_hand"][0]["what"], "the index is stopped", "{demo}");
}
