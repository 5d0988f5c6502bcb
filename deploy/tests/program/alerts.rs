//! What is shipped for Prometheus, Alertmanager and Grafana names only what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use isobar::metrics;
use serde_json::Value;

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(shipped(path)).expect("it is shipped")
}

/// The names of metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("isobar_") || word.starts_with("process_"))
        .collect()
}

/// The names after `alert: `.
fn alerts() -> BTreeSet<String> {
    let rules = text("alerts/isobar.rules.yaml");
    let lines = rules.lines();
    lines
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_metric_that_rules_and_dashboards_name_exists() {
    let known: BTreeSet<&str> = metrics::all().map(|metric| metric.name).collect();
    // Of a histogram, its buckets are asked for.
    let series = |name: &str| name.strip_suffix("_bucket").unwrap_or(name).to_owned();
    // Types of operators define these; that they are exported is tested end to end.
    let own = |name: &str| {
        let kind = name.starts_with("isobar_spout_") || name.starts_with("isobar_bolt_");
        kind && name.ends_with("_total")
    };
    for path in [
        "alerts/isobar.rules.yaml",
        "alerts/isobar.rules.test.yaml",
        "dashboards/isobar.json",
    ] {
        let text = text(path);
        let named = metrics_in(&text);
        assert!(named.len() > 10, "{path}: {named:?}");
        let missing = named
            .iter()
            .filter(|name| !known.contains(&*series(name)) && !own(name));
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new(), "{path}");
    }
}

#[test]
fn every_metric_of_ours_says_of_which_topology_it_is() {
    for metric in metrics::all() {
        // Those of any process have the names and labels that they have everywhere.
        let is_ours = !metric.name.starts_with("process_");
        let first = metric.labels.first().copied();
        assert_eq!(first == Some("topology"), is_ours, "{}", metric.name);
    }
}

#[test]
fn every_alert_has_its_page_its_severity_and_its_tests() {
    let alerts = alerts();
    assert!(alerts.len() >= 15, "{alerts:?}");
    let pages = std::fs::read_dir(shipped("runbooks")).expect("it is shipped");
    let pages: BTreeSet<String> = pages
        .map(|page| page.expect("a file").file_name())
        .filter_map(|name| Some(name.to_str()?.strip_suffix(".md")?.to_owned()))
        // Pages of other names are about what one sets out to do.
        .filter(|name| name.starts_with("Isobar"))
        .collect();
    assert_eq!(alerts, pages);
    let (rules, tests) = (
        text("alerts/isobar.rules.yaml"),
        text("alerts/isobar.rules.test.yaml"),
    );
    for alert in &alerts {
        let linked = format!("runbook: deploy/runbooks/{alert}.md\n");
        assert!(rules.contains(&linked), "{alert}");
        assert!(tests.contains(&format!("  - name: {alert}\n")), "{alert}");
        let page = text(&format!("runbooks/{alert}.md"));
        for part in [
            "What it means.",
            "How to look.",
            "What to do.",
            "When it is over:",
        ] {
            assert!(page.contains(&format!("**{part}**")), "{alert}: {part}");
        }
    }
    let severities = rules.matches("labels: {severity: ").count();
    let known =
        ["page", "ticket"].map(|word| rules.matches(&format!("severity: {word}}}")).count());
    assert_eq!(
        (severities, known.iter().sum()),
        (alerts.len(), alerts.len())
    );
}

#[test]
fn every_runbook_is_in_the_index() {
    let index = text("runbooks/README.md");
    for page in std::fs::read_dir(shipped("runbooks")).expect("it is shipped") {
        let name = page.expect("a file").file_name();
        let name = name.to_str().expect("UTF-8");
        let listed = index.contains(&format!("]({name})"));
        assert!(name == "README.md" || listed, "{name}");
    }
}

#[test]
fn inhibition_names_alerts_that_exist() {
    let text = text("alerts/alertmanager.yaml");
    let alerts = alerts();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let named: BTreeSet<&str> = words
        .filter(|word| word.starts_with("Isobar") && *word != "Isobar")
        .collect();
    assert!(named.len() >= 4, "{named:?}");
    for name in named {
        assert!(alerts.contains(name), "{name}");
    }
}

/// An alert that fires.
type Alert = BTreeMap<&'static str, &'static str>;

