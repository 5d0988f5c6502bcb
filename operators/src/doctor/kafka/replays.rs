//! Whether replays and redrives can be run: what the user may do with their register and their groups, and whether the
//! register stays small. Asked for by `isobar doctor` alone: no start fails for it.

use std::collections::BTreeMap;

use super::checks::known;
use super::{Answer, Facts, Failed, failed};
use crate::doctor::{Missing, Said, Status, Verdict, or_fine};
use crate::kafka::admin::{Admin, Permitted, RDKafkaErrorCode};
use crate::replay::registry::SETTINGS;

/// What is known of the register.
pub(super) struct Register {
    topic: String,
    /// `None` where there is none.
    found: Answer<Option<Found>>,
    /// What the groups of replays start with.
    group: String,
    /// What the user may do with those, where the coordinator tells.
    permitted: Answer<Option<Permitted>>,
}

/// What is known of its topic.
pub(super) struct Found {
    /// Where the brokers tell.
    permitted: Option<Permitted>,
    /// Its configuration, where it was told.
    settings: BTreeMap<String, String>,
}

impl Register {
    /// That of the topology of this name; `of_group` asks for a group.
    pub(super) fn ask(
        topic: &str,
        topology: &str,
        admin: &Admin,
        of_group: impl FnOnce(&str) -> Answer<Option<Permitted>>,
    ) -> Self {
        let group = format!("{topology}.replay.");
        Self {
            topic: topic.to_owned(),
            found: found(topic, admin),
            // Whoever has a right on groups by a prefix has it on this one, which nobody has.
            permitted: of_group(&format!("{group}0")),
            group,
        }
    }
}

fn found(topic: &str, admin: &Admin) -> Answer<Option<Found>> {
    let layout = admin.layout(&[topic]).map_err(|error| failed(&error))?;
    match layout.topics.first().and_then(|topic| topic.error) {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            Ok(None)
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Err(Failed::Denied),
        Some(error) => Err(Failed::Other(format!("{topic}: {error}"))),
        None => {
            let permitted = admin.permitted_with_topics(&[topic]);
            let permitted = permitted.map_err(|error| failed(&error))?;
            // Whoever may not ask for it can run replays all the same.
            let settings = admin.topic_configurations(&[topic]).unwrap_or_default();
            Ok(Some(Found {
                permitted: permitted.get(topic).copied(),
                settings: settings.get(topic).cloned().unwrap_or_default(),
            }))
        }
    }
}

pub(super) fn replays(facts: &Facts) -> Verdict {
    let _ = known(&facts.layout)?;
    let Some(register) = &facts.register else {
        return Err(Missing::Absent(
            "no spout reads from here, or the brokers are embedded ones".to_owned(),
        ));
    };
    let Register { topic, group, .. } = register;
    let warned = |text: String| (Status::Warning, text);
    let mut found: Vec<Said> = Vec::new();
    let may_read_group = match &register.permitted {
        Ok(permitted) => permitted.is_none_or(|permitted| permitted.read),
        Err(failed) => *failed != Failed::Denied,
    };
    if !may_read_group {
        found.push(warned(format!(
            "the user may not read in groups that start with {group}, so no replay is run"
        )));
    }
    let of_topic = match &register.found {
        Err(Failed::Denied) => {
            found.push(warned(format!(
                "the user may not see topic {topic}, so no replay or redrive is run"
            )));
            return Ok(found);
        }
        answer => known(answer)?,
    };
    let Some(of_topic) = of_topic else {
        let text = format!("{topic} is not there yet: the first replay or redrive makes it");
        return or_fine(found, text);
    };
    if of_topic
        .permitted
        .is_some_and(|permitted| !permitted.read || !permitted.write)
    {
        found.push(warned(format!(
            "the user may not both read and write topic {topic}, so no replay or redrive is run"
        )));
    }
    let others = others(&of_topic.settings);
    if !others.is_empty() {
        found.push(warned(format!(
            "{topic} has {}: it grows by what runs tell, and each question about them reads all of it",
            others.join(", ")
        )));
    }
    or_fine(found, format!("{topic} is as replays need it"))
}

