//! What stands behind an operator: keeps what arrives, fails or waits first.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use isobar_topology::{Answer, AnyBolt, Batch, Bolt, Emitter, OperatorError};
use tokio::sync::watch;

/// How probes take what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Deliver,
    /// Every batch with a record that did not arrive before fails, as an outside system fails.
    FailFirst,
    /// Waits until the gate is open.
    WaitForGate,
}

/// What arrived somewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// The probe.
    pub at: String,
    pub offset: i64,
    /// The document, where the record has one.
    pub document: Option<String>,
    /// The class of its rejection.
    pub class: Option<&'static str>,
}

/// All probes of a topology.
#[derive(Clone)]
pub struct Probes {
    manner: Manner,
    arrivals: Arc<Mutex<BTreeSet<Arrival>>>,
    tried: Arc<Mutex<BTreeSet<(String, i64)>>>,
    gate: watch::Sender<bool>,
}

impl Probes {
    pub fn new(manner: Manner) -> Self {
        Self {
            manner,
            arrivals: Arc::default(),
            tried: Arc::default(),
            gate: watch::channel(false).0,
        }
    }

    /// The probe of this name.
    pub fn make(&self, name: &str) -> AnyBolt {
        AnyBolt::new(Probe {
            name: name.to_owned(),
            probes: self.clone(),
        })
    }

    pub fn open_gate(&self) {
        let _ = self.gate.send_replace(true);
    }

    /// Everything that was answered as delivered, each once.
    pub fn arrivals(&self) -> MutexGuard<'_, BTreeSet<Arrival>> {
        self.arrivals.lock().expect("no probe panics")
    }
}

struct Probe {
    name: String,
    probes: Probes,
}

impl Bolt for Probe {
    async fn process(&mut self, batch: Batch, _: &mut Emitter) -> Result<(), OperatorError> {
        match self.probes.manner {
            Manner::Deliver => {}
            Manner::FailFirst => {
                let mut tried = self.probes.tried.lock().expect("no probe panics");
                let fresh = batch
                    .records()
                    .filter(|r| tried.insert((self.name.clone(), r.offset())));
                if fresh.count() > 0 {
                    return Err(OperatorError::external("away at first"));
                }
            }
            Manner::WaitForGate => {
                let mut gate = self.probes.gate.subscribe();
                let _open = gate
                    .wait_for(|open| *open)
                    .await
                    .expect("the sender is here");
            }
        }
        let arrived = (0..batch.len()).map(|row| {
            let record = batch.record(row);
            let mut document = Vec::new();
            let has_document = record.write(&mut document);
            Arrival {
                at: self.name.clone(),
                offset: record.offset(),
                document: has_document.then(|| String::from_utf8(document).expect("UTF-8")),
                class: batch.rejection(row).map(|rejection| rejection.class),
            }
        });
        self.probes.arrivals().extend(arrived);
        batch.answer(Answer::Delivered);
        Ok(())
    }
}