fn firing(alertname: &'static str, severity: &'static str, instance: &'static str) -> Alert {
    let labels = [
        ("alertname", alertname),
        ("severity", severity),
        ("instance", instance),
    ];
    let spout = [("topology", "t"), ("spout", "in"), ("group", "g")];
    // Prometheus makes it of a target that does not answer, and knows nothing else of it.
    let of_spout = alertname != "IsobarDown";
    labels
        .into_iter()
        .chain(spout.into_iter().filter(|_| of_spout))
        .collect()
}

/// The texts in a list of the flow style after a key, over all rules.
fn lists(key: &str) -> Vec<Vec<String>> {
    let text = text("alerts/alertmanager.yaml");
    let lines = text
        .lines()
        .filter_map(|line| line.split_once(&format!("{key}: [")));
    let lists = lines.map(|(_, list)| list.trim_end_matches(']').split(", "));
    lists
        .map(|list| list.map(|one| one.trim_matches('\'').to_owned()).collect())
        .collect()
}

/// Whether all matchers of a rule match, as Alertmanager reads them.
fn matches(matchers: &[String], alert: &Alert) -> bool {
    matchers.iter().all(|matcher| {
        let mut parts = matcher.splitn(3, ' ');
        let [label, operator, value] = [(); 3].map(|()| parts.next().expect("three parts"));
        let (value, is) = (
            value.trim_matches('"'),
            alert.get(label).copied().unwrap_or(""),
        );
        match operator {
            "=" => is == value,
            "!=" => is != value,
            "=~" => value.split('|').any(|one| match one.strip_suffix(".*") {
                Some(start) => is.starts_with(start),
                None => is == one,
            }),
            _ => panic!("{matcher}"),
        }
    })
}

/// The names of those that nothing worse silences.
fn get_through(all: &[Alert]) -> Vec<&str> {
    let rules = lists("source_matchers")
        .into_iter()
        .zip(lists("target_matchers"));
    let rules: Vec<_> = rules.zip(lists("equal")).collect();
    assert!(rules.len() >= 5, "{rules:?}");
    let is_silenced = |alert: &Alert| {
        rules.iter().any(|((source, target), equal)| {
            let by = |other: &Alert| {
                let same = equal
                    .iter()
                    .all(|label| other.get(&**label) == alert.get(&**label));
                // Where both match both sides, neither silences the other.
                let both = matches(source, alert) && matches(target, other);
                same && matches(source, other) && !both
            };
            matches(target, alert) && all.iter().any(by)
        })
    };
    let rest = all.iter().filter(|alert| !is_silenced(alert));
    rest.map(|alert| alert["alertname"]).collect()
}

#[test]
fn what_follows_from_something_worse_wakes_nobody() {
    // The program is dead, and an exporter watches its group.
    let dead = [
        firing("IsobarDown", "page", "program"),
        firing("IsobarPartitionsWithoutOwner", "page", "exporter"),
        firing("IsobarNoProgress", "page", "exporter"),
        firing("IsobarTooOld", "page", "exporter"),
    ];
    assert_eq!(
        get_through(&dead),
        ["IsobarDown", "IsobarPartitionsWithoutOwner"]
    );
    let held = [
        firing("IsobarHeld", "page", "program"),
        firing("IsobarNoProgress", "page", "program"),
        firing("IsobarTooOld", "page", "program"),
        firing("IsobarSomethingIsWrong", "ticket", "program"),
    ];
    assert_eq!(get_through(&held), ["IsobarHeld"]);
    let slow = [
        firing("IsobarTooOld", "page", "program"),
        firing("IsobarNotGettingOn", "ticket", "program"),
        firing("IsobarTooOld", "page", "another"),
    ];
    // None of these says more than the others.
    let all = ["IsobarTooOld", "IsobarNotGettingOn", "IsobarTooOld"];
    assert_eq!(get_through(&slow), all);
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard: Value = serde_json::from_str(&text("dashboards/isobar.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64()), "{panel}");
        assert!(panel["title"].is_string(), "{panel}");
        let targets = panel["targets"].as_array().expect("targets");
        assert!(
            targets.iter().all(|target| target["expr"].is_string()),
            "{panel}"
        );
    }
    assert!(panels.len() >= 12);
}

#[test]
fn every_query_of_the_dashboard_is_about_the_topologies_that_are_chosen() {
    let dashboard: Value = serde_json::from_str(&text("dashboards/isobar.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let queries = targets.filter_map(|target| target["expr"].as_str());
    for query in queries.filter(|query| !metrics_in(query).is_empty()) {
        assert!(query.contains("topology=~\"$topology\""), "{query}");
    }
}
