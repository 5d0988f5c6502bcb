//! What can be asked for: the options of the commands, each of which is one word of a command line.

use std::ffi::OsString;

use serde::Deserialize;

/// Which spout is meant, where several read Kafka.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfSpout {
    spout: Option<String>,
}

impl OfSpout {
    pub(super) fn named(spout: &str) -> Self {
        let spout = Some(spout.to_owned());
        Self { spout }
    }

    pub(super) fn options(&self) -> Vec<OsString> {
        let spout = self.spout.iter();
        spout.map(|spout| option("spout", spout)).collect()
    }
}

/// What is to be planned: the options of `isobar replay plan`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToPlan {
    spout: Option<String>,
    from: String,
    to: String,
    target: String,
    slack: Option<String>,
    #[serde(default)]
    topics: Vec<String>,
    partitions: Option<String>,
    sample: Option<u16>,
    rate: Option<u32>,
    #[serde(default)]
    create_missing: bool,
    #[serde(default)]
    only_bolts: Vec<String>,
    #[serde(default)]
    exclude_bolts: Vec<String>,
}

/// What is to be run: a plan, and options of `isobar replay run`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToRun {
    pub(super) plan: String,
    #[serde(default)]
    accept_narrowed: bool,
    #[serde(default)]
    resume: bool,
    rate: Option<u32>,
    max_in_flight: Option<u32>,
    yield_to_live: Option<String>,
}

impl ToPlan {
    pub(super) fn options(&self) -> Vec<OsString> {
        let mut options = vec![
            option("from", &self.from),
            option("to", &self.to),
            option("target", &self.target),
        ];
        options.extend(self.slack.iter().map(|slack| option("slack", slack)));
        options.extend(self.spout.iter().map(|spout| option("spout", spout)));
        options.extend(self.topics.iter().map(|topic| option("topic", topic)));
        options.extend(
            self.partitions
                .iter()
                .map(|some| option("partitions", some)),
        );
        let numbers = [("sample", self.sample.map(u32::from)), ("rate", self.rate)];
        options.extend(counts(&numbers));
        let bolts = [
            ("only-bolt", &self.only_bolts),
            ("exclude-bolt", &self.exclude_bolts),
        ];
        for (name, bolts) in bolts {
            options.extend(bolts.iter().map(|bolt| option(name, bolt)));
        }
        options.extend(self.create_missing.then(|| "--create-missing".into()));
        options
    }
}

impl ToRun {
    pub(super) fn options(&self) -> Vec<OsString> {
        let mut options = vec!["--yes".into()];
        let flags = [
            ("--accept-narrowed", self.accept_narrowed),
            ("--resume", self.resume),
        ];
        let given = flags.into_iter().filter(|(_, given)| *given);
        options.extend(given.map(|(flag, _)| flag.into()));
        options.extend(counts(&[
            ("rate", self.rate),
            ("max-in-flight", self.max_in_flight),
        ]));
        let age = self.yield_to_live.iter();
        options.extend(age.map(|age| option("yield-to-live", age)));
        options
    }
}

/// Those numbers that are given.
fn counts(numbers: &[(&str, Option<u32>)]) -> Vec<OsString> {
    let given = numbers
        .iter()
        .filter_map(|(name, number)| Some((*name, (*number)?)));
    given
        .map(|(name, number)| option(name, &number.to_string()))
        .collect()
}

/// In one word, so that no value is taken for another option.
pub(super) fn option(name: &str, value: &str) -> OsString {
    format!("--{name}={value}").into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(options: Vec<OsString>) -> Vec<String> {
        let words = options.into_iter().map(OsString::into_string);
        words.map(|word| word.expect("text")).collect()
    }

    #[test]
    fn a_request_has_the_options_of_the_command() {
        let asked = json!({"spout": "logs", "from": "-5 --out=/x", "to": "now", "target": "missing",
            "topics": ["a", "b"], "partitions": "0,3-4", "sample": 0, "rate": 9, "create_missing": true,
            "only_bolts": ["index"], "exclude_bolts": ["find", "copy"], "slack": "15m"});
        let asked: ToPlan = serde_json::from_value(asked).expect("it is understood");
        let expected = [
            "--from=-5 --out=/x",
            "--to=now",
            "--target=missing",
            "--slack=15m",
            "--spout=logs",
            "--topic=a",
            "--topic=b",
            "--partitions=0,3-4",
            "--sample=0",
            "--rate=9",
            "--only-bolt=index",
            "--exclude-bolt=find",
            "--exclude-bolt=copy",
            "--create-missing",
        ];
        assert_eq!(words(asked.options()), expected);
        let asked = json!({"plan": "19a"});
        let asked: ToRun = serde_json::from_value(asked).expect("it is understood");
        assert_eq!(words(asked.options()), ["--yes"]);
        let asked = json!({"plan": "19a", "resume": true, "accept_narrowed": true, "rate": 7,
            "max_in_flight": 8, "yield_to_live": "off"});
        let asked: ToRun = serde_json::from_value(asked).expect("it is understood");
        let expected = [
            "--yes",
            "--accept-narrowed",
            "--resume",
            "--rate=7",
            "--max-in-flight=8",
            "--yield-to-live=off",
        ];
        assert_eq!(words(asked.options()), expected);
    }

    #[test]
    fn a_file_or_another_option_cannot_be_asked_for() {
        let asked = json!({"from": "1", "to": "2", "target": "missing", "out": "/x"});
        let refused = serde_json::from_value::<ToPlan>(asked).err();
        let refused = refused.expect("it is refused").to_string();
        assert!(refused.contains("unknown field `out`"), "{refused}");
    }
}
