//! Replays by way of the API, for who has the token: `isobar replay`, a command for each request.
//!
//! What is known of runs is in the register of replays alone; here are only the processes that this one has
//! started, and the directory with their plans.

mod job;
mod program;
mod requests;
mod store;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path as FilePath;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::token::{Permitted, refuse};
use crate::cli::FileArgs;
use crate::command::replay;
use crate::exit::Failure;
use crate::observer::Observer;
use job::Job;
use program::{Program, Refusal};
use requests::{OfSpout, ToPlan, ToRun, option};
use store::Store;

/// Runs and verifications at once: each is a topology of its own beside the live one.
const JOBS_MAX: usize = 2;
/// Those that are over and known.
const JOBS_KEPT_MAX: usize = 20;
/// Bytes of a request.
const BODY_MAX: usize = 16 << 10;
/// How long runs that were told to stop are waited for once the topology has ended. They are told when it
/// is, and have as long for what is in flight.
const END_WITHIN: Duration = Duration::from_secs(10);
/// Version of the documents.
const VERSION: u32 = 1;

/// What runs replays for a topology.
pub struct Replays {
    program: Program,
    store: Option<Store>,
    jobs: Mutex<BTreeMap<String, Arc<Job>>>,
    is_stopping: AtomicBool,
}

impl Replays {
    /// Replays of the topology of a file, with plans in this directory. Fails when that cannot be made.
    pub fn of(file: &FileArgs, directory: Option<&FilePath>) -> Result<Self, Failure> {
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
            jobs: Mutex::default(),
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

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Job>>> {
        // Whole whenever the lock is not held.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a command about a plan, and goes on without it.
    fn start(
        &self,
        id: &str,
        command: &'static str,
        options: Vec<OsString>,
    ) -> Result<Response, Refusal> {
        let store = self.store()?;
        let plan = store.plan(id)?;
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
        let job = Job::start(id, command, process, result).map_err(|error| {
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

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refuse(self.status, &self.text)
    }
}

type Answer = Result<Response, Refusal>;
type Of = State<Arc<Observer>>;

/// The paths.
pub(super) fn routes() -> Router<Arc<Observer>> {
    Router::new()
        .route("/replays", get(list).post(run))
        .route("/replays/plans", post(plan))
        .route("/replays/plans/{id}", get(planned))
        .route("/replays/{id}", get(status))
        .route("/replays/{id}/{action}", post(act))
        .layer(DefaultBodyLimit::max(BODY_MAX))
}

fn of(observer: &Observer) -> Result<&Replays, Refusal> {
    observer.replays.as_ref().ok_or_else(|| {
        let text = "a demonstration has no replays; they are for what `isobar run` runs";
        Refusal::new(StatusCode::NOT_FOUND, text)
    })
}

fn body<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Refusal> {
    match body {
        Ok(Json(body)) => Ok(body),
        Err(rejection) => Err(Refusal::new(rejection.status(), rejection.body_text())),
    }
}

fn as_json(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

async fn list(_: Permitted, State(observer): Of, Query(spout): Query<OfSpout>) -> Answer {
    let program = &of(&observer)?.program;
    let command = program.over_file(&["replay", "list"], spout.options());
    program.ask(command).await.map(as_json)
}

async fn status(
    _: Permitted,
    State(observer): Of,
    Path(id): Path<String>,
    Query(spout): Query<OfSpout>,
) -> Answer {
    let replays = of(&observer)?;
    let program = &replays.program;
    let command = program.over_file(&["replay", "list"], spout.options());
    let listed = program.ask(command).await?;
    let mut listed: Value = serde_json::from_slice(&listed).unwrap_or_default();
    let runs = listed["runs"].as_array_mut();
    let run = runs.and_then(|runs| runs.iter_mut().find(|run| run["told"]["run"] == *id));
    let run = run.map(Value::take);
    let job = replays.jobs().get(&id).map(|job| job.document());
    if let (None, None) = (&run, &job) {
        let text = format!("there is no replay {id}; GET /replays has all");
        return Err(Refusal::new(StatusCode::NOT_FOUND, text));
    }
    let document = json!({"version": VERSION, "run": run, "job": job});
    Ok(Json(document).into_response())
}

async fn plan(
    _: Permitted,
    State(observer): Of,
    asked: Result<Json<ToPlan>, JsonRejection>,
) -> Answer {
    let asked = body(asked)?;
    let replays = of(&observer)?;
    let store = replays.store()?;
    store.check_room()?;
    let command = &["replay", "plan"];
    let command = replays.program.over_file(command, asked.options());
    let plan = replays.program.ask(command).await?;
    let id = replay::id_of_plan(&plan).ok_or_else(|| {
        let text = "the plan was not understood";
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    })?;
    store.keep(&id, &plan)?;
    let location = [(header::LOCATION, format!("/replays/plans/{id}"))];
    Ok((StatusCode::CREATED, location, as_json(plan)).into_response())
}

/// The plan as JSON, or as text for who asks for that.
async fn planned(
    _: Permitted,
    State(observer): Of,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let file = of(&observer)?.store()?.plan(&id)?;
    let accepted = headers.get(header::ACCEPT);
    let accepted = accepted.and_then(|accepted| accepted.to_str().ok());
    let broken = |why: String| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, why);
    match accepted.is_some_and(|accepted| accepted.starts_with("text/plain")) {
        true => {
            let text = replay::text_of_plan(&file);
            let text = text.map_err(|failure| broken(failure.error.to_string()))?;
            Ok(text.into_response())
        }
        false => {
            let plan = std::fs::read(&file);
            let plan = plan.map_err(|error| broken(format!("{}: {error}", file.display())))?;
            Ok(as_json(plan))
        }
    }
}

async fn run(
    _: Permitted,
    State(observer): Of,
    asked: Result<Json<ToRun>, JsonRejection>,
) -> Answer {
    let asked = body(asked)?;
    of(&observer)?.start(&asked.plan, "run", asked.options())
}

async fn act(
    _: Permitted,
    State(observer): Of,
    Path((id, action)): Path<(String, String)>,
    Query(spout): Query<OfSpout>,
) -> Answer {
    let replays = of(&observer)?;
    match action.as_str() {
        "verify" => replays.start(&id, "verify", Vec::new()),
        "pause" | "resume" | "abort" => {
            let mut options = spout.options();
            options.push(option("run", &id));
            let command = replays.program.over_file(&["replay", &action], options);
            tracing::info!(replay = id, action, "By hand");
            replays.program.ask(command).await.map(as_json)
        }
        _ => {
            let text = format!("there is no {action}; there is pause, resume, abort and verify");
            Err(Refusal::new(StatusCode::NOT_FOUND, text))
        }
    }
}
