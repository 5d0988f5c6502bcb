//! Reads and writes librdkafka's topic-partition lists without the panics of the safe wrapper.
//!
//! The `rdkafka` crate panics on commit metadata that is not UTF-8; metadata is whatever another
//! client of the group wrote, so here it is read byte by byte.

#![expect(
    unsafe_code,
    reason = "the rdkafka crate reads metadata only as UTF-8 and panics otherwise"
)]

use std::ffi::CStr;

use rdkafka::TopicPartitionList;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use rdkafka_sys::RDKafkaRespErr;

/// One element of a topic-partition list, copied out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kafka) struct Element {
    pub(in crate::kafka) topic: String,
    pub(in crate::kafka) partition: i32,
    /// The raw offset; negative values are librdkafka's logical ones.
    pub(in crate::kafka) offset: i64,
    /// The commit metadata, if any; bytes that are not UTF-8 are replaced.
    pub(in crate::kafka) metadata: Option<String>,
    pub(in crate::kafka) error: Option<RDKafkaErrorCode>,
}

/// Returns the elements of a list.
pub(in crate::kafka) fn elements(list: &TopicPartitionList) -> Vec<Element> {
    // SAFETY: the list is alive for this call and nobody else writes to it.
    unsafe { copy(list.ptr()) }
}

/// Copies the elements of a native list.
///
/// # Safety
/// `list` must be null or point to a live list that nobody changes during the call.
pub(super) unsafe fn copy(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<Element> {
    // SAFETY: librdkafka keeps `cnt` initialised elements at `elems`.
    let elements = unsafe {
        let Some(list) = list.as_ref() else {
            return Vec::new();
        };
        match usize::try_from(list.cnt) {
            Ok(count) if count > 0 => std::slice::from_raw_parts(list.elems, count),
            _ => return Vec::new(),
        }
    };
    // SAFETY: every element is initialised and belongs to the live list.
    elements
        .iter()
        .map(|element| unsafe { copy_one(element) })
        .collect()
}

/// Copies one element.
///
/// # Safety
/// Its `topic` must be a zero-terminated string and `metadata` null or `metadata_size` bytes.
pub(super) unsafe fn copy_one(element: &sys::rd_kafka_topic_partition_t) -> Element {
    // SAFETY: guaranteed by the caller; librdkafka keeps both for every element of a list.
    let (topic, metadata) = unsafe {
        let topic = CStr::from_ptr(element.topic).to_string_lossy().into_owned();
        let metadata = (!element.metadata.is_null() && element.metadata_size > 0).then(|| {
            let bytes = std::slice::from_raw_parts(
                element.metadata.cast::<u8>().cast_const(),
                element.metadata_size,
            );
            String::from_utf8_lossy(bytes).into_owned()
        });
        (topic, metadata)
    };
    Element {
        topic,
        partition: element.partition,
        offset: element.offset,
        metadata,
        error: (element.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
            .then(|| element.err.into()),
    }
}
