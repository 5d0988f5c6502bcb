//! Debian's rsyslog as a real sender: takes lines over TCP and writes them to a Kafka topic with its
//! own Kafka output module, in a format that it writes in the field.

use std::io::Write;
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

use super::{START_LIMIT, STOP_LIMIT, installed};
use crate::process::{Launch, Process};
use crate::scratch::Scratch;
use crate::{ports, wait};

/// rsyslog's name for the RFC 5424 format with structured data.
pub const RFC5424: &str = "RSYSLOG_SyslogProtocol23Format";

/// rsyslog's name for the RFC 3164 format as senders write it.
pub const RFC3164: &str = "RSYSLOG_TraditionalForwardFormat";

/// A running rsyslog. Dropping it kills it.
#[derive(Debug)]
pub struct Rsyslog {
    process: Process,
    port: u16,
    _scratch: Scratch,
}

impl Rsyslog {
    /// Starts rsyslog with a TCP input and a Kafka output to `topic`, written with the template
    /// `format` ([`RFC5424`], [`RFC3164`], or any that rsyslog has built in).
    pub fn start(brokers: &str, topic: &str, format: &str) -> Result<Self> {
        let program = installed("rsyslogd", "rsyslog")?;
        let scratch = Scratch::new("rsyslog")?;
        let port = ports::free()?;
        let text = configuration(brokers, topic, format, port, &scratch);
        let file = scratch.file("rsyslog.conf", &text)?;
        let log = scratch.path().join("rsyslog.log");
        let launch = Launch::new(&program, &log)
            .arguments(["-n", "-i"])
            .arguments([scratch.path().join("rsyslog.pid")])
            .arguments(["-f".as_ref(), file.as_os_str()]);
        let mut process = Process::start(launch)?;
        wait::until("rsyslog's TCP input", START_LIMIT, || {
            process.check_running()?;
            let _connected = TcpStream::connect(("127.0.0.1", port))?;
            Ok(())
        })
        .map_err(|error| error.context(process.log_tail()))?;
        // A module that is not there is only complained about.
        let complaints = std::fs::read_to_string(&log)?;
        if complaints.contains("omkafka") && complaints.contains("could not load module") {
            bail!(
                "rsyslog has no Kafka output: install the Debian package rsyslog-kafka\n{complaints}"
            );
        }
        Ok(Self {
            process,
            port,
            _scratch: scratch,
        })
    }

    /// Sends lines over one TCP connection, each ended by a line feed. Returns when rsyslog has them,
    /// which is before Kafka has them.
    pub fn send<L: AsRef<[u8]>>(&self, lines: impl IntoIterator<Item = L>) -> Result<()> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).context("rsyslog is gone")?;
        let mut stream = std::io::BufWriter::new(stream);
        for line in lines {
            stream.write_all(line.as_ref())?;
            stream.write_all(b"\n")?;
        }
        stream.flush().context("rsyslog did not take all lines")
    }

    /// Ends rsyslog in an orderly way: it writes what it still holds to Kafka first.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.process.stop(STOP_LIMIT)?;
        if !status.success() {
            bail!("rsyslog ended with {status}\n{}", self.process.log_tail());
        }
        Ok(())
    }

    /// The program, for its log.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

fn configuration(brokers: &str, topic: &str, format: &str, port: u16, scratch: &Scratch) -> String {
    let list: Vec<String> = brokers
        .split(',')
        .map(|broker| format!("\"{broker}\""))
        .collect();
    format!(
        r#"global(workDirectory="{directory}" maxMessageSize="64k")
module(load="imtcp")
module(load="omkafka")
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="kafka")
ruleset(name="kafka") {{
    action(type="omkafka" broker=[{brokers}] topic="{topic}" template="{format}" partitions.auto="on"
           confParam=["queue.buffering.max.ms=20"] errorFile="{directory}/undelivered.json")
}}
"#,
        directory = scratch.path().display(),
        brokers = list.join(","),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broker_of_the_list_is_named_to_rsyslog() {
        let scratch = Scratch::new("rsyslog").expect("a directory");
        let text = configuration("a:1,b:2", "logs", RFC5424, 5140, &scratch);
        assert!(
            text.contains(r#"broker=["a:1","b:2"] topic="logs""#),
            "{text}"
        );
    }
}
