//! The page of a running topology in a real browser: its figures are true, move, and survive a restart of
//! the program; it loads nothing from elsewhere, works by keyboard and fits a phone.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::browser::Browser;
use testkit::bulk_server::{BulkServer, ItemFault, Options};
use testkit::isobar::{self, Finished, Setup};
use testkit::services::kafka::Sent;

use crate::support::{Steps, kafka_with_records, setup};

const LIMIT: Duration = Duration::from_secs(60);

/// The number in a column of the only row of a table.
fn figure(section: &str, column: &str) -> String {
    format!(
        "(() => {{ const t = document.querySelector('#{section} table'); \
         const place = [...t.tHead.rows[0].cells].findIndex((c) => c.textContent === '{column}'); \
         return t.tBodies[0].rows[0].cells[place].textContent; }})()"
    )
}

/// Points of the first curve of the plot.
const POINTS: &str =
    "(document.querySelector('#lag .curve')?.getAttribute('d').match(/[ML]/g) ?? []).length";
const STATE: &str = "document.getElementById('connection').textContent";

/// What `isobar top` shows of a replica, at the address of its page.
fn top(url: &str) -> Finished {
    let url = url.trim_end_matches('/');
    isobar::finish(&["top", "--once", url], LIMIT).expect("it ends")
}

/// Only the judgement, of states that no run can be brought to at will.
#[test]
fn the_head_of_the_page_says_the_worst_that_there_is_now() {
    let pieces = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/src/http/page");
    let pieces = ["text.js", "verdict.js"].map(|piece| {
        std::fs::read_to_string(pieces.join(piece))
            .unwrap_or_else(|error| panic!("{piece}: {error}"))
    });
    let script = pieces.concat();
    let mut browser = Browser::start().expect("Chromium starts");
    let mut aged = |(oldest, eta): (f64, &str),
                    replicas: usize,
                    status: &str,
                    lag: Option<u64>,
                    failure: Option<&str>,
                    expected: [&str; 3]| {
        // A look that failed is a condition of its spout, too.
        let conditions: Vec<Value> = failure
            .iter()
            .map(|text| {
                json!({"component": "logs", "kind": "lag", "text": text, "since": "1970-01-01T00:00:00Z"})
            })
            .collect();
        let reasons: Vec<String> = failure
            .iter()
            .map(|text| format!("logs: lag: {text}"))
            .collect();
        let state = json!({
            "statistics": {
                "lag": [{
                    "spout": "logs", "status": status, "reason": "why", "lag": lag,
                    "failure": failure, "oldest_age_seconds": oldest, "eta_seconds": eta,
                    "partitions": [],
                }],
                "spouts": [], "bolts": [],
            },
            "replicas": vec![json!({}); replicas],
            // Some were lost since the start.
            "accountingOfAll": {"total": {"difference": 0, "lost": 7}},
            "diagnostics": {"reasons": reasons, "conditions": conditions},
            "now": 0,
        });
        let judged = browser.value(&format!("(() => {{ {script}\nreturn judge({state}); }})()"));
        assert_eq!(judged.expect("it judges"), json!(expected), "{state}");
    };
    let late = "5 records are on their way, the oldest for";
    let words = format!("{late} 1 h 0 min, and at these rates that does not become less.");
    let behind = ["calm", "It does not catch up", &words];
    aged((3_600.0, "never"), 1, "OK", Some(5), None, behind);
    let words = format!("{late} 2.0 s.");
    let burst = ["ok", "It keeps up", &words];
    aged((2.0, "never"), 1, "OK", Some(5), None, burst);
    let mut of_replicas = |replicas: usize,
                           status: &str,
                           lag: Option<u64>,
                           failure: Option<&str>,
                           expected: [&str; 3]| {
        aged((0.5, "steady"), replicas, status, lag, failure, expected);
    };
    // What a replica says of itself is a reason only where it is the only one.
    let own = ["warn", "Backpressured", "Logs (lag), for 0 ms: no age."];
    of_replicas(1, "BACKPRESSURED", Some(5), Some("no age"), own);
    let of_all = ["warn", "Backpressured", "why"];
    of_replicas(2, "BACKPRESSURED", Some(5), Some("no age"), of_all);
    let mut check = |status: &str, lag: Option<u64>, failure: Option<&str>, expected: [&str; 3]| {
        of_replicas(1, status, lag, failure, expected);
    };
    check("LOST", Some(5), None, ["bad", "Records are lost", "why"]);
    check("STALLED", Some(5), None, ["bad", "Stalled", "why"]);
    check(
        "BACKPRESSURED",
        Some(5),
        None,
        ["warn", "Backpressured", "why"],
    );
    check("REWOUND", Some(5), None, ["calm", "Rewound", "why"]);
    let well = ["ok", "It keeps up", "Records are settled within a second."];
    check("OK", Some(5), None, well);
    let silent = ["warn", "Lag is not known", "no answer."];
    check("NO_DATA", None, Some("no answer"), silent);
    let paused = ["calm", "Paused", "why. no answer."];
    check("PAUSED", None, Some("no answer"), paused);
    let partly = ["warn", "Not everything about the lag is known", "no age."];
    check("NO_DATA", Some(5), Some("no age"), partly);
}

