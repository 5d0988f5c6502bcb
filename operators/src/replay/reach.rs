//! What another process than the one that runs a topology can reach of it.

use isobar_topology::spec::{Component, Node, Spec};

use super::live_sinks;
use crate::connections::{elasticsearch_of, kafka_of};

/// The Kafka spouts that can be replayed, in the order of the file: they reach an index, and neither their
/// brokers nor an index that they reach is embedded, and so inside of the process that runs the topology.
/// Contacts nobody.
pub fn within_reach(spec: &Spec) -> Vec<String> {
    let kafka = spec.spouts.iter().filter(|spout| spout.kind == "kafka");
    let reachable = kafka.filter(|spout| {
        let sinks = live_sinks(spec, &spout.id);
        let is_sink = |bolt: &&Component| sinks.iter().any(|sink| sink.bolt == bolt.id);
        let mut bolts = spec.bolts.iter().filter(is_sink);
        let any_embedded = bolts.any(|sink| is_embedded(spec, sink));
        !sinks.is_empty() && !is_embedded(spec, spout) && !any_embedded
    });
    reachable.map(|spout| spout.id.clone()).collect()
}

/// Whether a spout or bolt is connected to a service inside of the process.
fn is_embedded(spec: &Spec, of: &Component) -> bool {
    let Some(name) = of.config.get("connection").and_then(Node::text) else {
        return false;
    };
    // What is wrong with a connection, a plan says.
    let kafka = kafka_of(spec, name).ok().flatten();
    let search = elasticsearch_of(spec, name).ok().flatten();
    kafka.is_some_and(|kafka| kafka.is_embedded())
        || search.is_some_and(|search| search.is_embedded())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(brokers: &str, host: &str, expected: &[&str]) {
        let spout = |connection: &str| json!({"type": "kafka", "connection": connection, "topics": ["a"], "start": "earliest"});
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {
                "kafka": {"type": "kafka", "brokers": brokers},
                "other": {"type": "kafka", "brokers": "localhost:1"},
                "search": {"type": "elasticsearch", "hosts": [host]},
                "elsewhere": {"type": "elasticsearch", "hosts": ["http://localhost:2"]},
            },
            "spouts": {"logs": spout("kafka"), "events": spout("other"), "copies": spout("other")},
            "bolts": {
                "index": {"type": "elasticsearch", "connection": "search", "index": "logs", "inputs": ["logs"]},
                "keep": {"type": "elasticsearch", "connection": "elsewhere", "index": "events", "inputs": ["events"]},
                "copy": {"type": "file", "path": "copy", "inputs": ["copies"]},
            },
            "dead_letter": {"type": "file", "path": "dead"},
        });
        let spec = Spec::read(&Node::from_json(&file)).expect("sound");
        assert_eq!(within_reach(&spec), expected, "{brokers}, {host}");
    }

    #[test]
    fn what_reaches_an_index_and_is_not_embedded_is_within_reach() {
        check("localhost:1", "http://localhost:1", &["logs", "events"]);
        check("embedded", "http://localhost:1", &["events"]);
        check("localhost:1", "embedded", &["events"]);
    }
}
