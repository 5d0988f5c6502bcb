//! `kill -9` of a replay, again and again, and `--resume`.

use anyhow::ensure;
use testkit::isobar::Setup;
use testkit::random::Random;
use testkit::services::kafka::Sent;
use testkit::services::{Kafka, Search, SearchVersion};
use testkit::wait;

use super::{LIMIT, PARTITIONS, committed, json_of, plan, run};
use crate::support::{Steps, catch_up, check_exactly_once, kafka_with_records, setup};

/// Of the long form.
const RECORDS: u64 = 400_000;
const KILLS: u64 = 10;
/// Between two kills a run gets on by less than this.
const FAR: u64 = 20_000;
/// Changed when other moments are wanted.
const SEED: u64 = 8;

/// Goes on with a plan, and kills that run as soon as `is_far` does not fail.
pub(super) fn kill_when(setup: &Setup, plan: &str, mut is_far: impl FnMut() -> anyhow::Result<()>) {
    let command = [
        "replay", "run", plan, "--yes", "--resume", "--rate", "20000",
    ];
    let mut process = setup.begin_alone(&command).expect("it starts");
    let got_on = wait::until("progress", LIMIT, || {
        process.check_running()?;
        is_far()
    });
    process.kill9();
    got_on.unwrap_or_else(|error| panic!("{error:#}"));
}

pub(super) fn settled(kafka: &Kafka, group: &str) -> u64 {
    let offsets = committed(kafka, group).into_iter().flatten();
    offsets.sum::<i64>().unsigned_abs()
}

/// Ten kills at random moments of a replay into another index, of one that purges and writes anew, and of one that
/// overwrites, each with a record that no index takes.
pub(crate) fn ten_of_each() {
    let mut steps = Steps::new("kills of replays");
    let kafka = kafka_with_records(4, RECORDS);
    let poison = Sent {
        partition: Some(0),
        value: Some(b"no JSON".to_vec()),
        ..Sent::default()
    };
    kafka.produce("logs", [poison]).expect("it is acknowledged");
    let search = Search::start(SearchVersion::Elasticsearch9).expect("Elasticsearch starts");
    let client = search.client();
    let setup = setup(&kafka, &search.url(), "live", ", commit_interval: 500ms");
    assert_eq!(catch_up(&setup, &[]).total().delivered, RECORDS);
    let live = committed(&kafka, "live");
    steps.done("start, send, index");

    let mut random = Random::new(SEED);
    for (target, documents) in [
        ("index=again", "again"),
        ("purge", "logs-*"),
        ("overwrite", "logs-*"),
    ] {
        let file = format!("{target}.json");
        let planned = plan(&setup, target, &file);
        let group = planned["group"].as_str().expect("a group");
        let purged = |is_counted: bool| match is_counted {
            true => {
                client.refresh(documents)?;
                anyhow::Ok(RECORDS - client.count(documents)?)
            }
            false => Ok(0),
        };
        for kill in 0..KILLS {
            // What a purge deletes is progress, too; every other run is killed behind that.
            let is_counted = target == "purge" && kill % 2 == 0;
            let before = (
                settled(&kafka, group),
                purged(is_counted).expect("it counts"),
            );
            let wanted = random.within(1..FAR);
            kill_when(&setup, &file, || {
                let written = settled(&kafka, group).saturating_sub(before.0);
                let far = written.max(purged(is_counted)?.saturating_sub(before.1));
                ensure!(far >= wanted, "{far} of {wanted}");
                Ok(())
            });
            steps.done(&format!("{target}, kill {kill} after {wanted}"));
        }
        let ran = run(&setup, &[&file, "--yes", "--resume", "-o", "json"]);
        let ran = json_of(&ran);
        assert_eq!(ran["verification"]["verdict"], "exact", "{ran}");
        let others = &ran["verification"]["partitions"][0]["others"];
        assert_eq!(others["dead_lettered"], 1, "{ran}");
        assert_eq!(client.count(documents).expect("it counts"), RECORDS);
        assert_eq!(committed(&kafka, group), [None; 4], "no group is left");
        assert_eq!(committed(&kafka, "live"), live, "it is untouched");
        check_exactly_once(&search, PARTITIONS, RECORDS);
        steps.done(&format!("{target}, the rest"));
    }
}
