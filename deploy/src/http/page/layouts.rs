//! Where the page draws the nodes and edges of the topology, in each of the forms that it chooses from.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::http::Observed;
use crate::http::question::{Asked, Nothing};
use crate::picture::{Form, Layout};

/// The widest first: layers that go right, that go down, and that go down on a phone.
const FORMS: [Form; 3] = [
    Form {
        down: false,
        width: 168.0,
        height: 84.0,
        along: 84.0,
        across: 28.0,
        room: 40.0,
        letters: 17,
    },
    Form {
        down: true,
        width: 168.0,
        height: 100.0,
        along: 54.0,
        across: 22.0,
        room: 12.0,
        letters: 17,
    },
    Form {
        down: true,
        width: 124.0,
        height: 100.0,
        along: 54.0,
        across: 14.0,
        room: 12.0,
        letters: 12,
    },
];

pub(super) async fn answer(_: Asked<Nothing>, State(observer): Observed) -> Response {
    let plan = &observer.plan;
    let layout = |form| {
        let ids = plan.nodes.iter().map(|node| node.id.as_str());
        Layout::new(ids, &plan.edges, form)
    };
    Json(FORMS.map(layout)).into_response()
}
