//! The main queue of a producer: deliveries and errors wait there until they are served.

#![expect(
    unsafe_code,
    reason = "the rdkafka crate waits for events by polling, and spins through the last ms of each time"
)]

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::thread::Thread;

use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka_sys as sys;

/// The main queue of a client, which unparks a thread each time it turns from empty to non-empty.
pub(in crate::kafka) struct MainQueue<C: ProducerContext + 'static> {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Alive as long as the callback.
    _thread: Arc<Thread>,
    /// A queue must be let go of before its client.
    _client: Arc<BaseProducer<C>>,
}

impl<C: ProducerContext> MainQueue<C> {
    pub(in crate::kafka) fn new(client: &Arc<BaseProducer<C>>, thread: Thread) -> Self {
        let thread = Arc::new(thread);
        // SAFETY: the client is alive, and kept alive by the new value. The opaque pointer is the thread that
        // this value keeps alive; `Drop` disables the callback before it lets go of it.
        let queue = unsafe {
            let queue = sys::rd_kafka_queue_get_main(client.client().native_ptr());
            let opaque = Arc::as_ptr(&thread).cast_mut().cast::<c_void>();
            sys::rd_kafka_queue_cb_event_enable(queue, Some(unpark), opaque);
            queue
        };
        Self {
            queue: NonNull::new(queue).expect("each client has one"),
            _thread: thread,
            _client: Arc::clone(client),
        }
    }

    pub(in crate::kafka) fn is_empty(&self) -> bool {
        // SAFETY: the queue is alive; librdkafka's queues lock themselves.
        unsafe { sys::rd_kafka_queue_length(self.queue.as_ptr()) == 0 }
    }
}

impl<C: ProducerContext> Drop for MainQueue<C> {
    fn drop(&mut self) {
        // SAFETY: the reference is owned by this value and given back once. The callback runs under the
        // queue's lock, which disabling takes: afterwards it neither runs nor will run.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// Runs under the queue's lock, so it does nothing else.
///
/// # Safety
/// `thread` must point to a live `Thread`.
unsafe extern "C" fn unpark(_client: *mut sys::rd_kafka_t, thread: *mut c_void) {
    // SAFETY: guaranteed by `MainQueue`, which enables and disables this callback.
    unsafe { &*thread.cast::<Thread>() }.unpark();
}
