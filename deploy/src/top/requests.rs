//! Requests to outside systems by bolt and host, over all replicas that answer: rates are sums, times those of
//! the replica for which the host is slowest.

use crate::lag::table::rate;
use crate::output::{Table, time};
use crate::statistics::{HostNumbers, Statistics};

/// A row for each host of each bolt; nothing without any.
pub(super) fn table<'a>(of: impl Iterator<Item = &'a Statistics>) -> String {
    let bolts = of.flat_map(|statistics| &statistics.bolts);
    let all: Vec<(&str, &HostNumbers)> = bolts
        .flat_map(|bolt| bolt.requests.iter().map(move |host| (&*bolt.bolt, host)))
        .collect();
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for (bolt, host) in &all {
        if !rows.contains(&(*bolt, &*host.host)) {
            rows.push((bolt, &host.host));
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new([
        "BOLT",
        "HOST",
        "REQUESTS/S>",
        "HALF WITHIN>",
        "99 % WITHIN>",
    ]);
    for row in rows {
        let of_host = all
            .iter()
            .filter(|(bolt, host)| (*bolt, &*host.host) == row);
        let of_host: Vec<&HostNumbers> = of_host.map(|(_, host)| *host).collect();
        table.row([
            row.0.to_owned(),
            row.1.to_owned(),
            rate(of_host.iter().map(|host| host.requests_per_second).sum()),
            slowest(&of_host, |host| host.half_within_seconds),
            slowest(&of_host, |host| host.most_within_seconds),
        ]);
    }
    table.text()
}

/// The longest time of those who have asked lately.
fn slowest(of_host: &[&HostNumbers], part: fn(&HostNumbers) -> Option<f64>) -> String {
    if of_host
        .iter()
        .any(|host| host.requests_per_second.is_none())
    {
        return "?".to_owned();
    }
    let asked = of_host
        .iter()
        .filter(|host| host.requests_per_second > Some(0.0));
    let times: Option<Vec<f64>> = asked.map(|host| part(host)).collect();
    match times {
        // Above the last bound of the histogram.
        None => "> 5 min".to_owned(),
        Some(times) => times
            .into_iter()
            .reduce(f64::max)
            .map_or_else(|| "-".to_owned(), |seconds| time((seconds * 1000.0) as u64)),
    }
}