/// What no e2e run is brought to at will: a badge that is green says that the index has all.
#[test]
fn a_replay_that_is_done_is_shown_by_what_the_index_said_of_it() {
    let piece = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/src/http/page")
        .join("replay_runs.js");
    let script = std::fs::read_to_string(piece).expect("it is there");
    let mut browser = Browser::start().expect("Chromium starts");
    let mut check = |run: Value, expected: [&str; 2]| {
        let badge = browser.value(&format!("(() => {{ {script}\nreturn badgeOf({run}); }})()"));
        assert_eq!(badge.expect("it has one"), json!(expected), "{run}");
    };
    let done = |verdict: Option<&str>, job: Value| json!({"state": "done", "verdict": verdict, "job": job});
    check(done(Some("exact"), Value::Null), ["done", "ok"]);
    check(done(Some("wrong"), Value::Null), ["done, wrong", "bad"]);
    check(
        done(Some("unknown"), Value::Null),
        ["done, unknown", "warn"],
    );
    check(done(None, Value::Null), ["done, not verified", "warn"]);
    // It was asked once more here.
    let again = |verdict: Option<&str>| json!({"command": "verify", "verdict": verdict});
    check(done(Some("unknown"), again(Some("exact"))), ["done", "ok"]);
    check(done(Some("wrong"), again(None)), ["done, wrong", "bad"]);
    check(json!({"state": "lost"}), ["lost", "bad"]);
    check(
        json!({"state": "running", "verdict": null}),
        ["running", "calm"],
    );
}

/// In a tile about as narrow as five of them are in a window of 1,280 pixels.
#[test]
fn a_name_in_a_tile_is_not_broken_within_a_word() {
    let pieces = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/src/http/page");
    let [script, style] = ["elements.js", "page.css"].map(|piece| {
        std::fs::read_to_string(pieces.join(piece))
            .unwrap_or_else(|error| panic!("{piece}: {error}"))
    });
    let style = json!(style);
    let mut browser = Browser::start().expect("Chromium starts");
    let lines = browser.value(&format!(
        "(() => {{ {script}
        document.head.append(element('style', {{}}, {style}));
        const value = element('dd', {{ class: 'value' }});
        const tile = element('div', {{ class: 'tile' }}, element('dt', {{}}, 'Bottleneck'), value);
        document.body.append(element('dl', {{ class: 'tiles', style: 'width: 120px' }}, tile));
        writeName(value, 'dead_letter');
        const words = [...value.childNodes].filter((node) => node.data);
        return words.map((word) => {{
          const range = document.createRange();
          range.selectNodeContents(word);
          return [word.data, range.getClientRects().length];
        }}); }})()"
    ));
    let expected = json!([["dead_", 1], ["letter", 1]]);
    assert_eq!(lines.expect("it is laid out"), expected);
}

