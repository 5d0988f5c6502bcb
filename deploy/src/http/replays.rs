//! Replays by way of the API, for who has the token: `isobar replay`, a command for each request.
//!
//! What is known of runs is in the register of replays alone; here are only the processes that this one has
//! started, and the directory with their plans.

mod job;
mod offer;
mod paths;
mod program;
mod requests;
mod store;
mod turns;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use isobar_operators::replay::within_reach;
use isobar_topology::spec::Spec;
use serde_json::{Value, json};

use super::token::refuse;
use crate::cli::FileArgs;
use crate::command::replay;
use crate::exit::Failure;
use job::Job;
use program::{Program, Refusal, WITHIN};
use store::Store;
use turns::Turns;

pub use offer::Offer;
pub(super) use paths::routes;
pub(super) use requests::OfSpout;

/// Runs and verifications at once: each is a topology of its own beside the live one.
const JOBS_MAX: usize = 2;
/// Those that are over and known.
const JOBS_KEPT_MAX: usize = 20;
/// How long runs that were told to stop are waited for once the topology has ended. They are told when it
/// is, and have as long for what is in flight.
const END_WITHIN: Duration = Duration::from_secs(10);
/// Version of the documents.
const VERSION: u32 = 1;

/// What runs replays for a topology.
pub struct Replays {
    program: Program,
    store: Option<Store>,
    /// Spouts that can be replayed.
    spouts: Vec<String>,
    reads_kafka: bool,
    jobs: Mutex<BTreeMap<String, Arc<Job>>>,
    /// Lists by their options: each page that is open asks for one again and again.
    lists: Turns<Vec<OsString>, Result<Value, Refusal>>,
    is_stopping: AtomicBool,
}

impl Replays {
    /// Replays of the topology `spec` of a file, with plans in this directory. Fails when that cannot be made.
    pub fn of(file: &FileArgs, spec: &Spec, directory: Option<&FilePath>) -> Result<Self, Failure> {
        let program = Program::about(file).context("where is this program?")?;
        let store = directory.map(|directory| {
            let refused = |error| {
                let name = directory.display();
                Failure::usage(format!("--replay-dir {name}: cannot be made: {error}"))
            };
            Store::at(directory).map_err(refused)
        });
        Ok(Self {
            program,
            store: store.transpose()?,
            spouts: within_reach(spec),
            reads_kafka: spec.spouts.iter().any(|spout| spout.kind == "kafka"),
            jobs: Mutex::default(),
            lists: Turns::default(),
            is_stopping: AtomicBool::new(false),
        })
    }

    /// Tells what it has started to stop, and starts nothing more.
    pub fn stop(&self) {
        let jobs = self.jobs();
        // Once: a second signal would cut short what is in flight.
        if !self.is_stopping.swap(true, Ordering::Relaxed) {
            jobs.values().for_each(|job| job.stop());
        }
    }

    /// Stops what it has started, and kills what does not heed that, `at_once` without waiting. A run goes on
    /// with `resume` after either.
    pub async fn end(&self, at_once: bool) {
        self.stop();
        let within = match at_once {
            true => Duration::ZERO,
            false => END_WITHIN,
        };
        let jobs: Vec<Arc<Job>> = self.jobs().values().cloned().collect();
        let all = async {
            for job in &jobs {
                job.ended().await;
            }
        };
        if tokio::time::timeout(within, all).await.is_err() {
            jobs.iter().for_each(|job| job.kill());
        }
    }

    fn store(&self) -> Result<&Store, Refusal> {
        self.store.as_ref().ok_or_else(|| {
            let text = "plans need a directory: start the topology with --replay-dir DIR";
            Refusal::new(StatusCode::FORBIDDEN, text)
        })
    }

    /// What `isobar replay list` says.
    async fn listed(&self, spout: &OfSpout) -> Result<Value, Refusal> {
        let options = spout.options();
        let list = self.lists.answer(options.clone(), async {
            let options = [vec!["--limit=0".into()], options].concat();
            let command = self.program.over_file(&["replay", "list"], options);
            let listed = self.program.ask(command).await?;
            serde_json::from_slice(&listed).map_err(|error| {
                let text = format!("the list was not understood: {error}");
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
            })
        });
        // One that is under way is waited for, too.
        let listed = tokio::time::timeout(WITHIN, list).await;
        listed.unwrap_or_else(|_| Err(Refusal::late()))
    }

