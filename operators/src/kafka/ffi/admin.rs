//! Admin requests that the `rdkafka` crate lacks: list offsets, describe topics, their configurations
//! and groups.
//!
//! Each call makes its own queue, waits for its one answer and copies it out.

#![expect(
    unsafe_code,
    reason = "the rdkafka crate lacks these requests, or has no bound on waiting for them (its pull request 785 is open)"
)]

pub(in crate::kafka) mod group;

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use rdkafka::TopicPartitionList;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use rdkafka_sys::RDKafkaRespErr;
use rdkafka_sys::rd_kafka_admin_op_t as Op;

use super::list::{self, Element};
use crate::kafka::error::Error;

/// Asks for one offset per partition of some lists, whose offsets are librdkafka's specs: −1 latest,
/// −2 earliest, ≥ 0 the first record at or after that timestamp. Beside each offset is the record's
/// timestamp if time was asked for.
///
/// Waits for all answers, one for each list, at most `within`. Errors of single partitions are in their elements.
pub(in crate::kafka) fn list_offsets<C: ClientContext>(
    client: &Client<C>,
    lists: &[TopicPartitionList],
    uncommitted: bool,
    within: Duration,
) -> Vec<Result<Vec<(Element, i64)>, Error>> {
    let ask = |specs| ask_for_offsets(client, specs, uncommitted, within);
    // All of them are under way before the first is waited for.
    let asked: Vec<Result<Request<'_>, Error>> = lists.iter().map(ask).collect();
    let answers = asked.into_iter();
    answers.map(|request| offsets_of(&request?)).collect()
}

/// How long librdkafka has for a question for offsets at least, also where nobody waits so long for the answer. It begins
/// one on the thread that asks, and when the time is up meanwhile, its main thread ends and frees what that one still
/// looks at (`rd_kafka_topic_partition_list_query_leaders_async` of 2.12.1): the process dies. Nobody is kept from
/// a processor for so long. It is no longer, as when its time is up it tells what it has, of all partitions but those
/// whose leader is away.
const LISTING_LASTS: Duration = Duration::from_secs(2);

fn ask_for_offsets<C: ClientContext>(
    client: &Client<C>,
    specs: &TopicPartitionList,
    uncommitted: bool,
    within: Duration,
) -> Result<Request<'static>, Error> {
    const WHAT: &str = "listing offsets";
    let op = Op::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
    let request = Request::lasting(client, op, WHAT, within, within.max(LISTING_LASTS))?;
    let isolation = if uncommitted {
        sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED
    } else {
        sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED
    };
    // SAFETY: client, list, options and queue are alive; librdkafka copies the list.
    unsafe {
        take_error(
            sys::rd_kafka_AdminOptions_set_isolation_level(request.options, isolation),
            WHAT,
        )?;
        sys::rd_kafka_ListOffsets(
            client.native_ptr(),
            specs.ptr(),
            request.options,
            request.queue,
        );
    }
    Ok(request)
}

fn offsets_of(request: &Request<'_>) -> Result<Vec<(Element, i64)>, Error> {
    let answer = request.wait()?;
    // SAFETY: the event is of the type asked for; result, infos and partitions are borrowed from
    // it and copied before it is destroyed.
    unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_ListOffsets_result(answer.0);
        let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        Ok(slice(infos, count)
            .iter()
            .map(|info| {
                let element = sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
                let ms = sys::rd_kafka_ListOffsetsResultInfo_timestamp(*info);
                (list::copy_one(&*element), ms)
            })
            .collect())
    }
}

/// How long the first broker has for its answer before others are asked, at most.
const MOMENT: Duration = Duration::from_millis(500);
/// Of the others so many are asked: two of a cluster are away at a time seldom.
const OTHERS_MAX: usize = 2;

/// A topic as the brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kafka) struct Described {
    pub(in crate::kafka) topic: String,
    /// Kafka's spelling; `None` where the cluster has no topic ids.
    pub(in crate::kafka) id: Option<String>,
    pub(in crate::kafka) partitions: usize,
    /// What the user may do with it, where that was asked for and told.
    pub(in crate::kafka) permitted: Option<Permitted>,
    pub(in crate::kafka) error: Option<(RDKafkaErrorCode, String)>,
}

