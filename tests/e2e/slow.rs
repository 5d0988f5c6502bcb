//! What is slow without being away: name servers that answer late or never, hosts that read slowly. Nothing
//! is lost, nothing else waits for it, memory stays in its bounds, and waiting costs nothing.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use testkit::bulk_server::BulkServerProgram;
use testkit::isobar::{Isobar, Setup, binary};
use testkit::name_server::{DOMAIN, NameServer};
use testkit::proxy::Proxy;
use testkit::services::Kafka;
use testkit::{http, wait};

use crate::support::{Steps, Total, kafka_with_records, planned_memory, topology};

const LIMIT: Duration = Duration::from_secs(120);
const RECORDS: u64 = 10_000;

/// How long a stop may take while something hangs that would hang for 30 s: leaving the group has 10 s.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// For how long it is looked at what waiting costs.
const LOOK: Duration = Duration::from_secs(4);

/// The ordinary topology over these brokers and hosts, whose connection has these options besides.
fn setup(brokers: &str, hosts: &str, group: &str, options: &str) -> Setup {
    let hosts_of = "hosts: \"${ES}\"";
    let topology = topology(group, "").replace(hosts_of, &format!("{hosts_of}, {options}"));
    Setup::new(&(topology + "settings: {drain_timeout: 1s}\n"))
        .expect("a directory")
        .environment("KAFKA", brokers)
        .environment("ES", hosts)
}

fn stand_in() -> BulkServerProgram {
    let binary = Path::new(env!("CARGO_BIN_EXE_bulk-server"));
    BulkServerProgram::start(binary, true).expect("the stand-in starts")
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().expect("a port")
}

/// Waits until every record has its document.
fn indexed(isobar: &mut Isobar) {
    let indexed = isobar.wait_for("all documents", LIMIT, |address| {
        let total = Total::of(&http::get(address, "/accounting")?.json()?)?;
        ensure!(total.indexed() == RECORDS, "{total:?}");
        Ok(())
    });
    indexed.unwrap_or_else(|error| panic!("{error:#}"));
}

/// Waits until `/readyz` says this.
fn says(isobar: &mut Isobar, words: &str) {
    let said = isobar.wait_for("what is wrong", LIMIT, |address| {
        let said = http::get(address, "/readyz")?.text();
        ensure!(said.contains(words), "{said}");
        Ok(())
    });
    said.unwrap_or_else(|error| panic!("{error:#}"));
}

/// Looks for a while at what it costs to wait: at most so many threads more than at its beginning, and
/// hardly any CPU time.
fn waits_for_nothing(isobar: &Isobar, threads_more: u64) -> String {
    let process = isobar.process();
    let (threads, before) = (process.threads(), process.cpu_time());
    let (threads, before) = (threads.expect("it runs"), before.expect("it runs"));
    let (began, mut most) = (wait::now(), 0);
    while began.elapsed() < LOOK {
        wait::rest(Duration::from_millis(100));
        most = most.max(process.threads().expect("it runs"));
    }
    assert!(most <= threads + threads_more, "{threads}, then {most}");
    let used = process.cpu_time().expect("it runs") - before;
    let share = used.as_secs_f64() / LOOK.as_secs_f64();
    assert!(share < 0.1, "{:.1} % of a core", share * 100.0);
    format!("{most} threads, {:.1} % of a core", share * 100.0)
}

#[test]
fn names_that_are_looked_up_for_long_hold_up_nothing_else() {
    let mut steps = Steps::new("slow names");
    let names = NameServer::start().unwrap_or_else(|error| panic!("{error:#}"));
    let program = names.given_to(&binary().expect("it is built"));
    let program = program.expect("a script");
    let kafka = kafka_with_records(4, RECORDS);
    let stand_in = stand_in();
    let port = port(stand_in.client().address());
    let hangs = format!("http://hangs.{DOMAIN}:{port}");
    steps.done("start, send");

    // The other host does it all, and what the name costs are requests that wait for it in vain.
    let both = format!("http://127.0.0.1:{port},{hangs}");
    let of_two = setup(kafka.brokers(), &both, "one-of-two", "connect_timeout: 1s");
    let mut isobar = of_two.program(&program).start().expect("it starts");
    indexed(&mut isobar);
    assert_eq!(isobar.stop(STOP_LIMIT).expect("it ends").code(), Some(0));
    steps.done("one host of two");

    let push = format!("http://metrics.{DOMAIN}:{port}");
    let alone = setup(kafka.brokers(), &hangs, "alone", "connect_timeout: 500ms")
        .arguments(&["--push-otlp", &push, "--push-every", "1s"])
        .program(&program);
    let mut isobar = alone.start().expect("it starts");
    let unresolved = format!("no name server has said within 500ms where hangs.{DOMAIN} is");
    says(&mut isobar, &unresolved);
    // Metrics are sent each second, and each time that name is looked up anew.
    let cost = waits_for_nothing(&isobar, LOOK.as_secs() + 2);
    assert_eq!(isobar.stop(STOP_LIMIT).expect("it ends").code(), Some(0));
    steps.done(&format!("the only host: {cost}; a stop"));

    // Later than anybody waits for it, and a request that comes after it has the answer.
    names.answer_after(Some(Duration::from_secs(2)));
    isobar.start_again().expect("it starts");
    indexed(&mut isobar);
    assert_eq!(isobar.stop(STOP_LIMIT).expect("it ends").code(), Some(0));
    let twice = stand_in.statistics().expect("it counts");
    assert_eq!(
        (&twice["documents"], &twice["duplicates"]),
        (&RECORDS.into(), &RECORDS.into())
    );
    steps.done("the only host, whose name takes 2 s");

    brokers(&kafka, &names, &program, &stand_in);
    steps.done("the brokers");
}

