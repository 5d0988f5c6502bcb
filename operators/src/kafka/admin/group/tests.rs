//! Changes of groups against a broker that answers as it is told, to what the stand-in cluster does not know.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::*;
use crate::kafka::connection::KafkaConnection;

const WITHIN: Duration = Duration::from_secs(10);

/// Requests by their keys in the protocol of Kafka, with the one version that the broker knows of each.
const METADATA: (i16, i16) = (3, 1);
const FIND_COORDINATOR: (i16, i16) = (10, 0);
const API_VERSIONS: (i16, i16) = (18, 0);
const DELETE_GROUPS: (i16, i16) = (42, 0);

/// Starts a broker, alone in its cluster, that answers to the deletion of a group with this code. Returns its address.
fn broker(code: i16) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let _ = thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = thread::spawn(move || serve(stream, port, code));
        }
    });
    format!("127.0.0.1:{port}")
}

/// Answers until the client is gone.
fn serve(mut stream: TcpStream, port: u16, code: i16) -> io::Result<()> {
    loop {
        let mut size = [0; 4];
        stream.read_exact(&mut size)?;
        let mut request = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut request)?;
        let number = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
        let asked = (number(0), number(2));
        let mut answer = Answer(request[4..8].to_vec());
        match asked {
            (18, version) => answer.versions(version),
            METADATA => {
                // One broker without a rack, which is the controller, and no topic.
                let brokers = answer.int32(1).node(port).int16(-1);
                let _ = brokers.int32(0).int32(0);
            }
            FIND_COORDINATOR => {
                let _ = answer.int16(0).node(port);
            }
            DELETE_GROUPS => {
                let _ = answer.int32(0).int32(1).text("t.replay.19a").int16(code);
            }
            other => panic!("nobody asks for {other:?}"),
        }
        let size = u32::try_from(answer.0.len()).expect("few bytes");
        stream.write_all(&size.to_be_bytes())?;
        stream.write_all(&answer.0)?;
    }
}

/// The bytes of an answer, from the number of the request on.
struct Answer(Vec<u8>);

impl Answer {
    fn int16(&mut self, value: i16) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn int32(&mut self, value: i32) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        let _ = self.int16(i16::try_from(text.len()).expect("a short text"));
        self.0.extend(text.as_bytes());
        self
    }

    fn node(&mut self, port: u16) -> &mut Self {
        self.int32(0).text("127.0.0.1").int32(port.into())
    }

    /// What the broker knows; a client that asks in a later version is told that, too, and asks again.
    fn versions(&mut self, asked: i16) {
        const UNSUPPORTED_VERSION: i16 = 35;
        let known = [METADATA, FIND_COORDINATOR, API_VERSIONS, DELETE_GROUPS];
        let error = if asked == 0 { 0 } else { UNSUPPORTED_VERSION };
        let _ = self.int16(error).int32(4);
        for (key, version) in known {
            let _ = self.int16(key).int16(version).int16(version);
        }
    }
}

fn deleted(code: i16) -> Result<bool, Error> {
    let connection = KafkaConnection::plain(&[broker(code)]);
    let admin = Admin::of_group(&connection, "t.replay.19a", WITHIN).expect("a client");
    admin.delete_group()
}

#[test]
fn a_group_that_may_not_be_deleted_is_named_with_the_right_that_is_lacking() {
    const GROUP_AUTHORIZATION_FAILED: i16 = 30;
    let error = deleted(GROUP_AUTHORIZATION_FAILED).expect_err("it is denied");
    assert!(error.is_denied(), "{error:?}");
    let text = error.to_string();
    let start = "deleting group t.replay.19a: the user has no right to that group (";
    assert!(text.starts_with(start), "{text}");
}

#[test]
fn a_group_that_is_gone_is_as_good_as_deleted() {
    const GROUP_ID_NOT_FOUND: i16 = 69;
    for (code, was_there) in [(0, true), (GROUP_ID_NOT_FOUND, false)] {
        assert_eq!(deleted(code).expect("no failure"), was_there);
    }
}