/// What the user of a connection may do with a topic or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permitted {
    /// Read it; of a group, join it and commit for it.
    pub read: bool,
    /// Write to it.
    pub write: bool,
}

/// Whether an answer is to tell what the user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kafka) enum Permissions {
    /// It is.
    Told,
    /// It need not; finding out costs the broker a look for each operation.
    LeftOut,
}

/// Asks for id and partition count of topics by name. Waits for the answer, at most `within`.
///
/// Any broker can answer; librdkafka asks the controller, and brokers name as that one of them which may have been
/// killed, for as long as its session lasts (9 s by Kafka's default). Without an answer within a moment others are
/// asked, too.
pub(in crate::kafka) fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    permissions: Permissions,
    within: Duration,
) -> Result<Vec<Described>, Error> {
    let names: Vec<CString> = topics
        .iter()
        .map(|topic| c_string(topic))
        .collect::<Result<_, _>>()?;
    let new = || {
        let what = "describing topics";
        let request = Request::new(client, Op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, what, within)?;
        request.tell(permissions)?;
        Ok::<_, Error>(request)
    };
    let request = new()?;
    let asked = request.avoid_missing_controller(client, topics)?;
    request.describe(client, &names);
    let moment = (within / 4).min(MOMENT);
    let answer = match request.wait_for(moment) {
        Some(answer) => answer?,
        None => {
            // Whoever is asked for them may be the one that does not answer.
            let mut others = brokers(client, topics, request.left() / 2);
            others.retain(|broker| *broker != asked);
            others.truncate(OTHERS_MAX);
            let also = others.into_iter().map(|broker| {
                let also = new()?;
                also.to_broker(broker);
                also.last(request.left())?;
                also.answer_to(&request);
                also.describe(client, &names);
                Ok(also)
            });
            let also = also.collect::<Result<Vec<_>, Error>>()?;
            request.wait_for_one_of(1 + also.len())?
        }
    };
    // SAFETY: as in `offsets_of`: everything is borrowed from the live event and copied.
    unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_DescribeTopics_result(answer.0);
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        Ok(slice(topics, count)
            .iter()
            .map(|topic| describe(*topic))
            .collect())
    }
}

/// Copies one topic description.
///
/// # Safety
/// `topic` must be borrowed from a live event.
unsafe fn describe(topic: *const sys::rd_kafka_TopicDescription_t) -> Described {
    // SAFETY: every pointer is borrowed from the live event, and copied here.
    unsafe {
        let mut partitions = 0;
        let _ = sys::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        let mut count = 0;
        let operations =
            sys::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut count);
        let error = sys::rd_kafka_TopicDescription_error(topic);
        let code = sys::rd_kafka_error_code(error);
        let uuid = sys::rd_kafka_TopicDescription_topic_id(topic);
        let has_id = !uuid.is_null()
            && (sys::rd_kafka_Uuid_most_significant_bits(uuid) != 0
                || sys::rd_kafka_Uuid_least_significant_bits(uuid) != 0);
        Described {
            topic: text(sys::rd_kafka_TopicDescription_name(topic)),
            // librdkafka writes standard base64, Kafka's own tools the URL alphabet.
            id: has_id.then(|| {
                text(sys::rd_kafka_Uuid_base64str(uuid))
                    .trim_end_matches('=')
                    .replace('+', "-")
                    .replace('/', "_")
            }),
            partitions,
            permitted: permitted(operations, count),
            error: (code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
                .then(|| (code.into(), text(sys::rd_kafka_error_string(error)))),
        }
    }
}

/// What a list of operations comes to; null where they were not asked for, or the broker does not tell.
///
/// # Safety
/// `operations` must be null or hold `count` elements.
unsafe fn permitted(
    operations: *const sys::rd_kafka_AclOperation_t,
    count: usize,
) -> Option<Permitted> {
    use sys::rd_kafka_AclOperation_t as Operation;
    if operations.is_null() {
        return None;
    }
    // SAFETY: guaranteed by the caller.
    let operations = unsafe { slice(operations.cast_mut(), count) };
    Some(Permitted {
        read: operations.contains(&Operation::RD_KAFKA_ACL_OPERATION_READ),
        write: operations.contains(&Operation::RD_KAFKA_ACL_OPERATION_WRITE),
    })
}

