//! What the bolt would send for a record, written by the code that writes its bulk bodies.

use std::sync::Arc;

use isobar_topology::{Draft, Drafter};

use super::config::Settings;
use crate::elasticsearch::body::id_of;
use crate::elasticsearch::lines::Lines;

pub(super) fn drafter(settings: &Settings) -> Box<Drafter> {
    let mut lines = Lines::new(Arc::clone(&settings.addressing));
    let kind = match settings.is_data_stream {
        true => "data_stream",
        false => "index",
    };
    let origin = settings.origin.clone();
    Box::new(move |batch| {
        let mut body = Vec::new();
        lines.begin(batch);
        let target = lines.write(batch.record(0), &mut body)?.to_string();
        // The action, then the document, each on a line.
        let mut parts = body.trim_ascii_end().splitn(2, |byte| *byte == b'\n');
        let id = parts.next().and_then(id_of);
        Ok(Draft {
            kind,
            target,
            id,
            content: parts.next().map(<[u8]>::to_vec),
            origin: origin.clone(),
            ..Draft::default()
        })
    })
}
