//! What can be wrong with what documents go to: its kind, its shards, its settings, and whether it takes one.

use super::*;

/// So many documents a second are many: below that a refresh each second costs less than anyone sees.
const MANY: f64 = 1_000.0;
/// A refresh more often than so, in ms, is worth a word: Elastic's guide to fast indexing begins at 5 s.
const REFRESH_MIN_MS: f64 = 5_000.0;

/// What is said of a sink instead of what indices are like of which nobody can tell whether they are its own.
fn unnamed(sink: &Sink) -> Said {
    let text = format!(
        "{}: indices are not looked at, as {} may be what others write to",
        sink.bolt,
        sink.pattern()
    );
    (Status::Skipped, text)
}

pub(super) fn index_health(facts: &Facts) -> Verdict {
    let data_nodes = match facts.answer(once::HEALTH) {
        Ok(health) => health["number_of_data_nodes"].as_u64(),
        Err(_) => None,
    };
    let mut found = Vec::new();
    let mut of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (number, sink) in facts.sinks.iter().enumerate() {
        if !sink.is_named() {
            found.push(unnamed(sink));
            continue;
        }
        let answer = match facts.of_sink(once::INDEX_HEALTH, number) {
            // Indices come with their first document.
            Err(Missing::Absent(_)) => continue,
            answer => answer?,
        };
        for index in answer.as_array().into_iter().flatten() {
            // One that is closed has none.
            let health = index["health"].as_str().unwrap_or("not known");
            let name = index["index"].as_str().unwrap_or_default();
            let _ = of.entry(health).or_default().insert(name);
        }
    }
    if of.is_empty() && found.is_empty() {
        return Err(Missing::Absent("there is no index yet".to_owned()));
    }
    let text = |health: &str, indices: &BTreeSet<&str>| {
        let count = counted(indices.len(), "index");
        format!("{count} {health}: {}", some(indices))
    };
    let said = of
        .iter()
        .map(|(health, indices)| match (*health, data_nodes) {
            ("red", _) => (Status::Error, text("red", indices)),
            // With one data node no replica has a place, ever.
            ("yellow", Some(0 | 1)) => (Status::Info, text("yellow", indices)),
            ("yellow", _) => (Status::Warning, text("yellow", indices)),
            ("green", _) => (Status::Ok, text("green", indices)),
            (other, _) => (Status::Unknown, text(other, indices)),
        });
    found.extend(said);
    Ok(found)
}

/// The data streams that a sink may write to; none where the cluster knows of none.
fn streams(facts: &Facts, number: usize) -> Result<&[Value], Missing> {
    match facts.of_sink(once::DATA_STREAMS, number) {
        Err(Missing::Absent(_)) => Ok(&[]),
        answer => Ok(answer?["data_streams"]
            .as_array()
            .map_or(&[], Vec::as_slice)),
    }
}

pub(super) fn kind(facts: &Facts) -> Verdict {
    let (mut found, mut missing) = (Vec::new(), None);
    for (number, sink) in facts.sinks.iter().enumerate() {
        match wrong_kind(facts, number, sink) {
            Ok(wrong) => found.extend(wrong),
            Err(why) => missing = Some(why),
        }
    }
    match missing {
        Some(missing) if found.is_empty() => Err(missing),
        _ => or_fine(found, "what is there is what the bolts say"),
    }
}

