//! How a replay that yields goes to the index: on a quarter of the lanes, with one small request at a time on each, so
//! that those of the live topology hardly wait for it.
//!
//! Of the cores that a live topology at half of its capacity leaves, these are half. Where it has less to do more are
//! left, and nobody is in a hurry.
//!
//! A cluster does what it is sent in the order in which it came. Behind requests of the usual number and size,
//! of which each keeps a small node busy for a second, those of the live topology are answered seconds later.

use isobar_topology::spec::units::ByteSize;
use isobar_topology::spec::{Node, Spec, Value};

use super::graph::{is_sink, set};

/// Some thousand records.
const BODY: ByteSize = ByteSize::mib(1);

/// Of the lanes that the topology would have.
const LANES_SHARE: usize = 4;

/// Has a part of a topology go to its indices so, on a machine of so many cores. Where the file has a smaller
/// `body_bytes`, that stays.
pub fn beside_live(part: &mut Spec, cores: usize) {
    let lanes = part.settings.lanes.unwrap_or(cores);
    part.settings.lanes = Some((lanes / LANES_SHARE).max(1));
    for bolt in part.bolts.iter_mut().filter(|bolt| is_sink(bolt)) {
        set(&mut bolt.config, "requests_per_lane", Some(Value::Int(1)));
        let wanted = bolt.config.get("body_bytes").and_then(bytes);
        if wanted.is_none_or(|wanted| wanted > BODY) {
            let body = Value::String(BODY.to_string());
            set(&mut bolt.config, "body_bytes", Some(body));
        }
    }
}

/// A size as a file has it; `None` where that is none, which is said when it is planned.
fn bytes(node: &Node) -> Option<ByteSize> {
    match &node.value {
        Value::String(text) => text.parse().ok(),
        Value::Int(bytes) => usize::try_from(*bytes).ok().map(ByteSize::bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::plan;
    use serde_json::json;

    use super::*;
    use crate::registry;

    #[test]
    fn one_small_request_is_under_way() {
        let body_of = |body: serde_json::Value| {
            let mut index = json!({
                "type": "elasticsearch", "connection": "search", "inputs": ["parse"], "index": "logs",
                "requests_per_lane": 8,
            });
            if !body.is_null() {
                index["body_bytes"] = body;
            }
            let file = json!({
                "isobar": 1, "name": "t",
                "connections": {
                    "kafka": {"type": "kafka", "brokers": "127.0.0.1:1"},
                    "search": {"type": "elasticsearch", "hosts": "http://127.0.0.1:1"},
                },
                "spouts": {"logs": {"type": "kafka", "connection": "kafka", "topics": ["t"], "start": "earliest"}},
                "bolts": {"parse": {"type": "parse_json", "inputs": ["logs"]}, "index": index},
                "dead_letter": {"type": "file", "path": "dead"},
                "settings": {"lanes": 6},
            });
            let mut part = Spec::read(&Node::from_json(&file)).expect("sound");
            beside_live(&mut part, 64);
            assert_eq!(part.settings.lanes, Some(1));
            let config = &part.bolts[1].config;
            let requests = config.get("requests_per_lane").map(|node| &node.value);
            assert!(matches!(requests, Some(Value::Int(1))));
            let planned = plan(&part, &registry(), 6, std::path::Path::new("."));
            assert!(planned.is_ok(), "{:?}", planned.err());
            config.get("body_bytes").and_then(bytes)
        };
        assert_eq!(body_of(serde_json::Value::Null), Some(BODY));
        assert_eq!(body_of(json!("8MiB")), Some(BODY));
        assert_eq!(body_of(json!(4_000_000)), Some(BODY));
        assert_eq!(body_of(json!("64KiB")), Some(ByteSize::bytes(64 << 10)));
    }

    #[test]
    fn a_quarter_of_the_lanes_is_taken() {
        let lanes_of = |given: serde_json::Value, cores| {
            let file = json!({
                "isobar": 1, "name": "t",
                "spouts": {"logs": {"type": "kafka", "connection": "kafka", "topics": ["t"]}},
                "bolts": {"out": {"type": "blackhole", "inputs": ["logs"]}},
                "settings": given,
            });
            let mut part = Spec::read(&Node::from_json(&file)).expect("sound");
            beside_live(&mut part, cores);
            part.settings.lanes
        };
        let cases = [(1, 1), (2, 1), (7, 1), (8, 2), (16, 4), (64, 16)];
        for (cores, lanes) in cases {
            assert_eq!(lanes_of(json!({}), cores), Some(lanes), "{cores} cores");
            assert_eq!(lanes_of(json!({"lanes": cores}), 2), Some(lanes));
        }
    }
}
