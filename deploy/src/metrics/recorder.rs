//! The recorder behind the `metrics` crate, for operators of one's own that use its macros: what they
//! record is appended to the program's own metrics.

use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// What was recorded with the `metrics` crate.
#[derive(Clone)]
pub struct Recorder(PrometheusHandle);

impl Recorder {
    /// The exporter keeps every sample of a histogram until its upkeep runs, so that must be often.
    pub const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

    /// A recorder of its own.
    pub fn new() -> Self {
        Self(PrometheusBuilder::new().build_recorder().handle())
    }

    /// Makes it the one that the whole process records with. Fails when there is one already.
    pub fn install() -> anyhow::Result<Self> {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder)
            .map_err(|error| anyhow::anyhow!("{error}"))
            .context("cannot install the recorder of metrics")?;
        Ok(Self(handle))
    }

    /// Condenses samples; to be called every [`Recorder::UPKEEP_INTERVAL`].
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }

    /// What was recorded, in the text format of Prometheus.
    pub fn render(&self) -> String {
        self.0.render()
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}
