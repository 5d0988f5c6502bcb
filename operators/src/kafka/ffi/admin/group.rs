//! Admin requests about one consumer group: its state, deleting its commits, deleting it.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use rdkafka_sys::RDKafkaRespErr;
use rdkafka_sys::rd_kafka_admin_op_t as Op;

use super::{Permissions, Permitted, Request, c_string, permitted, slice, text};
use crate::kafka::admin::TopicPartition;
use crate::kafka::error::Error;
use crate::kafka::ffi::list::{self, Element};

/// Whether a group is at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// The coordinator's word: `Empty`, `Stable`, `PreparingRebalance`, … `Dead` is a group that does
    /// not exist, too.
    pub name: String,
    /// How many members it has.
    pub members: usize,
}

impl GroupState {
    /// Whether there is such a group.
    pub fn exists(&self) -> bool {
        self.name != "Dead"
    }

    /// Whether it may be changed by somebody who is no member.
    pub fn is_inactive(&self) -> bool {
        self.members == 0 && matches!(self.name.as_str(), "Empty" | "Dead")
    }
}

/// A group as its coordinator describes it.
pub(in crate::kafka) struct Described {
    pub(in crate::kafka) state: GroupState,
    pub(in crate::kafka) members: Vec<Member>,
    /// What the user may do with it, where that was asked for and told.
    pub(in crate::kafka) permitted: Option<Permitted>,
}

/// A member of a group.
pub(in crate::kafka) struct Member {
    /// What the coordinator knows it by.
    pub(in crate::kafka) id: String,
    /// What its client calls itself.
    pub(in crate::kafka) client_id: String,
    /// Where it connects from, `/` and an address.
    pub(in crate::kafka) host: String,
    /// What it reads, or is to read. With the protocol of KIP-848, what it was told to give up is not in it.
    pub(in crate::kafka) partitions: Vec<TopicPartition>,
}

/// What the coordinator knows a client by that is a member of a group; `None` for one that is not.
pub(in crate::kafka) fn member_id<C: ConsumerContext>(client: &BaseConsumer<C>) -> Option<String> {
    // SAFETY: the client is alive; what is returned is ours, and freed once.
    unsafe {
        let id = sys::rd_kafka_memberid(client.client().native_ptr());
        if id.is_null() {
            return None;
        }
        let copied = text(id);
        sys::rd_kafka_mem_free(client.client().native_ptr(), id.cast());
        Some(copied)
    }
}

/// Asks for a group's state and who reads what. Waits for the answer, at most `within`.
pub(in crate::kafka) fn describe<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    permissions: Permissions,
    within: Duration,
) -> Result<Described, Error> {
    let what = format!("asking for the members of group {group}");
    let op = Op::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    let request = Request::to_coordinator(client, op, &what, within)?;
    request.tell(permissions)?;
    let name = c_string(group)?;
    let mut names = [name.as_ptr()];
    // SAFETY: the name lives until after the call, which copies it; client, options and queue are
    // alive.
    unsafe {
        sys::rd_kafka_DescribeConsumerGroups(
            client.native_ptr(),
            names.as_mut_ptr(),
            names.len(),
            request.options,
            request.queue,
        );
    }
    let answer = request.wait()?;
    // SAFETY: the event is of the type asked for; all is borrowed from it and copied here.
    unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(answer.0);
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        let Some(described) = slice(groups, count).first().copied() else {
            return Err(refused(&what, RDKafkaErrorCode::Fail, "an empty answer"));
        };
        check(
            sys::rd_kafka_ConsumerGroupDescription_error(described),
            &what,
        )?;
        let mut operations = 0;
        let permitted = permitted(
            sys::rd_kafka_ConsumerGroupDescription_authorized_operations(
                described,
                &raw mut operations,
            ),
            operations,
        );
        let state = sys::rd_kafka_ConsumerGroupDescription_state(described);
        let count = sys::rd_kafka_ConsumerGroupDescription_member_count(described);
        let mut members = Vec::with_capacity(count);
        for number in 0..count {
            let member = sys::rd_kafka_ConsumerGroupDescription_member(described, number);
            let assignment = sys::rd_kafka_MemberDescription_assignment(member);
            let partitions = match assignment.is_null() {
                true => Vec::new(),
                false => list::copy(sys::rd_kafka_MemberAssignment_partitions(assignment)),
            };
            let partitions = partitions.into_iter();
            members.push(Member {
                id: text(sys::rd_kafka_MemberDescription_consumer_id(member)),
                client_id: text(sys::rd_kafka_MemberDescription_client_id(member)),
                host: text(sys::rd_kafka_MemberDescription_host(member)),
                partitions: partitions
                    .map(|one| TopicPartition::new(&one.topic, one.partition))
                    .collect(),
            });
        }
        Ok(Described {
            state: GroupState {
                name: text(sys::rd_kafka_consumer_group_state_name(state)),
                members: count,
            },
            members,
            permitted,
        })
    }
}

