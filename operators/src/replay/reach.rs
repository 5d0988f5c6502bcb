//! What another process than the one that runs a topology can reach of it.

use isobar_topology::spec::{Component, Node, Spec};

use super::live_sinks;
use crate::connections::{elasticsearch_of, kafka_of};

/// The Kafka spouts that can be replayed, in the order of the file: neither their brokers nor an index
/// that they reach is embedded, and so inside of the process that runs the topology. Contacts nobody.
pub fn within_reach(spec: &Spec) -> Vec<String> {
    let kafka = spec.spouts.iter().filter(|spout| spout.kind == "kafka");
    let reachable = kafka.filter(|spout| {
        let sinks = live_sinks(spec, &spout.id);
        let is_sink = |bolt: &&Component| sinks.iter().any(|sink| sink.bolt == bolt.id);
        let mut sinks = spec.bolts.iter().filter(is_sink);
        !is_embedded(spec, spout) && !sinks.any(|sink| is_embedded(spec, sink))
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
            },
            "spouts": {"logs": spout("kafka"), "copies": spout("other")},
            "bolts": {
                "index": {"type": "elasticsearch", "connection": "search", "index": "logs", "inputs": ["logs"]},
                "copy": {"type": "file", "path": "copy", "inputs": ["copies"]},
            },
            "dead_letter": {"type": "file", "path": "dead"},
        });
        let spec = Spec::read(&Node::from_json(&file)).expect("sound");
        assert_eq!(within_reach(&spec), expected, "{brokers}, {host}");
    }

    #[test]
    fn what_is_embedded_is_out_of_reach_and_nothing_else_is() {
        check("localhost:1", "http://localhost:1", &["logs", "copies"]);
        check("embedded", "http://localhost:1", &["copies"]);
        check("localhost:1", "embedded", &["copies"]);
    }
}
