//! Another password for a client that is alive.

#![expect(
    unsafe_code,
    reason = "the rdkafka crate sets credentials only when a client is made"
)]

use std::ffi::{CStr, CString};

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka_sys as sys;

use crate::kafka::connection::Sasl;

/// Lets a client log in with other credentials from its next connection on; those that are open stay. Fails
/// with librdkafka's words, or where there is a zero byte in the credentials.
pub(in crate::kafka) fn set_credentials<C: ClientContext>(
    client: &Client<C>,
    sasl: &Sasl,
) -> Result<(), String> {
    let zero = "a zero byte, which no user or password has".to_owned();
    let texts = [&*sasl.username, sasl.password.reveal()].map(CString::new);
    let [Ok(username), Ok(password)] = texts else {
        return Err(zero);
    };
    // SAFETY: the client is alive, and the function may be called from any thread; it copies both texts. An
    // error is ours to destroy, after its text was copied.
    unsafe {
        let native = client.native_ptr();
        let error =
            sys::rd_kafka_sasl_set_credentials(native, username.as_ptr(), password.as_ptr());
        if error.is_null() {
            return Ok(());
        }
        let text = CStr::from_ptr(sys::rd_kafka_error_string(error));
        let text = text.to_string_lossy().into_owned();
        sys::rd_kafka_error_destroy(error);
        Err(text)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::c_char;

    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};

    use super::*;

    fn password(client: &BaseConsumer) -> String {
        let mut value = [0 as c_char; 64];
        let mut size = value.len();
        // SAFETY: the client is alive, and its configuration belongs to it; the value is written with its
        // zero byte into as many bytes as `size` says.
        unsafe {
            let conf = sys::rd_kafka_conf(client.client().native_ptr());
            let name = c"sasl.password".as_ptr();
            let got = sys::rd_kafka_conf_get(conf, name, value.as_mut_ptr(), &raw mut size);
            assert_eq!(got, sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK);
            CStr::from_ptr(value.as_ptr())
                .to_str()
                .expect("text")
                .to_owned()
        }
    }

    #[test]
    fn a_client_that_is_alive_gets_another_password() {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", "127.0.0.1:9")
            .set("security.protocol", "sasl_plaintext")
            .set("sasl.mechanism", "PLAIN")
            .set("sasl.username", "isobar")
            .set("sasl.password", "first")
            .create()
            .expect("a client");
        assert_eq!(password(&client), "first");
        let sasl = |password: &str| {
            let sasl = serde_json::json!(
                {"mechanism": "PLAIN", "username": "isobar", "password": password}
            );
            serde_json::from_value::<Sasl>(sasl).expect("sound")
        };
        set_credentials(client.client(), &sasl("second")).expect("taken");
        assert_eq!(password(&client), "second");
        let refused = set_credentials(client.client(), &sasl("a\0b")).expect_err("no password");
        assert!(refused.contains("zero byte"), "{refused}");
        assert_eq!(password(&client), "second");
    }
}
