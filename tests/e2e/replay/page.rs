//! Replays on the page of a running topology, in a real browser.

use std::time::Duration;

use serde_json::json;
use testkit::browser::Browser;
use testkit::isobar::Isobar;
use testkit::services::{Kafka, Search};

use crate::support::Steps;

const LIMIT: Duration = Duration::from_secs(60);
/// Offsets that are replayed, those at the end of a partition.
const OFFSETS: i64 = 300;
/// Text of a part of the section.
const SAID: &str = "((place) => document.querySelector('#replays ' + place)?.textContent ?? '')";

/// The page, with the token.
pub(super) struct Page(Browser);

impl Page {
    /// Opens it, and types in the token that it asks for.
    pub(super) fn open(isobar: &Isobar, token: &str) -> Self {
        let mut browser = Browser::start().expect("Chromium starts");
        browser.show(1280, false).expect("shown");
        let mut page = Self(browser);
        let url = format!("http://{}/", isobar.address());
        page.0.go(&url).expect("it answers");
        page.waits_to_read(".token label", "Token, as in the file of --token-file");
        page.does("document.querySelector('#token').focus()");
        page.types(token);
        page.presses("Enter");
        page.waits_to_read(".runs", "Verified: exact.");
        page
    }

    /// Waits until the latest run is in a state, and a part of it says something.
    pub(super) fn shows(&mut self, state: &str, part: &str, text: &str) {
        self.waits_for(&format!(
            "{SAID}('.runs li:first-child .state') === '{state}'"
        ));
        self.waits_to_read(&format!(".runs li:first-child {part}"), text);
    }

    /// Lets the latest run, which has stopped, go on as fast as it can, beside the live topology.
    pub(super) fn goes_on_without_yielding(&mut self) {
        self.shows("stopped", ".figures", "offsets settled");
        self.clicks("Go on…");
        self.waits_for("document.activeElement.name === 'rate'");
        self.presses("Tab");
        self.waits_for("document.activeElement.value === '30s'");
        self.types("off");
        self.waits_for("document.activeElement.value === 'off'");
        self.presses("Enter");
    }

    fn waits_for(&mut self, expression: &str) {
        let found = self.0.wait_for(expression, LIMIT);
        found.unwrap_or_else(|error| {
            let section = "document.querySelector('#replays').innerText";
            panic!("{error:#}\n{}", self.0.value(section).unwrap_or_default());
        });
    }

    fn waits_to_read(&mut self, place: &str, text: &str) {
        self.waits_for(&format!("{SAID}('{place}').includes({})", json!(text)));
    }

    fn does(&mut self, script: &str) {
        let _ = self.0.value(script).expect("it is done");
    }

    fn presses(&mut self, key: &str) {
        self.0.press(key).expect("pressed");
    }

    fn types(&mut self, text: &str) {
        self.0.write(text).expect("typed");
    }

    /// Writes into a field of a form, in place of what is there.
    fn fills(&mut self, field: &str, text: &str) {
        let input = format!("document.querySelector('#replay-{field}')");
        self.does(&format!("{input}.value = ''; {input}.focus()"));
        self.types(text);
    }

    /// Presses a button of the latest run.
    pub(super) fn clicks(&mut self, label: &str) {
        let button = format!(
            "[...document.querySelectorAll('#replays .runs li:first-child button')].find((b) => b.textContent === '{label}' && !b.disabled)"
        );
        self.waits_for(&format!("Boolean({button})"));
        self.does(&format!("{button}.click()"));
    }
}

