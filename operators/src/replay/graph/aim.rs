//! Tells an indexing bolt what a replay asks of it.

use isobar_topology::spec::{Component, Node, Value, parse_config};

use super::{Choice, Guarantee, Sink, Target, set};
use crate::bolts::ElasticsearchConfig;
use crate::elasticsearch::lines::Operation;

/// An indexing bolt as the topology says it.
pub(super) fn live(bolt: &Component) -> Sink {
    let text = |name: &str| bolt.config.get(name).and_then(Node::text);
    let stream = text("data_stream");
    let guarantee = match text("id") {
        Some("auto") => Guarantee::None,
        None | Some("deterministic") if stream.is_some() => Guarantee::UntilRollover,
        None | Some("deterministic") => Guarantee::Exact,
        Some(_) => Guarantee::AsTheIdSays,
    };
    Sink {
        bolt: bolt.id.clone(),
        index: stream
            .or_else(|| text("index"))
            .unwrap_or_default()
            .to_owned(),
        guarantee,
    }
}

/// Tells an indexing bolt what the target says.
pub(super) fn aim(bolt: &mut Component, choice: &Choice) -> Result<Sink, String> {
    let target = &choice.target;
    let mut sink = live(bolt);
    let config = config_of(bolt)?;
    // What was taken when it was live is taken again, and what was not is not, wherever it goes to now.
    let bounds = config.time_bounds();
    let bounds = bounds.map_or(text("off"), |bounds| {
        Node::from_json(&bounds.of_records()).value
    });
    let stores_anyway = choice.were_rejected || matches!(target, Target::Index(_));
    if sink.guarantee == Guarantee::None && !stores_anyway {
        return Err(format!(
            "the ids of {} are made by the cluster, so a replay would store every document once more; \
             replay into another index with index=NAME",
            bolt.id
        ));
    }
    let is_replaced =
        sink.guarantee == Guarantee::AsTheIdSays && config.operation() == Operation::Index;
    if is_replaced && !stores_anyway {
        return Err(format!(
            "the ids of {} are made of fields, and a later record takes the place of an earlier one (`op: index`): the \
             document of an id may be that of a record outside the range, or of one that is read meanwhile, and {target} \
             would put an older one in its place; replay into another index with index=NAME, from the first record on",
            bolt.id
        ));
    }
    if bolt.config.get("data_stream").is_some() && *target == Target::Overwrite {
        return Err(format!(
            "{} writes to a data stream, which takes no replacements; delete the documents first with \
             purge, or replay into another index with index=NAME",
            bolt.id
        ));
    }
    let operation = match target {
        Target::Overwrite => "index",
        // The last one of an id stays, as it does when it is live.
        Target::Index(_) if is_replaced => "index",
        Target::Missing | Target::Purge | Target::Index(_) => "create",
    };
    set(&mut bolt.config, "op", Some(text(operation)));
    set(&mut bolt.config, "event_time_bounds", Some(bounds));
    let missing = match choice.makes_indices() {
        true => "create",
        false => "drop",
    };
    set(&mut bolt.config, "missing_index", Some(text(missing)));
    if let Target::Index(name) = target {
        set(&mut bolt.config, "data_stream", None);
        set(&mut bolt.config, "index", Some(text(name)));
        sink.index.clone_from(name);
        if sink.guarantee == Guarantee::UntilRollover {
            sink.guarantee = Guarantee::Exact;
        }
    }
    Ok(sink)
}

/// The bolt's options. Fails with what is wrong with them.
fn config_of(bolt: &Component) -> Result<ElasticsearchConfig, String> {
    parse_config(&bolt.config, &bolt.path).map_err(|problems| problems.to_string())
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use isobar_topology::spec::Spec;
    use serde_json::{Value as Json, json};

    use super::*;

    /// What a choice makes of a bolt with these options.
    fn aimed(options: &Json, choice: &Choice) -> Result<(Json, Sink), String> {
        let mut bolt = json!({"type": "elasticsearch", "connection": "search", "inputs": ["in"]});
        let given = options.as_object().expect("a mapping").clone();
        bolt.as_object_mut().expect("a mapping").extend(given);
        let file = json!({
            "isobar": 1, "name": "logs", "spouts": {"in": {"type": "kafka"}}, "bolts": {"index": bolt},
        });
        let mut spec = Spec::read(&Node::from_json(&file)).expect("sound");
        let sink = aim(&mut spec.bolts[0], choice)?;
        Ok((spec.bolts[0].config.to_json(), sink))
    }

    #[test]
    fn where_the_last_record_of_an_id_stays_an_older_one_takes_the_place_of_none() {
        let again = || Target::Index("again".to_owned());
        let by_field = |op: &str| json!({"index": "logs", "id": "{{ doc.order }}", "op": op});
        for target in [Target::Missing, Target::Overwrite, Target::Purge] {
            let refused = aimed(&by_field("index"), &Choice::of(target.clone()));
            let refused = refused.expect_err("an older one would");
            let part = format!("and {target} would put an older one in its place");
            assert!(refused.contains(&part), "{refused}");
        }
        for (options, choice, expected) in [
            (by_field("index"), Choice::of(again()), "index"),
            (by_field("create"), Choice::of(again()), "create"),
            (by_field("create"), Choice::of(Target::Purge), "create"),
            (by_field("create"), Choice::of(Target::Overwrite), "index"),
            // A newer one may be there by now.
            (by_field("index"), Choice::of_rejected(), "create"),
            (
                json!({"index": "logs", "op": "index"}),
                Choice::of(Target::Purge),
                "create",
            ),
        ] {
            let (index, _) = aimed(&options, &choice).expect("it can be");
            assert_eq!(index["op"], expected, "{options} {choice:?}");
        }
    }

    #[test]
    fn times_are_bounded_as_they_are_live_around_each_record() {
        let dated = "logs-{{ event_time.format('%Y.%m.%d') }}";
        let default = json!({"past": "365d", "future": "1d", "around": "record"});
        let hour = json!({"past": "1h", "future": "1d", "around": "record"});
        for (options, expected) in [
            (json!({"index": dated}), &default),
            (json!({"data_stream": dated}), &default),
            (
                json!({"index": dated, "event_time_bounds": "off"}),
                &json!("off"),
            ),
            (json!({"index": "logs"}), &json!("off")),
            (
                json!({"index": "logs", "event_time_bounds": {"past": "1h"}}),
                &hour,
            ),
        ] {
            for choice in [
                Choice::of(Target::Missing),
                Choice::of(Target::Purge),
                // Although no name follows from the time there.
                Choice::of(Target::Index("again".to_owned())),
                Choice::of_rejected(),
            ] {
                let (index, _) = aimed(&options, &choice).expect("it can be");
                assert_eq!(
                    index["event_time_bounds"], *expected,
                    "{options} {choice:?}"
                );
            }
        }
    }
}
