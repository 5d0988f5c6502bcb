//! The part of librdkafka's mock cluster that the `rdkafka` crate lacks.

#![expect(
    unsafe_code,
    reason = "the rdkafka crate has no setter for the delay of the first rebalance"
)]

use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka_sys as sys;

/// Sets how long groups of the mock cluster that this client owns wait for more members, after the
/// first one has joined. Does nothing where the client owns no mock cluster.
pub(crate) fn set_initial_rebalance_delay<C: ClientContext>(client: &Client<C>, delay: Duration) {
    let ms = i32::try_from(delay.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive for the borrow, and with it the cluster that it owns, if any; the
    // setter takes effect on the cluster's own thread.
    unsafe {
        let cluster = sys::rd_kafka_handle_mock_cluster(client.native_ptr());
        if !cluster.is_null() {
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, ms);
        }
    }
}
