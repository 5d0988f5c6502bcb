//! The demonstration in a real browser, by what it prints and what is on its page: searched, broken,
//! mended, and every record accounted for.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::browser::Browser;
use testkit::isobar::binary;
use testkit::process::{Launch, Process};
use testkit::scratch::Scratch;
use testkit::{http, ports, wait};

use crate::support::Steps;

const LIMIT: Duration = Duration::from_secs(60);
/// From the start of the program until documents are found on the page.
const SEARCHABLE_WITHIN: Duration = Duration::from_secs(10);
/// How long the index is away.
const OUTAGE: Duration = Duration::from_secs(20);

/// Notes what the head of the page says, each time that it says something else.
const WATCH: &str = "window.said = []; \
    new MutationObserver(() => { \
      const text = (place) => document.querySelector(place).textContent; \
      said.push({ verdict: text('#verdict .banner .text'), behind: text('.tile-behind .note') }); \
    }).observe(document.querySelector('#verdict'), { subtree: true, childList: true, characterData: true })";

struct Page {
    browser: Browser,
}

impl Page {
    fn waits_for(&mut self, expression: &str) {
        let found = self.browser.wait_for(expression, LIMIT);
        found.unwrap_or_else(|error| panic!("{error:#}"));
    }

    fn does(&mut self, script: &str) {
        let done = self.browser.value(script);
        let _ = done.unwrap_or_else(|error| panic!("{error:#}"));
    }

    fn clicks(&mut self, label: &str) {
        let button = format!(
            "[...document.querySelectorAll('#demo button')].find((b) => b.textContent === '{label}')"
        );
        self.waits_for(&format!("Boolean({button})"));
        self.does(&format!("{button}.click()"));
    }

    /// Searches until that is found: documents come one after the other.
    fn finds(&mut self, words: &str, expression: &str) {
        let found = wait::until("documents", LIMIT, || {
            self.searches(words);
            self.browser
                .wait_for(expression, Duration::from_millis(500))
        });
        found.unwrap_or_else(|error| panic!("{error:#}"));
    }

    fn searches(&mut self, words: &str) {
        self.does(&format!(
            "document.querySelector('#q').value = '{words}'; document.querySelector('#documents form').requestSubmit()"
        ));
    }
}

/// A tile or figure as a number.
fn number_in(place: &str) -> String {
    format!("Number(document.querySelector('{place}').textContent.replaceAll(',', ''))")
}

/// The address that the program printed, with its token.
fn printed(process: &Process) -> Result<String> {
    let log = std::fs::read_to_string(process.log())?;
    let line = log.lines().find(|line| line.contains("/#token="));
    Ok(line.with_context(|| log.clone())?.trim().to_owned())
}