fn wrong_kind(facts: &Facts, number: usize, sink: &Sink) -> Result<Vec<Said>, Missing> {
    let pattern = sink.pattern();
    let streams = streams(facts, number)?;
    // Of several names that records may decide for, it need not be this one.
    let is_sure = !pattern.contains('*');
    let goes = if is_sure { "goes" } else { "may go" };
    if !sink.is_data_stream {
        let names = streams.iter().filter_map(|stream| stream["name"].as_str());
        let names: BTreeSet<&str> = names.filter(|name| fits(&pattern, name)).collect();
        let (status, effect) = match sink.operation {
            "index" if is_sure => (Status::Error, "which takes no document by `op: index`"),
            "index" => (Status::Warning, "which takes no document by `op: index`"),
            _ => (Status::Warning, "where ids protect until it rolls over"),
        };
        let said = |name| format!("{} {goes} to the data stream {name}, {effect}", sink.bolt);
        return Ok(names.into_iter().map(|name| (status, said(name))).collect());
    }
    let behind = streams
        .iter()
        .flat_map(|stream| stream["indices"].as_array());
    let behind = behind.flatten().map(|index| index["index_name"].as_str());
    let behind: BTreeSet<&str> = behind.flatten().collect();
    let indices = facts.of_sink(once::INDICES, number)?;
    let names = indices.as_object().into_iter().flatten();
    let plain = names.filter(|(name, _)| fits(&pattern, name) && !behind.contains(name.as_str()));
    let said = |name| {
        format!(
            "{} {goes} to {name}, which is an index and no data stream",
            sink.bolt
        )
    };
    Ok(plain
        .map(|(name, _)| (Status::Warning, said(name)))
        .collect())
}

pub(super) fn failure_store(facts: &Facts) -> Verdict {
    let (mut on, mut told) = (BTreeSet::new(), false);
    for number in 0..facts.sinks.len() {
        for stream in streams(facts, number)? {
            if let Some(enabled) = stream["failure_store"]["enabled"].as_bool() {
                told = true;
                let name = stream["name"].as_str().unwrap_or_default();
                let _ = enabled.then(|| on.insert(name));
            }
        }
    }
    match (told, on.is_empty()) {
        (false, _) => Err(Missing::Absent(
            "there is no data stream that says whether it has one".to_owned(),
        )),
        (true, true) => fine("no data stream has one"),
        (true, false) => {
            let text = format!(
                "{} with one: {}",
                counted(on.len(), "data stream"),
                some(&on)
            );
            Ok(vec![(Status::Info, text)])
        }
    }
}

pub(super) fn refresh(facts: &Facts) -> Verdict {
    let mut found = Vec::new();
    for (number, sink) in facts.sinks.iter().enumerate() {
        if !sink.is_named() {
            found.push(unnamed(sink));
            continue;
        }
        let answer = facts.of_sink(once::INDICES, number)?;
        let indices = answer.as_object().into_iter().flatten();
        // Where it is not set, indices are refreshed only while somebody searches them.
        let set = indices.filter_map(|(index, settings)| {
            let set = settings["settings"]["index"]["refresh_interval"].as_str()?;
            let is_short = milliseconds(set).is_some_and(|ms| ms < REFRESH_MIN_MS);
            is_short.then_some((index.as_str(), set))
        });
        let mut short: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (index, set) in set {
            let _ = short.entry(set).or_default().insert(index);
        }
        for (set, indices) in short {
            let what = format!(
                "{} with `refresh_interval` of {set}: {}",
                counted(indices.len(), "index"),
                some(&indices)
            );
            found.push(match rate(facts, number) {
                Some(rate @ MANY..) => (
                    Status::Warning,
                    format!("{what}, at {rate:.0} documents a second"),
                ),
                Some(rate) => (
                    Status::Info,
                    format!("{what}, at {rate:.0} documents a second"),
                ),
                None => (
                    Status::Info,
                    format!("{what}; how much is written is not known"),
                ),
            });
        }
    }
    or_fine(found, "no index sets a `refresh_interval` below 5s")
}

/// Documents a second that the indices of a sink took between two looks.
fn rate(facts: &Facts, number: usize) -> Option<f64> {
    let look = |name| {
        let answer = facts.of_sink(name, number).ok()?;
        let total = answer["_all"]["primaries"]["indexing"]["index_total"].as_u64()?;
        Some((total, *facts.asked_ms.get(&(name, number))?))
    };
    let ((before, from), (after, to)) = (look(once::WRITES)?, look(once::WRITES_AGAIN)?);
    // Fewer than before where an index was deleted in between.
    let more = after.checked_sub(before)?;
    (to > from).then(|| more as f64 * 1_000.0 / (to - from) as f64)
}

