//! What one bad neighbour costs the others, at length and on real services: bad records among good ones,
//! one index of several that takes nothing, one tenant that sends more than all others.

mod bad_records;
mod held_index;
mod loud_tenant;

use std::time::Duration;

use anyhow::ensure;
use testkit::http;
use testkit::isobar::{Isobar, Setup};
use testkit::services::Kafka;

use crate::support::Total;

pub(crate) use bad_records::bad_records;
pub(crate) use held_index::one_index_held;
pub(crate) use loud_tenant::a_loud_tenant;

const LIMIT: Duration = Duration::from_secs(240);
const PARTITIONS: u64 = 4;

/// A topology of this name with these spouts and bolts, which have the connections `kafka` and `search`, the latter
/// to this URL.
fn setup(kafka: &Kafka, url: &str, name: &str, nodes: &str) -> Setup {
    let topology = format!(
        "\
isobar: 1
name: {name}
connections:
  kafka: {{type: kafka, brokers: \"${{KAFKA}}\"}}
  search: {{type: elasticsearch, hosts: \"${{ES}}\"}}
{nodes}dead_letter: {{type: file, path: dead-letters.ndjson}}
"
    );
    let setup = Setup::new(&topology).expect("a directory");
    setup
        .environment("KAFKA", kafka.brokers())
        .environment("ES", url)
}

/// Waits until all that was sent is settled.
fn settled(isobar: &mut Isobar, sent: u64) -> Total {
    let total = isobar.wait_for("everything to be settled", LIMIT, |address| {
        let total = Total::of(&http::get(address, "/accounting")?.json()?)?;
        ensure!(total.read == sent && total.in_flight == 0, "{total:?}");
        Ok(total)
    });
    total.unwrap_or_else(|error| panic!("{error:#}"))
}

/// The one in the middle.
fn median(mut all: Vec<f64>) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() / 2]
}
