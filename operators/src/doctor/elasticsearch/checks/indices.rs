//! What can be wrong with the indices that documents go to.

use super::*;

pub(super) fn blocks(facts: &Facts) -> Verdict {
    let mut found = Vec::new();
    let mut missing = None;
    match facts.answer(once::SETTINGS) {
        Ok(answer) => {
            let set = settings(answer);
            let set = set.iter().filter(|(name, value)| {
                name.starts_with("cluster.blocks.read_only") && *value == "true"
            });
            found.extend(set.map(|(name, _)| (Status::Error, format!("{name} is set"))));
        }
        Err(why) => missing = Some(why),
    }
    let mut indices = 0;
    for (number, _) in facts.sinks.iter().enumerate() {
        let answer = match facts.of_sink(once::INDICES, number) {
            Ok(answer) => answer,
            Err(why) => {
                missing = Some(why);
                continue;
            }
        };
        for (index, settings) in answer.as_object().into_iter().flatten() {
            indices += 1;
            let mut set = BTreeMap::new();
            flatten(&settings["settings"], String::new(), &mut set);
            let set = set
                .iter()
                .filter(|(name, value)| keeps_out(name) && *value == "true");
            found.extend(set.map(|(name, _)| {
                (
                    Status::Error,
                    format!("{index} takes no documents: {name} is set"),
                )
            }));
        }
    }
    match missing {
        Some(missing) if found.is_empty() => Err(missing),
        _ => or_fine(found, format!("none on {}", counted(indices, "index"))),
    }
}

fn keeps_out(name: &str) -> bool {
    matches!(
        name,
        "index.blocks.write" | "index.blocks.read_only" | "index.blocks.read_only_allow_delete"
    )
}

pub(super) fn replicas(facts: &Facts) -> Verdict {
    let data_nodes = match facts.answer(once::HEALTH) {
        Ok(health) => health["number_of_data_nodes"].as_u64(),
        Err(_) => None,
    };
    let (mut without, mut silent) = (BTreeSet::new(), None);
    for number in 0..facts.sinks.len() {
        let answer = facts.of_sink(once::INDICES, number)?;
        for (index, settings) in answer.as_object().into_iter().flatten() {
            match settings["settings"]["index"]["number_of_replicas"].as_str() {
                Some("0") => drop(without.insert(index.as_str())),
                Some(_) => {}
                None => silent = Some(index),
            }
        }
    }
    if let (Some(index), true) = (silent, without.is_empty()) {
        let text = format!("{index} does not say how many replicas it has");
        return Err(Missing::Absent(text));
    }
    if without.is_empty() {
        return fine("no index without a replica");
    }
    let status = match data_nodes {
        Some(0 | 1) => Status::Info,
        _ => Status::Warning,
    };
    let text = format!(
        "{} without a replica: {}",
        counted(without.len(), "index"),
        some(&without)
    );
    Ok(vec![(status, text)])
}

pub(super) fn template(facts: &Facts) -> Verdict {
    let templates = &facts.answer(once::TEMPLATES)?["index_templates"];
    let mut found = Vec::new();
    for sink in &facts.sinks {
        let example = sink.example();
        let matching = templates.as_array().into_iter().flatten().filter(|one| {
            texts(&one["index_template"]["index_patterns"]).any(|pattern| fits(pattern, &example))
        });
        let priority = |one: &&Value| one["index_template"]["priority"].as_i64().unwrap_or(0);
        let used = matching.max_by_key(priority);
        let name = used
            .and_then(|one| one["name"].as_str())
            .unwrap_or_default();
        let makes_stream = used.map(|one| one["index_template"]["data_stream"].is_object());
        let of = format!("{} of {}", sink.target, sink.bolt);
        match (sink.is_data_stream, makes_stream) {
            (true, None) => found.push((
                Status::Error,
                format!("no template makes the data stream {of}: an index would be made instead, or nothing"),
            )),
            (true, Some(false)) => found.push((
                Status::Error,
                format!("the template {name} makes {of} an index and no data stream"),
            )),
            (false, Some(true)) => found.push((
                Status::Error,
                format!("the template {name} makes {of} a data stream: say `data_stream` in the bolt, or use another name"),
            )),
            (false, None) => found.push((
                Status::Info,
                format!("no template for {of}: the first document decides about types"),
            )),
            _ => {}
        }
    }
    or_fine(found, "every target has its template")
}

