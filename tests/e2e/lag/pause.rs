//! A spout that is paused under load: it stays in its group and tells its lag, which goes on growing, and
//! nothing is missing or comes twice.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::http;
use testkit::isobar::{Isobar, Setup};
use testkit::services::Kafka;

use super::LIMIT;

const TOPOLOGY: &str = "\
isobar: 1
name: paused
connections:
  kafka: {type: kafka, brokers: \"${KAFKA}\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [paused], start: earliest, commit_interval: 200ms}
bolts:
  end: {type: blackhole, inputs: [logs], on_rejected: drop}
";

pub(super) fn is_told_and_loses_nothing(kafka: &Kafka) {
    kafka.create_topic("paused", 2, &[]).expect("created");
    let setup = Setup::new(TOPOLOGY).and_then(|setup| setup.file("token", "0123456789abcdef"));
    let setup = setup.expect("a directory");
    let setup = setup.environment("KAFKA", kafka.brokers());
    let isobar = setup.arguments(&["--token-file", "token"]).start();
    let mut isobar = isobar.expect("it starts");
    isobar.wait_until_ready(LIMIT).expect("it reads");
    let over = AtomicBool::new(false);
    let (sent, rebalances) = std::thread::scope(|scope| {
        let producing = scope.spawn(|| {
            let mut sent = 0;
            while !over.load(Ordering::Relaxed) {
                let records = kafka.produce_json("paused", 2, sent..sent + 500);
                records.expect("acknowledged");
                sent += 500;
            }
            sent
        });
        let rebalances =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pause(&mut isobar)));
        over.store(true, Ordering::Relaxed);
        let sent = producing.join().expect("it produces");
        (sent, rebalances.expect("its lag is told"))
    });
    told(&isobar, "resume");
    let total = isobar.wait_for("everything", LIMIT, |address| {
        let total = http::get(address, "/accounting")?.json()?["total"].clone();
        ensure!(total["dropped"] == sent, "{total}");
        Ok(total)
    });
    let total = total.expect("it goes on");
    assert_eq!(
        [&total["read"], &total["handed_back"], &total["lost"]],
        [sent, 0, 0]
    );
    let look = Look::of(isobar.address()).expect("it answers");
    assert_eq!((look.rebalances, &*look.status), (rebalances, "OK"));
    assert_eq!(isobar.stop(LIMIT).expect("it ends").code(), Some(0));
}

/// Pauses it and looks until the end was asked for again; gives how often partitions had moved.
fn pause(isobar: &mut Isobar) -> u64 {
    let before = isobar.wait_for("records", LIMIT, |address| {
        let look = Look::of(address)?;
        ensure!(look.read >= 1_000, "{look:?}");
        Ok(look)
    });
    let before = before.expect("it reads");
    told(isobar, "pause");
    let first = isobar.wait_for(
        "the word, and all that was read settled",
        LIMIT,
        |address| {
            let look = Look::of(address)?;
            let is_told = look.status == "PAUSED" && look.reason.contains("paused by hand since");
            ensure!(is_told && look.in_flight == 0, "{look:?}");
            Ok(look)
        },
    );
    let first = first.expect("it is told");
    let later = isobar.wait_for("more lag", LIMIT, |address| {
        let look = Look::of(address)?;
        ensure!(look.lag > first.lag, "{look:?} after {first:?}");
        Ok(look)
    });
    let later = later.expect("it grows with what is sent");
    assert_eq!((later.read, &*later.status), (first.read, "PAUSED"));
    assert_eq!(later.rebalances, before.rebalances);
    assert_eq!(later.owned, 2, "{later:?}");
    later.rebalances
}

fn told(isobar: &Isobar, command: &str) {
    let url = format!("http://{}", isobar.address());
    // With the token, as it was started.
    let ended = isobar.setup().finish_alone(&[command, &url], LIMIT);
    let ended = ended.expect("it ends");
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
}

/// What is told at a moment.
#[derive(Debug)]
struct Look {
    status: String,
    reason: String,
    lag: Option<u64>,
    owned: usize,
    read: u64,
    in_flight: u64,
    rebalances: u64,
}

impl Look {
    fn of(address: &str) -> Result<Self> {
        let asked = |path: &str| -> Result<Value> { http::get(address, path)?.json() };
        let statistics = asked("/statistics")?;
        let (spout, lag) = (&statistics["spouts"][0], &statistics["lag"][0]);
        let total = &asked("/accounting")?["total"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let count = |value: &Value| value.as_u64().with_context(|| statistics.to_string());
        Ok(Self {
            status: text(&lag["status"]),
            reason: text(&lag["reason"]),
            lag: lag["lag"].as_u64(),
            owned: lag["partitions"].as_array().map_or(0, Vec::len),
            read: count(&total["read"])?,
            in_flight: count(&total["in_flight"])?,
            rebalances: count(&spout["counters"]["rebalances"])?,
        })
    }
}
