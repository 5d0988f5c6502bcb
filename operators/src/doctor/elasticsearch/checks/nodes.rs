//! What can be wrong with nodes, and with what they say of their work.

use super::*;

/// A clock that differs by more, in ms, is worth a warning: five seconds are what certificates and tokens
/// commonly tolerate.
const SKEW_MAX_MS: i64 = 5_000;
/// A heap that is fuller, in percent, twice in a row. The parent circuit breaker trips at 95 %.
const HEAP_MAX: u64 = 85;

pub(super) fn disk(facts: &Facts) -> Verdict {
    let settings = settings(facts.answer(once::SETTINGS)?);
    let statistics = facts.answer(once::STATISTICS)?;
    let of = |name: &str| {
        let key = format!("cluster.routing.allocation.disk.{name}");
        settings.get(&key).map(String::as_str)
    };
    if of("threshold_enabled") == Some("false") {
        let text = "disk watermarks are switched off: a full disk is noticed when writes fail";
        return Ok(vec![(Status::Info, text.to_owned())]);
    }
    let marks = [
        ("flood_stage", "95%", Status::Error),
        ("high", "90%", Status::Warning),
        ("low", "85%", Status::Warning),
    ];
    let (mut found, mut told) = (Vec::new(), false);
    for (_, node) in nodes(statistics) {
        let disk = &node["fs"]["total"];
        let (Some(total), Some(free)) = (
            disk["total_in_bytes"].as_u64(),
            disk["available_in_bytes"].as_u64(),
        ) else {
            continue;
        };
        told = true;
        let over = marks.iter().find(|(mark, default, _)| {
            let mark = format!("watermark.{mark}");
            let headroom = of(&format!("{mark}.max_headroom"));
            free < least_free(of(&mark).unwrap_or(default), headroom, total)
        });
        if let Some((mark, _, status)) = over {
            let percent = (total - free.min(total)) * 100 / total.max(1);
            let name = node["name"].as_str().unwrap_or("a node");
            let text = format!("the disk of {name} is {percent} % full, above the mark `{mark}`");
            found.push((*status, text));
        }
    }
    match told {
        true => or_fine(found, "all disks are below the low watermark"),
        false => Err(Missing::Absent(
            "no node says how full its disk is".to_owned(),
        )),
    }
}

/// Bytes that must be free at a watermark: a share in use, a ratio or a size that is free, and for shares
/// never more than the headroom.
fn least_free(mark: &str, headroom: Option<&str>, total: u64) -> u64 {
    let share = |used: f64| ((1.0 - used).clamp(0.0, 1.0) * total as f64) as u64;
    let free = match (mark.strip_suffix('%'), mark.parse::<f64>()) {
        (Some(percent), _) => percent.parse().map(|percent: f64| share(percent / 100.0)),
        (None, Ok(ratio)) => Ok(share(ratio)),
        (None, Err(_)) => return size(mark).unwrap_or(0),
    };
    let free = free.unwrap_or(0);
    headroom.and_then(size).map_or(free, |most| free.min(most))
}

/// A size as Elasticsearch writes it, such as `200gb`.
fn size(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "b" => 1,
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        "tb" => 1_u64 << 40,
        "pb" => 1_u64 << 50,
        _ => return None,
    };
    let number: f64 = digits.parse().ok().filter(|number| *number >= 0.0)?;
    Some((number * factor as f64) as u64)
}

pub(super) fn rejected_writes(facts: &Facts) -> Verdict {
    let before = rejections(facts.answer(once::STATISTICS)?);
    let after = rejections(facts.answer(once::STATISTICS_AGAIN)?);
    if after.is_empty() {
        return Err(Missing::Absent("no node says what it refused".to_owned()));
    }
    let found = after.iter().filter_map(|(name, count)| {
        let more = count.saturating_sub(before.get(name).copied().unwrap_or(*count));
        (more > 0).then(|| (Status::Warning, format!("{name}: {more} within a second")))
    });
    let found: Vec<Said> = found.collect();
    let total: u64 = after.values().sum();
    match (found.is_empty(), total) {
        (true, 1..) => Ok(vec![(
            Status::Info,
            format!("{total} since the nodes started, none within the last second"),
        )]),
        _ => or_fine(found, "none"),
    }
}