/// The form, the plan with its diff, the word that is asked for, the run, and what the index says of it: all
/// by keyboard, but for what is chosen of a list.
pub(super) fn a_fix_is_planned_run_and_verified(
    page: &mut Page,
    kafka: &Kafka,
    search: &Search,
    isobar: &Isobar,
    steps: &mut Steps,
) {
    let file = isobar.setup().topology();
    let live = std::fs::read_to_string(file).expect("it is there");
    std::fs::write(file, live.replace("env: test", "env: mended")).expect("written");
    let end = kafka.end_offsets("logs").expect("the broker answers")[1];
    page.does("document.querySelector('#replay-spout').focus()");
    for text in [(end - OFFSETS).to_string(), (end + 9).to_string()] {
        page.presses("Tab");
        page.types(&text);
    }
    page.presses("Tab");
    page.waits_for(
        "document.activeElement.id === 'replay-target' && document.activeElement.value === ''",
    );
    page.does(
        "document.activeElement.value = 'overwrite'; document.activeElement.dispatchEvent(new Event('change', { bubbles: true }))",
    );
    page.waits_to_read("#replay-target-hint", "writes every document anew");
    page.presses("Tab");
    page.types("1");
    page.fills("only_bolts", "copy");
    page.presses("Enter");
    page.waits_to_read(
        ".to-plan .told",
        "reach no bolt that indexes copy; they reach index",
    );
    page.fills("only_bolts", "index");
    page.fills("rate-planned", "1000");
    page.presses("Enter");
    page.waits_for("document.activeElement.textContent === 'Plan'");
    page.waits_to_read(".plan", "At 1,000 records a second that takes 300 ms.");

    page.waits_to_read(".plan .noted", "do not exist yet");
    page.waits_to_read(".plan tbody tr", "logs/1");
    page.waits_to_read(".plan tbody tr", "300");
    page.waits_to_read(
        ".plan",
        "Of 10 records: 10 documents other than indexed.What changes: env in 10 documents.",
    );
    page.waits_to_read(".diff li:last-child .before", "- env: \"test\"");
    page.waits_to_read(".diff li:last-child .after", "+ env: \"mended\"");
    for (width, dark) in [(390, true), (1280, false)] {
        page.0.show(width, dark).expect("shown");
        page.waits_for(&format!("document.documentElement.scrollWidth <= {width}"));
    }
    steps.done("a plan on the page");

    // Neither without the word nor without the tick.
    page.does("document.querySelector('.to-run .main').focus()");
    page.presses("Enter");
    page.waits_for(
        "document.activeElement.validity.valueMissing && document.activeElement.name === 'word'",
    );
    page.types("overwrite");
    page.presses("Enter");
    page.waits_for("document.activeElement.name === 'accept_narrowed'");
    page.does("document.activeElement.click()");
    page.waits_for("document.querySelector('#replay-rate').placeholder === 'as planned: 1,000'");
    page.fills("rate", "5000");
    page.fills("max_in_flight", "2000");
    page.presses("Enter");
    page.waits_for("document.activeElement.textContent === 'Runs'");
    // There it is, above the one before.
    page.waits_to_read(".runs li:first-child .what", "target overwrite");
    page.shows("done", ".why", "Verified: exact.");
    page.does("document.querySelector('#replays .runs li:first-child details').open = true");
    page.waits_for("[...document.querySelectorAll('#replays .runs li:first-child tbody td')].map((cell) => cell.textContent).slice(3).join() === '300,0,0,0,0,exact'");
    // The browser itself complained while nothing listened, and of the form that was refused.
    let is_known = |said: &String| {
        ["net::ERR_", "status of 400"]
            .iter()
            .any(|one| said.contains(one))
    };
    let mut errors = page.0.errors();
    errors.retain(|said| !is_known(said));
    assert_eq!(errors, Vec::<String>::new());
    let mended = json!({"term": {"env.keyword": "mended"}});
    let of_range = json!({"bool": {"filter": [
        mended, {"term": {"_isobar.t": "logs"}}, {"term": {"_isobar.p": 1}},
        {"range": {"_isobar.o": {"gte": end - OFFSETS, "lt": end}}},
    ]}});
    let client = search.client();
    client.refresh("logs-*").expect("it refreshes");
    for (query, documents) in [(of_range, "of the range"), (mended, "in all")] {
        let count = client.count_where("logs-*", &query).expect("it counts");
        assert_eq!(Some(count), u64::try_from(OFFSETS).ok(), "{documents}");
    }
    steps.done("a run on the page");

    // Only where the range ends by a time.
    let is_hidden = "document.querySelector('#replay-slack').closest('.field').hidden";
    page.waits_for(is_hidden);
    page.fills("to", "1s");
    page.fills("from", "earliest");
    page.waits_for(&format!("!{is_hidden}"));
    page.fills("slack", "15m");
    page.presses("Enter");
    page.waits_to_read(".plan .noted", "--slack 15m: the ranges go on behind");
    steps.done("late records on the page");
}
