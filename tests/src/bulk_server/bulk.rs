//! What the stand-in does with the items of a bulk request: faults first, then the store.

use std::borrow::Cow;

use isobar_operators::embedded::bulk::{self, Filter, Item, Kind, Outcome};

use super::State;
use super::fault::{self, FAILURE_STORE, SHARD_AWAY};

/// What a body was answered.
pub(super) struct Applied {
    pub(super) answer: Vec<u8>,
    /// The shard of an item is away, which the server waits for before it answers.
    pub(super) waits: bool,
}

/// Stores what the body holds, but for the last `missing` items, and writes the answer. Fails with the
/// reason for a 400 of the whole request.
pub(super) fn apply(
    state: &mut State,
    filter: &Filter,
    default_index: &str,
    body: &[u8],
    missing: usize,
) -> Result<Applied, String> {
    let items_max = match missing {
        0 => usize::MAX,
        missing => bulk::count_items(body).saturating_sub(missing),
    };
    let mut waits = false;
    let answer = bulk::apply(body, default_index, filter, items_max, |item| {
        store(state, item, &mut waits)
    })?;
    Ok(Applied { answer, waits })
}

fn store<'i>(state: &mut State, item: &Item<'i>, waits: &mut bool) -> Outcome<'i> {
    let State { store, faults } = state;
    let id = match item.id {
        Some(id) => Cow::Borrowed(id),
        None => Cow::Owned(format!("auto-{}", store.counted.items)),
    };
    let asked = fault::Item {
        position: item.position,
        index: item.index,
        id: item.id,
        source: item.source,
    };
    if let Some(fault) = faults.of_item(&asked) {
        store.counted.faulted_items += 1;
        *waits |= fault.kind == SHARD_AWAY;
        if fault.kind == FAILURE_STORE {
            return Outcome {
                in_failure_store: true,
                ..Outcome::done(id, fault.status, "")
            };
        }
        return Outcome::refused(id, fault.status, fault.kind.clone(), fault.reason.clone());
    }
    match item.kind {
        Kind::Delete if store.delete(item.index, &id) => Outcome::done(id, 200, "deleted"),
        Kind::Delete => Outcome::done(id, 404, "not_found"),
        Kind::Create | Kind::Index if !is_object(item.source) => {
            store.counted.rejected_items += 1;
            let reason = "[1:1] failed to parse: not an object";
            Outcome::refused(id, 400, "document_parsing_exception", reason)
        }
        Kind::Create | Kind::Index
            if store.put(item.index, &id, item.source, item.kind == Kind::Index) =>
        {
            Outcome::done(id, 201, "created")
        }
        Kind::Index => Outcome::done(id, 200, "updated"),
        Kind::Create => Outcome::conflict(id),
    }
}

/// The outermost braces only: the stand-in parses no documents.
fn is_object(source: &[u8]) -> bool {
    let source = source.trim_ascii();
    source.first() == Some(&b'{') && source.last() == Some(&b'}')
}
