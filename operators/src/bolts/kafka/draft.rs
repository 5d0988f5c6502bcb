//! What the bolt would write of a record, made by the code that makes its records.

use std::sync::Arc;

use isobar_topology::{BoltContext, Draft, Drafter};

use super::outgoing::{Form, Outgoing, Rows};

pub(super) fn drafter(form: &Arc<Form>, context: &BoltContext) -> Box<Drafter> {
    let (form, topology) = (Arc::clone(form), Arc::clone(&context.topology));
    let mut outgoing = Outgoing::default();
    Box::new(move |batch| {
        let unwritable = outgoing.fill(&form, &topology, batch);
        if let Some((_, rejection)) = unwritable.into_iter().next() {
            return Err(rejection);
        }
        let records = outgoing.records(&form, Rows::All(batch));
        let record = records.iter().next().expect("one for the one record");
        Ok(Draft {
            kind: "topic",
            target: record.topic.to_owned(),
            key: record.key.map(<[u8]>::to_vec),
            content: record.payload.map(<[u8]>::to_vec),
            ..Draft::default()
        })
    })
}
