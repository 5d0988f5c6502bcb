//! Long forms of other suites. They run when they are named: `tests/run e2e long`.

mod neighbours;

use std::time::Duration;

use testkit::services::SearchVersion;

use crate::{chaos, demo, doctor, outage, outcomes, replay};

/// Of each protocol.
const CHAOS: chaos::Form = chaos::Form {
    faults_for: Duration::from_secs(600),
    rate: 1_000,
    questions: 500,
    calm_questions: 100,
    shows_all: true,
};

#[test]
fn chaos_classic() {
    chaos::run(&["classic"], &CHAOS);
}

#[test]
fn chaos_consumer() {
    chaos::run(&["consumer"], &CHAOS);
}

#[test]
fn a_demo_that_runs_for_an_hour_takes_no_more_memory() {
    demo::left_alone(Duration::from_secs(3_600));
}

#[test]
fn elasticsearch_8_answers_as_the_table_says() {
    outcomes::check(SearchVersion::Elasticsearch8);
}

#[test]
fn opensearch_2_answers_as_the_table_says() {
    outcomes::check(SearchVersion::OpenSearch2);
}

#[test]
fn a_sound_topology_on_elasticsearch_8_has_no_finding() {
    drop(doctor::sound(SearchVersion::Elasticsearch8));
}

#[test]
fn a_sound_topology_on_opensearch_2_has_no_finding() {
    drop(doctor::sound(SearchVersion::OpenSearch2));
}

#[test]
fn ten_minutes_without_elasticsearch() {
    outage::run(Duration::from_secs(600));
}

#[test]
fn bad_records_among_good_ones() {
    neighbours::bad_records();
}

#[test]
fn one_index_of_two_is_held() {
    neighbours::one_index_held();
}

#[test]
fn a_tenant_a_hundred_times_as_loud_as_another() {
    neighbours::a_loud_tenant();
}

#[test]
fn of_a_million_records_a_replay_brings_back_exactly_what_was_deleted() {
    replay::deleted::ten_thousand_of_a_million();
}

#[test]
fn replays_that_are_killed_ten_times_are_exact() {
    replay::kills::ten_of_each();
}