/// Deletes what a group has committed for the partitions of a list; errors of single ones are in their
/// elements. Waits for the answer, at most `within`.
pub(in crate::kafka) fn delete_offsets<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    partitions: &TopicPartitionList,
    within: Duration,
) -> Result<Vec<Element>, Error> {
    let what = format!("deleting commits of group {group}");
    let op = Op::RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS;
    let request = Request::to_coordinator(client, op, &what, within)?;
    let name = c_string(group)?;
    // SAFETY: name and list live until after the calls, which copy them; client, options and queue
    // are alive; the request object is destroyed once.
    unsafe {
        let delete = sys::rd_kafka_DeleteConsumerGroupOffsets_new(name.as_ptr(), partitions.ptr());
        let mut deletes = [delete];
        sys::rd_kafka_DeleteConsumerGroupOffsets(
            client.native_ptr(),
            deletes.as_mut_ptr(),
            deletes.len(),
            request.options,
            request.queue,
        );
        sys::rd_kafka_DeleteConsumerGroupOffsets_destroy(delete);
    }
    let answer = request.wait()?;
    // SAFETY: as in `describe`.
    unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_DeleteConsumerGroupOffsets_result(answer.0);
        let groups = sys::rd_kafka_DeleteConsumerGroupOffsets_result_groups(result, &raw mut count);
        let Some(group) = slice(groups, count).first().copied() else {
            return Err(refused(&what, RDKafkaErrorCode::Fail, "an empty answer"));
        };
        check(sys::rd_kafka_group_result_error(group), &what)?;
        Ok(list::copy(sys::rd_kafka_group_result_partitions(group)))
    }
}

/// Deletes a group. Waits for the answer, at most `within`.
pub(in crate::kafka) fn delete<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    within: Duration,
) -> Result<(), Error> {
    let what = format!("deleting group {group}");
    let request =
        Request::to_coordinator(client, Op::RD_KAFKA_ADMIN_OP_DELETEGROUPS, &what, within)?;
    let name = c_string(group)?;
    // SAFETY: as in `delete_offsets`.
    unsafe {
        let delete = sys::rd_kafka_DeleteGroup_new(name.as_ptr());
        let mut deletes = [delete];
        sys::rd_kafka_DeleteGroups(
            client.native_ptr(),
            deletes.as_mut_ptr(),
            deletes.len(),
            request.options,
            request.queue,
        );
        sys::rd_kafka_DeleteGroup_destroy(delete);
    }
    let answer = request.wait()?;
    // SAFETY: as in `describe`.
    unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_DeleteGroups_result(answer.0);
        let groups = sys::rd_kafka_DeleteGroups_result_groups(result, &raw mut count);
        match slice(groups, count).first().copied() {
            Some(group) => check(sys::rd_kafka_group_result_error(group), &what),
            None => Err(refused(&what, RDKafkaErrorCode::Fail, "an empty answer")),
        }
    }
}

/// Turns an error that is borrowed from an event into ours.
///
/// # Safety
/// `error` must be null or alive.
unsafe fn check(error: *const sys::rd_kafka_error_t, what: &str) -> Result<(), Error> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: guaranteed by the caller.
    unsafe {
        match sys::rd_kafka_error_code(error) {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => {
                let said = text(sys::rd_kafka_error_string(error));
                Err(refused(what, code.into(), &said))
            }
        }
    }
}

fn refused(what: &str, code: RDKafkaErrorCode, said: &str) -> Error {
    Error::Refused {
        what: what.to_owned(),
        code,
        text: said.to_owned(),
    }
}