/// The same for the name of a broker.
fn brokers(kafka: &Kafka, names: &NameServer, program: &Path, stand_in: &BulkServerProgram) {
    names.answer_after(None);
    let asked = names.asked();
    let bootstrap = format!("kafka.{DOMAIN}:{}", port(kafka.brokers()));
    let setup = setup(
        &bootstrap,
        &stand_in.url(),
        "brokers",
        "connect_timeout: 1s",
    );
    let mut isobar = setup.program(program).start().expect("it starts");
    let looked_up = isobar.wait_for("a question for the name", LIMIT, |_| {
        ensure!(names.asked() > asked);
        Ok(())
    });
    looked_up.unwrap_or_else(|error| panic!("{error:#}"));
    let _ = waits_for_nothing(&isobar, 2);
    assert_eq!(isobar.stop(STOP_LIMIT).expect("it ends").code(), Some(0));
    isobar.start_again().expect("it starts");
    names.answer_after(Some(Duration::ZERO));
    indexed(&mut isobar);
    assert_eq!(isobar.stop(STOP_LIMIT).expect("it ends").code(), Some(0));
}

#[test]
fn a_host_that_reads_slowly_gets_what_it_can_read_in_time() {
    let mut steps = Steps::new("slow host");
    let kafka = kafka_with_records(4, RECORDS);
    let stand_in = stand_in();
    let proxy = Proxy::start(stand_in.client().address()).expect("a free port");
    let slow = format!("http://{}", proxy.address());
    steps.done("start, send");

    // Of a whole body each lane has one, which would take minutes.
    proxy.slow(20_000);
    let both = format!("{slow},{}", stand_in.url());
    let of_two = setup(kafka.brokers(), &both, "one-of-two", "request_timeout: 2s");
    let mut isobar = of_two.start().expect("it starts");
    indexed(&mut isobar);
    let said = isobar.log().expect("it logs");
    assert!(
        said.contains("no answer within 2s; the other hosts (1) are used meanwhile"),
        "{said}"
    );
    // No record finds out whether that host is back, and none waits for it.
    isobar.wait_until_ready(LIMIT).expect("nothing waits");
    assert_eq!(isobar.stop(STOP_LIMIT).expect("it ends").code(), Some(0));
    steps.done("one host of two");

    proxy.slow(500_000);
    let alone = setup(kafka.brokers(), &slow, "alone", "request_timeout: 2s");
    let bound = planned_memory(&alone);
    let mut isobar = alone.start().expect("it starts");
    says(&mut isobar, "no answer within 2s");
    let began = (wait::now(), isobar.process().cpu_time().expect("it runs"));
    indexed(&mut isobar);
    let wall = began.0.elapsed().as_secs_f64();
    let used = isobar.process().cpu_time().expect("it runs") - began.1;
    let share = used.as_secs_f64() / wall;
    assert!(share < 0.2, "{:.1} % of a core", share * 100.0);
    let peak = isobar.process().peak_memory().expect("it runs");
    assert!(peak <= bound, "{} MiB of {}", peak >> 20, bound >> 20);
    isobar.wait_until_ready(LIMIT).expect("all is well");
    assert_eq!(isobar.stop(STOP_LIMIT).expect("it ends").code(), Some(0));
    let twice = stand_in.statistics().expect("it counts");
    assert_eq!(twice["documents"], RECORDS);
    steps.done(&format!(
        "the only host, {wall:.1} s: {:.1} % of a core, at most {} MiB",
        share * 100.0,
        peak >> 20
    ));
}
