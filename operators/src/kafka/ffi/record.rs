//! One Kafka record as librdkafka holds it, read without copying.
//!
//! Knows the layout of librdkafka's messages; a record lives as long as the visit it is shown in.

#![expect(
    unsafe_code,
    reason = "records are read in place: copying twice would cost a tenth of the budget"
)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka_sys as sys;
use rdkafka_sys::RDKafkaRespErr;

// Before another version is let in: `Message` and `Record::is_without_headers` rest on how this one, which
// is built into the program, keeps records on machines of 64 bits.
const _: () = assert!(sys::RD_KAFKA_VERSION == 0x020C_01FF && size_of::<usize>() == 8);

/// How librdkafka keeps a record: `rd_kafka_msg_t` of `rdkafka_msg.h` as it is for consumers, whose first
/// field is what applications see.
#[repr(C)]
struct Message {
    seen: sys::rd_kafka_message_t,
    link: [*mut c_void; 2],
    flags: c_int,
    timestamp_kind: c_int,
    timestamp: i64,
    parsed_headers: *mut sys::rd_kafka_headers_t,
    status: c_int,
    broker: i32,
    headers: KafkaBytes,
    leader_epoch: i32,
}

/// `rd_kafkap_bytes_t` of `rdkafka_proto.h`.
#[repr(C)]
struct KafkaBytes {
    /// 0 and less: no bytes.
    len: i32,
    data: *const u8,
    inline: [u8; 1],
}

/// The epoch of the leader that took a record; `None` where the broker does not tell it.
pub(crate) fn leader_epoch(record: &BorrowedMessage<'_>) -> Option<i32> {
    // SAFETY: the message is alive as long as it is borrowed; the call only reads it.
    let epoch = unsafe { sys::rd_kafka_message_leader_epoch(record.ptr()) };
    (epoch >= 0).then_some(epoch)
}

/// A record, or an error that stands in a partition's queue in place of one.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    message: *mut sys::rd_kafka_message_t,
    inbox: PhantomData<&'a ()>,
}

impl<'a> Record<'a> {
    /// Views a message.
    ///
    /// # Safety
    /// `message` must be a live message that is not destroyed during `'a`, and no other thread may
    /// use it meanwhile.
    pub(super) unsafe fn new(message: *mut sys::rd_kafka_message_t) -> Self {
        Self {
            message,
            inbox: PhantomData,
        }
    }

    /// Returns the record's offset.
    pub fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// Returns the record's timestamp in milliseconds since 1970; `None` when the record has none.
    /// Producers can write any number, also negative ones.
    pub fn timestamp(&self) -> Option<i64> {
        // As `rd_kafka_message_timestamp` finds it, without a call for each record.
        let none = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE as c_int;
        let is_record = self.raw().err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        let has = is_record && self.whole().timestamp_kind != none;
        has.then(|| self.whole().timestamp)
    }