#[test]
fn the_page_shows_a_run_as_it_is() {
    let mut steps = Steps::new("page");
    let kafka = kafka_with_records(2, 5_000);
    let search = BulkServer::start(Options::default()).expect("a free port");
    let another = || {
        let spout = ", commit_interval: 200ms, options: {session.timeout.ms: 6000}";
        setup(&kafka, &search.url(), "page", spout)
    };
    let mut isobar = another().start().expect("it starts");
    isobar.wait_until_ready(LIMIT).expect("it reads");
    let url = format!("http://{}/", isobar.address());
    let mut browser = Browser::start().expect("Chromium starts");
    browser.show(1280, false).expect("shown");
    browser.go(&url).expect("it answers");
    let wait_for = |browser: &mut Browser, expression: &str| {
        let found = browser.wait_for(expression, LIMIT);
        found.unwrap_or_else(|error| panic!("{error:#}"));
    };
    let delivered = figure("records", "Delivered");
    wait_for(&mut browser, &format!("{delivered} === '5,000'"));
    wait_for(&mut browser, "document.title === 'page – Isobar'");
    wait_for(
        &mut browser,
        "document.querySelector('#verdict h2').textContent === 'It keeps up'",
    );
    wait_for(
        &mut browser,
        "document.querySelectorAll('#graph .node').length === 5",
    );
    wait_for(
        &mut browser,
        "document.querySelectorAll('#lag tbody tr').length === 3",
    );
    wait_for(&mut browser, "document.querySelector('#wrong').hidden");
    let host = format!("{} === '{}'", figure("requests", "Host"), search.url());
    wait_for(&mut browser, &host);
    wait_for(
        &mut browser,
        "document.querySelector('#replays .missing').textContent.includes('--token-file FILE --replay-dir DIR')",
    );
    let shown = browser.value("document.querySelector('#facts pre').textContent");
    let shown = shown.expect("a configuration").to_string();
    assert!(
        shown.contains("brokers: <hidden>") && shown.contains("start: earliest"),
        "{shown}"
    );
    steps.done("start, first figures");

    // Figures move without loading the page again.
    let _ = browser.value("window.mark = 1").expect("set");
    kafka
        .produce_json("logs", 2, 5_000..8_000)
        .expect("acknowledged");
    wait_for(&mut browser, &format!("{delivered} === '8,000'"));
    let no_json = Sent {
        partition: Some(1),
        value: Some(b"no JSON".to_vec()),
        ..Sent::default()
    };
    kafka.produce("logs", [no_json]).expect("acknowledged");
    let reject =
        "document.querySelector('#rejects tbody tr')?.textContent.startsWith('parseinvalid_json1')";
    wait_for(&mut browser, reject);
    wait_for(
        &mut browser,
        &format!("{} === '0'", figure("records", "Difference")),
    );
    steps.done("new records, a rejected one");

    // An index that takes nothing is said to be held, and marked in the graph.
    let closed = ItemFault::new(400, "index_closed_exception", "closed");
    search.fail_items(u64::MAX, |_| true, closed);
    kafka
        .produce_json("logs", 2, 8_000..9_000)
        .expect("acknowledged");
    wait_for(
        &mut browser,
        "document.querySelector('#wrong').textContent.includes('takes no documents')",
    );
    wait_for(
        &mut browser,
        "document.querySelector('#graph .bottleneck')?.dataset.id === 'index'",
    );
    wait_for(
        &mut browser,
        "!['–', '?'].includes(document.querySelector('.tile-headroom .value').textContent)",
    );
    for (name, width, dark) in [
        ("desktop-light", 1280, false),
        ("desktop-dark", 1280, true),
        ("phone-light", 390, false),
        ("phone-dark", 390, true),
    ] {
        browser.show(width, dark).expect("shown");
        let fits = format!("document.documentElement.scrollWidth <= {width}");
        wait_for(&mut browser, &fits);
        let picture = browser.picture(&format!("page-{name}")).expect("a picture");
        assert!(picture.len() > 37_500, "{name}: {}", picture.len());
    }
    browser.show(1280, false).expect("shown");
    search.heal();
    wait_for(&mut browser, "document.querySelector('#wrong').hidden");
    wait_for(&mut browser, &format!("{delivered} === '9,000'"));
    steps.done("a held index, four ways to look at it");

    // By keyboard: to the choice of what the plot shows, and along its time.
    let focused = "document.activeElement.name === 'measure'";
    for _ in 0..20 {
        if browser.value(focused).expect("a value") == json!(true) {
            break;
        }
        browser.press("Tab").expect("pressed");
    }
    browser.press("ArrowRight").expect("pressed");
    wait_for(
        &mut browser,
        "document.activeElement.value === 'oldest_age_seconds'",
    );
    wait_for(
        &mut browser,
        "document.querySelector('#lag svg').ariaLabel.startsWith('Age of the oldest')",
    );
    let _ = browser
        .value("document.querySelector('#lag svg').focus()")
        .expect("set");
    wait_for(&mut browser, &format!("{POINTS} >= 3"));
    browser.press("ArrowLeft").expect("pressed");
    wait_for(
        &mut browser,
        "document.querySelector('#lag .legend .when b').textContent !== 'now'",
    );
    assert_eq!(browser.errors(), Vec::<String>::new());
    steps.done("by keyboard");

    // A page that is loaded again shows what was before it.
    browser.go(&url).expect("it answers");
    wait_for(&mut browser, &format!("{POINTS} >= 3"));
    let _ = browser.value("window.mark = 2").expect("set");
    assert_eq!(browser.errors(), Vec::<String>::new());

    isobar.kill9();
    wait_for(
        &mut browser,
        &format!("{STATE}.startsWith('no answer, asking again')"),
    );
    isobar.start_again().expect("it starts");
    wait_for(&mut browser, &format!("{STATE} === 'live'"));
    kafka
        .produce_json("logs", 2, 9_000..9_500)
        .expect("acknowledged");
    wait_for(&mut browser, &format!("{delivered} === '500'"));
    wait_for(&mut browser, &format!("window.mark === 2 && {POINTS} >= 3"));
    // While nothing listens the browser itself complains, and nobody else.
    let errors = browser.errors().into_iter();
    let errors: Vec<String> = errors.filter(|e| !e.contains("net::ERR_")).collect();
    assert_eq!(errors, Vec::<String>::new());
    let elsewhere = browser
        .requests()
        .iter()
        .filter(|asked| !asked.starts_with(&url));
    assert_eq!(elsewhere.collect::<Vec<_>>(), Vec::<&String>::new());
    steps.done("a restart");

    // A replica that knows of this one shows both, and one that is gone as gone.
    let setup = another().arguments(&["--peers", url.trim_end_matches('/')]);
    let mut replica = setup.start().expect("it starts");
    replica.wait_until_ready(LIMIT).expect("it reads");
    let url = format!("http://{}/", replica.address());
    browser.go(&url).expect("it answers");
    let rows = "[...document.querySelectorAll('#replicas tbody tr')]";
    let shares = format!("{rows}.map((row) => row.cells[3].textContent).join() === '1,1'");
    wait_for(&mut browser, &shares);
    wait_for(
        &mut browser,
        "document.querySelectorAll('#lag tbody tr').length === 3",
    );
    // What one of them rejects is said of all, and what is of one says so.
    let no_json = |number| Sent {
        partition: Some(number),
        value: Some(b"no JSON".to_vec()),
        ..Sent::default()
    };
    kafka
        .produce("logs", [no_json(0), no_json(1)])
        .expect("acknowledged");
    wait_for(&mut browser, &reject.replace("json1", "json2"));
    wait_for(
        &mut browser,
        "document.getElementById('graph-title').textContent === 'Topology (this replica)'",
    );
    // So does `isobar top`.
    let told = top(&url);
    let owners = |told: &Finished| -> BTreeSet<String> {
        let lines = told.stdout.lines().filter(|line| line.starts_with("logs/"));
        let owners = lines.filter_map(|line| line.split_whitespace().last());
        owners.map(str::to_owned).collect()
    };
    let both = [isobar.address(), replica.address()].map(str::to_owned);
    assert_eq!(owners(&told), BTreeSet::from(both), "{}", told.stdout);
    assert_eq!(told.status.code(), Some(0), "{}", told.stderr);
    isobar.kill9();
    let gone = format!("{rows}[1].cells[1].dataset.tone === 'bad'");
    wait_for(&mut browser, &gone);
    let told = top(&url);
    assert_eq!(told.status.code(), Some(4), "{}", told.stdout);
    let silent = format!("{} does not say its statistics", isobar.address());
    assert!(told.stderr.contains(&silent), "{}", told.stderr);
    assert!(
        told.stdout.contains("1 of 2 replicas answer"),
        "{}",
        told.stdout
    );
    for (width, dark) in [(1280, false), (390, true)] {
        browser.show(width, dark).expect("shown");
        let fits = format!("document.documentElement.scrollWidth <= {width}");
        wait_for(&mut browser, &fits);
    }
    steps.done("two replicas, one is killed");
    assert_eq!(replica.stop(LIMIT).expect("it ends").code(), Some(0));
}

