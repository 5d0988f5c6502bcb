//! What a request asks for: the parameters behind its path. One that the path does not know is refused, since
//! without it something else is answered, or done, than was asked for.
//!
//! Probes, `/metrics` and the parts of the page look at no parameters: who asks for them may add some.

use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::token::refuse;

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
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => {
                let why = rejection.body_text();
                let why = why.strip_prefix(PREFIX).unwrap_or(&why);
                // It says its name itself.
                let unknown = why
                    .split_once(": ")
                    .filter(|(_, why)| why.starts_with(UNKNOWN));
                let why = unknown.map_or(why, |(_, why)| why);
                let text = format!("parameters of {}: {why}", parts.uri.path());
                Err(refuse(StatusCode::BAD_REQUEST, &text))
            }
        }
    }
}
