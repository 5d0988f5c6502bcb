//! Pages that are made from what the program says of itself.

use std::path::Path;

use ::isobar::exit::Exit;
use ::isobar::plan_document::PlanDocument;
use ::isobar::{Outside, TopologyFile};

use crate::support::{check_file, isobar};

#[test]
fn the_page_of_metrics_is_up_to_date() {
    check_file("METRICS.md", &::isobar::metrics::page());
}

#[test]
fn the_page_of_operators_is_up_to_date() {
    let page = ::isobar::reference::page(&isobar_operators::registry());
    check_file("OPERATORS.md", &page.expect("every example runs"));
}

#[test]
fn the_page_of_checks_is_up_to_date() {
    check_file("CHECKS.md", &::isobar::reference::checks());
}

#[test]
fn the_page_of_outcomes_is_up_to_date() {
    check_file("OUTCOMES.md", &::isobar::reference::outcomes());
}

#[test]
fn operators_are_listed_and_shown_with_their_options() {
    let list = isobar("operators", "", &["operators"]);
    assert_eq!(list.exit, Exit::Done);
    let line = |name: &str| list.output.lines().any(|line| line.starts_with(name));
    assert!(
        line("numbers     spout     Hands out numbered records"),
        "{}",
        list.output
    );
    let one = isobar("operator", "", &["operators", "numbers"]);
    assert!(
        one.output
            .contains("  partitions  (whole number; default: 1)\n      How many partitions"),
        "{}",
        one.output
    );
    assert!(one.output.ends_with(
        "\nExample:\n  spouts:\n    numbers:\n      type: numbers\n      records: 10\n"
    ));
    let json = isobar("operator-json", "", &["operators", "numbers", "-o", "json"]).json();
    assert_eq!(json[0]["options"][0]["name"], "records");
    assert_eq!(json[0]["schema"]["additionalProperties"], false);
    let unknown = isobar("operator-unknown", "", &["operators", "nubmers"]);
    assert_eq!(unknown.exit, Exit::Usage);
    assert_eq!(
        unknown.error,
        "there is no operator nubmers: `isobar operators` lists them; did you mean numbers?"
    );
}

#[test]
fn plans_of_shipped_topologies_are_up_to_date() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies");
    let files = std::fs::read_dir(&directory).expect("it is there");
    let files = files.map(|file| file.expect("readable").path());
    let is_topology = |file: &Path| {
        let name = file.to_string_lossy();
        name.ends_with(".yaml") && !name.ends_with(".tests.yaml")
    };
    let mut planned = 0;
    for file in files.filter(|file| is_topology(file)) {
        let outside = Outside {
            variable: &|_| None,
            file: &|_| Err(std::io::ErrorKind::NotFound.into()),
        };
        let topology = TopologyFile::load(&file, &outside);
        let plan = topology.plan(&isobar_operators::registry(), 2);
        let plan = plan.unwrap_or_else(|refused| panic!("{refused}"));
        let name = file
            .file_stem()
            .and_then(|name| name.to_str())
            .expect("text");
        let page = format!("topologies/{name}.plan.txt");
        check_file(&page, &PlanDocument::of(&plan).text());
        planned += 1;
    }
    assert!(planned >= 2, "the folder is empty");
}
