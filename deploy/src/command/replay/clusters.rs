//! Whose indices the documents of a plan go to: a plan runs against the clusters and indices alone that it was made
//! for, whatever the variables of its topology say by then.

use anyhow::anyhow;
use isobar_operators::replay::{Search, Sink};
use isobar_topology::OperatorError;

use super::document::PlanFile;
use super::make::undetermined;
use crate::exit::{Exit, Failure};

/// What is to be known where a cluster does not tell its id.
pub(super) fn note(bolt: &str, error: &OperatorError) -> String {
    format!(
        "which cluster {bolt} writes to is not known ({error}), so a run of the plan cannot tell it from another one \
         behind the same hosts; give the user the cluster privilege `monitor`"
    )
}

/// Fails where documents of the plan would go, or were looked for, elsewhere than when it was made.
pub(super) async fn check(
    plan: &PlanFile,
    sinks: &[Sink],
    searches: &[Search],
) -> Result<(), Failure> {
    let planned = plan.sinks.iter();
    let planned: Vec<Pair<'_>> = planned.map(|one| (&*one.bolt, &*one.index)).collect();
    let now = sinks.iter();
    let now: Vec<Pair<'_>> = now.map(|one| (&*one.bolt, &*one.index)).collect();
    if planned != now {
        return Err(refused(format!(
            "the plan is about {}, and the topology writes to {} by now; make a new plan, or run this one with the \
             variables that it was made with",
            named(&planned),
            named(&now)
        )));
    }
    for (planned, search) in plan.sinks.iter().zip(searches) {
        let (cluster, now) = match &planned.cluster {
            Some(cluster) => {
                let now = search.cluster().await.map_err(undetermined)?;
                if *cluster == now {
                    continue;
                }
                (
                    format!(" in the cluster {cluster}"),
                    format!("the cluster {now} at "),
                )
            }
            // Which one it was is not known: the same hosts are all that speaks for it.
            None if planned.hosts == search.hosts() => continue,
            None => Default::default(),
        };
        return Err(refused(format!(
            "the plan is about {}{cluster}{}, and the connection of {} leads to {now}{}; run the plan with the variables \
             that it was made with, or make a new one",
            planned.index,
            planned.place(),
            planned.bolt,
            search.hosts().join(", ")
        )));
    }
    Ok(())
}

/// A bolt, and the index that it writes to.
type Pair<'a> = (&'a str, &'a str);

fn named(sinks: &[Pair<'_>]) -> String {
    let each = sinks.iter();
    let each = each.map(|(bolt, index)| format!("{index} by {bolt}"));
    each.collect::<Vec<_>>().join(", ")
}

fn refused(why: String) -> Failure {
    Failure::new(Exit::Failed, anyhow!("nothing was done: {why}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use isobar_operators::replay::Guarantee;
    use isobar_topology::spec::{Node, Spec};
    use serde_json::json;

    use super::*;
    use crate::command::runtime::block_on;

    /// A host of the cluster with this id.
    fn host(cluster: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a client");
                let _ = stream.read(&mut [0; 4_096]).expect("a question");
                let body = json!({"cluster_uuid": cluster}).to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all((head + &body).as_bytes());
            }
        }));
        format!("http://{address}")
    }

    /// Checks a plan about the index `logs` in the cluster `S`.
    fn checked(index: &str, cluster: &'static str) -> (String, Result<(), String>) {
        let plan = json!({
            "version": 2, "id": "19a", "made_at_ms": 5, "topology": "t", "file": "/t.yaml",
            "env_files": [], "configuration": "0f", "spout": "in", "group": "t.replay.19a",
            "cluster_id": "c", "topics": {"logs": null}, "from": "0", "to": "10",
            "target": "overwrite", "left_out": [], "narrowed": false, "partitions": [],
            "sinks": [{"bolt": "index", "index": "logs", "hosts": ["http://staging:9200"], "cluster": "S",
                       "guarantee": "exact", "verifiable": true, "indices": {}}],
        });
        let plan: PlanFile = serde_json::from_value(plan).expect("a plan");
        let host = host(cluster);
        let spec = Spec::read(&Node::from_json(&json!({
            "isobar": 1, "name": "t", "spouts": {"in": {"type": "kafka"}},
            "connections": {"search": {"type": "elasticsearch", "hosts": host}},
            "bolts": {"index": {"type": "elasticsearch", "connection": "search", "index": index, "inputs": ["in"]}},
        })));
        let sink = Sink {
            bolt: "index".to_owned(),
            index: index.to_owned(),
            guarantee: Guarantee::Exact,
        };
        let search = Search::of(&spec.expect("sound"), &sink).expect("sound");
        let checked = block_on(check(&plan, &[sink], &[search])).expect("a runtime");
        (host, checked.map_err(|failure| failure.error.to_string()))
    }

    #[test]
    fn a_plan_runs_against_the_clusters_and_indices_that_it_was_made_for() {
        assert_eq!(checked("logs", "S").1, Ok(()));
        let (host, other) = checked("logs", "P");
        let expected = format!(
            "nothing was done: the plan is about logs in the cluster S at http://staging:9200, and the connection of \
             index leads to the cluster P at {host}; run the plan with the variables that it was made with, or make a \
             new one"
        );
        assert_eq!(other, Err(expected));
        let other = checked("logs-2", "S").1.expect_err("another index");
        let expected = "nothing was done: the plan is about logs by index, and the topology writes to logs-2 by index by now; ";
        assert!(other.starts_with(expected), "{other}");
    }
}