    /// The plan that a command is wanted about. Where it is not here, the register is asked whether it is
    /// elsewhere.
    async fn plan(&self, id: &str, command: &str) -> Result<PathBuf, Refusal> {
        let store = self.store()?;
        let absent = match store.plan(id) {
            Ok(plan) => return Ok(plan),
            Err(absent) => absent,
        };
        let elsewhere = async {
            for spout in &self.spouts {
                let listed = self.listed(&OfSpout::named(spout)).await;
                let host = listed
                    .ok()
                    .and_then(|list| host_of(&list, id).map(str::to_owned));
                if host.is_some() {
                    return host;
                }
            }
            None
        };
        match tokio::time::timeout(WITHIN, elsewhere).await {
            Ok(Some(host)) => Err(store.is_elsewhere(id, command, &host)),
            _ => Err(absent),
        }
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Job>>> {
        // Whole whenever the lock is not held.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a command about a plan, and goes on without it.
    async fn start(
        &self,
        id: &str,
        command: &'static str,
        options: Vec<OsString>,
    ) -> Result<Response, Refusal> {
        let plan = self.plan(id, command).await?;
        let store = self.store()?;
        let spout = replay::spout_of_plan(&plan).map_err(broken)?;
        let mut jobs = self.jobs();
        // Under the lock, so that none starts that was not told to stop.
        if self.is_stopping.load(Ordering::Relaxed) {
            let text = "the topology is stopping";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
        }
        let running = |job: &Arc<Job>| job.is_running();
        if let Some(job) = jobs.get(id).filter(|job| running(job)) {
            let text = format!("replay {} {id} is under way", job.command);
            return Err(Refusal::new(StatusCode::CONFLICT, text));
        }
        if jobs.values().filter(|job| running(job)).count() >= JOBS_MAX {
            let text = format!("{JOBS_MAX} replays are under way here: wait for one, or abort it");
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, text));
        }
        let result = store.result(&plan, command);
        let mut arguments: Vec<OsString> = ["replay", command].map(Into::into).into();
        arguments.extend(options);
        arguments.extend(["-o".into(), "json".into(), plan.into()]);
        let process = self.program.process(arguments);
        let job = Job::start(id, spout, command, process, result).map_err(|error| {
            let text = format!("replay {command} could not be started: {error}");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
        })?;
        tracing::info!(replay = id, command, "A replay's command was started");
        let _ = jobs.insert(id.to_owned(), job);
        // Ids are times: the oldest goes first.
        while jobs.len() > JOBS_KEPT_MAX {
            let over = jobs.iter().find(|(_, job)| !running(job));
            let Some(oldest) = over.map(|(id, _)| id.clone()) else {
                break;
            };
            let _ = jobs.remove(&oldest);
        }
        let place = format!("/replays/{id}");
        let document = json!({"version": VERSION, "id": id, "status": place});
        let location = [(header::LOCATION, place.clone())];
        Ok((StatusCode::ACCEPTED, location, Json(document)).into_response())
    }
}

/// Where a run was, as the list of runs says.
fn host_of<'a>(listed: &'a Value, id: &str) -> Option<&'a str> {
    let told = listed["runs"].as_array()?.iter().map(|run| &run["told"]);
    told.filter(|told| told["run"] == id)
        .find_map(|told| told["host"].as_str())
}

/// A plan in the directory that is not one any more.
fn broken(failure: Failure) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, failure.error.to_string())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refuse(self.status, &self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_run_whose_plan_is_elsewhere_is_told_with_its_host() {
        let name = format!("isobar-replays-elsewhere-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let store = Store::at(&directory).expect("a directory");
        let runs = json!([{"state": "stopped", "told": {"run": "19b", "host": "logs-2"}}]);
        let replays = Replays {
            program: Program::that_prints(&directory, &json!({"runs": runs})),
            store: Some(store),
            spouts: vec!["logs".to_owned()],
            reads_kafka: true,
            jobs: Mutex::default(),
            lists: Turns::default(),
            is_stopping: AtomicBool::new(false),
        };
        for (id, command, said) in [
            ("19b", "run", "begun elsewhere, and its plan is not in"),
            ("19b", "run", "on logs-2, where it ran last"),
            ("19b", "run", "isobar replay run PLAN --resume"),
            ("19b", "verify", "isobar replay verify PLAN"),
            ("19c", "verify", "there is no plan 19c in"),
        ] {
            let refused = replays.start(id, command, Vec::new()).await;
            let refused = refused.expect_err("there is no plan");
            assert_eq!(refused.status, StatusCode::NOT_FOUND);
            assert!(refused.text.contains(said), "{}", refused.text);
        }
        std::fs::remove_dir_all(directory).expect("it is there");
    }
}
