//! What a request asks for: the parameters behind its path. One that the path does not know is refused, since
//! without it something else is answered, or done, than was asked for.
//!
//! Probes, `/metrics` and the parts of the page look at no parameters: who asks for them may add some.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::token::refuse;
use super::{page, pause, replays, tap, whereabouts};

/// What the library puts before what it says of parameters.
const PREFIX: &str = "Failed to deserialize query string: ";

/// How it says that it does not know one.
const UNKNOWN: &str = "unknown field";

/// The parameters of a request, all of which are known: a struct that denies unknown fields.
pub(super) struct Asked<T>(pub(super) T);

/// No parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let asked = read(&parts.uri);
        asked.map_err(|text| refuse(StatusCode::BAD_REQUEST, &text))
    }
}

fn read<T: DeserializeOwned>(uri: &Uri) -> Result<Asked<T>, String> {
    let rejection = match Query::try_from_uri(uri) {
        Ok(Query(asked)) => return Ok(Asked(asked)),
        Err(rejection) => rejection,
    };
    let why = rejection.body_text();
    let why = why.strip_prefix(PREFIX).unwrap_or(&why);
    // It says its name itself.
    let unknown = why
        .split_once(": ")
        .filter(|(_, why)| why.starts_with(UNKNOWN));
    let why = unknown.map_or(why, |(_, why)| why);
    Err(format!("parameters of {}: {why}", uri.path()))
}

/// Reads the parameters of a path with what is behind it, as a running topology would, before it looks whether
/// they name something that is there. Fails with its answer where it does not understand them; `None` where the
/// text is no path.
pub fn understood(path: &str) -> Option<Result<(), String>> {
    let uri: Uri = path.parse().ok()?;
    let read = match uri.path() {
        "/tap" => read::<tap::Question>(&uri).map(drop),
        "/whereabouts" => read::<whereabouts::Question>(&uri).map(drop),
        "/pause" | "/resume" => read::<pause::Question>(&uri).map(drop),
        "/history" => read::<page::After>(&uri).map(drop),
        path if path.starts_with("/replays") => read::<replays::OfSpout>(&uri).map(drop),
        _ => read::<Nothing>(&uri).map(drop),
    };
    Some(read)
}
