//! `route`: parts a stream into several by conditions.

use std::sync::Arc;

use isobar_topology::spec::{Component, Path, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Counter, DocumentUse, Emitter, Example, OperatorError, Prepare,
    PreparedBolt, Record, Stream, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::expression::Condition;
use crate::ordered::Ordered;

pub(super) const TYPE: BoltType = BoltType {
    name: "route",
    schema: || schemars::schema_for!(RouteConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: route
inputs: [parse]
routes:
  errors: \"doc.level == 'error' || doc.status >= 500\"
  debug: \"doc.level == 'debug'\"
default: rest
",
    &[
        r#"{"level":"error"}"#,
        r#"{"level":"info","status":503}"#,
        r#"{"level":"debug"}"#,
        r#"{"level":"info"}"#,
    ],
);

/// Most routes of one bolt: each record tries their conditions one after the other.
const ROUTES_MAX: usize = 100;

/// Sends each record on the stream of the first condition that it meets, in the order of the file.
///
/// Other bolts consume the streams by name: `inputs: [route.errors]`. Each stream must lead somewhere;
/// a `blackhole` drops what is not wanted.
///
/// A condition that cannot be evaluated, as the record has no such field or one of another type, is
/// not met, and counted by the metric `undefined_conditions`. Records that meet none go to the default
/// stream.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Names of streams, and the CEL condition of each.
    routes: Ordered,
    /// The stream of records that meet no condition.
    default: String,
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: RouteConfig = parse_config(&component.config, &component.path)?;
    let path = component.path.key("routes");
    let mut problems = Problems::default();
    let given = config.routes.0.len();
    if !(1..=ROUTES_MAX).contains(&given) {
        problems.push(
            Problem::new(path.clone(), format!("there are {given} routes"))
                .expected(format!("from 1 to {ROUTES_MAX}")),
        );
        return Err(problems);
    }
    let mut streams: Vec<String> = Vec::new();
    let mut routes = Vec::new();
    for (name, condition) in &config.routes.0 {
        let path = path.key(name);
        let stream = problems.take(declare(name, &path, &mut streams).map_err(Problems::from));
        let condition = Condition::compile(condition, &path, prepare).map_err(Problems::from);
        routes.extend(stream.zip(problems.take(condition)));
    }
    let path = component.path.key("default");
    // Records of a route and of the default may share a stream.
    let default = match config
        .routes
        .0
        .iter()
        .position(|(name, _)| *name == config.default)
    {
        Some(route) => Stream::declared(route),
        None => {
            problems.take(declare(&config.default, &path, &mut streams).map_err(Problems::from))
        }
    };
    problems.or(())?;
    let routes: Arc<[(Stream, Condition)]> = routes.into();
    let default = default.expect("no problem means a stream");
    Ok(PreparedBolt {
        emits: false,
        streams,
        document: DocumentUse::Any,
        copies: 0,
        facts: config.routes.0,
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(Route {
                routes: Arc::clone(&routes),
                default,
                undefined: context.counters.counter(
                    "undefined_conditions",
                    "Conditions that could not be evaluated for a record, as a field was missing or of another type.",
                ),
            })
        }))
    })
}

/// Declares a stream of this name.
fn declare(name: &str, path: &Path, streams: &mut Vec<String>) -> Result<Stream, Problem> {
    let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if name.is_empty() || name.len() > 100 || !name.bytes().all(good) {
        return Err(
            Problem::new(path.clone(), format!("`{name}` is not a name of a stream"))
                .expected("a name of lower-case letters, digits, - and _"),
        );
    }
    if matches!(name, "out" | "rejected") {
        return Err(
            Problem::new(path.clone(), format!("the name `{name}` is reserved"))
                .expected("a name other than out and rejected"),
        );
    }
    streams.push(name.to_owned());
    Ok(Stream::declared(streams.len() - 1).expect("there are fewer routes than streams"))
}

struct Route {
    routes: Arc<[(Stream, Condition)]>,
    default: Stream,
    undefined: Counter,
}

impl Bolt for Route {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let mut undefined = 0;
        batch.judge(out, |record| {
            Verdict::To(self.stream(record.view(), &mut undefined))
        });
        self.undefined.add(undefined);
        Ok(())
    }
}

impl Route {
    #[inline]
    fn stream(&self, record: Record<'_>, undefined: &mut u64) -> Stream {
        for (stream, condition) in &*self.routes {
            match condition.holds(record) {
                Some(true) => return *stream,
                Some(false) => {}
                None => *undefined += 1,
            }
        }
        self.default
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::testing::{Input, PreparedForTest};
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_condition_that_is_met_counts() {
        // Not in the order of the alphabet: the order of the file counts.
        let routes = json!({"slow": "doc.took > 1", "errors": "doc.status >= 500", "all": "doc.all == true"});
        for (default, extra) in [("rest", Some("rest")), ("errors", None)] {
            let options = json!({"routes": routes, "default": default});
            let mut bolt = PreparedForTest::new(&TYPE, &options).expect("good options");
            let mut streams = vec!["slow", "errors", "all"];
            streams.extend(extra);
            assert_eq!(bolt.prepared.streams, streams);
            let inputs = [
                r#"{"took":2,"status":500,"all":true}"#,
                r#"{"took":1,"status":500,"all":true}"#,
                r#"{"took":1,"status":200,"all":true}"#,
                r#"{"took":1,"status":200,"all":false}"#,
                r#"{"status":"odd"}"#,
            ];
            let emitted = bolt.run(&inputs.map(Input::document)).await;
            let mut by_offset: Vec<(i64, &str)> = emitted
                .iter()
                .map(|record| (record.offset, streams[record.stream.index() - 2]))
                .collect();
            by_offset.sort_unstable();
            let expected = ["slow", "errors", "all", default, default];
            assert_eq!(by_offset, (0..).zip(expected).collect::<Vec<_>>());
            assert_eq!(bolt.counters.values()[0].2, 3);
        }
    }

    #[test]
    fn bad_options_are_problems() {
        let check = |options: Value, expected: &[&str]| {
            let problems = PreparedForTest::new(&TYPE, &options).err().expect("bad");
            assert_eq!(problems.to_string(), expected.join("\n"));
        };
        check(
            json!({"routes": {}, "default": "rest"}),
            &["bolts.bolt.routes: there are 0 routes; expected from 1 to 100"],
        );
        let many: serde_json::Map<String, Value> = (0..101)
            .map(|n| (format!("r{n}"), Value::from("true")))
            .collect();
        check(
            json!({"routes": many, "default": "rest"}),
            &["bolts.bolt.routes: there are 101 routes; expected from 1 to 100"],
        );
        check(
            json!({"routes": {"a": "true"}}),
            &[
                "bolts.bolt: `default` is missing; expected a string (the stream of records that meet no condition)",
            ],
        );
        check(
            json!({"routes": {"rejected": "true", "A b": "doc.x ==", "fine": "doc.a"}, "default": "out"}),
            &[
                "bolts.bolt.default: the name `out` is reserved; expected a name other than out and rejected",
                "bolts.bolt.routes[\"A b\"]: `A b` is not a name of a stream; expected a name of lower-case letters, digits, - and _",
                "bolts.bolt.routes[\"A b\"]: at character 9 of the expression: the expression ends too early; expected a value, such as doc.status, 500 or 'text'",
                "bolts.bolt.routes.rejected: the name `rejected` is reserved; expected a name other than out and rejected",
            ],
        );
        check(
            json!({"routes": {"a": [5]}, "default": "b"}),
            &["bolts.bolt.routes.a: found a list; expected a string"],
        );
    }
}
