//! Long forms of other suites. They run when they are named: `tests/run e2e long`.

use testkit::services::SearchVersion;

use crate::outcomes;

#[test]
fn elasticsearch_8_answers_as_the_table_says() {
    outcomes::check(SearchVersion::Elasticsearch8);
}

#[test]
fn opensearch_2_answers_as_the_table_says() {
    outcomes::check(SearchVersion::OpenSearch2);
}