/// Asks for the configuration of topics, by topic and name; topics that may not be seen are left out.
/// Waits for the answer, at most `within`.
pub(in crate::kafka) fn describe_configs<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    within: Duration,
) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
    const WHAT: &str = "describing configurations of topics";
    let request = Request::new(client, Op::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, WHAT, within)?;
    let _ = request.avoid_missing_controller(client, topics)?;
    let names: Vec<CString> = topics
        .iter()
        .map(|topic| c_string(topic))
        .collect::<Result<_, _>>()?;
    // SAFETY: the names are copied by `new`; the resources live until after the call, which copies
    // them, and are destroyed once; client, options and queue are alive.
    unsafe {
        let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
        let mut resources: Vec<_> = names
            .iter()
            .map(|name| sys::rd_kafka_ConfigResource_new(kind, name.as_ptr()))
            .collect();
        sys::rd_kafka_DescribeConfigs(
            client.native_ptr(),
            resources.as_mut_ptr(),
            resources.len(),
            request.options,
            request.queue,
        );
        sys::rd_kafka_ConfigResource_destroy_array(resources.as_mut_ptr(), resources.len());
    }
    let answer = request.wait()?;
    let mut found = BTreeMap::new();
    // SAFETY: as in `offsets_of`: everything is borrowed from the live event and copied.
    unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_DescribeConfigs_result(answer.0);
        let resources = sys::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
        for resource in slice(resources, count) {
            let code = sys::rd_kafka_ConfigResource_error(*resource);
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                continue;
            }
            let mut count = 0;
            let entries = sys::rd_kafka_ConfigResource_configs(*resource, &raw mut count);
            let entries = slice(entries, count).iter().map(|entry| {
                let name = text(sys::rd_kafka_ConfigEntry_name(*entry));
                (name, text(sys::rd_kafka_ConfigEntry_value(*entry)))
            });
            let topic = text(sys::rd_kafka_ConfigResource_name(*resource));
            let _ = found.insert(topic, entries.collect());
        }
    }
    Ok(found)
}

/// The options and the answer queue of one admin request; destroyed with it.
struct Request<'a> {
    options: *mut sys::rd_kafka_AdminOptions_t,
    queue: *mut sys::rd_kafka_queue_t,
    what: &'a str,
    within: Duration,
    /// Of all that is asked for it.
    deadline: Instant,
    /// librdkafka goes on with it when nobody waits any more.
    outlasts: bool,
}

/// The longest that librdkafka may take for a request (its `request_timeout` of admin requests).
const LONGEST: Duration = Duration::from_secs(3_600);

impl<'a> Request<'a> {
    fn new<C: ClientContext>(
        client: &Client<C>,
        op: Op,
        what: &'a str,
        within: Duration,
    ) -> Result<Self, Error> {
        Self::lasting(client, op, what, within, within)
    }

    /// A request to the coordinator of a group. It goes on when nobody waits for it any more: when its time
    /// is up before there is a connection to the coordinator, librdkafka 2.12 aborts the process as soon as
    /// there is one (its issue 4605).
    fn to_coordinator<C: ClientContext>(
        client: &Client<C>,
        op: Op,
        what: &'a str,
        within: Duration,
    ) -> Result<Self, Error> {
        Self::lasting(client, op, what, within, LONGEST)
    }

    fn lasting<C: ClientContext>(
        client: &Client<C>,
        op: Op,
        what: &'a str,
        within: Duration,
        lasts: Duration,
    ) -> Result<Self, Error> {
        // SAFETY: the client is alive for the borrow; options and queue are destroyed by `Drop`.
        let request = unsafe {
            Self {
                options: sys::rd_kafka_AdminOptions_new(client.native_ptr(), op),
                queue: sys::rd_kafka_queue_new(client.native_ptr()),
                what,
                within,
                deadline: clock::now() + within,
                outlasts: lasts > within,
            }
        };
        request.last(lasts)?;
        Ok(request)
    }