/// The settings, as they are, that are not as the register is made with them. Smaller segments, and sooner compaction,
/// serve as well.
fn others(settings: &BTreeMap<String, String>) -> Vec<String> {
    let number = |text: &str| text.parse::<f64>().ok();
    let each = SETTINGS.iter().filter_map(|(name, wanted)| {
        let is = settings.get(*name)?;
        let serves = match (number(is), number(wanted)) {
            (Some(is), Some(wanted)) => is <= wanted,
            _ => is.split(',').any(|one| one.trim() == *wanted),
        };
        (!serves).then(|| format!("{name}={is}"))
    });
    each.collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::healthy;
    use super::*;

    const ALL: Permitted = Permitted {
        read: true,
        write: true,
    };

    /// One of which nothing is wrong.
    pub(in crate::doctor::kafka) fn register() -> Register {
        let settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Register {
            topic: "t.replays".to_owned(),
            found: Ok(Some(Found {
                permitted: Some(ALL),
                settings: settings.into(),
            })),
            group: "t.replay.".to_owned(),
            permitted: Ok(Some(ALL)),
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Register), status: Status, part: &str) {
        let mut facts = healthy();
        change(facts.register.as_mut().expect("it is asked for"));
        let said = replays(&facts).expect("it was answered");
        let found = said
            .iter()
            .any(|(found, text)| *found == status && text.contains(part));
        assert!(found && said.len() == 1, "{said:?}");
    }

    fn of_topic(register: &mut Register) -> &mut Found {
        let found = register.found.as_mut().expect("an answer").as_mut();
        found.expect("it is there")
    }

    #[test]
    fn rights_that_replays_need_are_missed_before_one_is_run() {
        let warning = Status::Warning;
        check(|_| {}, Status::Ok, "as replays need it");
        let read_only = Permitted {
            write: false,
            ..ALL
        };
        let said = "not both read and write topic t.replays";
        check(
            |one| of_topic(one).permitted = Some(read_only),
            warning,
            said,
        );
        check(|one| of_topic(one).permitted = None, Status::Ok, "");
        let said = "may not see topic t.replays";
        check(|one| one.found = Err(Failed::Denied), warning, said);
        check(|one| one.found = Ok(None), Status::Ok, "is not there yet");
        let said = "groups that start with t.replay.,";
        check(|one| one.permitted = Err(Failed::Denied), warning, said);
        let unread = Permitted { read: false, ..ALL };
        check(|one| one.permitted = Ok(Some(unread)), warning, said);
        // An older coordinator, and one that has no such group.
        check(|one| one.permitted = Ok(None), Status::Ok, "");
        let unknown = Err(Failed::Other("no such group".to_owned()));
        check(|one| one.permitted = unknown, Status::Ok, "");
    }

    #[test]
    fn a_register_that_grows_is_told_and_one_that_stays_smaller_is_not() {
        let set = |name: &'static str, value: &'static str| {
            move |register: &mut Register| {
                let settings = &mut of_topic(register).settings;
                let _ = settings.insert(name.to_owned(), value.to_owned());
            }
        };
        let warning = Status::Warning;
        let said = "t.replays has segment.ms=604800000: it grows";
        check(set("segment.ms", "604800000"), warning, said);
        let said = "t.replays has cleanup.policy=delete: it grows";
        check(set("cleanup.policy", "delete"), warning, said);
        check(set("cleanup.policy", "compact,delete"), Status::Ok, "");
        check(set("segment.ms", "60000"), Status::Ok, "");
        check(
            set("min.cleanable.dirty.ratio", "0.5"),
            warning,
            "ratio=0.5",
        );
        check(|one| of_topic(one).settings.clear(), Status::Ok, "");
    }
}
