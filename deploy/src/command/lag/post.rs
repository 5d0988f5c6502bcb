//! Sends answers to a URL.

use std::time::Duration;

use anyhow::Context;
use reqwest::header::HeaderMap;

use crate::endpoint::{Endpoint, client};
use crate::exit::{Exit, Failure};
use crate::lag::LagDocument;

/// Sends one answer. Waits at most `within`; fails with what the other side says.
pub(super) async fn send(
    to: &Endpoint,
    document: &LagDocument,
    within: Duration,
) -> Result<(), Failure> {
    let body = serde_json::to_vec(document).context("cannot write JSON")?;
    let client = client(within)?;
    let sent = to.post(&client, "application/json", HeaderMap::new(), body);
    sent.await.map_err(|why| {
        let error = anyhow::anyhow!("cannot post to {to}: {why}");
        Failure::new(Exit::Failed, error)
    })
}