/// Lets it run with nobody there. From a third of the time on, when the topic and the index hold what they
/// can, it takes no more memory, and in the end every record is accounted for.
pub(crate) fn left_alone(lasts: Duration) {
    /// Of the allocator, and what is in flight at the moment of a look.
    const MARGIN: u64 = 16 << 20;
    /// Five times the usual rate: both are full within some minutes.
    const RATE: &str = "1000";
    let mut steps = Steps::new("demo left alone");
    let scratch = Scratch::new("demo-alone").expect("a directory");
    let address = format!("127.0.0.1:{}", ports::free().expect("a free port"));
    let log = scratch.path().join("log");
    let launch = Launch::new(binary().expect("it is built"), &log);
    let arguments = ["demo", "--rate", RATE, "--http", &address];
    let mut process = Process::start(launch.arguments(arguments)).expect("it starts");
    let asked = |path: &str| -> Result<Value> { http::get(&address, path)?.json() };
    let documents = || {
        let demo = asked("/demo")?;
        let stored = demo["sum"]["stored"].as_u64().context("a number")?;
        ensure!(stored > 0, "{demo}");
        Ok(demo)
    };
    let _first = wait::until("documents", LIMIT, documents).expect("they are stored");
    let memory = || -> u64 {
        let statistics = asked("/statistics").expect("it answers");
        let bytes = statistics["process"]["resident_bytes"].as_u64();
        bytes.unwrap_or_else(|| panic!("{statistics}"))
    };
    // The most of each third.
    let mut most = [0; 3];
    for third in &mut most {
        let end = wait::now() + lasts / 3;
        while wait::now() < end {
            *third = memory().max(*third);
            wait::rest(Duration::from_secs(5));
        }
        steps.done(&format!("{} MiB at most", *third >> 20));
    }
    assert!(most[2] <= most[1].min(most[0]) + MARGIN, "{most:?}");
    let demo = documents().expect("it answers");
    let let_go = demo["index"]["let_go"].as_u64();
    assert!(
        let_go.is_some_and(|let_go| let_go > 0),
        "it was full: {demo}"
    );
    assert_eq!(demo["sum"]["lost"], 0, "{demo}");

    // With nothing more to come, what was written is stored, but for exactly the garbage.
    let url = printed(&process).expect("it is printed");
    let (_, token) = url.split_once("#token=").expect("it has one");
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", &*bearer), ("content-length", "0")];
    let pause = "/demo/actions/pause_input";
    let paused = http::request_with(&address, "POST", pause, &headers, LIMIT).expect("an answer");
    assert_eq!(paused.status, 200, "{}", paused.text());
    let settled = wait::until("everything to be settled", LIMIT, || {
        let demo = asked("/demo")?;
        let total = asked("/accounting")?["total"].clone();
        let open = (&demo["sum"]["on_the_way"], &total["in_flight"]);
        ensure!(open == (&0.into(), &0.into()), "{demo} {total}");
        Ok((demo, total))
    });
    let (demo, total) = settled.expect("it settles");
    let (sum, none) = (&demo["sum"], Value::from(0));
    assert_eq!(
        (&total["difference"], &total["lost"]),
        (&none, &none),
        "{total}"
    );
    assert_eq!(total["read"], sum["written"], "{demo} {total}");
    assert_eq!(sum["dead_lettered"], demo["input"]["garbage"], "{demo}");
    steps.done(&format!("{} records, all accounted for", sum["written"]));
    assert_eq!(process.stop(LIMIT).expect("it ends").code(), Some(0));
}

