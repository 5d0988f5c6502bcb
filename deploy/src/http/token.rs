//! Who may change something or see data: whoever sends the token of the topology.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::token::Token;

/// What the routes of a server know.
pub(super) trait Guarded {
    /// The token; `None` where nobody may change anything or see data.
    fn token(&self) -> Option<&Token>;
}

/// Whoever asks has the token: an argument of every function that changes something or shows data.
pub(super) struct Permitted;

const NO_TOKEN: &str = "this changes something or shows records, and the topology was started without a token: start it with --token-file FILE";
const MISSING: &str = "this needs the token that the topology was started with; send it as Authorization: Bearer TOKEN";
const REFUSED: &str = "the token was refused: that of this topology is in the file that it was started with, --token-file FILE, or behind the address that a demo prints, #token=TOKEN";

impl<S: Guarded + Sync> FromRequestParts<S> for Permitted {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let Some(token) = state.token() else {
            return Err(refuse(StatusCode::FORBIDDEN, NO_TOKEN));
        };
        let given = parts.headers.get(header::AUTHORIZATION);
        let given = given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        match given {
            Some(given) if token.is(given) => Ok(Self),
            Some(_) => Err(refuse(StatusCode::UNAUTHORIZED, REFUSED)),
            None => Err(refuse(StatusCode::UNAUTHORIZED, MISSING)),
        }
    }
}

/// A refusal in one sentence.
pub(super) fn refuse(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}