    /// Lets librdkafka take so long for it at most.
    fn last(&self, lasts: Duration) -> Result<(), Error> {
        let mut reason: [c_char; 256] = [0; 256];
        // SAFETY: the options are alive; librdkafka writes at most `reason.len()` bytes, zero-terminated.
        unsafe {
            let code = sys::rd_kafka_AdminOptions_set_request_timeout(
                self.options,
                millis(lasts),
                reason.as_mut_ptr(),
                reason.len(),
            );
            match code {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
                code => Err(Error::Refused {
                    what: self.what.to_owned(),
                    code: code.into(),
                    text: text(reason.as_ptr()),
                }),
            }
        }
    }

    /// Lets the answer tell what the user may do, or not.
    fn tell(&self, permissions: Permissions) -> Result<(), Error> {
        if permissions == Permissions::LeftOut {
            return Ok(());
        }
        // SAFETY: the options are alive; an error is ours.
        unsafe {
            let refused =
                sys::rd_kafka_AdminOptions_set_include_authorized_operations(self.options, 1);
            take_error(refused, self.what)
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(clock::now())
    }

    /// Sends the request to another broker where the controller is none: librdkafka's mock cluster
    /// names broker 0, which it does not have (`controller_id` of `rdkafka_mock.c` is never set), and
    /// the client would wait for it until its time is up. What this takes is gone of the request's time.
    /// Returns the broker that will be asked.
    fn avoid_missing_controller<C: ClientContext>(
        &self,
        client: &Client<C>,
        topics: &[&str],
    ) -> Result<i32, Error> {
        // SAFETY: the client is alive; the call waits for the first metadata, bounded.
        let controller =
            unsafe { sys::rd_kafka_controllerid(client.native_ptr(), millis(self.left())) };
        let mut asked = controller;
        if controller == 0 {
            let first = brokers(client, topics, self.left()).into_iter().min();
            if let Some(first) = first.filter(|first| *first != 0) {
                self.to_broker(first);
                asked = first;
            }
        }
        self.last(self.left())?;
        Ok(asked)
    }

    /// Sends the request to this broker.
    fn to_broker(&self, broker: i32) {
        let mut reason: [c_char; 256] = [0; 256];
        // SAFETY: the options are alive; librdkafka writes at most `reason.len()` bytes. A number
        // that is no broker's would be refused when the request is sent.
        let _ = unsafe {
            sys::rd_kafka_AdminOptions_set_broker(
                self.options,
                broker,
                reason.as_mut_ptr(),
                reason.len(),
            )
        };
    }

    /// Lets the answer come to where that of another request does.
    fn answer_to(&self, other: &Self) {
        // SAFETY: both queues are alive; librdkafka keeps the other one for as long as it is needed.
        unsafe { sys::rd_kafka_queue_forward(self.queue, other.queue) }
    }

    /// Asks for topics.
    fn describe<C: ClientContext>(&self, client: &Client<C>, topics: &[CString]) {
        let mut names: Vec<*const c_char> = topics.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: the names live until after the call, which copies them; client, options and queue
        // are alive.
        unsafe {
            let collection =
                sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
            sys::rd_kafka_DescribeTopics(client.native_ptr(), collection, self.options, self.queue);
            sys::rd_kafka_TopicCollection_destroy(collection);
        }
    }

    /// Waits for the answer and checks its error.
    fn wait(&self) -> Result<Answer, Error> {
        // librdkafka answers by itself when its time is up; the margin lets that answer, which
        // says more, come first.
        let margin = match self.outlasts {
            false => Duration::from_millis(500),
            true => Duration::ZERO,
        };
        self.wait_for(self.left() + margin)
            .unwrap_or_else(|| Err(self.timed_out()))
    }

    /// Waits for one good answer of so many that come here; without one, the last error.
    fn wait_for_one_of(&self, requests: usize) -> Result<Answer, Error> {
        let mut answer = self.wait();
        for _ in 1..requests {
            if answer.is_ok() {
                break;
            }
            answer = self.wait();
        }
        answer
    }

    /// Waits so long; `None` without an answer.
    fn wait_for(&self, patience: Duration) -> Option<Result<Answer, Error>> {
        // SAFETY: the queue is alive; the event is owned by `Answer`; its texts are copied.
        unsafe {
            let event = sys::rd_kafka_queue_poll(self.queue, millis(patience));
            if event.is_null() {
                return None;
            }
            let answer = Answer(event);
            Some(match sys::rd_kafka_event_error(event) {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(answer),
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT => Err(self.timed_out()),
                code => Err(Error::Refused {
                    what: self.what.to_owned(),
                    code: code.into(),
                    text: text(sys::rd_kafka_event_error_string(event)),
                }),
            })
        }
    }

    fn timed_out(&self) -> Error {
        Error::TimedOut {
            what: self.what.to_owned(),
            within: self.within,
            brokers: None,
            cause: None,
        }
    }
}

/// The brokers of the cluster by number, as one of them tells them; none without an answer.
fn brokers<C: ClientContext>(client: &Client<C>, topics: &[&str], within: Duration) -> Vec<i32> {
    // Of one topic: all of a large cluster would be too many.
    let asked = client.fetch_metadata(topics.first().copied(), within);
    let brokers = asked.iter().flat_map(|metadata| metadata.brokers());
    brokers.map(rdkafka::metadata::MetadataBroker::id).collect()
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        // SAFETY: both were made by `new`, are destroyed once, and nothing borrows from them;
        // destroying the queue also drops an answer that came too late.
        unsafe {
            sys::rd_kafka_queue_destroy(self.queue);
            sys::rd_kafka_AdminOptions_destroy(self.options);
        }
    }
}