#[test]
fn the_demo_is_searched_broken_and_mended_on_its_page() {
    let mut steps = Steps::new("demo");
    let mut browser = Browser::start().expect("Chromium starts");
    browser.show(1280, false).expect("shown");
    let mut page = Page { browser };
    steps.done("start Chromium");

    let scratch = Scratch::new("demo").expect("a directory");
    let address = format!("127.0.0.1:{}", ports::free().expect("a free port"));
    let log = scratch.path().join("log");
    let launch = Launch::new(binary().expect("it is built"), &log);
    let began = wait::now();
    let mut process = Process::start(launch.arguments(["demo", "--http", &address]));
    let process = process.as_mut().expect("it starts");
    let url = wait::until("the address", LIMIT, || printed(process)).expect("it is printed");
    assert!(url.starts_with(&format!("http://{address}/#")), "{url}");
    page.browser.go(&url).expect("it answers");
    page.waits_for("Boolean(document.querySelector('#documents form'))");
    let rows = "document.querySelectorAll('#documents .found li')";
    page.finds("", &format!("{rows}.length > 0"));
    assert!(began.elapsed() < SEARCHABLE_WITHIN, "{:?}", began.elapsed());
    steps.done("documents are found");

    let warns = format!(
        "{rows}.length > 0 && [...{rows}].every((r) => r.textContent.includes('\"level\":\"warn\"'))"
    );
    page.finds("level:warn catalog", &warns);
    page.searches("status:[400 TO 500]");
    page.waits_for("document.querySelector('#documents .nothing').textContent.includes('does not understand `[`')");
    page.waits_for("document.querySelector('#rejects').textContent.includes('invalid_json')");
    page.waits_for(
        "/ (at|in|is) .*byte/.test(document.querySelector('#rejects tbody tr').textContent)",
    );

    // An outage, and the bolts killed in the middle of it.
    page.does(WATCH);
    let stopped = wait::now();
    page.clicks("Stop the index");
    page.waits_for("document.querySelector('#demo .by-hand').textContent.startsWith('The index is stopped, for ')");
    page.waits_for("document.querySelector('#wrong').textContent.includes('records wait until a host answers, nothing is lost')");
    page.waits_for("/^Bolts? .*cannot connect, for [0-9.]+ m?s: .*[Cc]onnection refused; .*nothing is lost/.test(document.querySelector('#verdict .banner .text').textContent)");
    page.waits_for("document.querySelector('#verdict h2').textContent === 'Backpressured'");
    page.clicks("Kill the bolts");
    page.waits_for(
        "[...document.querySelectorAll('#wrong tr')].some((row) => row.textContent.includes('killed from outside') \
         && /^[0-9.]+ m?s$/.test(row.lastElementChild.textContent))",
    );
    // What has lasted longer is to blame.
    page.waits_for("['index', 'errors'].includes(document.querySelector('.tile-bottleneck .value').textContent)");
    page.waits_for(&format!("{} > 2000", number_in(".tile-behind .value")));
    steps.done("an outage");
    for (name, width, dark) in [
        ("desktop-light", 1280, false),
        ("desktop-dark", 1280, true),
        ("phone-light", 390, false),
        ("phone-dark", 390, true),
    ] {
        page.browser.show(width, dark).expect("shown");
        page.waits_for(&format!("document.documentElement.scrollWidth <= {width}"));
        let picture = page
            .browser
            .picture(&format!("demo-{name}"))
            .expect("a picture");
        assert!(picture.len() > 37_500, "{name}: {}", picture.len());
    }
    page.browser.show(1280, false).expect("shown");
    page.waits_for(&format!(
        "parseInt(document.querySelector('#demo .by-hand').textContent.match(/for ([0-9]+) s/)?.[1]) >= {}",
        OUTAGE.as_secs()
    ));
    assert!(stopped.elapsed() >= OUTAGE, "{:?}", stopped.elapsed());
    page.does("said.length = 0");
    page.clicks("Start the index");
    // The index takes three times what comes in, so what came in 20 s and more takes some 10 s. It is
    // looked at each second.
    page.waits_for("said.some((one) => /^caught up in ~[0-9]/.test(one.behind))");
    page.waits_for(&format!(
        "{} < 1000 && /^(caught up|all of the last second|steady)/.test(document.querySelector('.tile-behind .note').textContent)",
        number_in(".tile-behind .value")
    ));
    page.waits_for("document.querySelector('#wrong').hidden");
    let said = page.browser.value("JSON.stringify(said)").expect("said");
    page.waits_for("document.querySelector('#verdict h2').textContent === 'It keeps up'");
    let contradictions = page.browser.value(
        "JSON.stringify(said.filter((one) => one.verdict.includes('within a second') && /^(never|caught up in)/.test(one.behind)))",
    );
    let contradictions = contradictions.expect("a value");
    assert_eq!(contradictions, "[]", "{said}");
    steps.done("it catches up");

    page.clicks("Let the index refuse documents");
    page.waits_for("document.querySelector('#wrong').textContent.includes('takes no documents')");
    page.clicks("Let the index take documents");
    page.waits_for("document.querySelector('#wrong').hidden");
    steps.done("an index that refuses");

    page.clicks("Pause the input");
    page.waits_for(&format!("{} === 0", number_in("#demo .on-the-way .value")));
    page.waits_for(
        "(() => { const t = document.querySelector('#records table'); \
         const of = (n) => t.tBodies[0].rows[0].cells[[...t.tHead.rows[0].cells].findIndex((c) => c.textContent === n)].textContent; \
         return of('In flight') === '0' && of('Difference') === '0' && of('Lost') === '0'; })()",
    );
    // Who has only the bare address is told what the buttons need.
    page.does("sessionStorage.clear()");
    let origin = format!("http://{address}/");
    page.browser.go(&origin).expect("it answers");
    page.waits_for("document.querySelector('#demo .locked')?.hidden === false");
    page.waits_for("document.querySelector('#demo .buttons').hidden && document.querySelector('#documents').hidden");
    // The browser itself tells of the search that was refused.
    let errors = page.browser.errors().into_iter();
    let errors: Vec<String> = errors.filter(|e| !e.contains("search?q=status")).collect();
    assert_eq!(errors, Vec::<String>::new());
    let asked = page.browser.requests().iter();
    let elsewhere: Vec<_> = asked.filter(|asked| !asked.starts_with(&origin)).collect();
    assert_eq!(elsewhere, Vec::<&String>::new());
    assert_eq!(process.stop(LIMIT).expect("it ends").code(), Some(0));
    steps.done("everything is accounted for");
}
