//! A second way to each broker, by way of a proxy that can cut it and slow it down. Whoever asks a broker on it is
//! told that all of them are behind their proxies; brokers among each other, and other clients, use the direct way.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;

use super::node;
use crate::ports;
use crate::proxy::Proxy;

/// The ways to the brokers of a cluster.
#[derive(Debug, Clone)]
pub struct Proxied(Arc<[Proxy]>);

impl Proxied {
    /// Those by way of these, one for each broker.
    pub(super) fn by(proxies: Vec<Proxy>) -> Self {
        Self(proxies.into())
    }

    /// The value for `bootstrap.servers`. Stays the same over restarts of brokers.
    pub fn brokers(&self) -> String {
        let addresses: Vec<&str> = self.0.iter().map(Proxy::address).collect();
        addresses.join(",")
    }

    /// The proxies, in the order of the brokers.
    pub fn ways(&self) -> &[Proxy] {
        &self.0
    }

    /// Adds the listener to the settings of a broker, and starts the proxy before it.
    pub(super) fn add_to(settings: &mut BTreeMap<String, String>) -> Result<Proxy> {
        let address = format!("127.0.0.1:{}", ports::free()?);
        let proxy = Proxy::start(&address)?;
        node::add_listener(
            settings,
            ("PROXIED", "PLAINTEXT"),
            &address,
            proxy.address(),
        );
        Ok(proxy)
    }
}
