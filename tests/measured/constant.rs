//! Operators for measuring the runtime alone: `constant`, a spout that reads nothing and hands out the
//! same record again and again, and `identity`, a bolt that hands on what it gets.

use std::sync::Arc;

use isobar_topology::spec::{Component, Problems, parse_config};
use isobar_topology::{
    AnyBolt, AnySpout, ArenaBuilder, Batch, Bolt, BoltType, DocumentUse, Emitter, Example,
    MakeSpout, Next, OperatorError, Partition, Prepare, PreparedBolt, PreparedSpout, SourceBatch,
    Spout, SpoutContext, SpoutType,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub const CONSTANT: SpoutType = SpoutType {
    name: "constant",
    schema: || schemars::schema_for!(ConstantConfig),
    example: "type: constant\nrecord: some text\nrecords: 1000000\n",
    prepare: prepare_constant,
};

pub const IDENTITY: BoltType = BoltType {
    name: "identity",
    schema: || schemars::schema_for!(IdentityConfig),
    example: Example::of("type: identity\ninputs: [constant]\n", &[]),
    side_effects: false,
    deterministic: true,
    prepare: prepare_identity,
};

/// Hands out one record again and again, each lane from a partition of its own, then ends.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConstantConfig {
    /// The payload.
    record: String,
    /// How often it is handed out on each lane.
    records: u32,
    /// Whether it waits then, instead of ending.
    #[serde(default)]
    stays: bool,
}

/// How many records are in a batch, as with the `kafka` spout.
const BATCH: u32 = 1000;

fn prepare_constant(component: &Component, _: &mut Prepare<'_>) -> Result<PreparedSpout, Problems> {
    let config: ConstantConfig = parse_config(&component.config, &component.path)?;
    Ok(PreparedSpout {
        max_in_flight_records: 100_000,
        max_in_flight_bytes: 48 << 20,
        batch_bytes: 1 << 20,
        max_uncommitted: 1_000_000,
        memory: 0,
        reads: None,
        facts: Vec::new(),
        start: Box::new(move |context: SpoutContext| {
            let lanes = (0..context.lanes).map(|lane| {
                let partition = context.partitions.open("constant", lane as i32, 0);
                let config = config.clone();
                let make: MakeSpout = Box::new(move || {
                    AnySpout::new(Constant {
                        payload: config.record.into_bytes(),
                        left: config.records,
                        stays: config.stays,
                        offset: None,
                        partition,
                    })
                });
                make
            });
            Ok(lanes.collect())
        }),
    })
}

struct Constant {
    payload: Vec<u8>,
    left: u32,
    stays: bool,
    /// The next one; `None` before the partition was announced.
    offset: Option<i64>,
    partition: Arc<Partition>,
}

impl Spout for Constant {
    async fn next(&mut self) -> Result<Next, OperatorError> {
        let Some(offset) = &mut self.offset else {
            self.offset = Some(0);
            return Ok(Next::Assigned {
                partition: Arc::clone(&self.partition),
                start: 0,
            });
        };
        let records = self.left.min(BATCH);
        if records == 0 {
            return match self.stays {
                true => std::future::pending().await,
                false => Ok(Next::End),
            };
        }
        self.left -= records;
        let bytes = records as usize * self.payload.len();
        let partition = Arc::clone(&self.partition);
        let mut builder = ArenaBuilder::new(partition, records as usize, bytes);
        for _ in 0..records {
            builder.push(*offset, 0, None, Some(&self.payload), std::iter::empty());
            *offset += 1;
        }
        Ok(Next::Batch(SourceBatch {
            arena: builder.finish(),
            dropped: Vec::new(),
        }))
    }
}

/// Hands on every record as it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct IdentityConfig {}

fn prepare_identity(component: &Component, _: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let IdentityConfig {} = parse_config(&component.config, &component.path)?;
    Ok(PreparedBolt {
        document: DocumentUse::Any,
        ..PreparedBolt::new(Arc::new(|_| AnyBolt::new(Identity)))
    })
}

struct Identity;

impl Bolt for Identity {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        out.emit(batch);
        Ok(())
    }
}
