//! Takes bolts out of the part of a topology that a replay runs, so that each record counts as what becomes of
//! it in what is left.

use std::collections::BTreeSet;

use isobar_topology::spec::{Component, OnRejected, Spec, Value};

use super::letters::Letters;
use super::{is_sink, stream};

/// Takes away what bolts would read that lead to nothing that stays, where another bolt that does consumes the
/// same: a record counts as what becomes of it there. Dead letters of such bolts are nothing that stays.
pub(super) fn prune(part: &mut Spec, left_out: &[String], letters: &Letters) {
    let is_left_out = |bolt: &Component| left_out.contains(&bolt.id);
    let mut needed: BTreeSet<String> = BTreeSet::new();
    for bolt in part.sorted_bolts().into_iter().rev() {
        let mut consumers = part.bolts.iter().filter(|other| {
            let mut inputs = other.inputs.iter();
            inputs.any(|input| input.from.component == bolt.id)
        });
        let is_end = consumers.clone().next().is_none() && !letters.come_alone_to(bolt);
        let leads_on = consumers.any(|other| needed.contains(&other.id));
        if !is_left_out(bolt) && (is_sink(bolt) || is_end || leads_on) {
            let _ = needed.insert(bolt.id.clone());
        }
    }
    let consumed: BTreeSet<(String, String)> = part
        .bolts
        .iter()
        .filter(|bolt| needed.contains(&bolt.id))
        .flat_map(|bolt| &bolt.inputs)
        .map(stream)
        .collect();
    for bolt in &mut part.bolts {
        if !needed.contains(&bolt.id) && !is_left_out(bolt) && !letters.come_alone_to(bolt) {
            bolt.inputs
                .retain(|input| !consumed.contains(&stream(input)));
        }
    }
    part.bolts.retain(|bolt| !bolt.inputs.is_empty());
    // What was reached by way of those alone is not reached now.
    loop {
        let mut sources: BTreeSet<String> = part.bolts.iter().map(|bolt| bolt.id.clone()).collect();
        sources.extend(part.spouts.iter().map(|spout| spout.id.clone()));
        for bolt in &mut part.bolts {
            bolt.inputs
                .retain(|input| sources.contains(&input.from.component));
        }
        let before = part.bolts.len();
        part.bolts.retain(|bolt| !bolt.inputs.is_empty());
        if part.bolts.len() == before {
            return;
        }
    }
}

/// Takes bolts out of a part. Of a stream that nobody else consumes the first of them drops the records,
/// as something has to answer for them; a record that goes on elsewhere counts as what becomes of it there,
/// and not as dropped.
pub(super) fn leave_out(part: &mut Spec, left_out: &[String]) {
    let (gone, stay): (Vec<_>, Vec<_>) = part
        .bolts
        .iter_mut()
        .partition(|bolt| left_out.contains(&bolt.id));
    let mut answered: BTreeSet<(String, String)> = stay
        .iter()
        .flat_map(|bolt| &bolt.inputs)
        .map(stream)
        .collect();
    for bolt in gone {
        bolt.inputs.retain(|input| answered.insert(stream(input)));
        bolt.kind = "blackhole".to_owned();
        bolt.config.value = Value::Map(Vec::new());
        bolt.on_rejected = Some(OnRejected::Drop);
    }
    part.bolts
        .retain(|bolt| !bolt.inputs.is_empty() || !left_out.contains(&bolt.id));
}