/// A time as Elasticsearch writes it, such as `1s`; `None` for never.
fn milliseconds(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "nanos" => 1e-6,
        "micros" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 60e3,
        "h" => 3_600e3,
        "d" => 86_400e3,
        _ => return None,
    };
    let number: f64 = digits.parse().ok()?;
    (number >= 0.0).then_some(number * factor)
}

pub(super) fn index_pipelines(facts: &Facts) -> Verdict {
    let (mut found, mut missing) = (Vec::new(), None);
    let mut of: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for (number, sink) in facts.sinks.iter().enumerate() {
        if !sink.is_named() {
            found.push(unnamed(sink));
            continue;
        }
        let mut places: Vec<(&str, &Value)> = Vec::new();
        match facts.of_sink(once::INDICES, number) {
            Ok(answer) => {
                let indices = answer.as_object().into_iter().flatten();
                let settings = indices.map(|(name, of)| (name.as_str(), &of["settings"]["index"]));
                places.extend(settings);
            }
            Err(why) => missing = Some(why),
        }
        match facts.of_sink(once::SIMULATED, number) {
            Ok(answer) => places.push(("new ones", &answer["template"]["settings"]["index"])),
            // No template makes it, so it has none.
            Err(Missing::Absent(_)) => {}
            Err(why) => missing = Some(why),
        }
        for (place, settings) in places {
            for setting in ["default_pipeline", "final_pipeline"] {
                let named = settings[setting].as_str().filter(|name| *name != "_none");
                // The bolt's own takes the place of the default one.
                let is_replaced = setting == "default_pipeline" && sink.pipeline.is_some();
                if let (Some(name), false) = (named, is_replaced) {
                    let _ = of.entry((setting, name)).or_default().insert(place);
                }
            }
        }
    }
    found.extend(of.iter().map(|((setting, name), indices)| {
        let count = counted(indices.len(), "index");
        let text = format!(
            "documents go through the pipeline {name}, the {setting} of {count}: {}",
            some(indices)
        );
        (Status::Info, text)
    }));
    match missing {
        Some(missing) if found.is_empty() => Err(missing),
        _ => or_fine(found, "no index has one of its own"),
    }
}

pub(super) fn write(facts: &Facts) -> Verdict {
    let (mut found, mut missing) = (Vec::new(), None);
    for (number, sink) in facts.sinks.iter().enumerate() {
        match facts.of_sink(once::WRITTEN, number) {
            Ok(written) => found.push(of_document(sink, written)),
            Err(Missing::Absent(why)) => {
                found.push((Status::Skipped, format!("{}: {why}", sink.bolt)));
            }
            Err(why) => missing = Some(why),
        }
    }
    match missing {
        Some(missing) if found.is_empty() => Err(missing),
        _ => Ok(found),
    }
}

/// What became of the document that was written for a sink, and of deleting it.
fn of_document(sink: &Sink, written: &Value) -> Said {
    let text = |name: &str| written[name].as_str().unwrap_or_default();
    let (bolt, index, id) = (&sink.bolt, text("index"), text("id"));
    let status = |name: &str| written[name].as_u64().unwrap_or_default();
    match (status("status"), status("deleted")) {
        (200 | 201, 200) => (
            Status::Ok,
            format!("{bolt}: {index} took a document, and deleted it again"),
        ),
        (200 | 201, 404) => (
            Status::Info,
            format!("{bolt}: {index} took a document and did not keep it, as a pipeline may want"),
        ),
        (200 | 201, deleted) => (
            Status::Warning,
            format!(
                "{bolt}: {index} took the document {id}, and it is still there: deleting it was answered with {deleted}"
            ),
        ),
        // Others than one without fields may be taken, unless it is the index that takes none.
        (400, _) if written["is_of_index"] != true => (
            Status::Warning,
            format!(
                "{bolt}: {index} takes no document without fields: {}",
                text("said")
            ),
        ),
        (status, _) => (
            Status::Error,
            format!(
                "{bolt}: {index} took no document: {status} {}",
                text("said")
            ),
        ),
    }
}
