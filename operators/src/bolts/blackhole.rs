//! `blackhole`: drops everything on purpose, by name.

use std::sync::Arc;

use isobar_topology::spec::{Component, Problems, parse_config};
use isobar_topology::{
    Answer, AnyBolt, Batch, Bolt, BoltType, DocumentUse, Emitter, Example, OperatorError, Part,
    Policy, Prepare, PreparedBolt,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const TYPE: BoltType = BoltType {
    name: "blackhole",
    schema: || schemars::schema_for!(BlackholeConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: blackhole
inputs: [route.debug]
",
    &[r#"{"level":"debug"}"#],
);

/// Drops every record that reaches it.
///
/// For streams that are not wanted, such as one branch of a `route`, and for measuring how fast a
/// topology reads. Dropped records count under the policy named after the bolt, so they show in the
/// accounting.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlackholeConfig {}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let BlackholeConfig {} = parse_config(&component.config, &component.path)?;
    let policy = prepare.policy(&component.id, &component.path)?;
    Ok(PreparedBolt {
        emits: false,
        rejects: false,
        document: DocumentUse::Any,
        rehearsal: Some(Part::Runs),
        ..PreparedBolt::new(Arc::new(move |_| AnyBolt::new(Blackhole { policy })))
    })
}

struct Blackhole {
    policy: Policy,
}

impl Bolt for Blackhole {
    async fn process(&mut self, batch: Batch, _out: &mut Emitter) -> Result<(), OperatorError> {
        batch.answer(Answer::Dropped(self.policy));
        Ok(())
    }
}
