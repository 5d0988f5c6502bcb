//! `parse_user_agent`: tells browser, system and device by the text that a client sends of itself.

mod rules;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use isobar_topology::json::{self, Kind};
use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Counter, Emitter, Example, OperatorError, Prepare,
    PreparedBolt, RecordMut, Rejection, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::expression::text_of;
use crate::field_path::{EditSpace, FieldPath};
use rules::{Agent, Rules};

pub(super) const TYPE: BoltType = BoltType {
    name: "parse_user_agent",
    schema: || schemars::schema_for!(ParseUserAgentConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: parse_user_agent
inputs: [parse]
file: regexes.yaml
",
    &[
        r#"{"user_agent":"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Mobile Safari/604.1"}"#,
        r#"{"user_agent":"kube-probe/1.29"}"#,
        r#"{"path":"/health"}"#,
    ],
)
.with_files(&[("regexes.yaml", RULES)]);

/// A few rules of our own, in the format of ua-parser.
const RULES: &str = r"user_agent_parsers:
  - regex: '(Firefox)/(\d+)\.(\d+)'
  - regex: '(Version)/(\d+)\.(\d+).* Mobile.* Safari/'
    family_replacement: 'Mobile Safari'
os_parsers:
  - regex: 'CPU iPhone OS (\d+)_(\d+)'
    os_replacement: 'iOS'
    os_v1_replacement: '$1'
    os_v2_replacement: '$2'
  - regex: '(Linux)'
device_parsers:
  - regex: '(iphone)'
    regex_flag: 'i'
    device_replacement: '$1'
    brand_replacement: 'Apple'
";

/// Tells browser, operating system and device by a user agent, the text that a client sends of itself.
///
/// An object takes the place of the text, with those of these fields that the rules find, named as in
/// the Elastic Common Schema: `original`, the text itself; `name` and `version` of the browser or
/// program; `os.name` and `os.version`; `device.name`. Clients say what they like, so it is no proof.
///
/// The rules are those of the project ua-parser, which the processor `user_agent` of Elasticsearch uses
/// too: the file `regexes.yaml` of <https://github.com/ua-parser/uap-core>. It does not come with Isobar, so
/// that new browsers need no new version of it. The file is read when the topology starts. Its rules take
/// some 30 MiB of memory, and each lane up to 55 MiB more when agents of all kinds come; a record takes 4 to
/// 25 µs.
///
/// Counts `unknown_agents`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParseUserAgentConfig {
    /// The file with the rules, of at most 4 MiB; a relative path starts at the directory of the topology
    /// file.
    file: String,
    /// The field with the text, such as `http.user_agent`, of which the first 1024 bytes are looked at.
    /// Default `user_agent`.
    #[serde(default = "user_agent")]
    field: String,
    /// The field that gets the object, such as `user_agent` where `field` is `user_agent.original`. Objects
    /// around it that are not there are made; a record that has something else there is rejected as
    /// `not_an_object`. Default: `field`.
    target: Option<String>,
    /// What becomes of a record without the field, or without text in it: `keep` lets it go on, `reject`
    /// sends it to `rejected` as `missing_field`. Default `keep`.
    #[serde(default)]
    on_missing: OnMissing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnMissing {
    #[default]
    Keep,
    Reject,
}

fn user_agent() -> String {
    "user_agent".to_owned()
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: ParseUserAgentConfig = parse_config(&component.config, &component.path)?;
    let path = &component.path;
    let mut problems = Problems::default();
    let mut field_of = |option: &str, written: &str, prepare: &mut Prepare<'_>| {
        let field = FieldPath::new(written, &path.key(option), prepare);
        problems.take(field.map_err(Problems::from))
    };
    let field = field_of("field", &config.field, prepare);
    let target = match &config.target {
        Some(target) => field_of("target", target, prepare),
        None => field.clone(),
    };
    if let Some((field, target)) = field.as_ref().zip(target.as_ref())
        && target.is_inside(field)
    {
        let message = "is inside of `field`, which is text";
        let problem = Problem::new(path.key("target"), message);
        problems.push(problem.expected("the field itself, or one beside it"));
    }
    let rules = Rules::load(&prepare.file(&config.file)).map_err(|error| {
        Problem::new(path.key("file"), format!("{}: {error}", config.file)).expected(
            "the file regexes.yaml of https://github.com/ua-parser/uap-core, or one like it",
        )
    });
    let rules = problems.take(rules.map_err(Problems::from));
    problems.or(())?;
    let made = field.zip(target).zip(rules);
    let ((field, target), rules) = made.expect("no problem means all three");
    let rules = Arc::new(rules);
    Ok(PreparedBolt {
        memory_shared: rules.memory(),
        memory_per_lane: rules.memory_per_thread(),
        facts: vec![(
            "rules".to_owned(),
            format!("{}: {}", config.file, rules.count()),
        )],
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(ParseUserAgent {
                rules: Arc::clone(&rules),
                field: field.clone(),
                target: target.clone(),
                space: EditSpace::default(),
                on_missing: config.on_missing,
                unknown: context.counters.counter(
                    "unknown_agents",
                    "Records whose user agent is one that no rule knows.",
                ),
            })
        }))
    })
}

struct ParseUserAgent {
    rules: Arc<Rules>,
    field: FieldPath,
    target: FieldPath,
    space: EditSpace,
    on_missing: OnMissing,
    unknown: Counter,
}

impl Bolt for ParseUserAgent {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let mut unknown = 0;
        batch.judge(out, |record| match self.parse(record, &mut unknown) {
            Ok(()) => Verdict::Keep,
            Err(rejection) => Verdict::Reject(rejection),
        });
        self.unknown.add(unknown);
        Ok(())
    }
}

impl ParseUserAgent {
    fn parse(&mut self, record: &mut RecordMut<'_>, unknown: &mut u64) -> Result<(), Rejection> {
        let raw = self.field.get(record.view());
        let Some(raw) = raw.filter(|raw| Kind::of(raw) == Kind::String) else {
            return match self.on_missing {
                OnMissing::Keep => Ok(()),
                OnMissing::Reject => {
                    let name = self.field.written();
                    let text = format!("The field {name} with the user agent is missing");
                    Err(Rejection::new("missing_field", text))
                }
            };
        };
        let text = String::from_utf8_lossy(&text_of(raw)).into_owned();
        let agent = self.rules.find(&text);
        *unknown += u64::from(agent.is_unknown());
        let target = &self.target;
        target.set_with(record, &mut self.space, |out| write(out, &text, &agent))
    }
}

fn write(out: &mut Vec<u8>, text: &str, agent: &Agent<'_>) {
    out.extend_from_slice(b"{\"original\":");
    json::write_string(out, text);
    let top = [("name", &agent.name), ("version", &agent.version)];
    members(out, b',', &top);
    let os = [("name", &agent.os_name), ("version", &agent.os_version)];
    for (object, inner) in [("os", &os[..]), ("device", &[("name", &agent.device_name)])] {
        if inner.iter().any(|(_, value)| value.is_some()) {
            out.push(b',');
            json::write_string(out, object);
            out.extend_from_slice(b":");
            members(out, b'{', inner);
            out.push(b'}');
        }
    }
    out.push(b'}');
}

/// Writes the members that have a value, the first one behind `before`.
fn members(out: &mut Vec<u8>, mut before: u8, members: &[(&str, &rules::Text<'_>)]) {
    for (name, value) in members {
        if let Some(value) = value {
            out.push(before);
            json::write_string(out, name);
            out.push(b':');
            json::write_string(out, value);
            before = b',';
        }
    }
}