    /// Returns the record's key, if it has one.
    pub fn key(&self) -> Option<&'a [u8]> {
        let raw = self.raw();
        // SAFETY: librdkafka keeps `key_len` bytes at `key` as long as the message lives.
        unsafe { bytes(raw.key, raw.key_len) }
    }

    /// Returns the record's value; `None` for a tombstone.
    pub fn payload(&self) -> Option<&'a [u8]> {
        let raw = self.raw();
        // SAFETY: librdkafka keeps `len` bytes at `payload` as long as the message lives.
        unsafe { bytes(raw.payload, raw.len) }
    }

    /// Returns the length of the record's value in bytes, 0 for a tombstone.
    pub fn payload_len(&self) -> usize {
        self.raw().len
    }

    /// Returns the record's headers in their order; names can repeat and values can be null.
    pub fn headers(&self) -> Headers<'a> {
        let mut headers = ptr::null_mut();
        if !self.is_without_headers() {
            // SAFETY: the message is alive during `'a` and used by this thread alone: the call
            // parses the headers on first use and keeps them in the message.
            let code = unsafe { sys::rd_kafka_message_headers(self.message, &raw mut headers) };
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                headers = ptr::null_mut();
            }
        }
        Headers {
            headers,
            next: 0,
            message: PhantomData,
        }
    }

    /// Tells that there are no headers, where that is seen at a glance. Asking librdkafka costs as much
    /// as all else that is done to read a record: it makes a buffer to parse the number 0 from.
    fn is_without_headers(&self) -> bool {
        let headers = &self.whole().headers;
        // What `rd_kafka_msgset_reader_msg_v2` found behind the value, inside of the record and of what was
        // fetched; nothing in records of older versions. It begins with the number of headers.
        // SAFETY: librdkafka has seen that there are `len` bytes at `data`, and keeps what was fetched as
        // long as the message lives.
        headers.len <= 0 || unsafe { *headers.data == 0 }
    }

    /// All that librdkafka keeps of the record.
    fn whole(&self) -> &Message {
        // SAFETY: every message of a consumer is the first field of such a struct, by the version that is
        // asserted above (`rd_kafka_message2msg`); it is alive during `'a`, and not written meanwhile,
        // except for `parsed_headers`, by a call of this thread that no reference spans.
        unsafe { &*self.message.cast::<Message>() }
    }

    /// Tells whether `Message` shows the same as librdkafka does.
    #[cfg(test)]
    pub(super) fn is_kept_as_described(&self) -> bool {
        use sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        let whole = self.whole();
        let mut kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive; the calls only read it.
        let told = unsafe {
            (
                sys::rd_kafka_message_leader_epoch(self.message),
                sys::rd_kafka_message_broker_id(self.message),
                sys::rd_kafka_message_timestamp(self.message, &raw mut kind),
            )
        };
        told == (whole.leader_epoch, whole.broker, whole.timestamp)
            && kind as c_int == whole.timestamp_kind
            && self.timestamp() == (kind != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE).then_some(told.2)
            && whole.headers.len > 0
    }

    /// Returns the error that this stands for, with its text; `None` for a record.
    pub(in crate::kafka) fn error(&self) -> Option<(RDKafkaErrorCode, String)> {
        let raw = self.raw();
        if raw.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: for an error the payload is its text, not necessarily zero-terminated by length.
        let text = unsafe { bytes(raw.payload, raw.len) }.unwrap_or_default();
        Some((raw.err.into(), String::from_utf8_lossy(text).into_owned()))
    }

    /// Returns a number that stands for the topic while any of its partitions is assigned.
    pub(in crate::kafka) fn topic_key(&self) -> usize {
        self.raw().rkt.addr()
    }

    /// Returns the topic's name; empty for errors that concern no topic.
    pub(in crate::kafka) fn topic(&self) -> &'a str {
        let topic = self.raw().rkt;
        if topic.is_null() {
            return "";
        }
        // SAFETY: the message holds a reference to its topic, whose name never changes; Kafka's
        // topic names are ASCII.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(topic)) };
        name.to_str().unwrap_or_default()
    }

    /// Returns the partition's number; negative for errors that concern no partition.
    pub(in crate::kafka) fn partition(&self) -> i32 {
        self.raw().partition
    }

    fn raw(&self) -> &'a sys::rd_kafka_message_t {
        // SAFETY: the message is alive during `'a`, guaranteed by `new`; the public part that the
        // reference covers is not written after the message was returned.
        unsafe { &*self.message }
    }
}

/// The headers of a record.
pub struct Headers<'a> {
    headers: *mut sys::rd_kafka_headers_t,
    next: usize,
    message: PhantomData<&'a ()>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.headers.is_null() {
            return None;
        }
        let mut name: *const c_char = ptr::null();
        let mut value: *const c_void = ptr::null();
        let mut len = 0;
        // SAFETY: the headers live as long as their message; the call only reads them.
        let code = unsafe {
            sys::rd_kafka_header_get_all(
                self.headers,
                self.next,
                &raw mut name,
                &raw mut value,
                &raw mut len,
            )
        };
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        self.next += 1;
        // SAFETY: librdkafka keeps a zero-terminated name and `len` bytes of value.
        unsafe { Some((CStr::from_ptr(name).to_bytes(), bytes(value, len))) }
    }
}

/// Views bytes that librdkafka keeps; null stands for none.
///
/// # Safety
/// `start` must be null or hold `len` bytes that live and do not change during `'a`.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: guaranteed by the caller.
    Some(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) })
}