/// The event that carries an answer; destroyed after it was copied.
struct Answer(*mut sys::rd_kafka_event_t);

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: the event is owned by this value and destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.0) }
    }
}

/// Turns an error object of librdkafka into ours, and frees it.
///
/// # Safety
/// `error` must be null or an error object that the caller owns.
unsafe fn take_error(error: *mut sys::rd_kafka_error_t, what: &str) -> Result<(), Error> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the object is owned here, read while alive and destroyed once.
    unsafe {
        let refused = Error::Refused {
            what: what.to_owned(),
            code: sys::rd_kafka_error_code(error).into(),
            text: text(sys::rd_kafka_error_string(error)),
        };
        sys::rd_kafka_error_destroy(error);
        Err(refused)
    }
}

/// Views an array that librdkafka returned with its length.
///
/// # Safety
/// `array` must be null or hold `count` initialised elements that live as long as `'a`.
unsafe fn slice<'a, T>(array: *mut T, count: usize) -> &'a [T] {
    if array.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: guaranteed by the caller.
    unsafe { std::slice::from_raw_parts(array, count) }
}

/// Copies a text of librdkafka; null becomes empty.
///
/// # Safety
/// `text` must be null or zero-terminated.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: guaranteed by the caller.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| {
        Error::Config(format!(
            "{text:?} contains a zero byte: no name of Kafka does"
        ))
    })
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis())
        .unwrap_or(i32::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};

    use super::*;

    /// Nobody listens there.
    fn client_of_nobody() -> BaseConsumer {
        let mut settings = ClientConfig::new();
        let settings = settings.set("bootstrap.servers", "127.0.0.1:9");
        settings.create().expect("a client")
    }

    /// Threads that wait for each other's locks are kept long where time is up in a ms.
    #[test]
    fn questions_that_nobody_waits_for_end_no_process() {
        let client = client_of_nobody();
        let ask = || {
            let mut of_end = TopicPartitionList::new();
            let added = of_end.add_partition_offset("t", 0, rdkafka::Offset::End);
            added.expect("a topic's name");
            for _ in 0..50 {
                let lists = std::slice::from_ref(&of_end);
                let none = list_offsets(client.client(), lists, false, Duration::from_millis(1));
                assert!(none.iter().all(Result::is_err));
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..32 {
                let _ = scope.spawn(ask);
            }
        });
    }

    #[test]
    fn one_deadline_counts_for_all_that_a_description_asks() {
        let client = client_of_nobody();
        let within = Duration::from_secs(5);
        let began = clock::now();
        let none = describe_topics(client.client(), &["t"], Permissions::LeftOut, within)
            .expect_err("nobody answers");
        let took = clock::now() - began;
        assert!(matches!(none, Error::TimedOut { .. }), "{none}");
        assert!(took < within * 2, "{took:?}");
    }
}