pub(super) fn mapping(facts: &Facts) -> Verdict {
    let mut found = Vec::new();
    let mut missing = None;
    for (number, sink) in facts.sinks.iter().enumerate() {
        match facts.of_sink(once::SIMULATED, number) {
            Ok(answer) => {
                let place = format!("a new index of {}", sink.target);
                found.extend(misfits(sink, &place, &answer["template"]["mappings"]));
            }
            Err(why) => missing = Some(why),
        }
        match facts.of_sink(once::MAPPINGS, number) {
            Ok(answer) => {
                for (index, mapping) in answer.as_object().into_iter().flatten() {
                    found.extend(misfits(sink, index, &mapping["mappings"]));
                }
            }
            Err(why) => missing = Some(why),
        }
    }
    match missing {
        Some(missing) if found.is_empty() => Err(missing),
        _ => or_fine(found, "documents fit, and their origin can be searched"),
    }
}

pub(super) fn pipeline(facts: &Facts) -> Verdict {
    let mut found = Vec::new();
    let mut any = false;
    for (number, sink) in facts.sinks.iter().enumerate() {
        let Some(pipeline) = &sink.pipeline else {
            continue;
        };
        any = true;
        match facts.of_sink(once::PIPELINE, number) {
            Ok(_) => {}
            Err(Missing::Absent(_)) => {
                let text = format!("there is no pipeline {pipeline}, which {} names", sink.bolt);
                found.push((Status::Error, text));
            }
            Err(why) => return Err(why),
        }
    }
    match any {
        true => or_fine(found, "every pipeline is there"),
        false => Err(Missing::Absent("no bolt names a pipeline".to_owned())),
    }
}

pub(super) fn privileges(facts: &Facts) -> Verdict {
    let mut found = Vec::new();
    for (number, sink) in facts.sinks.iter().enumerate() {
        let answer = match facts.of_sink(once::PRIVILEGES, number) {
            Err(Missing::Absent(_)) => {
                let text = "the cluster has no users to ask about";
                return Err(Missing::Absent(text.to_owned()));
            }
            answer => answer?,
        };
        found.extend(lacking(sink, answer));
    }
    or_fine(found, "the user has all that the bolts need")
}

/// The privileges that are not there, and what that means.
fn lacking(sink: &Sink, answer: &Value) -> Vec<Said> {
    let pattern = sink.pattern();
    let granted = &answer["index"][&pattern];
    let [refresh, delete] = FOR_REPLAYS;
    let of_index = [
        (
            written_with(sink),
            Status::Error,
            "documents are refused and wait",
        ),
        (
            ASKED_WITH,
            Status::Error,
            "whether an index exists is not told, and documents wait",
        ),
        (
            "auto_configure",
            Status::Warning,
            "no index is made where none is",
        ),
        (
            "read",
            Status::Info,
            "`where` and `replay verify` cannot look",
        ),
        (
            refresh,
            Status::Info,
            "`where` and replays wait for the indices' own refresh",
        ),
        (delete, Status::Info, "a replay cannot purge"),
    ];
    let mut found: Vec<Said> = of_index
        .into_iter()
        .filter(|(privilege, ..)| granted[*privilege] == false)
        .map(|(privilege, status, effect)| {
            (status, format!("no `{privilege}` on {pattern}: {effect}"))
        })
        .collect();
    if answer["cluster"]["monitor"] == false {
        let text = "no `monitor` on the cluster: most checks are skipped";
        found.push((Status::Info, text.to_owned()));
    }
    found
}