/// What nodes refused since they started, by node and kind.
fn rejections(statistics: &Value) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (_, node) in nodes(statistics) {
        let name = node["name"].as_str().unwrap_or("a node");
        let pressure = &node["indexing_pressure"]["memory"]["total"];
        let kinds = [
            (
                "full write queue",
                node["thread_pool"]["write"]["rejected"].as_u64(),
            ),
            (
                "indexing pressure",
                pressure["coordinating_rejections"].as_u64(),
            ),
            (
                "indexing pressure (primary)",
                pressure["primary_rejections"].as_u64(),
            ),
        ];
        let breakers = node["breakers"].as_object().into_iter().flatten();
        let tripped = breakers.filter_map(|(_, breaker)| breaker["tripped"].as_u64());
        let tripped = tripped.reduce(u64::saturating_add);
        let kinds = kinds.into_iter().chain([("circuit breakers", tripped)]);
        for (kind, count) in kinds {
            if let Some(count) = count {
                let _ = counts.insert(format!("{kind} of {name}"), count);
            }
        }
    }
    counts
}

pub(super) fn heap(facts: &Facts) -> Verdict {
    let full = |statistics: &Value| -> BTreeMap<String, u64> {
        let used = nodes(statistics).filter_map(|(id, node)| {
            let percent = node["jvm"]["mem"]["heap_used_percent"].as_u64()?;
            let name = node["name"].as_str().unwrap_or(id);
            (percent > HEAP_MAX).then(|| (name.to_owned(), percent))
        });
        used.collect()
    };
    let before = full(facts.answer(once::STATISTICS)?);
    let last = facts.answer(once::STATISTICS_AGAIN)?;
    let tells = |(_, node): (_, &Value)| node["jvm"]["mem"]["heap_used_percent"].is_u64();
    if !nodes(last).any(tells) {
        return Err(Missing::Absent(
            "no node says how full its heap is".to_owned(),
        ));
    }
    let found = full(last)
        .into_iter()
        .filter(|(name, _)| before.contains_key(name))
        .map(|(name, percent)| {
            (
                Status::Warning,
                format!("the heap of {name} is {percent} % full"),
            )
        });
    or_fine(found.collect(), format!("no heap stays above {HEAP_MAX} %"))
}

pub(super) fn lifecycle(facts: &Facts) -> Verdict {
    let mut found = Vec::new();
    for number in 0..facts.sinks.len() {
        let answer = facts.of_sink(once::LIFECYCLE, number)?;
        for (index, explained) in answer["indices"].as_object().into_iter().flatten() {
            let reason = explained["step_info"]["reason"].as_str();
            let text = format!("{index}: {}", reason.unwrap_or("its policy stands still"));
            found.push((Status::Warning, text));
        }
    }
    or_fine(found, "no policy stands still")
}

pub(super) fn body_bytes(facts: &Facts) -> Verdict {
    let mut least: Option<(u64, &str)> = None;
    let mut missing = Missing::Absent("no host says what it takes".to_owned());
    for host in &facts.hosts {
        match &host.node {
            Ok(node) => {
                for (_, node) in nodes(node) {
                    let most = node["http"]["max_content_length_in_bytes"].as_u64();
                    let most = most.map(|most| (most, host.name.as_str()));
                    least = least.into_iter().chain(most).min();
                }
            }
            Err(why) => missing = why.clone(),
        }
    }
    let Some((least, host)) = least else {
        return Err(missing);
    };
    let too_large = facts
        .sinks
        .iter()
        .filter(|sink| sink.body_bytes as u64 > least);
    let found = too_large.map(|sink| {
        let text = format!(
            "{} sends up to {} bytes, and {host} takes {least}",
            sink.bolt, sink.body_bytes
        );
        (Status::Warning, text)
    });
    or_fine(found.collect(), format!("the hosts take {least} bytes"))
}

pub(super) fn certificates(facts: &Facts) -> Verdict {
    match facts.certificates.is_empty() {
        true => Err(Missing::Absent(
            "the connection is not encrypted".to_owned(),
        )),
        false => Ok(facts.certificates.iter().map(|one| one.judge()).collect()),
    }
}

pub(super) fn clock(facts: &Facts) -> Verdict {
    let statistics = facts.answer(once::STATISTICS_AGAIN)?;
    let skews = nodes(statistics).filter_map(|(id, node)| {
        let skew = node["timestamp"].as_i64()? - facts.now_ms;
        Some((node["name"].as_str().unwrap_or(id), skew))
    });
    let skews: Vec<(&str, i64)> = skews.collect();
    if skews.is_empty() {
        return Err(Missing::Absent("no node says its time".to_owned()));
    }
    let found = skews.iter().filter(|(_, skew)| skew.abs() > SKEW_MAX_MS);
    let found = found.map(|(name, skew)| {
        let by = if *skew > 0 { "ahead" } else { "behind" };
        let text = format!("the clock of {name} is {} s {by}", skew.abs() / 1_000);
        (Status::Warning, text)
    });
    or_fine(found.collect(), "all clocks agree within 5 s")
}
