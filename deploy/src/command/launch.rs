//! Starts a planned topology, with the embedded services that its file names.

use std::time::Duration;

use isobar_operators::embedded::{Embedded, KAFKA_LIMITS};
use isobar_topology::spec::Spec;
use isobar_topology::{Domain, OperatorError, Plan};

use super::Context;
use crate::configuration;
use crate::environment::cores;
use crate::exit::{Exit, Failure};
use crate::lag::Watches;
use crate::observer::Observer;
use crate::plan_document::PlanDocument;
use crate::topology_file::TopologyFile;

/// A topology at work.
pub(super) struct Launched {
    pub(super) observer: Observer,
    /// The services in this process. Whoever has them keeps them until the topology has ended.
    pub(super) embedded: Option<Embedded>,
    /// What was started, at the addresses of these services.
    pub(super) spec: Spec,
}

/// Starts the topology of a file. `bounded`: read what is there at the start, then end. Its lag is
/// sampled every `lag_interval`.
pub(super) fn launch(
    file: &TopologyFile,
    plan: Plan,
    context: &Context<'_>,
    bounded: bool,
    lag_interval: Duration,
) -> Result<Launched, Failure> {
    let document = PlanDocument::of(&plan);
    let mut spec: Spec = file.spec()?.clone();
    let registry = context.registry;
    let lanes = plan.graph.lanes;
    let configuration = configuration::effective(file.tree(), &spec.settings, lanes, registry);
    let embedded = Embedded::start(&mut spec).map_err(refused)?;
    let graph = match &embedded {
        Some(services) => {
            announce(services);
            // The same plan, at the addresses of the services.
            file.plan_part(&spec, registry, cores())?.graph
        }
        None => plan.graph,
    };
    let running = isobar_topology::start(graph, bounded).map_err(refused)?;
    let lag = Watches::start(&spec, &running, lag_interval);
    let recorder = context.recorder.clone();
    let mut observer = Observer::new(running, document, configuration, recorder, lag);
    observer.configuration_file = Some(file.path().display().to_string());
    Ok(Launched {
        spec,
        observer,
        embedded,
    })
}

fn announce(services: &Embedded) {
    if let Some(kafka) = &services.kafka {
        tracing::info!(
            brokers = kafka.brokers(),
            limits = KAFKA_LIMITS.join("; "),
            "Embedded Kafka is up"
        );
    }
    if let Some(search) = &services.search {
        tracing::info!(
            url = search.url(),
            bytes_max = search.counts().bytes_max,
            "The embedded index is up; it holds the latest documents in memory"
        );
    }
}

/// A spout that cannot be started: what the topology file says is wrong, or something else.
pub(super) fn refused(error: OperatorError) -> Failure {
    let exit = match error.domain {
        Domain::User => Exit::Usage,
        Domain::External | Domain::Internal => Exit::Failed,
    };
    Failure::new(exit, error.into())
}
