//! The paths of replays, all of which need the token.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::anyhow;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::job::JobDocument;
use super::program::Refusal;
use super::requests::{OfSpout, ToPlan, ToRun, option};
use super::{Replays, VERSION, broken};
use crate::command::replay;
use crate::exit::Failure;
use crate::http::question::{Asked, Nothing};
use crate::http::token::Permitted;
use crate::observer::Observer;

/// Bytes of a request.
const BODY_MAX: usize = 16 << 10;

type Answer = Result<Response, Refusal>;
type Of = State<Arc<Observer>>;

/// The paths.
pub(in crate::http) fn routes() -> Router<Arc<Observer>> {
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

/// What the register knows, and what of it was started here.
async fn list(_: Permitted, State(observer): Of, Asked(spout): Asked<OfSpout>) -> Answer {
    let replays = of(&observer)?;
    // Before the register is read: what a job that has ended told it is in there.
    let jobs = replays.jobs().clone();
    let jobs = jobs.into_iter().map(|(id, job)| (id, job.summary()));
    let jobs: Vec<_> = jobs.collect();
    let mut listed = replays.listed(&spout).await?;
    let runs = listed["runs"].as_array().map_or(&[][..], Vec::as_slice);
    let jobs = jobs.into_iter().map(|(id, job)| {
        let run = runs.iter().find(|run| run["told"]["run"] == *id);
        let mut shown = json!(job);
        shown["state"] = state(run, Some(&job));
        (id, shown)
    });
    let jobs: BTreeMap<_, _> = jobs.collect();
    listed["jobs"] = json!(jobs);
    Ok(Json(listed).into_response())
}

async fn status(
    _: Permitted,
    State(observer): Of,
    Path(id): Path<String>,
    Asked(spout): Asked<OfSpout>,
) -> Answer {
    let replays = of(&observer)?;
    // Before the register is read: what a job that has ended told it is in there.
    let job = replays.jobs().get(&id).map(|job| job.document());
    let mut listed = replays.listed(&spout).await?;
    let runs = listed["runs"].as_array_mut();
    let run = runs.and_then(|runs| runs.iter_mut().find(|run| run["told"]["run"] == *id));
    let run = run.map(Value::take);
    if let (None, None) = (&run, &job) {
        let text = format!("there is no replay {id}; GET /replays has all");
        return Err(Refusal::new(StatusCode::NOT_FOUND, text));
    }
    let state = state(run.as_ref(), job.as_ref());
    let document = json!({"version": VERSION, "state": state, "run": run, "job": job});
    Ok(Json(document).into_response())
}

/// How a replay gets on in a word: as the register says it, and `starting` or `not begun` where that has not
/// heard of what was started here.
fn state(run: Option<&Value>, job: Option<&JobDocument>) -> Value {
    let told_ms = run.and_then(|run| run["told"]["started_ms"].as_i64());
    match (run, job) {
        (_, Some(job)) if job.is_running && job.is_ahead_of(told_ms) => "starting".into(),
        (Some(run), _) => run["state"].clone(),
        (None, _) => "not begun".into(),
    }
}

async fn plan(
    _: Permitted,
    _: Asked<Nothing>,
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
    _: Asked<Nothing>,
    State(observer): Of,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let file = of(&observer)?.store()?.plan(&id)?;
    let accepted = headers.get(header::ACCEPT);
    let accepted = accepted.and_then(|accepted| accepted.to_str().ok());
    match accepted.is_some_and(|accepted| accepted.starts_with("text/plain")) {
        true => {
            let text = replay::text_of_plan(&file).map_err(broken)?;
            Ok(text.into_response())
        }
        false => {
            let plan = std::fs::read(&file);
            let unread = |error| Failure::from(anyhow!("{}: {error}", file.display()));
            let plan = plan.map_err(|error| broken(unread(error)))?;
            Ok(as_json(plan))
        }
    }
}

async fn run(
    _: Permitted,
    _: Asked<Nothing>,
    State(observer): Of,
    asked: Result<Json<ToRun>, JsonRejection>,
) -> Answer {
    let asked = body(asked)?;
    of(&observer)?
        .start(&asked.plan, "run", asked.options())
        .await
}

async fn act(
    _: Permitted,
    State(observer): Of,
    Path((id, action)): Path<(String, String)>,
    Asked(spout): Asked<OfSpout>,
) -> Answer {
    let replays = of(&observer)?;
    match action.as_str() {
        "verify" => replays.start(&id, "verify", Vec::new()).await,
        "pause" | "resume" | "abort" => {
            let mut options = spout.options();
            options.push(option("run", &id));
            let command = replays.program.over_file(&["replay", &action], options);
            tracing::info!(replay = id, action, "By hand");
            replays.program.act(command).await.map(as_json)
        }
        _ => {
            let text = format!("there is no {action}; there is pause, resume, abort and verify");
            Err(Refusal::new(StatusCode::NOT_FOUND, text))
        }
    }
}