/// A topology of more bolts side by side than a window has room for.
fn wide() -> String {
    let mut text = "\
isobar: 1
name: wide
connections:
  kafka: {type: kafka, brokers: embedded}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
"
    .to_owned();
    for number in 0..28 {
        text.push_str(&format!(
            "  sink-{number}: {{type: blackhole, inputs: [logs]}}\n"
        ));
    }
    text
}

#[test]
fn a_wide_topology_is_seen_from_where_records_come_in() {
    let setup = Setup::new(&wide()).expect("a directory");
    let mut isobar = setup.start().expect("it starts");
    let mut browser = Browser::start().expect("Chromium starts");
    for (width, down) in [(1280, false), (390, true)] {
        browser.show(width, false).expect("shown");
        let url = format!("http://{}/", isobar.address());
        browser.go(&url).expect("it answers");
        let larger = match down {
            true => "box.scrollWidth > 2 * box.clientWidth",
            false => "box.scrollHeight > 2 * box.clientHeight && box.clientHeight < innerHeight",
        };
        let seen = format!(
            "(() => {{ const box = document.querySelector('#graph .picture'); \
             const spout = box?.querySelector('[data-id=logs]')?.getBoundingClientRect(); \
             const seen = box?.getBoundingClientRect(); \
             return Boolean(spout) && {larger} && spout.left >= seen.left && spout.right <= seen.right \
             && spout.top >= seen.top && spout.bottom <= seen.bottom \
             && document.documentElement.scrollWidth <= {width}; }})()"
        );
        let found = browser.wait_for(&seen, LIMIT);
        found.unwrap_or_else(|error| panic!("{error:#}"));
    }
    assert_eq!(browser.errors(), Vec::<String>::new());
    assert_eq!(isobar.stop(LIMIT).expect("it ends").code(), Some(0));
}
