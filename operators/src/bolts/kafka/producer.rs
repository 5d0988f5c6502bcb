//! The one producer of all lanes of a bolt, made when the first of them opens.

use std::sync::{Mutex, PoisonError};

use isobar_topology::OperatorError;

use crate::kafka::{Producer, ProducerConfig};

pub(super) struct SharedProducer {
    config: ProducerConfig,
    made: Mutex<Option<Producer>>,
}

impl SharedProducer {
    pub(super) fn new(config: ProducerConfig) -> Self {
        Self {
            config,
            made: Mutex::new(None),
        }
    }

    /// The producer; makes it, and contacts nobody yet.
    pub(super) fn get(&self) -> Result<Producer, OperatorError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = &*made {
            return Ok(producer.clone());
        }
        let producer = Producer::new(&self.config)
            .map_err(|error| OperatorError::user("no producer can be made").with_source(error))?;
        *made = Some(producer.clone());
        Ok(producer)
    }
}
