//! One tenant at a hundred times the rate of another, before a sink that cannot take both: in a running
//! topology, under a paused clock.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use isobar_topology::spec::{Component, Node, Spec};
use isobar_topology::{
    Answer, AnySpout, ArenaBuilder, MakeSpout, Next, Partition, PreparedSpout, SourceBatch, Spout,
    SpoutType, plan, start_here,
};
use serde_json::json;
use tokio::task::LocalSet;

use super::*;
use crate::registry;

/// Records of each tenant come all at once every so often.
const EVERY: Duration = Duration::from_millis(50);
const TICKS: i64 = 100;
/// Records of the quiet tenant each time.
const QUIET: usize = 5;

/// Records of the loud tenant each time.
static LOUD: AtomicU64 = AtomicU64::new(0);
/// How long records of the quiet tenant took, in ms.
static LATENCIES: Mutex<Vec<i64>> = Mutex::new(Vec::new());

/// Gives what has come until now, each with the time at which it came.
struct Tenants {
    partition: Arc<Partition>,
    began: Option<clock::Instant>,
    ticks: i64,
    offset: i64,
}

impl Spout for Tenants {
    async fn next(&mut self) -> Result<Next, OperatorError> {
        let Some(began) = self.began else {
            self.began = Some(clock::now());
            let partition = Arc::clone(&self.partition);
            return Ok(Next::Assigned {
                partition,
                start: 0,
            });
        };
        if self.ticks == TICKS {
            return Ok(Next::End);
        }
        let due = began + EVERY * self.ticks as u32;
        tokio::time::sleep_until(due).await;
        let late = clock::now() - due;
        let came = clock::unix_ms() - late.as_millis() as i64;
        self.ticks += 1;
        let mut arena = ArenaBuilder::new(Arc::clone(&self.partition), 0, 0);
        let loud = LOUD.load(Ordering::Relaxed) as usize;
        let keys = [(loud, b"loud".as_slice()), (QUIET, b"quiet".as_slice())];
        for key in keys
            .iter()
            .flat_map(|(count, key)| std::iter::repeat_n(*key, *count))
        {
            arena.push(self.offset, came, Some(key), Some(b"x"), std::iter::empty());
            self.offset += 1;
        }
        Ok(Next::Batch(SourceBatch {
            arena: arena.finish(),
            dropped: Vec::new(),
        }))
    }
}

fn prepare_tenants(_: &Component, _: &mut Prepare<'_>) -> Result<PreparedSpout, Problems> {
    Ok(PreparedSpout {
        start: Box::new(|context| {
            let partition = context.partitions.open("tenants", 0, 1);
            let tenants = Tenants {
                partition,
                began: None,
                ticks: 0,
                offset: 0,
            };
            let make: MakeSpout = Box::new(move || AnySpout::new(tenants));
            Ok(vec![make])
        }),
        max_in_flight_records: 5_000,
        max_in_flight_bytes: 1 << 24,
        batch_bytes: 1 << 20,
        max_uncommitted: 1_000_000,
        reads: None,
        memory: 0,
        facts: Vec::new(),
    })
}

/// Takes 20 ms for a request and 0.1 ms for each record in it.
struct Index;

impl Bolt for Index {
    async fn process(&mut self, batch: Batch, _: &mut Emitter) -> Result<(), OperatorError> {
        let takes = Duration::from_millis(20) + Duration::from_micros(100) * batch.len() as u32;
        tokio::time::sleep(takes).await;
        let now = clock::unix_ms();
        let quiet = batch
            .records()
            .filter(|record| record.key() == Some(b"quiet"));
        let took = quiet.map(|record| now - record.timestamp());
        let mut latencies = LATENCIES.lock().unwrap_or_else(PoisonError::into_inner);
        latencies.extend(took);
        batch.answer(Answer::Delivered);
        Ok(())
    }
}

fn prepare_index(_: &Component, _: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    Ok(PreparedBolt {
        emits: false,
        document: DocumentUse::Any,
        ..PreparedBolt::new(Arc::new(|_| AnyBolt::new(Index)))
    })
}

/// The 99th percentile of the quiet tenant's latency, in ms.
async fn p99(loud: u64, rate: &str) -> i64 {
    LOUD.store(loud, Ordering::Relaxed);
    let mut registry = registry();
    registry.spouts.push(SpoutType {
        name: "tenants",
        schema: || schemars::schema_for!(serde_json::Map<String, serde_json::Value>),
        example: "",
        prepare: prepare_tenants,
    });
    registry.bolts.push(BoltType {
        name: "index",
        schema: || schemars::schema_for!(serde_json::Map<String, serde_json::Value>),
        example: Example::of("", &[]),
        side_effects: false,
        deterministic: true,
        prepare: prepare_index,
    });
    let file = json!({
        "isobar": 1, "name": "tenants", "spouts": {"in": {"type": "tenants"}},
        "bolts": {
            "limit": {"type": "limit", "inputs": ["in"], "key": "{{ kafka.key }}", "rate": rate, "above": "drop"},
            "index": {"type": "index", "inputs": ["limit"]},
        },
        "dead_letter": {"type": "blackhole"},
    });
    let spec = Spec::read(&Node::from_json(&file)).expect("sound");
    let planned = plan(&spec, &registry, 1, Path::new(".")).expect("sound");
    let local = LocalSet::new();
    let running = start_here(planned.graph, true, &local).expect("starts");
    let _ = local.run_until(running.finished()).await;
    assert_eq!(running.account(0).difference(), 0);
    let mut latencies = LATENCIES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut latencies = std::mem::take(&mut *latencies);
    assert_eq!(
        latencies.len(),
        QUIET * TICKS as usize,
        "none of the quiet tenant's is dropped"
    );
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100]
}

#[tokio::test(start_paused = true)]
async fn a_tenant_at_a_hundred_times_the_rate_does_not_slow_down_the_others() {
    const ALL: &str = "1000000/s";
    let hundredfold = 100 * QUIET as u64;
    let alone = p99(0, ALL).await;
    let crowded = p99(hundredfold, ALL).await;
    let limited = p99(hundredfold, "150/s").await;
    assert!(
        crowded > 10 * alone,
        "the sink cannot take both: {crowded} ms, alone {alone} ms"
    );
    assert!(limited <= 2 * alone, "{limited} ms, alone {alone} ms");
}
